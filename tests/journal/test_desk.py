"""What a command may do to a journal that an agent holds: rejected lines, accounts, one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.journal import Desk, Ledger, Rejected
from agent.journal import desk as desk_module
from agent.journal.store import Store
from tests.journal.make import SINK, damage, entry, store_at
from tests.support.clock import START_NS

BYTES_MAX = 2**30
LIMITS = (5000, 2**20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """The agent's own hand on it: three records of two lines, one line of each rejected."""
    store = store_at(path)
    store.append([entry(2), entry(2), entry(2)])
    batch = store.next_batch(SINK, "oldest", *LIMITS)
    store.settle(SINK, batch, [Rejected(f"line {r.seq}", "bad", 1, r.seq) for r in batch])
    yield store
    store.close()


@pytest.fixture
def desk(store: Store, path: Path) -> Iterator[Desk]:
    """A command beside it."""
    assert store.ledger(SINK).rejected == 3
    with Desk(path, bytes_max=BYTES_MAX) as desk:
        yield desk


def lines(desk: Desk, sink: str = SINK) -> dict[int, tuple[str, str]]:
    """Line and reason by id."""
    rows = desk.rejected(sink, 100)
    return {row.id: (row.rejected.line, row.rejected.reason) for row in rows}


def test_the_accounts_are_those_of_the_agent(desk: Desk, store: Store) -> None:
    """Beside a running agent a command sees every change at once."""
    assert desk.sinks() == [SINK]
    store.append([entry(2)])
    assert desk.accounts(SINK) == (store.ledger(SINK), store.backlog(SINK))
    assert desk.accounts(SINK)[0] == Ledger(8, stored=3, rejected=3, evicted=0, pending=2)


def test_what_is_replayed_counts_as_stored(desk: Desk, store: Store) -> None:
    """A line that is stored now leaves `rejected`, in one step; done twice it counts once."""
    for expected in (2, 0):
        assert desk.replayed(SINK, [1, 3], {}, START_NS) == expected
    assert lines(desk) == {2: ("line 2", "bad")}
    assert store.ledger(SINK) == Ledger(6, stored=5, rejected=1, evicted=0, pending=0)


def test_what_is_refused_again_stays_rejected(desk: Desk, store: Store) -> None:
    """It is kept anew, with the reason and the time of the second refusal."""
    again = {2: [Rejected("line 2", "still bad", 1, 2)]}
    assert desk.replayed(SINK, [1, 2, 3], again, START_NS + 5) == 2
    (row,) = desk.rejected(SINK, 100)
    assert (row.id, row.at_ns, row.rejected) == (
        4, START_NS + 5, Rejected("line 2", "still bad", 1, 2)
    )  # fmt: skip
    assert store.ledger(SINK) == Ledger(6, stored=5, rejected=1, evicted=0, pending=0)


def test_a_whole_record_can_be_stored_in_part(desk: Desk, store: Store) -> None:
    """A row that stands for a record leaves its refused lines as rows of their own."""
    store.append([entry(4)])
    (record,) = store.next_batch(SINK, "oldest", *LIMITS)
    store.settle(SINK, [record], [Rejected("", "not sent: too old", 4, record.seq)])
    assert desk.record(record.seq) == record
    refused = {4: [Rejected("bad line", "no number", 1, 4)]}
    assert desk.replayed(SINK, [4], refused, START_NS) == 3
    assert lines(desk)[5] == ("bad line", "no number")
    assert desk.rejected(SINK, 1, 4)[0].rejected.seq == record.seq
    assert store.ledger(SINK) == Ledger(10, stored=6, rejected=4, evicted=0, pending=0)


def test_what_is_purged_is_forgotten_and_still_counted(desk: Desk, store: Store) -> None:
    """The counts stay; only the lines go, those named or all."""
    assert desk.purge(SINK, [2, 2, 99]) == 1
    assert set(lines(desk)) == {1, 3}
    assert desk.purge(SINK, None) == 2
    assert desk.purge(SINK, None) == 0
    assert lines(desk) == {}
    assert store.ledger(SINK) == Ledger(6, stored=3, rejected=3, evicted=0, pending=0)


def test_sinks_have_rows_of_their_own(desk: Desk, store: Store) -> None:
    """A row of one sink cannot be replayed or purged through another."""
    store.add_sink("cloud")
    assert desk.replayed("cloud", [1], {}, START_NS) == 0
    assert desk.purge("cloud", [1]) == 0
    assert desk.last_rejected_id("cloud") == 0
    assert desk.last_rejected_id(SINK) == 3
    with pytest.raises(JournalError, match="one of cloud, influxdb"):
        desk.rejected("clod", 100)
    with pytest.raises(JournalError, match="no sink"):
        desk.purge("clod", None)


def test_a_record_that_is_no_more_is_none(desk: Desk, path: Path) -> None:
    """One that was evicted, or is damaged, cannot be sent again."""
    damage(path, 2)
    assert [desk.record(seq) is None for seq in (1, 2, 77)] == [False, True, True]


def test_a_change_waits_its_turn(
    desk: Desk, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another writes a change waits, and says so when that takes too long."""
    monkeypatch.setattr("agent.journal.database.BUSY_S", 0.05)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked"):
            desk.purge(SINK, None)
        other.rollback()
    assert store.ledger(SINK).holds
    assert desk.purge(SINK, None) == 3


def test_a_change_that_fails_changes_nothing(
    desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a replay is accounted for, or none of it."""

    def fails(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(desk_module, "count", fails)
    with pytest.raises(JournalError, match="I/O"):
        desk.replayed(SINK, [1, 2], {}, START_NS)
    assert len(lines(desk)) == 3
    assert store.ledger(SINK).rejected == 3


@pytest.mark.parametrize("content", [None, b"no database", b""])
def test_what_is_no_journal_is_said(path: Path, content: bytes | None) -> None:
    """No file, another file: an error, and nothing is made or changed."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JournalError):
        Desk(path, bytes_max=BYTES_MAX)
    assert path.exists() == (content is not None)
    assert content is None or path.read_bytes() == content
