"""A journal whose folder or disk do not let it: it waits if it may, and reads what it can."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import JournalBusyError, JournalError, JournalUnavailableError
from agent.journal import Journal, Ledger, database
from agent.journal.store import Store
from tests.journal.make import AGE_MAX_S, BYTES_MAX, SINK, entry, seqs, store_at
from tests.support.clock import FakeClock
from tests.support.disk import fill_up, remount, small_disk

LIMITS = (5000, 2**20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "folder" / "journal.db"


def patient(path: Path, clock: FakeClock | None = None) -> Store:
    """A store that waits."""
    return Store(
        path,
        bytes_max=BYTES_MAX,
        age_max_s=AGE_MAX_S,
        clock=clock or FakeClock(),
        patient=True,
    )


def test_a_patient_journal_opens_when_it_can(path: Path) -> None:
    """A folder that cannot be made: every operation says so, until it can; then it is a journal."""
    path.parent.write_text("a file is in the way")
    store = patient(path)
    for _ in range(2):
        with pytest.raises(JournalUnavailableError, match="a folder this user can make"):
            store.append([entry(2)])
    with pytest.raises(JournalUnavailableError):
        store.ledger(SINK)
    path.parent.unlink()
    store.append([entry(2)])
    assert store.ledger(SINK).collected == 2
    with pytest.raises(JournalBusyError):
        store_at(path)
    store.close()


async def test_only_a_patient_journal_waits(path: Path) -> None:
    """Commands that need the journal now are told at once."""
    path.parent.write_text("a file is in the way")
    with pytest.raises(JournalUnavailableError):
        await Journal.open(path, bytes_max=BYTES_MAX, age_max_s=AGE_MAX_S, clock=FakeClock())
    journal = await Journal.open(
        path, bytes_max=BYTES_MAX, age_max_s=AGE_MAX_S, clock=FakeClock(), patient=True
    )
    with pytest.raises(JournalUnavailableError):
        await journal.append([entry(2)])
    path.parent.unlink()
    await journal.append([entry(2)])
    assert (await journal.ledger(SINK)).collected == 4
    await journal.close()


def test_patience_is_for_what_passes(path: Path) -> None:
    """A journal in use, or another program's file, is no matter of waiting."""
    first = store_at(path)
    with pytest.raises(JournalBusyError):
        patient(path)
    first.close()
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(JournalError, match="another program"):
        patient(path)
    path.unlink()
    store_at(path).close()


def test_a_lock_needs_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the lock file cannot take our number; the journal is ours all the same."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    store = store_at(path)
    with pytest.raises(JournalBusyError, match="another process"):
        store_at(path)
    store.close()


def test_what_can_only_be_read_is_read(path: Path) -> None:
    """Where nothing can be written batches are given out, from both lanes, and accounts too."""
    store = store_at(path)
    for _ in range(4):
        store.append([entry(2)])
    for _ in range(2):
        store._connect().execute("PRAGMA query_only = ON").close()
        with pytest.raises(JournalUnavailableError, match="readonly"):
            store.append([entry(2)])
    store._connect().execute("PRAGMA query_only = ON").close()
    assert seqs(store.next_batch(SINK, "newest", 2, 2**20)) == [1]
    store._connect().execute("PRAGMA query_only = ON").close()
    assert seqs(store.next_batch(SINK, "oldest", 2, 2**20)) == [2]
    assert store.ledger(SINK) == Ledger(8, stored=0, rejected=0, evicted=0, pending=8)
    store._disconnect()
    store.append([entry(2)])
    store.close()


def test_opening_again_and_again_is_cheap(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are looked at when it is opened first, and then at most once a minute."""
    looks: list[object] = []

    def look(connection: object) -> str:
        looks.append(connection)
        return ""

    monkeypatch.setattr(database, "_check_pages", look)
    store_at(path).close()
    clock = FakeClock()
    store = store_at(path, clock=clock)
    for _ in range(3):
        store._disconnect()
        store.ledger(SINK)
    assert len(looks) == 1
    clock.advance(60)
    store._disconnect()
    store.ledger(SINK)
    assert len(looks) == 2
    store.close()


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Filled to the last byte by another: refused, read, settled again, and all by itself."""
    with small_disk(tmp_path / "disk", "4m") as folder:
        store = store_at(folder / "journal.db")
        store.append([entry(20, padding=1000)])
        batch = store.next_batch(SINK, "oldest", *LIMITS)
        hog = folder / "hog"
        with pytest.raises(OSError, match="No space"):
            fill_up(hog)
        for _ in range(2):
            with pytest.raises(JournalUnavailableError, match=r"floor|full|left to others"):
                store.append([entry(20, padding=100_000)])
        assert store.ledger(SINK).pending == 20
        hog.unlink()
        store.settle(SINK, batch, [])
        store.append([entry(20, padding=1000)])
        assert store.ledger(SINK) == Ledger(40, stored=20, rejected=0, evicted=0, pending=20)
        assert store.notes == []
        store.close()


@pytest.mark.slow
def test_a_file_system_that_is_read_only_at_first(tmp_path: Path) -> None:
    """The agent may start before its disk is writable."""
    with small_disk(tmp_path / "disk", "4m") as folder:
        remount(folder, "ro")
        store = patient(folder / "journal.db")
        with pytest.raises(JournalUnavailableError, match="Read-only file system"):
            store.append([entry(2)])
        remount(folder, "rw")
        store.append([entry(2)])
        assert store.ledger(SINK).collected == 2
        store.close()
