"""The local history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.journal import History, reader
from agent.journal.store import Store
from tests.journal.make import damage, entry, store_at
from tests.support.clock import START_NS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A journal in use that holds ten polls of either source, slots 0 to 9."""
    store = store_at(path)
    for slot in range(10):
        store.append([entry(1, source=name, slot_ns=slot) for name in ("bybit", "variational")])
    yield store
    store.close()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages so small that the tests turn them."""
    monkeypatch.setattr(reader, "PAGE_RECORDS", 3)


@pytest.mark.usefixtures("store")
def test_a_journal_in_use_is_read_in_order(path: Path) -> None:
    """All records of a journal that an agent holds are read, in order, with their lines."""
    with History(path) as history:
        records = list(history.records())
    assert [record.seq for record in records] == list(range(1, 21))
    assert records[3].lines == entry(1, source="variational", slot_ns=1).lines.decode()
    assert (records[3].source, records[3].slot_ns, records[3].points) == ("variational", 1, 1)
    assert records[3].appended_ns == START_NS


@pytest.mark.usefixtures("store")
def test_a_range_is_half_open(path: Path) -> None:
    """`since_ns` is in, `until_ns` is not; a source may be named."""
    with History(path) as history:
        chosen = list(history.records(since_ns=2, until_ns=7, source="bybit"))
        assert [record.slot_ns for record in chosen] == [2, 3, 4, 5, 6]
        assert {record.source for record in chosen} == {"bybit"}
        assert list(history.records(since_ns=10)) == []


def test_late_slots_are_in_the_range(path: Path, store: Store) -> None:
    """Slots need not rise with seq: what was taken late for an old slot is found, in its place."""
    store.append([entry(1, slot_ns=3), entry(1, slot_ns=30)])
    with History(path) as history:
        assert [r.seq for r in history.records(since_ns=3, until_ns=4)] == [7, 8, 21]


def test_damaged_records_are_passed_over_and_counted(path: Path, store: Store) -> None:
    """What cannot be read back is left out, and said."""
    damage(path, 5)
    store.next_batch("influxdb", "oldest", 5000, 2**20)
    flagged = store._connect().execute("SELECT seq FROM record WHERE damaged").fetchall()
    assert flagged == [(5,)]
    damage(path, 6)
    store._connect().execute("UPDATE record SET damaged = 1 WHERE seq = 9")
    with History(path) as history:
        assert len(list(history.records())) == 17
        assert history.damaged == 3


def test_a_slow_reader_does_not_hold_up_the_writer(path: Path, store: Store) -> None:
    """Between pages no read is open: the log can be folded in, and records removed, meanwhile."""
    with History(path) as history, closing(sqlite3.connect(path)) as other:
        records = history.records()
        assert next(records).seq == 1
        store.append([entry(1)])
        busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        store._connect().execute("DELETE FROM record WHERE seq < 10")
        assert [record.seq for record in records] == [2, 3, *range(10, 21)]


def test_reading_changes_nothing(path: Path, store: Store) -> None:
    """A reader opens the file read-only, and leaves a closed journal as it is."""
    store.close()
    before = path.read_bytes()
    with History(path) as history:
        assert len(list(history.records())) == 20
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            history._connection.execute("DELETE FROM record")
    assert path.read_bytes() == before


def test_no_journal_is_said(tmp_path: Path) -> None:
    """Where there is no journal, the error says so and makes none."""
    with pytest.raises(JournalError, match="does not exist"):
        History(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_journal_is_said(tmp_path: Path) -> None:
    """A file that is no database is a JournalError when it is read, not a stack of SQLite's."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database at all" * 100)
    with History(path) as history, pytest.raises(JournalError, match="not a database"):
        list(history.records())
