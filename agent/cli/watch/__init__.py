"""`perpflux watch`: a table of now, live on a terminal, printed once anywhere else."""

from __future__ import annotations

import argparse
import importlib.util
from typing import Final

from agent.cli.output import complain, emit, is_dialogue
from agent.cli.watch.feed import Feed
from agent.cli.watch.view import COLUMNS, View, footer, plain
from agent.config import environment, load
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError

WIDTH: Final = 160
"""Columns where nobody knows how many there are: all of the table fits."""


def command(options: argparse.Namespace) -> int:
    """Show the table; 1 when there is nothing to show."""
    if options.sort not in COLUMNS:
        raise UsageError("watch", f"no column {options.sort!r}", f"one of {', '.join(COLUMNS)}")
    view = View(options.sort, options.reverse, options.filter or "", options.source)
    feed = Feed(load(options.config).config)
    if not options.once and is_dialogue() and environment("TERM").get("TERM") != "dumb":
        if importlib.util.find_spec("rich") is not None:
            from agent.cli.watch.live import watch  # noqa: PLC0415  # rich is an extra

            watch(feed, view)
            return EXIT_OK
        complain("perpflux: for the live table: pip install 'perpflux[watch]'")
    frame = feed.read()
    for line in [*plain(view, frame, WIDTH), "", *footer(frame)]:
        emit(f"{line}\n")
    return EXIT_OK if view.rows(frame) else EXIT_FAILED
