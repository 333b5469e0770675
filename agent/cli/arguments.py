"""The command line: which commands there are and what each takes. Nothing else is imported here.

A command is a line in `COMMANDS` and a module of its name in `agent.cli` with
`command(options) -> int`; its arguments are added by a function here, because the module is
imported only when it is called.
"""

from __future__ import annotations

import argparse
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


COMMANDS: Final[dict[str, Command]] = {
    "run": Command("Poll, store and ship until stopped.", _nothing),
    "once": Command("Poll each source once, ship, and print the snapshots.", _once),
    "check": Command("Check the configuration; no network.", _nothing),
    "export": Command("Print points from the journal, oldest first.", _export),
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
