"""What the journal promises its callers."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.journal import (
    Evicted,
    Journal,
    Ledger,
    Record,
    Rejected,
    batches,
    opened,
    refusals,
    store,
)
from agent.journal.fragment import join
from tests.journal.make import AGE_MAX_S, BYTES_MAX, SINK, damage, entry, seqs, store_at
from tests.support.clock import START_NS, FakeClock

BATCH = {"points_max": 5000, "bytes_max": 2**20}


@pytest.fixture
def clock() -> FakeClock:
    """Time of the test's own."""
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies; its folder is not there yet."""
    return tmp_path / "state" / "journal.db"


async def open_journal(
    path: Path, clock: FakeClock, *, bytes_max: int = BYTES_MAX, age_max_s: int = AGE_MAX_S
) -> Journal:
    """An open journal."""
    return await Journal.open(path, bytes_max=bytes_max, age_max_s=age_max_s, clock=clock)


@pytest.fixture
async def journal(path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    """An empty journal."""
    journal = await open_journal(path, clock)
    yield journal
    await journal.close()


async def test_an_append_outlives_the_journal(path: Path, clock: FakeClock) -> None:
    """What append took is there after a restart, entry by entry, byte for byte."""
    journal = await open_journal(path, clock)
    taken = [entry(3, slot_ns=START_NS), entry(2, points=1, source="agent", slot_ns=START_NS + 1)]
    await journal.append(taken)
    await journal.close()
    journal = await open_journal(path, clock)
    records = await journal.next_batch(SINK, lane="oldest", **BATCH)
    await journal.close()
    body = join((record.fragment, record.crc32, record.size) for record in records)
    assert gzip.decompress(body) == taken[0].lines + taken[1].lines
    assert [(r.seq, r.source, r.slot_ns, r.appended_ns, r.points) for r in records] == [
        (1, "bybit", START_NS, START_NS, 3),
        (2, "agent", START_NS + 1, START_NS, 1),
    ]


async def test_every_append_rings_every_bell(journal: Journal) -> None:
    """Each subscriber has a bell of its own that is set when an append is durable."""
    bells = [journal.subscribe(), journal.subscribe()]
    await journal.append([entry()])
    assert all(bell.is_set() for bell in bells)
    bells[0].clear()
    assert bells[1].is_set()
    await journal.append([entry()])
    assert bells[0].is_set()


async def test_appends_at_once_are_all_taken(journal: Journal) -> None:
    """Tasks may append at the same time; one writer puts them in a row."""
    await asyncio.gather(*(journal.append([entry(slot_ns=n)]) for n in range(20)))
    await journal.append([])
    records = await journal.next_batch(SINK, lane="oldest", **BATCH)
    assert [record.slot_ns for record in records] == list(range(20))


async def test_what_comes_now_overtakes_the_backlog(journal: Journal) -> None:
    """A long open span is closed behind the newest lane's batch, and drains by the other lane."""
    limits = {"points_max": 4, "bytes_max": 2**20}
    await journal.append([entry(2) for _ in range(6)])
    assert seqs(await journal.next_batch(SINK, lane="newest", **limits)) == [1, 2]
    assert await journal.next_batch(SINK, lane="newest", **limits) == []
    await journal.append([entry(2)])
    assert seqs(await journal.next_batch(SINK, lane="newest", **limits)) == [7]
    assert seqs(await journal.next_batch(SINK, lane="oldest", **limits)) == [3, 4]
    assert seqs(await journal.next_batch(SINK, lane="oldest", **limits)) == [5, 6]
    assert await journal.next_batch(SINK, lane="oldest", **limits) == []


@pytest.mark.parametrize(
    "limits", [{"points_max": 1, "bytes_max": 2**20}, {"points_max": 99, "bytes_max": 1}]
)
async def test_one_record_is_always_given(journal: Journal, limits: dict[str, int]) -> None:
    """A record that is larger than the limits by itself goes out alone."""
    await journal.append([entry(5), entry(5)])
    assert len(await journal.next_batch(SINK, lane="oldest", **limits)) == 1


async def test_the_last_records_in_a_batch_reach_the_limits(journal: Journal) -> None:
    """A batch may be as large as its limits, not larger; uncounted lines take room too."""
    await journal.append([entry(2), entry(2, points=0), entry(2)])
    first, second, _ = await journal.next_batch(SINK, lane="oldest", **BATCH)
    await journal.release(SINK)
    assert len(await journal.next_batch(SINK, lane="oldest", points_max=4, bytes_max=2**20)) == 2
    await journal.release(SINK)
    room = len(first.fragment) + len(second.fragment)
    assert len(await journal.next_batch(SINK, lane="oldest", points_max=99, bytes_max=room)) == 2
    await journal.release(SINK)
    assert (
        len(await journal.next_batch(SINK, lane="oldest", points_max=99, bytes_max=room - 1)) == 1
    )


async def test_rejected_lines_are_kept_newest_first(journal: Journal, clock: FakeClock) -> None:
    """Rejected lines count, are kept with reason and time, and are read a page at a time."""
    await journal.append([entry(3), entry(3)])
    records = await journal.next_batch(SINK, lane="oldest", **BATCH)
    lines = [Rejected(f"line {n}", "field type conflict", 1, records[n % 2].seq) for n in range(4)]
    clock.advance(7)
    await journal.settle(SINK, records, lines)
    newest = await journal.rejected(SINK, 3)
    assert [row.rejected for row in newest] == [lines[3], lines[2], lines[1]]
    assert {row.at_ns for row in newest} == {clock.now_ns()}
    (oldest,) = await journal.rejected(SINK, 3, before_id=newest[-1].id)
    assert oldest.rejected == lines[0]
    assert await journal.ledger(SINK) == Ledger(6, stored=2, rejected=4, evicted=0, pending=0)


@pytest.mark.parametrize(
    ("bound", "value", "kept"),
    [("ROWS_MAX", 3, 3), ("TEXT_BYTES_MAX", 18, 2), ("TEXT_BYTES_MAX", 5, 1)],
)
async def test_kept_rejected_lines_are_bounded(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, kept: int
) -> None:
    """Over a bound the oldest rows of the sink go; the counter knows them all, the newest stays."""
    monkeypatch.setattr(refusals, bound, value)
    await journal.add_sink("cloud")
    await journal.append([entry(4)])
    for sink in (SINK, "cloud"):
        records = await journal.next_batch(sink, lane="oldest", **BATCH)
        lines = [Rejected(f"line {n}", "why", 1, 1) for n in range(4)]
        await journal.settle(sink, records, lines)
    for sink in (SINK, "cloud"):
        rows = await journal.rejected(sink, 10)
        assert [row.rejected.line for row in rows] == ["line 3", "line 2", "line 1"][:kept]
        assert (await journal.ledger(sink)).rejected == 4


def test_rejected_lines_cannot_fill_a_small_journal() -> None:
    """The kept text of all sinks stays below an eighth of the journal, and below 64 MiB a sink."""
    assert refusals.text_bytes_max(2**31, 1) == 64 * 2**20
    assert refusals.text_bytes_max(2**24, 4) * 4 * 8 == 2**24


async def test_a_settled_batch_is_settled_once(journal: Journal) -> None:
    """Settling again, or rejecting a line of a record that is not in the batch, counts nothing."""
    await journal.append([entry(2), entry(2)])
    first, second = await journal.next_batch(SINK, lane="oldest", **BATCH)
    await journal.settle(SINK, [first], [Rejected("x", "why", 1, second.seq)])
    await journal.settle(SINK, [first], [Rejected("x", "why", 1, first.seq)])
    assert await journal.ledger(SINK) == Ledger(4, stored=2, rejected=0, evicted=0, pending=2)
    assert await journal.rejected(SINK, 10) == []


async def test_a_damaged_record_is_rejected_for_each_sink(path: Path, clock: FakeClock) -> None:
    """A record that cannot be read back is counted, noted and passed over; the rest ships."""
    journal = await open_journal(path, clock)
    await journal.add_sink("cloud")
    await journal.append([entry(2), entry(3), entry(2)])
    damage(path, 2)
    for sink in (SINK, "cloud"):
        batch = await journal.next_batch(sink, lane="oldest", **BATCH)
        assert seqs(batch) == [1, 3]
        (row,) = await journal.rejected(sink, 10)
        assert row.rejected == Rejected("", "damaged on the disk", 3, 2)
        await journal.settle(sink, batch, [])
        assert await journal.ledger(sink) == Ledger(7, stored=4, rejected=3, evicted=0, pending=0)
    assert len(journal.notes) == 2
    assert "record 2" in journal.notes[0]
    assert "look after the disk" in journal.notes[0]
    await journal.close()


@pytest.mark.parametrize(
    "column", ["points", "size", "crc32", "slot_ns", "source", "lines", "appended_ns"]
)
async def test_the_checksum_covers_the_numbers_too(
    path: Path, clock: FakeClock, column: str
) -> None:
    """A wrong number in a record is damage: it would spoil the body the record is joined into."""
    journal = await open_journal(path, clock)
    await journal.append([entry(2), entry(2), entry(2)])
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(f"UPDATE record SET {column} = {column} + 1 WHERE seq = 2")
    connection.close()
    assert seqs(await journal.next_batch(SINK, lane="oldest", **BATCH)) == [1, 3]
    assert (await journal.ledger(SINK)) == Ledger(6, stored=0, rejected=2, evicted=0, pending=4)
    await journal.close()


async def test_many_damaged_records_are_passed_over(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many damaged records lie in the way, the next whole one is found."""
    monkeypatch.setattr(batches, "DAMAGED_MAX", 2)
    await journal.append([entry(1) for _ in range(6)])
    for seq in range(1, 6):
        damage(path, seq)
    assert seqs(await journal.next_batch(SINK, lane="newest", **BATCH)) == [6]
    assert await journal.ledger(SINK) == Ledger(6, stored=0, rejected=5, evicted=0, pending=1)


async def test_the_main_sink_is_always_there(journal: Journal) -> None:
    """The sink influxdb exists from the beginning and cannot be dropped."""
    assert await journal.sinks() == [SINK]
    with pytest.raises(JournalError, match="influxdb"):
        await journal.drop_sink(SINK)
    await journal.drop_sink("never there")
    assert await journal.sinks() == [SINK]


async def test_a_new_sink_gets_the_whole_history(journal: Journal) -> None:
    """A sink that is added gets what is there, also what another one has already."""
    await journal.append([entry(2)])
    await journal.settle(SINK, await journal.next_batch(SINK, lane="newest", **BATCH), [])
    await journal.add_sink("cloud")
    await journal.append([entry(2)])
    assert seqs(await journal.next_batch("cloud", lane="newest", **BATCH)) == [1, 2]
    assert await journal.ledger("cloud") == Ledger(4, stored=0, rejected=0, evicted=0, pending=4)


async def test_a_sink_that_comes_back_begins_anew(journal: Journal) -> None:
    """Nothing is left of a dropped sink, not even what it had out."""
    await journal.add_sink("cloud")
    await journal.append([entry(2)])
    batch = await journal.next_batch("cloud", lane="oldest", **BATCH)
    await journal.settle("cloud", batch, [Rejected("x", "why", 1, 1)])
    await journal.append([entry(2)])
    await journal.next_batch("cloud", lane="oldest", **BATCH)
    await journal.drop_sink("cloud")
    await journal.add_sink("cloud")
    assert await journal.rejected("cloud", 10) == []
    assert await journal.ledger("cloud") == Ledger(4, stored=0, rejected=0, evicted=0, pending=4)
    assert seqs(await journal.next_batch("cloud", lane="oldest", **BATCH)) == [1, 2]


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal: journal.ledger("nowhere"),
        lambda journal: journal.backlog("nowhere"),
        lambda journal: journal.rejected("nowhere", 1),
        lambda journal: journal.settle("nowhere", [], []),
        lambda journal: journal.next_batch("nowhere", lane="newest", **BATCH),
    ],
    ids=["ledger", "backlog", "rejected", "settle", "next_batch"],
)
async def test_an_unknown_sink_is_named(journal: Journal, ask: Callable[..., object]) -> None:
    """Asking about a sink that is not there is an error that names it."""
    with pytest.raises(JournalError, match="nowhere"):
        await ask(journal)  # type: ignore[misc]


async def test_state_outlives_the_journal(path: Path, clock: FakeClock) -> None:
    """A small fact is kept over a restart until it is replaced or removed."""
    journal = await open_journal(path, clock)
    await journal.put_state("ban bybit", "1790002800")
    await journal.put_state("ban bybit", "1790002900")
    await journal.close()
    journal = await open_journal(path, clock)
    assert await journal.get_state("ban bybit") == "1790002900"
    await journal.put_state("ban bybit", None)
    assert await journal.get_state("ban bybit") is None
    await journal.close()


async def test_the_last_slot_of_a_source_is_known(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that of its newest record, looked for so far back only; None when there is none."""
    monkeypatch.setattr(store, "LAST_SLOT_RECORDS", 3)
    assert await journal.last_slot_ns("bybit") is None
    slots = [("bybit", 5), ("variational", 4), ("bybit", 3), ("agent", 9)]
    await journal.append([entry(1, source=name, slot_ns=slot) for name, slot in slots])
    assert await journal.last_slot_ns("bybit") == 3
    assert await journal.last_slot_ns("variational") == 4
    await journal.append([entry(1, source="agent", slot_ns=10)])
    assert await journal.last_slot_ns("variational") is None


async def test_the_oldest_go_when_the_journal_is_full(path: Path, clock: FakeClock) -> None:
    """Over the bound in bytes the oldest records go, unsent or not, and are counted."""
    journal = await open_journal(path, clock, bytes_max=2**17)
    for n in range(12):
        await journal.append([entry(2, slot_ns=n, padding=10_000)])
    evicted = await journal.enforce_bounds()
    left = await journal.next_batch(SINK, lane="oldest", **BATCH)
    ledger = await journal.ledger(SINK)
    await journal.close()
    assert evicted.unsent_points == ledger.evicted == 2 * evicted.records > 0
    assert seqs(left) == list(range(evicted.records + 1, 13))
    assert sum(len(record.fragment) for record in left) < 2**17


async def test_the_newest_record_stays(path: Path, clock: FakeClock) -> None:
    """However old and large, the newest record is kept: it carries the totals."""
    journal = await open_journal(path, clock, bytes_max=1)
    await journal.append([entry(2), entry(2, padding=10_000)])
    clock.advance(2 * AGE_MAX_S)
    assert await journal.enforce_bounds() == Evicted(1, 2)
    assert await journal.ledger(SINK) == Ledger(4, stored=0, rejected=0, evicted=2, pending=2)
    await journal.close()


async def test_what_is_out_is_not_removed(path: Path, clock: FakeClock) -> None:
    """A leased batch stays until it is settled or given back."""
    journal = await open_journal(path, clock)
    await journal.append([entry(2), entry(2), entry(2)])
    await journal.next_batch(SINK, lane="oldest", points_max=2, bytes_max=2**20)
    clock.advance(2 * AGE_MAX_S)
    assert await journal.enforce_bounds() == Evicted(0, 0)
    await journal.release(SINK)
    assert await journal.enforce_bounds() == Evicted(2, 4)
    await journal.close()


async def test_a_record_from_the_future_does_not_stay_for_ever(
    journal: Journal, clock: FakeClock
) -> None:
    """After the clock stepped back, records taken before the step go with those taken after."""
    await journal.append([entry(1), entry(1)])
    clock.step_wall(-100 * AGE_MAX_S)
    await journal.append([entry(1)])
    clock.advance(AGE_MAX_S)
    await journal.append([entry(1)])
    assert await journal.enforce_bounds() == Evicted(0, 0)
    clock.advance(1)
    assert await journal.enforce_bounds() == Evicted(3, 3)


async def test_records_go_in_bounded_transactions(
    journal: Journal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call removes at most so many transactions of so many records; the next goes on."""
    monkeypatch.setattr("agent.journal.retention.RECORDS_MAX", 3)
    monkeypatch.setattr("agent.journal.journal.EVICTIONS_MAX", 2)
    await journal.append([entry(1) for _ in range(10)])
    clock.advance(2 * AGE_MAX_S)
    assert [(await journal.enforce_bounds()).records for _ in range(3)] == [6, 3, 0]


@pytest.mark.parametrize(("appends", "waited_s"), [(64, 0), (1, 10)])
async def test_appends_enforce_the_bounds_now_and_then(
    path: Path, clock: FakeClock, appends: int, waited_s: int
) -> None:
    """Every 64 appends or 10 s the bounds are enforced, not at each append."""
    journal = await open_journal(path, clock, bytes_max=1)
    for _ in range(appends - 1):
        await journal.append([entry(1)])
    await journal.append([entry(1)])
    before = await journal.ledger(SINK)
    clock.advance(waited_s)
    await journal.append([entry(1)])
    after = await journal.ledger(SINK)
    await journal.close()
    assert (before.evicted, after.evicted) == ((63, 63) if appends == 64 else (0, 1))


async def test_a_failing_tidy_does_not_fail_the_append(
    journal: Journal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was taken was taken, also when the bounds cannot be enforced then: a note."""

    def fail(_: object) -> Evicted:
        raise JournalError("enforce journal bounds", "it burns", "call someone")

    monkeypatch.setattr(store.Store, "evict_some", fail)
    clock.advance(10)
    await journal.append([entry(1)])
    assert journal.notes == ["enforce journal bounds: it burns (call someone)"]


async def test_notes_are_bounded(journal: Journal) -> None:
    """Notes that nobody takes do not pile up; the newest stay."""
    for n in range(opened.NOTES_MAX + 5):
        journal._store.note(str(n))
    assert len(journal.notes) == opened.NOTES_MAX
    assert journal.notes[-1] == str(opened.NOTES_MAX + 4)


async def test_only_the_owner_may_read(journal: Journal, path: Path) -> None:
    """The folder is the owner's alone, and so is every file of the journal."""
    await journal.append([entry()])
    assert path.parent.stat().st_mode & 0o777 == 0o700
    files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(files) == {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"}
    assert set(files.values()) == {0o600}


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 0),
        ("journal_size_limit", 16 * 2**20),
        ("wal_autocheckpoint", 1000),
    ],
)
def test_the_database_is_set_up_to_be_durable(path: Path, pragma: str, value: object) -> None:
    """A write-ahead log that is synchronised at every commit (2 = FULL), and is bounded."""
    opened = store_at(path)
    assert opened._connect().execute(f"PRAGMA {pragma}").fetchone() == (value,)
    opened.close()


async def test_closing_folds_the_log_into_the_file(journal: Journal, path: Path) -> None:
    """After close one file holds everything; closing again is nothing, using it an error."""
    await journal.append([entry()])
    await journal.close()
    await journal.close()
    assert {file.name for file in path.parent.iterdir()} == {"journal.db", "journal.db.lock"}
    with pytest.raises(JournalError, match="closed"):
        await journal.append([entry()])


async def test_the_cost_of_an_account_does_not_grow(journal: Journal) -> None:
    """Accounts and batches take SQLite as many steps with 2,000 records waiting as with 50."""

    async def steps(ask: Callable[[], object]) -> int:
        taken = 0

        def count() -> int:
            nonlocal taken
            taken += 1
            return 0

        connection = journal._store._connect()
        await journal._do(connection.set_progress_handler, count, 1)
        await ask()  # type: ignore[misc]
        await journal._do(connection.set_progress_handler, None, 1)
        return taken

    async def batch() -> list[Record]:
        records = await journal.next_batch(SINK, lane="oldest", points_max=20, bytes_max=2**20)
        await journal.release(SINK)
        return records

    asked: list[Callable[[], object]] = [
        lambda: journal.ledger(SINK),
        lambda: journal.backlog(SINK),
        batch,
    ]
    await journal.append([entry(1) for _ in range(50)])
    small = [await steps(ask) for ask in asked]
    await journal.append([entry(1) for _ in range(1950)])
    assert [await steps(ask) for ask in asked] == small
    assert min(small) > 0
