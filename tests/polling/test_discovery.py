"""What a venue lists: changes become events, also those of an outage."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.discovery import INTERVAL_S, NAMED_MAX, DiscoveryLoop, changes
from agent.errors import JournalError, SourceError
from agent.line_protocol import parse_line
from agent.poll import Contract
from tests.support.clock import FakeClock
from tests.support.sources import FakeStore, refusal


class Venue:
    """Lists what it is told."""

    source_name = "bybit"

    def __init__(self, *contracts: Contract) -> None:
        self.contracts = contracts
        self.looks = 0
        self.problem: SourceError | None = None

    async def discover(self) -> Mapping[str, Contract]:
        """By symbol."""
        self.looks += 1
        if self.problem:
            raise self.problem
        return {each.symbol: each for each in self.contracts}


def perpetual(symbol: str, interval_s: int = 28_800, *, leaves: bool = False) -> Contract:
    """A perpetual in USDT."""
    return Contract(
        symbol=symbol, base_coin="X", perpetual=True, interval_s=interval_s, leaves=leaves
    )


DATED = Contract(symbol="BTCUSDT-02OCT26", base_coin="BTC", perpetual=False, interval_s=0)


def loop_of(venue: Venue, store: FakeStore, clock: FakeClock | None = None) -> DiscoveryLoop:
    """As after a start."""
    return DiscoveryLoop(lambda: [venue], store=store, host="h", clock=clock or FakeClock())


def events(store: FakeStore) -> dict[str, str]:
    """Kind to text of the events taken."""
    points = [parse_line(line) for line in store.lines]
    assert all(point.tags["source"] == "bybit" for point in points)
    return {point.tags["kind"]: point.fields["text"] for point in points}


async def test_the_first_look_is_no_event() -> None:
    """What is there at first is not news."""
    store = FakeStore()
    assert await loop_of(Venue(perpetual("A")), store).look(Venue(perpetual("A")))
    assert store.entries == []


async def test_changes_are_events_over_a_restart() -> None:
    """A listing, a delisting, its announcement and a new interval, each an event of its kind."""
    store, venue = FakeStore(), Venue(perpetual("A"), perpetual("B"), perpetual("C"), DATED)
    await loop_of(venue, store).look(venue)
    venue.contracts = (perpetual("B", leaves=True), perpetual("C", 3600), perpetual("D"))
    loop = loop_of(venue, store)
    await loop.look(venue)
    told = {
        "listed": "D",
        "delisted": "A",
        "delisting": "B",
        "funding_interval": "C 28800 s to 3600 s",
    }
    assert events(store) == told
    await loop.look(venue)
    assert len(store.entries) == 4
    assert {entry.points for entry in store.entries} == {0}


async def test_once_an_hour_and_sooner_after_a_failure() -> None:
    """The first round looks; after a failure the next one does, then only when an hour is over."""
    store, venue, clock = FakeStore(), Venue(perpetual("A")), FakeClock()
    loop = loop_of(venue, store, clock)
    venue.problem = refusal()
    await loop.round()
    venue.problem = None
    for looks in (2, 2):
        await loop.round()
        assert venue.looks == looks
    clock.advance(INTERVAL_S)
    await loop.round()
    assert venue.looks == 3


async def test_no_answer_is_no_delisting() -> None:
    """A failed look, or an empty list in a maintenance, changes nothing."""
    store, venue = FakeStore(), Venue(perpetual("A"))
    loop = loop_of(venue, store)
    await loop.look(venue)
    venue.problem = refusal()
    assert not await loop.look(venue)
    venue.problem, venue.contracts = None, ()
    assert not await loop.look(venue)
    assert store.entries == []


async def test_what_could_not_be_stored_is_told_later() -> None:
    """While the journal takes no writes the list of before stays; the next look compares anew."""
    store, venue = FakeStore(), Venue(perpetual("A"))
    loop = loop_of(venue, store)
    await loop.look(venue)
    venue.contracts = (perpetual("A"), perpetual("B"))
    store.refuses = True
    with pytest.raises(JournalError):
        await loop.look(venue)
    store.refuses = False
    await loop.look(venue)
    assert events(store) == {"listed": "B"}


def test_an_event_is_bounded() -> None:
    """Hundreds of new listings are one event that names some and counts the others."""
    after = {f"S{index:03d}": (3600, False) for index in range(NAMED_MAX + 5)}
    assert changes({}, after)["listed"].endswith("S029 and 5 more")
