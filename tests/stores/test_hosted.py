"""InfluxDB run by somebody else: its limits and answers, from the fake server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from agent.clock import NS_PER_S
from agent.delivery import WriteApi
from agent.journal import Entry, Journal
from agent.retry_after import RETRY_AFTER_S_MAX
from agent.shipper import Shipper
from tests.shipping.bench import DirectDoor, snapshot_line, stored_tickers
from tests.shipping.fake_influxdb import Bucket, FakeInfluxDB, Fault, _RefusedError
from tests.support.clock import START_NS, FakeClock

SINK: Final = "cloud"
DRAIN_S: Final = 10
TICKERS: Final = "ABCDEFGH"
PARTIAL: Final = "partial write of line protocol occurred, errors on line(s): line 3: bad"


class Hosted(FakeInfluxDB):
    """It stores the good lines of a body and answers 400, and names the bad one its own way."""

    bad = ""

    def _store(self, bucket: Bucket, text: str) -> None:
        lines = text.splitlines()
        good = [line for line in lines if not self.bad or self.bad not in line]
        if good:
            super()._store(bucket, "".join(f"{line}\n" for line in good))
        if len(good) < len(lines):
            raise _RefusedError(400, PARTIAL)


@pytest.fixture
def clock() -> FakeClock:
    """A clock whose sleeper does not wait."""
    return FakeClock()


@pytest.fixture
def fake(clock: FakeClock) -> Hosted:
    """The service."""
    return Hosted(now_ns=clock.now_ns)


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    """A journal with a poll of eight tickers that waits for the service."""
    journal = await Journal.open(
        tmp_path / "journal.db", bytes_max=2**30, age_max_s=604_800, clock=clock
    )
    await journal.add_sink(SINK)
    for number, ticker in enumerate(TICKERS):
        slot_ns = START_NS + number * NS_PER_S
        text = f"{snapshot_line(ticker, stamp_ns=slot_ns)}\n"
        await journal.append([Entry("bybit", slot_ns, text.encode(), 1)])
    yield journal
    await journal.close()


def shipper_of(journal: Journal, fake: FakeInfluxDB, clock: FakeClock) -> Shipper:
    """A shipper without jitter."""
    door = WriteApi(DirectDoor(fake, clock))
    return Shipper(SINK, journal, door, clock=clock, rand=lambda: 1.0)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "waited_s"), [("45", 45), ("7200", RETRY_AFTER_S_MAX)])
async def test_a_rate_limited_store_waits_as_long_as_it_is_asked_to(
    journal: Journal, fake: Hosted, clock: FakeClock, status: int, asked: str, waited_s: int
) -> None:
    """`Retry-After` counts where it is longer than the pause there would be, up to an hour."""
    fake.faults = [Fault(status, "org has exceeded its limit", headers={"Retry-After": asked})]
    # The drain's deadline is real time, and the clock that waits is not.
    assert await shipper_of(journal, fake, clock).drain(DRAIN_S)
    assert max(clock.slept_s) == waited_s
    assert len(fake.writes) == 2
    assert (await journal.ledger(SINK)).stored == len(TICKERS)


async def test_a_backlog_gets_through_a_quota(
    journal: Journal, fake: Hosted, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests of three are turned away: each batch is stored once, in the end all of it."""
    monkeypatch.setattr("agent.shipper.BATCH_POINTS_MAX", 2)
    limit = Fault(429, "slow down", headers={"Retry-After": "5"})
    fake.faults = [limit, limit, None] * len(TICKERS)
    assert await shipper_of(journal, fake, clock).drain(DRAIN_S)
    assert stored_tickers(fake) == set(TICKERS)
    taken = [line for request in fake.writes if request.status == 204 for line in request.lines]
    assert len(taken) == len(set(taken)) == len(TICKERS)
    ledger = await journal.ledger(SINK)
    assert (ledger.stored, ledger.rejected, ledger.pending) == (len(TICKERS), 0, 0)


async def test_a_body_that_is_too_large_is_halved(
    journal: Journal, fake: Hosted, clock: FakeClock
) -> None:
    """413 names no line: smaller bodies, until they fit; no point is refused."""
    fake.body_bytes_max = 110
    assert await shipper_of(journal, fake, clock).drain(DRAIN_S)
    refused = [request for request in fake.writes if request.status == 413]
    assert refused
    assert stored_tickers(fake) == set(TICKERS)
    assert (await journal.ledger(SINK)).rejected == 0


async def test_a_partial_write_costs_the_bad_line_alone(
    journal: Journal, fake: Hosted, clock: FakeClock
) -> None:
    """The answer is no 204, so nothing is taken for stored; halving finds the line."""
    fake.bad = "ticker=C "
    assert await shipper_of(journal, fake, clock).drain(DRAIN_S)
    ledger = await journal.ledger(SINK)
    assert (ledger.stored, ledger.rejected, ledger.pending) == (len(TICKERS) - 1, 1, 0)
    (row,) = await journal.rejected(SINK, 10)
    assert "ticker=C " in row.rejected.line
    assert row.rejected.reason == f"400 {PARTIAL}"
    assert stored_tickers(fake) == set(TICKERS) - {"C"}
