"""`perpflux replay`: a past range of the journal goes to a store again, agent running or not.

Nothing is collected or counted anew: a point that is sent twice overwrites itself.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Final

from agent.cli.output import complain, say
from agent.cli.stores import destination_of, instant
from agent.config import load
from agent.delivery import Destination
from agent.errors import EXIT_FAILED, EXIT_OK, InfluxDBError, UsageError
from agent.formats import printable
from agent.journal import History, Rejected
from agent.resend import Resender, in_batches

SHOWN_MAX: Final = 10
"""Refused lines that are printed."""


def command(options: argparse.Namespace) -> int:
    """Send the range again; 1 when not all of it is stored."""
    since_ns = instant("replay", options.since)
    until_ns = instant("replay", options.until)
    if since_ns is None and until_ns is None:
        raise UsageError("replay", "no range is given", "say --since, --until or both")
    loaded = load(options.config)
    store = destination_of(loaded, options.sink)
    with History(Path(loaded.config.journal.path)) as history:
        try:
            points, refused = asyncio.run(
                _replay(history, store, since_ns, until_ns, options.source)
            )
        except _StoppedError as stopped:
            say(f"{stopped.points} points were sent again before it stopped")
            raise stopped.error from None
        say(f"{points} points were sent again to {options.sink}")
        for row in refused[:SHOWN_MAX]:
            complain(printable(f"perpflux: refused: {row.reason}: {row.line or row.seq}"))
        if refused:
            complain(f"perpflux: {len(refused)} were refused; the ledger stays as it is")
        if history.damaged:
            complain(f"perpflux: {history.damaged} damaged records of the journal were left out")
        return EXIT_FAILED if refused or history.damaged else EXIT_OK


class _StoppedError(Exception):
    def __init__(self, error: InfluxDBError, points: int) -> None:
        super().__init__(error, points)
        self.error = error
        self.points = points


async def _replay(
    history: History,
    store: Destination,
    since_ns: int | None,
    until_ns: int | None,
    source: str | None,
) -> tuple[int, list[Rejected]]:
    """Counted points that are stored again, and what was refused."""
    resender = Resender(store)
    refused: list[Rejected] = []
    points = 0
    try:
        for batch in in_batches(history.as_they_lie(since_ns, until_ns, source)):
            outcome = await resender.send(batch)
            points += sum(record.points for record in batch)
            points -= sum(row.points for row in outcome.rejected)
            refused += outcome.rejected
    except InfluxDBError as error:
        raise _StoppedError(error, points) from error
    finally:
        await store.close()
    return points, refused
