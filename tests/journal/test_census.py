"""How many points a sink should have: told as InfluxDB tells points apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import NS_PER_S
from agent.errors import JournalError
from agent.journal import Desk, Entry, Rejected, census, refusals
from agent.journal.records import FUNDING_SUFFIX
from agent.journal.store import Store
from tests.journal.make import SINK, damage, store_at
from tests.support.clock import START_NS

WINDOW_NS = 300 * NS_PER_S
LIMITS = (5000, 2**20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty journal."""
    store = store_at(path)
    yield store
    store.close()


def poll(second: int, *tickers: str, source: str = "bybit", platform: bool = False) -> Entry:
    """A poll's entry: a line a ticker, a `poll` line, perhaps the platform."""
    slot_ns = START_NS + second * NS_PER_S
    lines = [f"snapshot,source={source},ticker={t} lag_ms=1,mid=2.5 {slot_ns}" for t in tickers]
    if platform:
        lines.append(f"platform,source={source} tvl_usd=5 {slot_ns}")
    lines.append(f"poll,source={source},host=h,endpoint=e ok=1 {slot_ns}")
    data = "".join(f"{line}\n" for line in lines).encode()
    return Entry(source, slot_ns, data, len(lines) - 1)


def funding(second: int, ticker: str) -> Entry:
    """A settlement's entry."""
    slot_ns = START_NS + second * NS_PER_S
    line = f"funding,source=bybit,ticker={ticker} rate=0.0001 {slot_ns}\n"
    return Entry(f"bybit{FUNDING_SUFFIX}", slot_ns, line.encode(), 1)


def settle(store: Store, *rejected: Rejected) -> None:
    """All that waits is delivered, but for these."""
    store.settle(SINK, store.next_batch(SINK, "oldest", *LIMITS), rejected)


def count(path: Path, since_s: int = 0, until_s: int = 900) -> dict[tuple[str, str, int], int]:
    """Points by measurement, source and number of the window."""
    found = census.census(
        path, SINK, START_NS + since_s * NS_PER_S, START_NS + until_s * NS_PER_S, WINDOW_NS
    )
    return {
        (cell.measurement, cell.source, (cell.window_ns - START_NS) // WINDOW_NS): points
        for cell, points in found.points.items()
        if points
    }


def test_points_are_counted_by_measurement_source_and_window(store: Store, path: Path) -> None:
    """Only what the ledger counts; `poll` lines are none of it; the range is half open."""
    for second in (0, 1, 299, 300, 900):
        store.append([poll(second, "A", "B")])
        store.append([poll(second, "A", source="variational", platform=True)])
    settle(store)
    assert count(path) == {
        ("snapshot", "bybit", 0): 6,
        ("snapshot", "bybit", 1): 2,
        ("snapshot", "variational", 0): 3,
        ("snapshot", "variational", 1): 1,
        ("platform", "variational", 0): 3,
        ("platform", "variational", 1): 1,
    }
    assert count(path, since_s=300, until_s=301) == {
        ("snapshot", "bybit", 1): 2,
        ("snapshot", "variational", 1): 1,
        ("platform", "variational", 1): 1,
    }


def test_many_pages_are_read(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots in any order of arrival, over page ends, each once."""
    monkeypatch.setattr(census, "PAGE_RECORDS", 2)
    for second in (5, 3, 4, 3, 1, 5, 2):
        store.append([poll(second, f"T{second}"), poll(second, "V", source="variational")])
    settle(store)
    assert count(path) == {("snapshot", "bybit", 0): 5, ("snapshot", "variational", 0): 5}


def test_a_slot_taken_twice_counts_once(store: Store, path: Path) -> None:
    """The same tickers at the same stamp are the same points; tags with escapes are whole."""
    store.append([poll(0, "A", r"B\ C", r"B\ D"), poll(0, "A", r"B\ C", "E", platform=True)])
    settle(store)
    assert count(path) == {("snapshot", "bybit", 0): 4, ("platform", "bybit", 0): 1}


def test_what_waits_is_not_expected(store: Store, path: Path) -> None:
    """A record that is not settled for this sink is none that it should have."""
    store.append([poll(0, "A")])
    settle(store)
    store.append([poll(1, "A", "B")])
    assert count(path) == {("snapshot", "bybit", 0): 1}
    store.add_sink("cloud")
    assert census.census(path, "cloud", 0, 2**62, WINDOW_NS).points.total() == 0


def test_what_was_rejected_is_not_expected(store: Store, path: Path) -> None:
    """Rejected lines, and records that were not sent; another record may have stored the same."""
    store.append([poll(0, "A", "B"), poll(1, "A", "B"), poll(2, "A"), poll(2, "A", "B")])
    bad = "snapshot,source=bybit,ticker=A lag_ms=1,mid=2.5"
    settle(
        store,
        Rejected(f"{bad} {START_NS}", "bad", 1, 1),
        Rejected("", "not sent: too old", 2, 2),
        Rejected(f"{bad} {START_NS + 2 * NS_PER_S}", "bad", 1, 3),
    )
    assert count(path) == {("snapshot", "bybit", 0): 3}


def test_damaged_records_are_not_expected(store: Store, path: Path) -> None:
    """What cannot be read back cannot be compared."""
    store.append([poll(0, "A"), poll(1, "A")])
    settle(store)
    damage(path, 1)
    assert count(path) == {("snapshot", "bybit", 0): 1}


def test_forgotten_rejections_make_it_unsure(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rejected lines were purged, or pushed out, fewer points may be right."""
    store.append([poll(0, "A", "B"), poll(600, "A")])
    settle(store, Rejected("snapshot,source=bybit,ticker=A lag_ms=1 1", "bad", 1, 1))
    with Desk(path, bytes_max=2**30) as desk:
        desk.purge(SINK, [1])
    assert census.census(path, SINK, 0, 2**62, WINDOW_NS).unsure == {("bybit", START_NS)}
    monkeypatch.setattr(refusals, "ROWS_MAX", 1)
    store.append([poll(900, "A", "B")])
    settle(store, Rejected("x", "bad", 1, 3), Rejected("y", "bad", 1, 3))
    assert census.census(path, SINK, 0, 2**62, WINDOW_NS).unsure == {
        ("bybit", START_NS + n * WINDOW_NS) for n in (0, 2, 3)
    }


def test_the_extent_is_that_of_the_slots(store: Store, path: Path) -> None:
    """First and last slot, whatever the order; nothing of an empty journal."""
    assert census.extent(path) is None
    store.append([funding(-3600, "A"), poll(7, "A"), poll(3, "A"), poll(5, "A"), funding(9, "A")])
    assert census.extent(path) == (START_NS + 3 * NS_PER_S, START_NS + 7 * NS_PER_S)


def test_an_unreadable_journal_is_an_error(path: Path) -> None:
    """Both questions name the file."""
    path.write_bytes(b"x" * 5000)
    with pytest.raises(JournalError, match=r"journal\.db"):
        census.extent(path)
    with pytest.raises(JournalError, match=r"journal\.db"):
        count(path)


def test_settlements_count_for_their_venue(store: Store, path: Path) -> None:
    """They lie under a name of their own, but carry their venue's tag; collected twice is one."""
    store.append([poll(0, "BTC"), funding(0, "BTC"), funding(0, "ETH")])
    store.append([funding(0, "BTC")])
    settle(store)
    assert count(path) == {("snapshot", "bybit", 0): 1, ("funding", "bybit", 0): 2}
