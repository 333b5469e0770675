"""What each command takes: a function per command, which adds it to its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

FORMATS: Final = ("jsonl", "csv", "lp")
NEAR: Final = 0.7
"""From here on two words are taken for one mistyped; 1 = equal."""
NUMBER_MAX: Final = 2**63 - 1
"""Of a line; the journal counts no further."""
SHELLS: Final = ("bash", "zsh", "fish")


class Parser(argparse.ArgumentParser):
    """As ever, but wrong usage comes with a hint."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what is near it; exit 2."""
        from difflib import get_close_matches  # noqa: PLC0415  # only after a typing mistake

        wrong = re.search(r"invalid choice: '([^']+)'|unrecognized arguments: (\S+)", message)
        known = [word for action in self._actions for word in _words_of(action)]
        near = get_close_matches(wrong[1] or wrong[2], known, 1, NEAR) if wrong else []
        hint = f"did you mean {near[0]}? " if near else ""
        # Of a long list of choices the hint is enough.
        said = message.partition(" (choose from")[0] if near else message
        self.exit(2, f"{self.prog}: {said} ({hint}{self.prog} --help shows what there is)\n")


def _words_of(action: argparse.Action) -> Iterator[str]:
    """What may stand on the command line; also the options of every command."""
    yield from action.option_strings
    for choice in action.choices or ():
        yield str(choice)
    if isinstance(action.choices, dict):
        for command in action.choices.values():
            yield from command._option_string_actions  # noqa: SLF001  # there is no other way


def file_path(text: str) -> Path:
    """The path of a file. Raises ArgumentTypeError where the text can be none."""
    path = Path(text)
    if not path.name:
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return path


def line_number(text: str) -> int:
    """The number of a rejected line. Raises ArgumentTypeError where the text can be none."""
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(NUMBER_MAX))
    number = int(text) if plain else 0
    if not 0 < number <= NUMBER_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a line")
    return number


def nothing(_: Parser) -> None:
    """Takes only what every command takes."""


def once(to: Parser) -> None:
    """Format."""
    _add_format(to, (*FORMATS, "table"), "table")


def export(to: Parser) -> None:
    """Format, what is chosen, into which file."""
    to.add_argument(
        "--format",
        choices=(*FORMATS, "parquet"),
        help="of the output (default: what FILE ends with, else jsonl)",
    )
    _add_range(to)
    to.add_argument("--source", metavar="NAME", help="only this source")
    to.add_argument("--ticker", metavar="NAME", help="only this ticker")
    to.add_argument("--measurement", metavar="NAME", help="only this measurement")
    to.add_argument("--fields", metavar="NAMES", help="only these fields: mid,spread_bps")
    _add_path(to, "--output", "write there instead of printing; it appears when it is whole")
    to.add_argument(
        "--resume", action="store_true", help="go on with an interrupted export into --output"
    )


def watch(to: Parser) -> None:
    """Order, what is chosen, once or live."""
    to.add_argument(
        "--sort",
        default="ticker",
        metavar="COLUMN",
        help="such as 1k, gap, carry (default: ticker)",
    )
    to.add_argument("--reverse", action="store_true", help="the largest first")
    to.add_argument("--filter", metavar="TEXT", help="only tickers with this in them; or BTC,ETH")
    to.add_argument("--source", metavar="NAME", help="only this source")
    to.add_argument("--once", action="store_true", help="print one table and end")


def demo(to: Parser) -> None:
    """Seed, and whether to ship."""
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


def backlog(to: Parser) -> None:
    """Format, and what is compared."""
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


def doctor(to: Parser) -> None:
    """Format and token."""
    _add_format(to, ("table", "json"), "table")
    _add_path(to, "--token-file", "one that may read (default: Grafana's beside the agent's)")


def rejected(to: Parser) -> None:
    """What to do with which lines."""
    to.add_argument("action", choices=("list", "show", "replay", "purge"))
    to.add_argument(
        "ids", nargs="*", type=line_number, metavar="ID", help="a line's number in the list"
    )
    to.add_argument("--all", action="store_true", help="every line: for replay and purge")
    _add_sink(to)
    _add_format(to, ("table", "jsonl", "csv"), "table")


def replay(to: Parser) -> None:
    """Range and store."""
    _add_range(to)
    to.add_argument("--source", metavar="NAME", help="only this source")
    _add_sink(to)


def sink(to: Parser) -> None:
    """From which stream into which store."""
    to.add_argument("--stream", metavar="NAME", help="its [sinks.NAME] (default: the only stream)")
    to.add_argument(
        "--store", metavar="NAME", default="influxdb", help="the store to fill (default: influxdb)"
    )
    to.add_argument("--durable", metavar="NAME", help="shared consumer (default: perpflux-STORE)")
    to.add_argument("--make-stream", action="store_true", help="make it, where there is none")
    to.add_argument(
        "--replicas", type=int, choices=range(1, 6), default=1, help="copies of it (default: 1)"
    )


def _add_sink(to: Parser) -> None:
    to.add_argument(
        "--sink", metavar="NAME", default="influxdb", help="of which store (default: influxdb)"
    )


def _add_token_file(to: Parser) -> None:
    _add_path(to, "--token-file", "one that may read (default: as [influxdb], INFLUXDB_V2_TOKEN)")


def legacy(to: Parser) -> None:
    """The file."""
    to.add_argument("file", type=file_path, metavar="FILE", help="the earlier collector's database")


def query(to: Parser) -> None:
    """What to run, over which time, with which values."""
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


def bootstrap(to: Parser) -> None:
    """What to make, with which tokens."""
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
    to.add_argument(name, type=file_path, metavar="FILE", help=words)


def init(to: Parser) -> None:
    """Whether to ask and to replace."""
    to.add_argument("--yes", action="store_true", help="ask nothing: take what is suggested")
    to.add_argument("--force", action="store_true", help="replace a file that is there")


def completion(to: Parser) -> None:
    """Which shell."""
    to.add_argument("shell", choices=SHELLS, help="whose completion")
