"""Runs one command of the command line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from agent.cli.arguments import parser
from agent.cli.output import complain, give_up_stdout
from agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, PerpfluxError


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. Every expected failure is one plain message."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has said why
        return EXIT_OK if not leaving.code else EXIT_USAGE
    module = importlib.import_module(f"agent.cli.{options.command.replace('-', '_')}")
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
