"""Points older than a bucket keeps them: one refusal tells, the others are not sent."""

from __future__ import annotations

from typing import Final

import pytest
from structlog.testing import capture_logs

from agent.clock import NS_PER_S
from agent.delivery import WriteApi
from agent.fates import TooOld
from agent.horizon import TRUST_S, Horizon
from agent.journal import Desk, Journal
from agent.journal.records import Entry
from agent.shipper import BATCH_POINTS_MAX, Shipper
from tests.shipping.bench import DirectDoor, record, snapshot_line
from tests.shipping.fake_influxdb import Bucket, FakeInfluxDB
from tests.support.clock import START_NS, FakeClock

SINK: Final = "influxdb"
HOUR_NS: Final = 3600 * NS_PER_S
PATIENCE_S: Final = 10
TOLD: Final = TooOld(START_NS - 2 * HOUR_NS, "1h0m0s", START_NS - HOUR_NS)


def horizon_told(clock: FakeClock) -> Horizon:
    """A horizon that was told just now."""
    horizon = Horizon(clock)
    horizon.learn(TOLD)
    return horizon


def test_nothing_expires_unless_the_server_says_so() -> None:
    """Without a refusal every record is sent."""
    records = [record(1, [snapshot_line("A")])]
    assert Horizon(FakeClock()).split(records) == (records, [])


def test_the_bound_moves_with_time_and_not_with_the_wall_clock() -> None:
    """It is the server's clock, counted on; a step of ours expires nothing and saves nothing."""
    clock = FakeClock()
    horizon = horizon_told(clock)
    clock.advance(60)
    for step_s in (86_400, -10 * 86_400):
        clock.step_wall(step_s)
        assert horizon.bound_ns == START_NS - HOUR_NS + 60 * NS_PER_S


def test_the_bound_is_believed_for_a_while() -> None:
    """A retention that was made longer is noticed; another bucket begins without a bound."""
    clock = FakeClock()
    horizon = horizon_told(clock)
    known = []
    for step_s in (TRUST_S - 1, 1):
        clock.advance(step_s)
        known.append(horizon.bound_ns is not None)
    assert known == [True, False]
    horizon.learn(TOLD)
    horizon.forget()
    assert horizon.bound_ns is None


def old_entry(number: int, age_s: int, tickers: int = 2) -> Entry:
    """A poll of so long ago."""
    slot_ns = START_NS - age_s * NS_PER_S + number
    lines = [snapshot_line(f"T{n}", stamp_ns=slot_ns) for n in range(tickers)]
    return Entry("bybit", slot_ns, "".join(f"{line}\n" for line in lines).encode(), tickers)


@pytest.fixture
def fake(clock: FakeClock) -> FakeInfluxDB:
    """A bucket that keeps an hour."""
    return FakeInfluxDB(now_ns=clock.now_ns, buckets={"perps": Bucket(retention_s=3600)})


async def test_a_backlog_older_than_the_retention_costs_one_refusal(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 batches that are too old one is sent; what is young enough arrives; all is counted."""
    monkeypatch.setattr("agent.shipper.BATCH_POINTS_MAX", 10)
    for number in range(200):
        await journal.append([old_entry(number, 3 * 86_400)])
    for number in range(10):
        await journal.append([old_entry(number, 60)])
    shipper = Shipper(SINK, journal, WriteApi(DirectDoor(fake)), clock=clock, rand=lambda: 1.0)
    with capture_logs() as logs:
        assert await shipper.drain(PATIENCE_S)
    ledger = await journal.ledger(SINK)
    assert ledger.holds
    assert (ledger.stored, ledger.rejected, ledger.pending) == (20, 400, 0)
    assert [request.status for request in fake.writes].count(422) == 1
    assert len(fake.bucket.points) == 20
    events = [log["event"] for log in logs]
    assert (events.count("points_expire"), events.count("lines_rejected")) == (1, 1)
    reasons = {row.rejected.reason for row in await journal.rejected(SINK, 1000)}
    assert "not sent: older than the bucket's retention of 1h0m0s" in reasons
    assert len(reasons) == 2
    assert BATCH_POINTS_MAX == 5000


async def test_a_longer_retention_is_used_when_it_is_there(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """An operator who makes it longer sees old points arrive after ten minutes at the latest."""
    shipper = Shipper(SINK, journal, WriteApi(DirectDoor(fake)), clock=clock, rand=lambda: 1.0)
    await journal.append([old_entry(0, 7200)])
    assert await shipper.drain(PATIENCE_S)
    fake.bucket.retention_s = 0
    await journal.append([old_entry(1, 7200)])
    assert await shipper.drain(PATIENCE_S)
    assert (await journal.ledger(SINK)).rejected == 4
    clock.advance(TRUST_S)
    await journal.append([old_entry(2, 7200)])
    assert await shipper.drain(PATIENCE_S)
    assert (await journal.ledger(SINK)).stored == 2


async def test_an_expired_record_is_one_row_and_can_be_found(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """It stands for all its points, and its lines are in the journal still."""
    shipper = Shipper(SINK, journal, WriteApi(DirectDoor(fake)), clock=clock, rand=lambda: 1.0)
    for number in range(2):
        await journal.append([old_entry(number, 7200)])
        assert await shipper.drain(PATIENCE_S)
    (row, *_) = await journal.rejected(SINK, 10)
    assert (row.rejected.line, row.rejected.points) == ("", 2)
    with Desk(journal._store._path, bytes_max=2**30) as desk:
        kept = desk.record(row.rejected.seq)
    assert kept is not None
    assert kept.slot_ns == START_NS - 7200 * NS_PER_S + 1
