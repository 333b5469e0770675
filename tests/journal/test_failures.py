"""What the journal does when the disk, the folder or another program does not let it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import JournalBusyError, JournalError
from agent.journal import Evicted, Journal, Ledger
from agent.journal.database import SCHEMA_VERSION, explain, is_corrupt, is_passing
from agent.journal.store import Store
from tests.journal.make import AGE_MAX_S, SINK, entry, seqs, store_at
from tests.support.clock import FakeClock

LIMITS = (5000, 2**20)


def sqlite_error(code: int) -> sqlite3.Error:
    """An error as SQLite raises it."""
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (sqlite3.SQLITE_FULL, "make room"),
        (sqlite3.SQLITE_READONLY, "can write"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "can write"),
        (sqlite3.SQLITE_CANTOPEN, "can write"),
        (sqlite3.SQLITE_PERM, "can write"),
        (sqlite3.SQLITE_CORRUPT, "set aside"),
        (sqlite3.SQLITE_NOTADB, "set aside"),
        (sqlite3.SQLITE_IOERR_FSYNC, "kernel's log"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "is full"),
        (sqlite3.SQLITE_BUSY, "another program"),
        (sqlite3.SQLITE_MISUSE, "perpflux doctor"),
    ],
)
def test_each_error_comes_with_a_hint(code: int, hint: str) -> None:
    """An error of SQLite names operation, file and what to do, by its primary result code."""
    error = explain(sqlite_error(code), "append to journal", Path("/somewhere/journal.db"))
    assert error.operation == "append to journal"
    assert error.subject == "/somewhere/journal.db: as SQLite says it"
    assert hint in error.hint


def test_only_a_broken_file_is_set_aside() -> None:
    """No room, no permission or a failing disk is no reason to give a file up."""
    names = [name for name in dir(sqlite3) if name.startswith("SQLITE_")]
    codes = [code for name in names if isinstance(code := getattr(sqlite3, name), int)]
    broken = {code & 0xFF for code in codes if is_corrupt(sqlite_error(code))}
    assert broken == {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    assert not is_corrupt(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert not is_passing(sqlite_error(sqlite3.SQLITE_IOERR))


def test_a_full_disk_costs_what_it_refuses_only(path: Path) -> None:
    """While the disk is full appends fail whole; once there is room they go on by themselves."""
    store = store_at(path)
    store.append([entry(2)])
    (pages,) = store._connect().execute("PRAGMA page_count").fetchone()
    store._connect().execute(f"PRAGMA max_page_count = {pages + 1}").close()
    for _ in range(2):
        with pytest.raises(JournalError, match=r"append to journal: .*full.*make room"):
            store.append([entry(2), entry(2, padding=20_000)])
        assert store.ledger(SINK) == Ledger(2, stored=0, rejected=0, evicted=0, pending=2)
    assert seqs(store.next_batch(SINK, "oldest", *LIMITS)) == [1]
    store._connect().execute("PRAGMA max_page_count = 100000").close()
    store.append([entry(2, padding=20_000)])
    assert seqs(store.next_batch(SINK, "oldest", *LIMITS)) == [2]
    assert store.ledger(SINK) == Ledger(4, stored=0, rejected=0, evicted=0, pending=4)
    store.close()


def test_a_full_disk_keeps_the_lease(path: Path) -> None:
    """A settle that failed changed nothing: the batch is still out, and can be settled again."""
    store = store_at(path)
    store.append([entry(2)])
    batch = store.next_batch(SINK, "oldest", *LIMITS)
    connection = store._connect()
    with closing(sqlite3.connect(path, timeout=0)) as other:
        connection.execute("PRAGMA busy_timeout = 0").close()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another program"):
            store.settle(SINK, batch, [])
        other.rollback()
    assert store.next_batch(SINK, "oldest", *LIMITS) == []
    assert store.ledger(SINK).pending == 2
    store.settle(SINK, batch, [])
    assert store.ledger(SINK) == Ledger(2, stored=2, rejected=0, evicted=0, pending=0)
    store.close()


def test_a_doubtful_connection_is_replaced(path: Path) -> None:
    """After any other failure the next call opens the file anew, and all is there."""
    store = store_at(path)
    store.append([entry(2)])
    assert seqs(store.next_batch(SINK, "oldest", *LIMITS)) == [1]
    store._connect().close()
    with pytest.raises(JournalError, match="closed database"):
        store.append([entry(2)])
    store.append([entry(2)])
    assert seqs(store.next_batch(SINK, "oldest", *LIMITS)) == [2]
    assert store.notes == []
    store.close()


def test_an_entry_that_is_none_changes_nothing(path: Path) -> None:
    """A wrong entry is a fault of the program: the whole append is undone, the next one works."""
    store = store_at(path)
    with pytest.raises(AssertionError):
        store.append([entry(2), entry(2, points=3)])
    store.append([entry(2)])
    assert store.ledger(SINK).collected == 2
    store.close()


def break_while_open(store: Store, path: Path) -> None:
    """Make SQLite find the table of records broken, as after a failing disk."""
    connection = store._connect()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'record'"
    ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    connection.execute("PRAGMA shrink_memory").close()


def test_a_file_that_breaks_in_use_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call fails; the next begins a fresh file with the same sinks, and numbers go on.

    SQLite's word is enough for that: the examination may not have got so far.
    """
    monkeypatch.setattr("agent.journal.database._examine", lambda *_: "")
    store = store_at(path)
    store.add_sink("cloud")
    store.append([entry(2), entry(2)])
    batch = store.next_batch(SINK, "oldest", *LIMITS)
    break_while_open(store, path)
    with pytest.raises(JournalError, match="set aside"):
        store.append([entry(2)])
    store.append([entry(2)])
    assert store.sinks() == ["cloud", SINK]
    store.settle(SINK, batch, [])
    assert store.ledger(SINK) == Ledger(2, stored=0, rejected=0, evicted=0, pending=2)
    assert seqs(store.next_batch("cloud", "oldest", *LIMITS)) == [3]
    (note,) = store.notes
    assert "malformed" in note
    assert ".recover" in note
    store.close()


def test_what_was_out_of_a_broken_file_is_not_out_of_the_fresh_one(path: Path) -> None:
    """A lease on records of the file set aside does not keep those of the fresh one."""
    clock = FakeClock()
    store = store_at(path, clock=clock)
    store.append([entry(2)])
    store.next_batch(SINK, "oldest", *LIMITS)
    break_while_open(store, path)
    with pytest.raises(JournalError, match="set aside"):
        store.append([entry(2)])
    store.append([entry(2), entry(2)])
    clock.advance(2 * AGE_MAX_S)
    assert store.evict_some() == Evicted(1, 2)
    store.close()


def test_closing_always_lets_go(path: Path) -> None:
    """Where the log cannot be folded into the file, close does not fail, and nothing is lost."""
    store = store_at(path)
    store.append([entry(2)])
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
        store._connect().close()
        store.close()
    store = store_at(path)
    assert store.ledger(SINK).pending == 2
    store.close()


def test_a_closed_store_stays_closed(path: Path) -> None:
    """Without the lock nothing touches the file again."""
    store = store_at(path)
    store.close()
    store.close()
    with pytest.raises(JournalError, match="is closed"):
        store.append([entry(2)])


def test_a_journal_is_held_by_one(path: Path) -> None:
    """A second one on the same file is told who holds it, and gets it once that one has closed."""
    path.with_name("journal.db.lock").write_text("98765432109876\n")
    first = store_at(path)
    with pytest.raises(JournalBusyError, match=f"process {os.getpid()} ") as caught:
        store_at(path)
    assert "journal.path" in caught.value.hint
    first.close()
    store_at(path).close()


def test_a_holder_without_a_name_is_another_process(path: Path) -> None:
    """Where the lock file does not tell the pid, the message does without."""
    first = store_at(path)
    path.with_name("journal.db.lock").write_text("")
    with pytest.raises(JournalBusyError, match="another process"):
        store_at(path)
    first.close()


def test_a_failed_open_leaves_nothing_locked(path: Path) -> None:
    """After an open that failed the lock is free."""
    path.mkdir()
    with pytest.raises(JournalError, match="open journal"):
        store_at(path)
    path.rmdir()
    store_at(path).close()


async def test_a_journal_that_cannot_be_opened_is_an_error(path: Path) -> None:
    """The error of the writer thread reaches the caller, and no thread is left."""
    threads = threading.active_count()
    with pytest.raises(JournalError, match="folder this user"):
        await Journal.open(under_a_file(path), bytes_max=2**20, age_max_s=60, clock=FakeClock())
    for thread in threading.enumerate():
        if thread.name.startswith("journal"):
            thread.join(5)
    assert threading.active_count() == threads


def under_a_file(path: Path) -> Path:
    """A path whose folder is a regular file."""
    path.write_text("a file")
    return path / "journal.db"


def lock_is_a_folder(path: Path) -> Path:
    """A path whose lock file cannot be opened."""
    path.with_name("journal.db.lock").mkdir()
    return path


def not_made_by_us(path: Path) -> Path:
    """A healthy database of another program."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE snapshots (id INTEGER PRIMARY KEY)")
    return path


def a_text(path: Path) -> Path:
    """Somebody's notes."""
    path.write_text("notes: é, 漢\n" * 1000, encoding="utf-8")
    return path


def of_a_newer_version(path: Path) -> Path:
    """A journal of a perpflux to come."""
    store_at(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    return path


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (under_a_file, "a folder this user can"),
        (lock_is_a_folder, "a folder this user can"),
        (not_made_by_us, "left as it"),
        (a_text, "left as it"),
        (of_a_newer_version, "left as it"),
    ],
)
def test_what_cannot_be_a_journal_is_left_alone(
    path: Path, make: Callable[[Path], Path], hint: str
) -> None:
    """An unusable folder, a foreign or a newer file: an error with a hint, nothing touched."""
    chosen = make(path)
    before = {f: f.read_bytes() for f in path.parent.iterdir() if f.suffix == ".db"}
    with pytest.raises(JournalError) as caught:
        store_at(chosen)
    assert hint in caught.value.hint
    assert before == {f: f.read_bytes() for f in path.parent.iterdir() if f.suffix == ".db"}


def test_a_device_is_no_journal(path: Path) -> None:
    """It is neither moved away nor waited for."""
    os.mkfifo(path)
    with pytest.raises(JournalError, match="is no plain file"):
        store_at(path)
    assert path.is_fifo()
