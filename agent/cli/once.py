"""`perpflux once`: one poll of each source, stored, shipped and printed."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from agent import schema
from agent.app import App
from agent.cli.output import complain, emit
from agent.config import Loaded, load
from agent.entries import poll_entry
from agent.errors import EXIT_FAILED, EXIT_OK
from agent.formats import WRITERS
from agent.log import set_up
from agent.poll import Poll


def command(options: argparse.Namespace) -> int:
    """Print what came; 1 when a source failed or something could not be shipped."""
    loaded = load(options.config)
    set_up("error", loaded.config.log.format)
    polls, pending, refusal = asyncio.run(_once(loaded))
    for piece in WRITERS[options.format](_data_lines(polls)):
        emit(piece)
    for poll in polls:
        for problem in poll.problems:
            complain(f"perpflux: {problem}")
        for notice in poll.notices:
            complain(f"perpflux: {notice}")
    for sink, points in pending.items():
        complain(f"perpflux: {points} points wait for {sink}; they are safe in the journal")
    if refusal:
        complain(f"perpflux: not stored: {refusal}")
    complete = all(poll.ok for poll in polls) and not pending and not refusal
    return EXIT_OK if complete else EXIT_FAILED


async def _once(loaded: Loaded) -> tuple[list[Poll], dict[str, int], str | None]:
    """The polls, how many points could not be shipped where, and why the journal took none."""
    async with App(loaded) as app:
        polls = await app.once()
        pending: dict[str, int] = {}
        if not app.scheduler.store_error:
            for sink in app.stores.names:
                pending[sink] = (await app.journal.ledger(sink)).pending
        waiting = {sink: points for sink, points in pending.items() if points}
        return polls, waiting, app.scheduler.store_error


def _data_lines(polls: Sequence[Poll]) -> list[str]:
    """The lines that are data; the agent's own measurements are left out."""
    lines = [
        line
        for poll in polls
        for line in poll_entry(poll, host="-", missed_slots=0).lines.decode().splitlines()
    ]
    own = tuple(
        f"{name}," for name, measurement in schema.MEASUREMENTS.items() if not measurement.counted
    )
    return [line for line in lines if not line.startswith(own)]
