"""The earlier collector's rows become points: exact as far as they are, once, and counted."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import import_sqlite, main
from agent.clock import NS_PER_S
from agent.errors import JournalError, LegacyDatabaseError
from agent.journal import Desk, History, Ledger
from agent.journal import desk as desk_module
from agent.journal import room as room_module
from agent.journal.room import FREE_BYTES_MIN
from agent.legacy import LegacyDatabase, migrate, reading
from agent.legacy.reading import number_text, stamp_of
from agent.line_protocol import Point, parse_lines
from tests.journal.make import SINK, entry, store_at
from tests.legacy.conftest import Insert, ask, write
from tests.support.clock import START_NS

BYTES_MAX = 2**30


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the journal will be, in small chunks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(reading, "CHUNK_ROWS", 3)
    return tmp_path / "perpflux.db"


def points(journal: Path) -> list[Point]:
    """What lies in the journal, in order."""
    with History(journal) as history:
        return [point for record in history.records() for point in parse_lines(record.lines)]


def ledger(journal: Path) -> Ledger:
    """The accounts; the law holds."""
    with Desk(journal, bytes_max=BYTES_MAX) as desk:
        found, _ = desk.accounts(SINK)
    assert found.holds
    return found


def test_the_recorded_row_is_a_point_with_its_own_stamp(legacy: Path, journal: Path) -> None:
    """Naive UTC to the microsecond; numbers as the database has them; what follows from them."""
    assert main(["import-sqlite", str(legacy)]) == 0
    (point,) = points(journal)
    assert point.tags == {"source": "variational", "ticker": "ETH"}
    assert point.stamp_ns == 1_767_081_600_123_456_000
    assert dict(point.fields) == {
        "lag_ms": "0",
        "quote_age_ms": "52310",
        "mark_price": "2968.41",
        "bid_1k": "2968.2",
        "ask_1k": "2968.36",
        "mid": "2968.28",
        "spread_bps": "0.539",
        "funding_rate": "0.011135",
        "funding_apr": "0.011135",
        "long_oi": "50580505.88",
        "short_oi": "45203744.92",
        "oi_usd": "95784250.80",
        "volume_24h": "386355837.510539",
        "volume_24h_usd": "386355837.510539",
    }
    assert ledger(journal) == Ledger(1, stored=0, rejected=0, evicted=0, pending=1)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2968.20", "2968.2"),  # zeros at the end are gone
        ("2968.00", "2968"),
        ("0.00000123", "0.00000123"),
        ("386355837.510539", "386355837.510539"),  # 15 digits
        ("9007199254740993", "9007199254740993"),  # an integer keeps all of its digits
        ("0.1234567890123456789", "0.123456789012346"),  # SQLite keeps 15 to 17 digits of it
        ("1e400", None),  # to SQLite that is infinite
        ("n/a", None),
        ("", ""),
        (None, ""),
    ],
)
def test_what_a_numeric_column_keeps(
    legacy: Path, insert: Insert, written: str | None, kept: str | None
) -> None:
    """Every number of up to 15 digits keeps its value; more of them are the database's to lose."""
    insert(mark_price=written)
    ((stored,),) = ask(legacy, "SELECT mark_price FROM snapshots WHERE id = 2")
    text = number_text(stored)
    if kept == "0.123456789012346":
        assert text is not None
        assert abs(Decimal(text) - Decimal("0.1234567890123456789")) < Decimal("1e-16")
    else:
        assert text == kept


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6, allow_nan=False))
def test_fifteen_digits_come_back(number: Decimal) -> None:
    """What the earlier collector bound as a float reads back as the number it was."""
    text = number_text(float(number))
    assert text is not None
    assert Decimal(text) == number


def test_a_text_column_keeps_every_digit(legacy: Path, journal: Path) -> None:
    """Where the database does not turn text into numbers, the text goes through as it is."""
    with closing(sqlite3.connect(legacy)) as connection:
        connection.execute("ALTER TABLE snapshots DROP COLUMN mark_price")
        connection.execute("ALTER TABLE snapshots ADD COLUMN mark_price VARCHAR(40)")
    row = ("2026-01-06 10:00:00", "BTC", "93787.96060196990")
    write(legacy, ("ts", "ticker", "mark_price"), [row])
    assert main(["import-sqlite", str(legacy)]) == 0
    assert points(journal)[-1].fields["mark_price"] == "93787.96060196990"


@pytest.mark.parametrize(
    ("ts", "seconds"),
    [
        ("2026-01-06 10:00:00", "1767693600"),
        ("2026-01-06 10:00:00.000001", "1767693600.000001"),
        ("2026-01-06T10:00:00.5", "1767693600.5"),
        ("2026-01-06 11:00:00+01:00", "1767693600"),
        ("2026-01-06 10:00:00Z", "1767693600"),
        ("2026-01-06", None),
        ("1969-12-31 23:59:59", None),
        ("2026-02-30 10:00:00", None),
        (1_767_693_600, None),
        (None, None),
    ],
)
def test_stamps(ts: object, seconds: str | None) -> None:
    """A naive time is UTC, one with a zone what it says, to the last digit; else there is none."""
    assert stamp_of(ts) == (None if seconds is None else int(Decimal(seconds) * NS_PER_S))


def test_rows_of_one_time_are_one_record(legacy: Path, insert: Insert, journal: Path) -> None:
    """As a poll's; and what an old row lacks follows from what it has."""
    for ticker in ("BTC", "ETH"):
        insert(ticker=ticker, bid_1k="99", ask_1k="101", bid_100k="90", ask_100k="110")
    assert main(["import-sqlite", str(legacy)]) == 0
    with History(journal) as history:
        assert [record.points for record in history.records(source="variational")] == [1, 2]
    fields = points(journal)[-1].fields
    assert (fields["mid"], fields["spread_100k_bps"]) == ("100.0", "2000")
    assert "funding_apr" not in fields
    assert "oi_usd" not in fields


def test_another_source_keeps_its_name_and_units(
    legacy: Path, insert: Insert, journal: Path
) -> None:
    """Only of Variational is it known that funding is per year and volume in USD."""
    migrate(legacy, START_NS)
    insert(source="bybit", ticker="BTC", funding_rate="0.0001", volume_24h="5", mark_price="1")
    assert main(["import-sqlite", str(legacy)]) == 0
    point = points(journal)[-1]
    assert point.tags["source"] == "bybit"
    assert dict(point.fields) == {
        "lag_ms": "0",
        "mark_price": "1",
        "funding_rate": "0.0001",
        "volume_24h": "5",
    }


def test_a_second_run_does_nothing_and_a_later_one_goes_on(
    legacy: Path, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is twice in the ledger: neither again, nor migrated, moved, or with more rows."""
    for _ in range(2):
        assert main(["import-sqlite", str(legacy)]) == 0
    assert "was imported up to row 1 before" in capsys.readouterr().out
    migrate(legacy, START_NS)
    moved = legacy.rename(legacy.with_name("moved.db"))
    assert main(["import-sqlite", str(moved)]) == 0
    assert ledger(journal).collected == 1
    write(moved, ("ts", "ticker", "mark_price"), [("2026-01-06 10:00:00", "BTC", "2")])
    assert main(["import-sqlite", str(moved)]) == 0
    assert [point.tags["ticker"] for point in points(journal)] == ["ETH", "BTC"]
    assert ledger(journal).collected == 2


def test_two_databases_are_told_apart(
    legacy: Path, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their last imported row, not by their name; neither forgets the other."""
    other = tmp_path / "other.db"
    other.write_bytes(legacy.read_bytes())
    write(legacy, ("ts", "ticker", "mark_price"), [("2026-01-06 10:00:00", "BTC", "2")])
    write(other, ("ts", "ticker", "mark_price"), [("2026-01-06 10:00:01", "BTC", "3")])
    for path in (legacy, other, legacy, other):
        assert main(["import-sqlite", str(path)]) == 0
    assert capsys.readouterr().out.count("was imported up to row 2 before") == 2
    assert ledger(journal).collected == 4


def test_an_interrupted_import_goes_on(
    legacy: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Points and progress are one transaction: what is in the journal is not taken again."""
    rows = [(f"2026-01-06 10:00:{second:02}", "BTC", second) for second in range(10)]
    write(legacy, ("ts", "ticker", "mark_price"), rows)
    appended: list[int] = []
    append = Desk.append

    def failing(desk: Desk, entries: Any, **options: Any) -> None:
        if len(appended) == 2:
            raise JournalError("append", "the disk is gone")
        append(desk, entries, **options)
        appended.append(len(entries))

    with monkeypatch.context() as patched:
        patched.setattr(Desk, "append", failing)
        assert main(["import-sqlite", str(legacy)]) == 1
    assert "stopped after 6 points" in capsys.readouterr().err
    assert ledger(journal).collected == 6
    assert main(["import-sqlite", str(legacy)]) == 0
    stamps = [point.stamp_ns for point in points(journal)]
    assert len(stamps) == len(set(stamps)) == 11


def test_bad_rows_cost_themselves_and_are_said(
    legacy: Path, insert: Insert, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No time, no ticker, no number: left out, counted, exit 1. A bad value costs the value."""
    insert(ts="yesterday", mark_price="1")
    insert(ticker="", mark_price="1")
    insert()
    insert(mark_price="1", volume_24h="lots")
    assert main(["import-sqlite", str(legacy)]) == 1
    said = capsys.readouterr()
    assert "2 points of 5 rows" in said.out
    assert "3 rows left out: no time, ticker or number" in said.err
    assert "1 values left out: they are no numbers" in said.err
    assert "volume_24h" not in points(journal)[-1].fields


@pytest.mark.parametrize("migrated", [False, True])
def test_a_point_that_is_there_twice_counts_once(
    legacy: Path,
    insert: Insert,
    journal: Path,
    capsys: pytest.CaptureFixture[str],
    migrated: bool,  # noqa: FBT001
) -> None:
    """The store would keep one of them; the first is taken, also from far before."""
    if migrated:
        migrate(legacy, START_NS)
    for price in range(7):
        insert(mark_price=price)
        insert(mark_price=price, ticker="ETH", ts=f"2026-01-06 11:00:0{price}")
    assert main(["import-sqlite", str(legacy)]) == 0
    assert "6 rows left out: an earlier one has the same point" in capsys.readouterr().err
    btc = [point for point in points(journal) if point.tags["ticker"] == "BTC"]
    assert [point.fields["mark_price"] for point in btc] == ["0"]
    assert ledger(journal).collected == 9


def test_without_an_index_on_times_it_asks_for_one(legacy: Path, journal: Path) -> None:
    """A million rows would otherwise be compared with a million rows; migrating makes it."""
    with closing(sqlite3.connect(legacy)) as connection:
        connection.execute("DROP INDEX ix_snapshots_ts")
    with pytest.raises(LegacyDatabaseError, match="perpflux migrate-sqlite"):
        LegacyDatabase(legacy)
    migrate(legacy, START_NS)
    assert main(["import-sqlite", str(legacy)]) == 0
    assert ledger(journal).collected == 1


def test_an_agent_may_hold_the_journal(legacy: Path, insert: Insert, journal: Path) -> None:
    """Its records and the imported ones take turns; it ships both, and resumes at its own slot."""
    insert(mark_price="1")
    store = store_at(journal, bytes_max=BYTES_MAX)
    store.append([entry(2, source="variational", slot_ns=START_NS)])
    assert main(["import-sqlite", str(legacy)]) == 0
    store.append([entry(2, source="bybit", slot_ns=START_NS + NS_PER_S)])
    assert store.ledger(SINK) == Ledger(6, stored=0, rejected=0, evicted=0, pending=6)
    assert store.last_slot_ns("variational") == START_NS
    batch = store.next_batch(SINK, "oldest", 5000, 2**20)
    assert [record.points for record in batch] == [2, 1, 1, 2]
    store.settle(SINK, batch, [])
    assert store.ledger(SINK) == Ledger(6, stored=6, rejected=0, evicted=0, pending=0)
    store.close()


def test_a_second_import_at_once_is_refused(legacy: Path, journal: Path) -> None:
    """What one of two has taken, the other does not take again."""
    assert main(["import-sqlite", str(legacy)]) == 0
    with Desk(journal, bytes_max=BYTES_MAX) as desk:
        before = desk.get_state(import_sqlite.STATE)
        assert json.loads(before or "") == [[1, "2025-12-30 08:00:00.123456", "ETH"]]
        with pytest.raises(JournalError, match="another import-sqlite is under way"):
            desk.append([entry(1)], at_ns=START_NS, key=import_sqlite.STATE, before=None, after="")
    assert ledger(journal).collected == 1


def test_what_waits_does_not_make_way(
    legacy: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full of points that no store has: it stops and says what to do. Shipped ones may go later."""
    monkeypatch.setattr(desk_module, "FULL_PARTS", (1, 100_000))  # of 2 GiB: 21 kB
    store = store_at(journal)
    store.append([entry(100, padding=1000)])
    assert main(["import-sqlite", str(legacy)]) == 1
    assert "full of points that no store has yet (have them shipped" in capsys.readouterr().err
    assert ledger(journal).collected == 100
    store.settle(SINK, store.next_batch(SINK, "oldest", 5000, 2**30), [])
    store.close()
    assert main(["import-sqlite", str(legacy)]) == 0
    assert ledger(journal).collected == 101


def test_the_disk_keeps_its_floor(
    legacy: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room that others need is not taken for history."""
    store_at(journal).close()
    monkeypatch.setattr(room_module, "shortage", lambda _: f"less than {FREE_BYTES_MIN}")
    assert main(["import-sqlite", str(legacy)]) == 1
    assert "make room on that disk" in capsys.readouterr().err
    assert ledger(journal).collected == 0
