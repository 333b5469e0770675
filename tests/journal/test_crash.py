"""Processes that die in the middle, and processes that meet."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import JournalBusyError
from agent.journal import History
from tests.journal.make import SINK, entry, store_at
from tests.support.program import REPOSITORY

pytestmark = pytest.mark.slow

KILLS = 8
APPENDS_MAX = 60
"""Acknowledged appends after which a child is killed at the latest."""

APPENDER = """
import sys
from pathlib import Path
from tests.journal.make import SINK, entry, store_at

store = store_at(Path(sys.argv[1]), bytes_max=10**9, age_max_s=10**9)
slot = int(sys.argv[2])
while True:
    store.append([entry(3, slot_ns=slot, padding=slot % 7 * 1000)])
    print(slot, flush=True)
    slot += 1
    if slot % 3 == 0:
        store.settle(SINK, store.next_batch(SINK, "newest", 12, 2**20), [])
    if slot % 5 == 0:
        store.settle(SINK, store.next_batch(SINK, "oldest", 12, 2**20), [])
"""
"""Appends without end and says each slot once it is acknowledged; settles in between."""


@contextmanager
def appender(path: Path, first_slot: int) -> Iterator[subprocess.Popen[str]]:
    """A process that appends until it is killed, which is what happens here."""
    with subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(path), str(first_slot)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def acknowledged(child: subprocess.Popen[str], count: int | None = None) -> list[int]:
    """The next slots that the child says; all that are left when no count is given."""
    assert child.stdout is not None
    if count is None:
        return [int(line) for line in child.stdout.read().splitlines()]
    return [int(child.stdout.readline()) for _ in range(count)]


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Killed at any moment, time after time: what was acknowledged is there, the ledger holds."""
    path = tmp_path / "journal.db"
    dice = random.Random()
    said: list[int] = []
    for _ in range(KILLS):
        with appender(path, len(said)) as child:
            said += acknowledged(child, dice.randrange(1, APPENDS_MAX))
            child.kill()
            said += acknowledged(child)
        store = store_at(path)
        assert store.notes == []
        ledger = store.ledger(SINK)
        assert ledger.holds
        store.close()
        with History(path) as history:
            kept = [record.slot_ns for record in history.records()]
            assert history.damaged == 0
        # One append may have been on the disk when the child could no longer say so.
        assert kept in (said, [*said, len(said)])
        assert ledger.collected == 3 * len(kept)
        said = kept


def test_two_processes_cannot_hold_one_journal(tmp_path: Path) -> None:
    """The second one is told the first one's pid; when that one dies, the journal is free."""
    path = tmp_path / "journal.db"
    with appender(path, 0) as child:
        acknowledged(child, 1)
        with pytest.raises(JournalBusyError, match=f"process {child.pid}"):
            store_at(path)
        with History(path) as history:
            assert next(history.records()).lines == entry(3, slot_ns=0).lines.decode()
        child.kill()
        child.wait()
        store_at(path).close()
