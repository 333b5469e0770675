"""The command line: which commands there are and how they are used. Nothing else is imported here.

A command is a line in `COMMANDS` and a module of its name in `agent.cli` with
`command(options) -> int`; its arguments are added by a function in `options`, because the module is
imported only when it is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from agent import __version__
from agent.cli import options
from agent.cli.options import Parser

EXAMPLE_COLUMN: Final = 44
"""Where the words beside an example begin at most."""

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


COMMANDS: Final[dict[str, Command]] = {
    "run": Command(
        "Poll, store and ship until stopped.",
        options.nothing,
        [
            ("", "with ./perpflux.toml, or the defaults"),
            ("--config my.toml", "with another configuration"),
        ],
    ),
    "once": Command(
        "Poll each source once, ship, and print the snapshots.",
        options.once,
        [("", "as a table"), ("--format jsonl", "an object per point, exact numbers")],
    ),
    "init": Command(
        "Write a commented configuration, asking at most four questions.",
        options.init,
        [
            ("", "./perpflux.toml, by asking"),
            ("--yes --config /etc/perpflux/perpflux.toml", "another file, without questions"),
        ],
    ),
    "check": Command(
        "Check the configuration; no network.",
        options.nothing,
        [("", "is it right, and what will be done?"), ("--config my.toml", "another file")],
    ),
    "doctor": Command(
        "Look at all the agent depends on, and say what to do.",
        options.doctor,
        [
            ("", "a line per check"),
            ("--format json", "for a monitor; exit code 1 when something fails"),
            ("--token-file grafana_token", "with a token that may read the bucket"),
        ],
    ),
    "watch": Command(
        "Show a table of now: prices, spreads, gap, funding, carry, age; live on a terminal.",
        options.watch,
        [
            ("", "live; q leaves"),
            ("--sort gap --reverse --source bybit", "where Bybit is dearest first"),
            ("--once --filter BTC,ETH", "print it and end"),
        ],
    ),
    "export": Command(
        "Print points from the journal, oldest first.",
        options.export,
        [
            ("--format csv --since 2026-01-06T00:00:00Z", "from an instant on"),
            ("--ticker BTC --measurement snapshot", "some of them, as JSON lines"),
            ("--output all.parquet --fields mid,spread_bps", "two fields, into a file"),
            ("--output all.parquet --fields mid,spread_bps --resume", "go on after a stop"),
        ],
    ),
    "backlog": Command(
        "What waits for each store, and why; is what is stored there?",
        options.backlog,
        [("", "a row per store"), ("--verify", "count the last hour in InfluxDB too")],
    ),
    "rejected": Command(
        "Points that a store refused: list, show, replay, purge.",
        options.rejected,
        [
            ("list", "which, and why"),
            ("show 17", "one line in full"),
            ("replay --all", "after the reason is put right"),
        ],
    ),
    "replay": Command(
        "Ship a past range of the journal again.",
        options.replay,
        [("--since 2026-01-06T00:00:00Z --until 2026-01-07T00:00:00Z", "one day")],
    ),
    "migrate-sqlite": Command(
        "Bring the earlier collector's database up to date.",
        options.legacy,
        [("snapshots.db", "adds the source; a copy of the file is kept beside it")],
    ),
    "import-sqlite": Command(
        "Take the earlier collector's rows into the journal.",
        options.legacy,
        [("snapshots.db", "goes on where it was interrupted")],
    ),
    "sink": Command(
        "Fill a store from a NATS stream until stopped.",
        options.sink,
        [
            ("", "the only configured stream into [influxdb]"),
            ("--make-stream --replicas 3", "the stream is made first where there is none"),
        ],
    ),
    "bootstrap": Command(
        "Make buckets, rollup task and least-privilege tokens in InfluxDB.",
        options.bootstrap,
        [
            ("--dry-run --token-file operator_token", "what would be made"),
            ("--token-file operator_token", "make what is missing"),
            ("--setup --token-file operator_token", "of a new InfluxDB, its first user too"),
        ],
    ),
    "query": Command(
        "Run Flux against InfluxDB: a question of the cookbook, a file.",
        options.query,
        [
            ("--list", "the cookbook"),
            ("spread --param ticker=BTC --start -7d", "one of its questions"),
            ("my.flux --format csv", "a text of your own"),
        ],
    ),
    "demo": Command(
        "Run against built-in simulated venues; no network needed.",
        options.demo,
        [("", "look around without network")],
    ),
    "completion": Command(
        "Print the completion script of a shell.",
        options.completion,
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
        type=options.file_path,
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
