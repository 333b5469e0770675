"""A broken file: the journal opens all the same, keeps what was there, and says so."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from agent.errors import JournalError
from agent.journal import History, Ledger, database
from agent.journal.store import Store
from tests.journal.make import SINK, entry, store_at
from tests.support.clock import FakeClock

PAGE_BYTES = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal of 40 records over many pages, with a second sink."""
    path = tmp_path / "journal.db"
    store = store_at(path)
    store.append([entry(2, slot_ns=n, padding=3000) for n in range(40)])
    store.add_sink("cloud")
    store.settle(SINK, store.next_batch(SINK, "oldest", 20, 2**20), [])
    store.close()
    return path


def truncated(path: Path) -> None:
    """The second half is gone."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def garbage_header(path: Path) -> None:
    """The first bytes are something else."""
    with path.open("r+b") as file:
        file.write(b"\x00garbage" * 12)


def empty(path: Path) -> None:
    """There is a file, but nothing in it."""
    path.write_bytes(b"")


def not_a_database(path: Path) -> None:
    """Nothing in it is ours."""
    path.write_bytes(random.Random(1).randbytes(50_000))


def overwritten_tree(path: Path) -> None:
    """The root page of the records is overwritten in the middle of the file."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'record'"
        (root,) = connection.execute(query).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\x5a" * 200)


def a_table_is_gone(path: Path) -> None:
    """The spans are gone."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE state")
        connection.execute("DROP INDEX record_slot")


def another_mark(path: Path) -> None:
    """The application's mark in the header is damaged."""
    with path.open("r+b") as file:
        file.seek(68)
        file.write(b"\x00")


def no_version(path: Path) -> None:
    """The schema's version in the header is damaged."""
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"\xff")


def another_mode(path: Path) -> None:
    """The header says that it is no file with a write-ahead log."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x01\x01")


def only_a_log(path: Path) -> None:
    """The file is gone, its write-ahead log is not."""
    path.rename(path.with_name("journal.db-wal"))


def never_finished(path: Path) -> None:
    """A database in which no table was made yet."""
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").close()


FAULTS = [
    truncated,
    garbage_header,
    empty,
    not_a_database,
    overwritten_tree,
    a_table_is_gone,
    another_mark,
    no_version,
    another_mode,
    only_a_log,
    never_finished,
]


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_broken_file_is_set_aside(path: Path, spoil: Callable[[Path], None]) -> None:
    """It opens, the old file lies beside it unchanged, a note says what can be done, it works."""
    spoil(path)
    spoiled = {f.name.partition(".db")[2]: f.read_bytes() for f in path.parent.iterdir()}
    del spoiled[".lock"]
    store = store_at(path)
    (note,) = store.notes
    store.append([entry(2)])
    assert store.ledger(SINK) == Ledger(2, stored=0, rejected=0, evicted=0, pending=2)
    store.close()
    aside = path.with_name("journal.db.corrupt-20260921T150000Z")
    assert f"sqlite3 {aside} .recover" in note
    for ending, content in spoiled.items():
        assert aside.with_name(aside.name + ending).read_bytes() == content


def test_so_many_broken_files_are_kept(path: Path) -> None:
    """Several may be set aside in one second; of too many the oldest go."""
    clock = FakeClock()
    for n in range(database.ASIDE_MAX + 2):
        path.write_bytes(b"\0garbage %d" % n)
        store_at(path, clock=clock).close()
        clock.advance(n % 2)
    kept = sorted(f for f in path.parent.iterdir() if "corrupt" in f.name)
    assert [f.read_bytes() for f in kept] == [b"\0garbage 2", b"\0garbage 3", b"\0garbage 4"]


def torn(path: Path, folder: Path) -> Path:
    """A copy of an open journal as a crash leaves it: the file and its log."""
    folder.mkdir()
    for ending in ("", "-wal"):
        source = path.with_name(path.name + ending)
        (folder / source.name).write_bytes(source.read_bytes())
    return folder / path.name


def test_a_log_of_garbage_is_set_aside(path: Path, tmp_path: Path) -> None:
    """SQLite would drop an unreadable log without a word: it is kept, noted, the file is used."""
    store = store_at(path)
    store.append([entry(2)])
    copy = torn(path, tmp_path / "copy")
    store.close()
    log = copy.with_name("journal.db-wal")
    log.write_bytes(b"garbage" * 1000)
    store = store_at(copy)
    (note,) = store.notes
    assert "is lost" in note
    assert store.ledger(SINK) == Ledger(80, stored=20, rejected=0, evicted=0, pending=60)
    store.append([entry(2)])
    store.close()
    (aside,) = (f for f in copy.parent.iterdir() if "corrupt" in f.name)
    assert aside.read_bytes() == b"garbage" * 1000
    assert str(aside) in note


def test_the_whole_of_a_torn_log_is_used(path: Path, tmp_path: Path) -> None:
    """A log cut off in the middle of a commit gives everything that was committed before."""
    store = store_at(path)
    store.append([entry(2)])
    log = path.with_name("journal.db-wal")
    whole = log.stat().st_size
    store.append([entry(2, padding=3000)])
    copy = torn(path, tmp_path / "copy")
    store.close()
    with copy.with_name(log.name).open("r+b") as file:
        file.truncate(whole + 5000)
    store = store_at(copy)
    assert store.notes == []
    assert store.ledger(SINK) == Ledger(82, stored=20, rejected=0, evicted=0, pending=62)
    store.close()


def test_a_long_examination_is_broken_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examination is interrupted when its time is up; the journal is used as it is then."""
    timers: list[tuple[float, object]] = []

    class Watchdog(Timer):
        def start(self) -> None:
            timers.append((self.interval, self.function))

        def join(self, timeout: float | None = None) -> None:
            """It never ran."""

    class Connection(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            if (database.CHECK_S, self.interrupt) in timers:
                error = sqlite3.OperationalError("interrupted")
                error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
                raise error
            return super().execute(*arguments)

    monkeypatch.setattr(database, "Timer", Watchdog)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
    store = store_at(path)
    monkeypatch.undo()
    assert len(timers) == 1
    assert store.notes == []
    assert store.ledger(SINK).collected == 80
    store.close()


def use(store: Store) -> None:
    """Everything a running agent does."""
    for sink in store.sinks():
        store.ledger(sink)
        store.backlog(sink)
        for lane in ("newest", "oldest"):
            batch = store.next_batch(sink, lane, 20, 2**20)
            store.settle(sink, batch, [])
    store.evict_some()
    store.append([entry(2)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_whatever_byte_flips_it_goes_on(path: Path, seed: int) -> None:
    """With bytes flipped anywhere it opens; calls work or raise JournalError, and soon all work."""
    dice = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice((1, 1, 10, 200))):
        page = dice.choice((0, dice.randrange(len(data) // PAGE_BYTES)))
        data[page * PAGE_BYTES + dice.randrange(PAGE_BYTES)] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    with suppress(JournalError), History(path) as history:
        list(history.records())
    if 0 < int.from_bytes(data[60:64]) - database.SCHEMA_VERSION < database.VERSION_MAX:
        return  # the version's bytes: taken for a newer journal, and left alone
    store = store_at(path)
    for _ in range(4):
        with suppress(JournalError):
            use(store)
    use(store)
    store.close()
