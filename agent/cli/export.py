"""`perpflux export`: points from the journal, also while an agent runs on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from agent import schema
from agent.cli.output import complain, emit
from agent.clock import parse_rfc3339_ns
from agent.config import load
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError
from agent.formats import WRITERS, as_csv
from agent.journal import History
from agent.line_protocol import escape_tag


def command(options: argparse.Namespace) -> int:
    """Print the points; 1 when records of the journal are damaged."""
    if options.measurement not in {None, *schema.MEASUREMENTS}:
        known = ", ".join(schema.MEASUREMENTS)
        raise UsageError("export", f"no measurement {options.measurement!r}", f"one of {known}")
    since_ns, until_ns = _instant(options.since), _instant(options.until)
    loaded = load(options.config)
    history = History(Path(loaded.config.journal.path))
    lines = _chosen(history, options, since_ns, until_ns)
    if options.format == "csv" and options.measurement:
        pieces = as_csv(lines, [options.measurement])
    else:
        pieces = WRITERS[options.format](lines)
    for piece in pieces:
        emit(piece)
    if history.damaged:
        complain(f"perpflux: {history.damaged} damaged records of the journal were left out")
    return EXIT_FAILED if history.damaged else EXIT_OK


def _chosen(
    history: History, options: argparse.Namespace, since_ns: int | None, until_ns: int | None
) -> Iterator[str]:
    ticker = f",ticker={escape_tag(options.ticker)} " if options.ticker else ""
    measurement = f"{options.measurement}," if options.measurement else ""
    for record in history.records(since_ns=since_ns, until_ns=until_ns, source=options.source):
        for line in record.lines.splitlines():
            if ticker in line and line.startswith(measurement):
                yield line


def _instant(text: str | None) -> int | None:
    """An RFC 3339 instant in ns; None for None. Raises UsageError."""
    if text is None:
        return None
    instant_ns = parse_rfc3339_ns(text)
    if instant_ns is None:
        raise UsageError("export", f"{text!r} is no instant", "write it like 2026-01-06T00:00:00Z")
    return instant_ns
