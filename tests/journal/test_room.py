"""The floor of free disk: the journal lives on its own pages, and shipped history makes way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import JournalUnavailableError
from agent.journal import Ledger
from agent.journal.store import Store
from tests.journal.make import SINK, entry, seqs, store_at

MIB = 2**20
LIMITS = (50_000, 2**30)
PADDING = 100_000


class Disk:
    """What statvfs says: a disk of so many bytes, so many of them free."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size = 100_000 * MIB
        self.free = 1_000 * MIB
        self.broken = False
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, _: Path) -> os.statvfs_result:
        if self.broken:
            raise OSError(5, "Input/output error")
        blocks, free = self.size // 4096, self.free // 4096
        return os.statvfs_result((4096, 4096, blocks, free, free, 0, 0, 0, 0, 255))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of every journal."""
    return Disk(monkeypatch)


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Iterator[Store]:
    """A store on it."""
    assert disk.free
    store = store_at(tmp_path / "journal.db")
    yield store
    store.close()


def fill(store: Store, records: int) -> None:
    """Append large records."""
    for _ in range(records):
        store.append([entry(2, padding=PADDING)])


def ship(store: Store, records: int | None = None) -> None:
    """The sink has the oldest so many records."""
    batch = store.next_batch(SINK, "oldest", *LIMITS)[:records]
    store.settle(SINK, batch, [])
    store.release(SINK, None)


def size_of(store: Store) -> int:
    """Pages of the file."""
    return int(store._connect().execute("PRAGMA page_count").fetchone()[0])


def test_shipped_history_makes_way(store: Store, disk: Disk) -> None:
    """Below the floor the file does not grow: the oldest that is shipped goes, nothing else."""
    fill(store, 20)
    ship(store, 18)
    disk.free = 63 * MIB
    pages = size_of(store)
    fill(store, 5)
    assert size_of(store) == pages
    assert store.ledger(SINK) == Ledger(50, stored=36, rejected=0, evicted=0, pending=14)
    assert seqs(store.next_batch(SINK, "oldest", *LIMITS)) == [19, 20, 21, 22, 23, 24, 25]


def test_what_is_not_shipped_stays(store: Store, disk: Disk) -> None:
    """Where nothing can go an append is refused, says why and what to do, and changes nothing."""
    fill(store, 5)
    disk.free = 63 * MIB
    with pytest.raises(JournalUnavailableError) as caught:
        store.append([entry(2)])
    assert "64,512 KiB free of the 65,536 KiB left to others" in caught.value.subject
    assert "make room" in caught.value.hint
    assert store.ledger(SINK) == Ledger(10, stored=0, rejected=0, evicted=0, pending=10)
    disk.free = 64 * MIB
    store.append([entry(2)])
    assert store.ledger(SINK).pending == 12


def test_what_one_sink_lacks_stays_for_it(store: Store, disk: Disk) -> None:
    """Shipped is what every sink has."""
    store.add_sink("cloud")
    fill(store, 10)
    ship(store)
    disk.free = 0
    with pytest.raises(JournalUnavailableError):
        fill(store, 1)
    assert store.ledger("cloud").pending == 20


def test_free_pages_are_used_first(store: Store, disk: Disk) -> None:
    """Nothing goes as long as the file has pages to spare."""
    fill(store, 20)
    ship(store)
    store._bytes_max = 0
    while store.evict_some().records:
        pass
    store._bytes_max = 2**30
    fill(store, 1)
    disk.free = 0
    fill(store, 2)
    assert [seq for (seq,) in store._connect().execute("SELECT seq FROM record")] == [
        20,
        21,
        22,
        23,
    ]


def test_a_small_disk_has_a_small_floor(store: Store, disk: Disk) -> None:
    """The hundredth part of it, so that a small volume can be filled sensibly."""
    disk.size, disk.free = 100 * MIB, 2 * MIB
    store.append([entry(2)])
    disk.free = MIB // 2
    with pytest.raises(JournalUnavailableError, match="512 KiB free of the 1,024 KiB"):
        store.append([entry(2)])


def test_a_disk_that_does_not_tell_is_written_to(store: Store, disk: Disk) -> None:
    """Only a plain answer keeps anything from being appended."""
    disk.broken = True
    store.append([entry(2)])
    assert store.ledger(SINK).collected == 2
