"""The settlement loop: each settled rate once, over outages and restarts."""

from __future__ import annotations

import pytest

from agent.clock import NS_PER_S
from agent.entries import settlement_entries
from agent.errors import JournalError, SourceError
from agent.line_protocol import parse_line
from agent.poll import Settlement
from agent.settlements import DELAY_S, SIDE_BY_SIDE, SettlementLoop
from tests.support.clock import START_NS, FakeClock
from tests.support.sources import FakeStore, refusal

HOUR_NS = 3600 * NS_PER_S
DAY_NS = 24 * HOUR_NS


def settlement(ticker: str, stamp_ns: int) -> Settlement:
    """An hourly one."""
    return Settlement(ticker=ticker, stamp_ns=stamp_ns, rate="0.0001", interval_s="3600", apr="0.9")


class HourlyVenue:
    """Settles every ticker at every full hour of its clock."""

    source_name = "bybit"
    backfill_days = 1

    def __init__(self, clock: FakeClock, *tickers: str) -> None:
        self.clock = clock
        self.tickers = tickers or ("BTC",)
        self.asked: list[tuple[str, int]] = []
        self.problem: SourceError | None = None

    def settling(self) -> list[str]:
        """All."""
        return list(self.tickers)

    async def settled(self, ticker: str, since_ns: int) -> list[Settlement]:
        """Every hour after that instant, up to now."""
        self.asked.append((ticker, since_ns))
        if self.problem:
            raise self.problem
        first = since_ns // HOUR_NS + 1
        last = self.clock.now_ns() // HOUR_NS
        return [settlement(ticker, hour * HOUR_NS) for hour in range(first, last + 1)]


def loop_of(venue: HourlyVenue, store: FakeStore) -> SettlementLoop:
    """A loop over this venue, as after a start."""
    return SettlementLoop(lambda: [venue], store=store, clock=venue.clock)


def stamps(store: FakeStore) -> list[int]:
    """The stamps of all points taken, in order."""
    return [parse_line(line).stamp_ns for line in store.lines]


async def test_a_first_look_fills_back() -> None:
    """As far back as configured, oldest first, an entry for each settlement."""
    store, venue = FakeStore(), HourlyVenue(FakeClock())
    venue.backfill_days = 2
    assert await loop_of(venue, store).round() == 48
    assert stamps(store) == [START_NS - (47 - hour) * HOUR_NS for hour in range(48)]
    assert [entry.slot_ns for entry in store.entries] == stamps(store)
    assert {entry.points for entry in store.entries} == {1}


async def test_zero_days_collect_nothing() -> None:
    """A backfill of 0 days turns it off: the venue is not even asked."""
    store, venue = FakeStore(), HourlyVenue(FakeClock())
    venue.backfill_days = 0
    assert await loop_of(venue, store).round() == 0
    assert venue.asked == []


async def test_once_an_hour_and_each_once() -> None:
    """Nothing is asked twice in an hour; after the next hour just the new rate comes."""
    clock = FakeClock(START_NS + DELAY_S * NS_PER_S)
    store, venue = FakeStore(), HourlyVenue(clock)
    loop = loop_of(venue, store)
    assert await loop.round() == 24
    clock.advance(3599)
    assert await loop.round() == 0
    assert len(venue.asked) == 1
    clock.advance(1)
    assert await loop.round() == 1
    assert len(set(stamps(store))) == 25


async def test_a_restart_goes_on_where_it_was() -> None:
    """A second run asks from the last settlement that was kept: no hole, nothing twice."""
    clock = FakeClock()
    store, venue = FakeStore(), HourlyVenue(clock)
    await loop_of(venue, store).round()
    clock.advance(5 * 3600)
    assert await loop_of(venue, store).round() == 5
    assert venue.asked[-1] == ("BTC", START_NS)
    assert len(set(stamps(store))) == len(stamps(store)) == 29


async def test_a_long_outage_fills_back_as_far_as_configured() -> None:
    """After ten days with a backfill of one, one day comes."""
    clock = FakeClock()
    store, venue = FakeStore(), HourlyVenue(clock)
    await loop_of(venue, store).round()
    clock.advance(10 * 86_400)
    assert await loop_of(venue, store).round() == 24


async def test_what_failed_is_asked_again_in_the_next_round() -> None:
    """A failure costs time, not settlements; the other tickers wait for the venue too."""
    store, venue = FakeStore(), HourlyVenue(FakeClock(), *(f"T{n}" for n in range(20)))
    loop = loop_of(venue, store)
    venue.problem = refusal()
    assert await loop.round() == 0
    assert len(venue.asked) == SIDE_BY_SIDE
    venue.problem = None
    assert await loop.round() == 20 * 24


async def test_tickers_settled_together_are_one_entry() -> None:
    """One entry for each instant, with a line for each ticker."""
    store, venue = FakeStore(), HourlyVenue(FakeClock(), "BTC", "ETH")
    await loop_of(venue, store).round()
    assert len(store.entries) == 24
    assert {entry.points for entry in store.entries} == {2}


async def test_a_journal_that_refuses_loses_nothing() -> None:
    """While it takes no writes nothing is asked for; what comes later comes in a later round."""
    store, venue = FakeStore(), HourlyVenue(FakeClock())
    loop = loop_of(venue, store)
    store.refuses = True
    with pytest.raises(JournalError):
        await loop.round()
    assert venue.asked == []
    store.refuses = False
    assert await loop.round() == 24
    assert len(stamps(store)) == 24


async def test_what_the_journal_holds_in_memory_is_not_given_again() -> None:
    """An append that is refused is held by the journal: it is not asked for a second time."""
    store, venue = FakeStore(), HourlyVenue(FakeClock())
    loop = loop_of(venue, store)
    settled = venue.settled

    async def full_meanwhile(ticker: str, since_ns: int) -> list[Settlement]:
        store.refuses = True
        return await settled(ticker, since_ns)

    venue.settled = full_meanwhile  # type: ignore[method-assign]  # the disk fills up just then
    with pytest.raises(JournalError):
        await loop.round()
    store.refuses, venue.settled = False, settled  # type: ignore[method-assign]  # as before
    assert await loop.round() == 0
    assert venue.asked[-1] == ("BTC", START_NS)


def test_the_lines() -> None:
    """A settled rate has no mark, a predicted one has; the entry is no slot of its source."""
    settled = settlement("BTC", START_NS)
    predicted = Settlement(
        ticker="BTC", stamp_ns=START_NS, rate="0.1", interval_s="", apr="", predicted=True
    )
    (one,) = settlement_entries("bybit", [settled])
    (other,) = settlement_entries("variational", [predicted])
    assert one.lines.decode() == (
        f"funding,source=bybit,ticker=BTC rate=0.0001,interval_s=3600,apr=0.9 {START_NS}\n"
    )
    assert other.lines.decode() == (
        f"funding,source=variational,ticker=BTC rate=0.1,predicted=1 {START_NS}\n"
    )
    assert (one.source, one.points) == ("bybit/funding", 1)
