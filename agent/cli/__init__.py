"""The command line: `perpflux COMMAND`. The same as `python -m agent`."""

from __future__ import annotations

import faulthandler
import sys

from agent.cli.main import main


def entry_point() -> None:
    """Run the program and leave with its exit code."""
    # First: a crash in C, or a watchdog's SIGABRT, shows where every thread was.
    faulthandler.enable()
    sys.exit(main(sys.argv[1:]))


__all__ = ["entry_point", "main"]
