"""The command line: which commands there are and what each takes. Nothing else is imported here.

A command is a line in `COMMANDS` and a module of its name in `agent.cli` with
`command(options) -> int`; its arguments are added by a function here, because the module is
imported only when it is called.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from agent import __version__


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


FORMATS: Final = ("jsonl", "csv", "lp")
EXAMPLE_COLUMN: Final = 44
"""Where the words beside an example begin at most."""
NEAR: Final = 0.7
"""From here on two words are taken for one mistyped; 1 = equal."""
SHELLS: Final = ("bash", "zsh", "fish")

_DESCRIPTION: Final = """\
Polls perpetual-futures venues and delivers exact snapshots to InfluxDB 2 without losing one.
"""
_EPILOG: Final = """\
perpflux COMMAND --help shows what a command takes, with examples.

exit codes: 0 done, 1 failed or incomplete, 2 wrong usage, 78 bad configuration
"""
_FIRST: Final = ("init", "doctor", "run", "export", "demo")
"""Whose first example stands in the help of the whole."""


class Example(NamedTuple):
    """A command line as it is typed, and what it is for."""

    line: str
    words: str


class Command(NamedTuple):
    """A command: what it does in one sentence, what adds its arguments, and how it is used."""

    words: str
    add_arguments: Callable[[Parser], None]
    examples: Sequence[tuple[str, str]]
    """Arguments behind `perpflux NAME`, and what they are for; the first is the common one."""


def _nothing(_: Parser) -> None:
    """Takes only what every command takes."""


def _once(to: Parser) -> None:
    _add_format(to, (*FORMATS, "table"), "table")


def _export(to: Parser) -> None:
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


def _watch(to: Parser) -> None:
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


def _sink(to: Parser) -> None:
    to.add_argument("--stream", metavar="NAME", help="of [sinks.NAME] (default: the only stream)")
    to.add_argument("--store", metavar="NAME", default="influxdb", help="default: influxdb")
    to.add_argument("--durable", metavar="NAME", help="shared consumer (default: perpflux-STORE)")
    to.add_argument("--make-stream", action="store_true", help="first, where there is none")
    to.add_argument(
        "--replicas", type=int, choices=range(1, 6), default=1, help="of that stream (default: 1)"
    )


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


def _init(to: Parser) -> None:
    to.add_argument("--yes", action="store_true", help="ask nothing: take what is suggested")
    to.add_argument("--force", action="store_true", help="replace a file that is there")


def _completion(to: Parser) -> None:
    to.add_argument("shell", choices=SHELLS, help="whose completion")


COMMANDS: Final[dict[str, Command]] = {
    "run": Command(
        "Poll, store and ship until stopped.",
        _nothing,
        [
            ("", "with ./perpflux.toml, or the defaults"),
            ("--config my.toml", "with another configuration"),
        ],
    ),
    "once": Command(
        "Poll each source once, ship, and print the snapshots.",
        _once,
        [("", "as a table"), ("--format jsonl", "an object per point, exact numbers")],
    ),
    "init": Command(
        "Write a commented configuration, asking at most four questions.",
        _init,
        [
            ("", "./perpflux.toml, by asking"),
            ("--yes --config /etc/perpflux/perpflux.toml", "another file, without questions"),
        ],
    ),
    "check": Command(
        "Check the configuration; no network.",
        _nothing,
        [("", "is it right, and what will be done?"), ("--config my.toml", "another file")],
    ),
    "doctor": Command(
        "Look at all the agent depends on, and say what to do.",
        _doctor,
        [
            ("", "a line per check"),
            ("--format json", "for a monitor; exit code 1 when something fails"),
            ("--token-file grafana_token", "with a token that may read the bucket"),
        ],
    ),
    "watch": Command(
        "Show a table of now: prices, spreads, gap, funding, carry, age; live on a terminal.",
        _watch,
        [
            ("", "live; q leaves"),
            ("--sort gap --reverse --source bybit", "where Bybit is dearest first"),
            ("--once --filter BTC,ETH", "print it and end"),
        ],
    ),
    "export": Command(
        "Print points from the journal, oldest first.",
        _export,
        [
            ("--format csv --since 2026-01-06T00:00:00Z", "from an instant on"),
            ("--ticker BTC --measurement snapshot", "some of them, as JSON lines"),
            ("--output all.parquet --fields mid,spread_bps", "two fields, into a file"),
            ("--output all.parquet --fields mid,spread_bps --resume", "go on after a stop"),
        ],
    ),
    "backlog": Command(
        "What waits for each store, and why; is what is stored there?",
        _backlog,
        [("", "a row per store"), ("--verify", "count the last hour in InfluxDB too")],
    ),
    "rejected": Command(
        "Points that a store refused: list, show, replay, purge.",
        _rejected,
        [
            ("list", "which, and why"),
            ("show 17", "one line in full"),
            ("replay --all", "after the reason is put right"),
        ],
    ),
    "replay": Command(
        "Ship a past range of the journal again.",
        _replay,
        [("--since 2026-01-06T00:00:00Z --until 2026-01-07T00:00:00Z", "one day")],
    ),
    "migrate-sqlite": Command(
        "Bring the earlier collector's database up to date.",
        _legacy,
        [("snapshots.db", "adds the source; a copy of the file is kept beside it")],
    ),
    "import-sqlite": Command(
        "Take the earlier collector's rows into the journal.",
        _legacy,
        [("snapshots.db", "goes on where it was interrupted")],
    ),
    "sink": Command(
        "Fill a store from a NATS stream until stopped.",
        _sink,
        [
            ("", "the only configured stream into [influxdb]"),
            ("--make-stream --replicas 3", "the stream is made first where there is none"),
        ],
    ),
    "bootstrap": Command(
        "Make buckets, rollup task and least-privilege tokens in InfluxDB.",
        _bootstrap,
        [
            ("--dry-run --token-file operator_token", "what would be made"),
            ("--token-file operator_token", "make what is missing"),
            ("--setup --token-file operator_token", "of a new InfluxDB, its first user too"),
        ],
    ),
    "query": Command(
        "Run Flux against InfluxDB: a question of the cookbook, a file.",
        _query,
        [
            ("--list", "the cookbook"),
            ("spread --param ticker=BTC --start -7d", "one of its questions"),
            ("my.flux --format csv", "a text of your own"),
        ],
    ),
    "demo": Command(
        "Run against built-in simulated venues; no network needed.",
        _demo,
        [("", "look around without network")],
    ),
    "completion": Command(
        "Print the completion script of a shell.",
        _completion,
        [
            ("bash > ~/.local/share/bash-completion/completions/perpflux", "bash"),
            ("zsh > ~/.zfunc/_perpflux", "zsh; ~/.zfunc stands in $fpath"),
            ("fish > ~/.config/fish/completions/perpflux.fish", "fish"),
        ],
    ),
}


def examples_of(name: str) -> Iterator[Example]:
    """The examples of a command as they are typed."""
    for arguments, words in COMMANDS[name].examples:
        yield Example(f"perpflux {name} {arguments}".rstrip(), words)


def _listed(examples: Sequence[Example]) -> str:
    """Examples as help shows them: one below the other, a long one on a line of its own."""
    width = max((len(line) for line, _ in examples if len(line) <= EXAMPLE_COLUMN), default=0)
    lines = ["examples:"]
    for line, words in examples:
        head = f"  {line.ljust(width)}"
        lines += [f"{head}  {words}"] if len(line) <= width else [head, f"  {' ' * width}  {words}"]
    return "\n".join(lines)


def parser() -> Parser:
    """The whole command line; also the ground of man page and completion."""
    top = Parser(
        prog="perpflux",
        description=_DESCRIPTION,
        epilog=f"{_listed([next(examples_of(name)) for name in _FIRST])}\n\n{_EPILOG}",
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
                name,
                parents=[shared],
                help=command.words,
                description=command.words,
                epilog=_listed([*examples_of(name)]),
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return top
