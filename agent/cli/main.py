"""Runs one command of the command line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from agent.cli.arguments import parser
from agent.cli.output import OutputError, complain, flush, give_up_stdout
from agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, PerpfluxError

_OTHER_USER: Final = "run it as root, or as the user that the agent runs as"


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. Every expected failure is one plain message."""
    try:
        code = _run(arguments)
        flush()  # while a failure can still be told
    except BrokenPipeError:
        give_up_stdout()
        return EXIT_FAILED
    except OutputError as error:
        give_up_stdout()
        return _told(error)
    except PerpfluxError as error:
        return _told(error)
    except PermissionError as error:
        complain(f"perpflux: {error.filename} is not open to this user ({_OTHER_USER})")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has said why
        return EXIT_OK if not leaving.code else EXIT_USAGE
    module = importlib.import_module(f"agent.cli.{options.command.replace('-', '_')}")
    return int(module.command(options))


def _told(error: PerpfluxError) -> int:
    complain(f"perpflux: {error}")
    return error.exit_code
