"""What the journal refuses waits in memory, bounded, and goes first when it takes writes again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.errors import JournalError, JournalUnavailableError
from agent.journal import History, Journal, hold
from agent.journal.hold import Hold
from agent.journal.records import Entry
from agent.journal.store import Store
from tests.journal.make import AGE_MAX_S, BYTES_MAX, SINK, entry
from tests.support.clock import START_NS, FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """A journal."""
    journal = await Journal.open(path, bytes_max=BYTES_MAX, age_max_s=AGE_MAX_S, clock=FakeClock())
    yield journal
    await journal.close()


class Disk:
    """A disk that is full while `room` is False."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = True
        append = Store.append

        def guarded(store: Store, entries: list[Entry]) -> None:
            if entries and not self.room:
                raise JournalUnavailableError("append to journal", "full", "make room")
            append(store, entries)

        monkeypatch.setattr(Store, "append", guarded)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Under every journal of the test."""
    return Disk(monkeypatch)


def slots(path: Path) -> list[int]:
    """The slots in the journal, in seconds since the first."""
    with History(path) as history:
        return [(record.slot_ns - START_NS) // 10**9 for record in history.records()]


def at(second: int, *, lines: int = 2) -> Entry:
    """An entry of this second."""
    return entry(lines, slot_ns=START_NS + second * 10**9)


async def test_what_was_refused_goes_first(journal: Journal, disk: Disk, path: Path) -> None:
    """Three refused appends are on the disk with the next one, in their order, counted once."""
    await journal.append([at(0)])
    disk.room = False
    for second in (1, 2, 3):
        with pytest.raises(JournalError, match="make room"):
            await journal.append([at(second)])
    assert (len(journal.hold), journal.hold.points) == (3, 6)
    assert (await journal.ledger(SINK)).collected == 2
    disk.room = True
    await journal.append([at(4)])
    assert slots(path) == [0, 1, 2, 3, 4]
    ledger = await journal.ledger(SINK)
    assert ledger.holds
    assert (ledger.collected, len(journal.hold), journal.hold.points) == (10, 0, 0)


async def test_what_is_held_is_appended_piece_by_piece(
    journal: Journal, disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full again after the first piece keeps that one; the others stay held."""
    monkeypatch.setattr(hold, "CHUNK_ENTRIES", 2)
    disk.room = False
    for second in range(4):
        with pytest.raises(JournalError):
            await journal.append([at(second)])
    disk.room = True
    taken = journal.hold.taken

    def full_again(number: int) -> None:
        taken(number)
        disk.room = False

    monkeypatch.setattr(journal.hold, "taken", full_again)
    with pytest.raises(JournalError):
        await journal.append([at(4)])
    assert (slots(path), len(journal.hold)) == ([0, 1], 3)


async def test_closing_tries_once_more(journal: Journal, disk: Disk, path: Path) -> None:
    """What is held at the end is appended if the disk lets it; else it is said what is lost."""
    disk.room = False
    with pytest.raises(JournalError):
        await journal.append([at(0)])
    disk.room = True
    await journal.close()
    assert (slots(path), journal.notes) == ([0], [])


async def test_what_is_lost_at_the_end_is_said(journal: Journal, disk: Disk) -> None:
    """A stop while the disk is full loses what memory held: a note says how much, and why."""
    disk.room = False
    with pytest.raises(JournalError):
        await journal.append([at(0)])
    await journal.close()
    (note,) = journal.notes
    assert note.startswith("2 points held in memory are lost: append to journal: full")


async def test_only_the_surroundings_are_waited_for(journal: Journal) -> None:
    """An entry that is none is a fault of ours: it is not held, or it would block for ever."""
    with pytest.raises(AssertionError):
        await journal.append([entry(2, points=3)])
    assert len(journal.hold) == 0


@pytest.mark.parametrize("bound", ["ENTRIES_MAX", "BYTES_MAX"])
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Beyond either bound the oldest goes, and is counted as lost."""
    kept = Hold()
    size = len(at(0).lines)
    monkeypatch.setattr(hold, bound, {"ENTRIES_MAX": 3, "BYTES_MAX": 3 * size}[bound])
    kept.keep([at(second) for second in range(5)])
    assert [held.slot_ns for held in kept.first()] == [at(second).slot_ns for second in (2, 3, 4)]
    assert (kept.points, kept.lost_polls, kept.lost_points) == (6, 2, 4)
    kept.taken(3)
    assert (len(kept), kept.points, kept.first()) == (0, 0, [])


async def test_a_disk_that_is_full_for_sqlite_is_one(journal: Journal, path: Path) -> None:
    """SQLite's own "full" is held and recovered from as well."""
    await journal.append([at(0)])

    def limit(pages: int) -> None:
        connection = journal._store._connect()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        connection.execute(f"PRAGMA max_page_count = {pages}").close()

    await journal._do(limit, 1)  # never below what there is
    with pytest.raises(JournalError, match="full"):
        await journal.append([entry(2, padding=50_000)])
    await journal._do(limit, 100_000)
    await journal.append([at(1)])
    assert len(slots(path)) == 3
