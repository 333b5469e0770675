"""Arguments, and which command they mean. Commands are imported only when they are called."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent import __version__
from agent.cli.output import complain, give_up_stdout
from agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, PerpfluxError

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


def parser() -> argparse.ArgumentParser:
    """The whole command line; also the ground of man page and completion."""
    top = argparse.ArgumentParser(
        prog="perpflux",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"perpflux {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (default: $PERPFLUX_CONFIG, ./perpflux.toml, "
        "/etc/perpflux/perpflux.toml, else the built-in defaults)",
    )

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[shared], help=words, description=words)

    command("run", "Poll, store and ship until stopped.")
    once = command("once", "Poll each source once, ship, and print the snapshots.")
    _add_format(once, (*FORMATS, "table"), "table")
    command("check", "Check the configuration; no network.")
    export = command("export", "Print points from the journal, oldest first.")
    _add_format(export, FORMATS, "jsonl")
    export.add_argument("--since", metavar="TIME", help="from this instant on (RFC 3339)")
    export.add_argument("--until", metavar="TIME", help="before this instant (RFC 3339)")
    export.add_argument("--source", metavar="NAME", help="only this source")
    export.add_argument("--ticker", metavar="NAME", help="only this ticker")
    export.add_argument("--measurement", metavar="NAME", help="only this measurement")
    demo = command("demo", "Run against built-in simulated venues; no network needed.")
    demo.add_argument("--seed", type=int, default=1, help="of the simulated market (default: 1)")
    demo.add_argument(
        "--ship", action="store_true", help="also deliver the made-up data to [influxdb]"
    )
    return top


def _add_format(to: argparse.ArgumentParser, formats: Sequence[str], default: str) -> None:
    to.add_argument(
        "--format", choices=formats, default=default, help=f"of the output (default: {default})"
    )


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. Every expected failure is one plain message."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has said why
        return EXIT_OK if not leaving.code else EXIT_USAGE
    module = importlib.import_module(f"agent.cli.{options.command}")
    try:
        return int(module.command(options))
    except PerpfluxError as error:
        complain(f"perpflux: {error}")
        return error.exit_code
    except BrokenPipeError:
        give_up_stdout()
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
