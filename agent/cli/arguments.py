"""The command line: which commands there are and what each takes. Nothing else is imported here.

A command is a line in `COMMANDS` and a module of its name in `agent.cli` with
`command(options) -> int`; its arguments are added by a function here, because the module is
imported only when it is called.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from agent import __version__

Parser = argparse.ArgumentParser
FORMATS: Final = ("jsonl", "csv", "lp")

_DESCRIPTION: Final = """\
Polls perpetual-futures venues and delivers exact snapshots to InfluxDB 2 without losing one.
"""
_EPILOG: Final = """\
examples:
  perpflux run                        poll and store with the defaults
  perpflux once --format jsonl        one poll of each source, as JSON lines
  perpflux check --config my.toml     is this configuration right?
  perpflux export --format csv --since 2026-01-06T00:00:00Z > day.csv
  perpflux demo                       look around without network

exit codes: 0 done, 1 failed or incomplete, 2 wrong usage, 78 bad configuration
"""


class Command(NamedTuple):
    """A command: what it does in one sentence, and what adds its arguments."""

    words: str
    add_arguments: Callable[[Parser], None]


def _nothing(_: Parser) -> None:
    """Takes only what every command takes."""


def _once(to: Parser) -> None:
    _add_format(to, (*FORMATS, "table"), "table")


def _export(to: Parser) -> None:
    _add_format(to, FORMATS, "jsonl")
    _add_range(to)
    to.add_argument("--source", metavar="NAME", help="only this source")
    to.add_argument("--ticker", metavar="NAME", help="only this ticker")
    to.add_argument("--measurement", metavar="NAME", help="only this measurement")


def _demo(to: Parser) -> None:
    to.add_argument("--seed", type=int, default=1, help="of the simulated market (default: 1)")
    to.add_argument(
        "--ship", action="store_true", help="also deliver the made-up data to [influxdb]"
    )


def _add_format(to: Parser, formats: tuple[str, ...], default: str) -> None:
    to.add_argument(
        "--format", choices=formats, default=default, help=f"of the output (default: {default})"
    )


def _add_range(to: Parser) -> None:
    to.add_argument("--since", metavar="TIME", help="from this instant on (RFC 3339)")
    to.add_argument("--until", metavar="TIME", help="before this instant (RFC 3339)")


def _backlog(to: Parser) -> None:
    _add_format(to, ("table", "json"), "table")
    to.add_argument(
        "--verify",
        action="store_true",
        help="count in InfluxDB what is acknowledged, over whole hours (default: the last ones)",
    )
    to.add_argument(
        "--forget",
        metavar="NAME",
        help="give up a store that is configured no longer: what waits for it, and its ledger",
    )
    _add_range(to)
    _add_token_file(to)


def _doctor(to: Parser) -> None:
    _add_format(to, ("table", "json"), "table")
    _add_path(to, "--token-file", "one that may read (default: Grafana's beside the agent's)")


def _rejected(to: Parser) -> None:
    to.add_argument("action", choices=("list", "show", "replay", "purge"))
    to.add_argument("ids", nargs="*", type=int, metavar="ID", help="a line's number in the list")
    to.add_argument("--all", action="store_true", help="every line: for replay and purge")
    _add_sink(to)
    _add_format(to, ("table", "jsonl", "csv"), "table")


def _replay(to: Parser) -> None:
    _add_range(to)
    to.add_argument("--source", metavar="NAME", help="only this source")
    _add_sink(to)


def _add_sink(to: Parser) -> None:
    to.add_argument(
        "--sink", metavar="NAME", default="influxdb", help="of which store (default: influxdb)"
    )


def _add_token_file(to: Parser) -> None:
    _add_path(to, "--token-file", "one that may read (default: as [influxdb], INFLUXDB_V2_TOKEN)")


def _legacy(to: Parser) -> None:
    to.add_argument("file", type=Path, metavar="FILE", help="the earlier collector's database")


def _query(to: Parser) -> None:
    # Otherwise argparse takes the duration in `--start -7d` for an option.
    to._negative_number_matcher = re.compile(r"-[0-9]")  # noqa: SLF001
    to.add_argument("query", nargs="?", metavar="NAME|FILE|-", help="what to run; none = --list")
    to.add_argument("--list", action="store_true", help="show the cookbook's questions")
    to.add_argument("--show", action="store_true", help="print the Flux instead of running it")
    to.add_argument("--start", metavar="TIME", help="an instant, or a duration before stop: -7d")
    to.add_argument("--stop", metavar="TIME", help="an instant, or a duration before now")
    to.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a parameter of the text, such as ticker=BTC; may be repeated",
    )
    _add_format(to, ("table", "csv", "jsonl"), "table")
    _add_token_file(to)


def _bootstrap(to: Parser) -> None:
    to.add_argument("--dry-run", action="store_true", help="say what would be changed, no more")
    _add_path(to, "--token-file", "an operator token (default: INFLUXDB_V2_TOKEN)")
    to.add_argument("--retention", metavar="TIME", help="of raw points: 30d, 0 = for ever")
    to.add_argument("--rollup-retention", metavar="TIME", help="of one-minute points: 730d")
    _add_path(to, "--agent-token-file", "the agent's new token (default: influxdb.token_file)")
    _add_path(to, "--grafana-token-file", "Grafana's new token (default: grafana_token beside it)")
    to.add_argument(
        "--token-mode", default="600", metavar="MODE", help="of these two files (default: 600)"
    )
    to.add_argument("--print-tokens", action="store_true", help="also print the two new tokens")
    to.add_argument(
        "--setup",
        action="store_true",
        help="make the first user and operator token of a new InfluxDB, into --token-file",
    )
    _add_path(to, "--password-file", "that user's password (default: admin_password beside it)")


def _add_path(to: Parser, name: str, words: str) -> None:
    to.add_argument(name, type=Path, metavar="FILE", help=words)


COMMANDS: Final[dict[str, Command]] = {
    "run": Command("Poll, store and ship until stopped.", _nothing),
    "once": Command("Poll each source once, ship, and print the snapshots.", _once),
    "check": Command("Check the configuration; no network.", _nothing),
    "doctor": Command("Look at all the agent depends on, and say what to do.", _doctor),
    "export": Command("Print points from the journal, oldest first.", _export),
    "backlog": Command("What waits for each store, and why; is what is stored there?", _backlog),
    "rejected": Command("Points that a store refused: list, show, replay, purge.", _rejected),
    "replay": Command("Ship a past range of the journal again.", _replay),
    "migrate-sqlite": Command("Bring the earlier collector's database up to date.", _legacy),
    "import-sqlite": Command("Take the earlier collector's rows into the journal.", _legacy),
    "bootstrap": Command(
        "Make buckets, rollup task and least-privilege tokens in InfluxDB.", _bootstrap
    ),
    "query": Command("Run Flux against InfluxDB: a question of the cookbook, a file.", _query),
    "demo": Command("Run against built-in simulated venues; no network needed.", _demo),
}


def parser() -> Parser:
    """The whole command line; also the ground of man page and completion."""
    top = Parser(
        prog="perpflux",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"perpflux {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    shared = Parser(add_help=False)
    shared.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (default: $PERPFLUX_CONFIG, ./perpflux.toml, "
        "/etc/perpflux/perpflux.toml, else the built-in defaults)",
    )
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(
                name, parents=[shared], help=command.words, description=command.words
            )
        )
    return top
