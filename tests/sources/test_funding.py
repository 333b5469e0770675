"""Settled funding: Bybit's history in pages, Variational's ledger of predictions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.documents import answer
from agent.demo.market import Market
from agent.errors import SourceError, SourceFailure
from agent.snapshot import Batch
from agent.sources import BybitClient
from agent.sources.bybit.door import Door
from agent.sources.bybit.funding import ROWS_MAX, FundingReader, Settled, read, settlements_of
from agent.sources.fetch import Reply
from agent.sources.variational.ledger import PREDICTION_AGE_MAX_S, PredictedLedger
from tests.support.clock import START_NS, FakeClock
from tests.support.venue import recorded, venue

HOUR_NS = 3600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
PAGE = b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[%s]},"time":1}'


def reply(body: bytes, status: int = 200) -> Reply:
    """An answer with this body."""
    return Reply(status, {}, body, START_NS, 1)


def reader(get: Callable[[str], Awaitable[Reply]]) -> FundingReader:
    """A reader over this way to the venue."""
    return FundingReader(Door(get, FakeClock()), "linear", lambda: 2)


class History:
    """The simulated venue's history, and what was asked of it."""

    def __init__(self) -> None:
        self.market = Market(7)
        self.asked: list[dict[str, str]] = []

    async def get(self, path: str) -> Reply:
        """As the venue answers."""
        self.asked.append(dict(parse_qsl(urlsplit(path).query)))
        return reply(answer(self.market, path, START_NS))


async def test_thirty_days_come_in_one_page_for_eight_hours() -> None:
    """A backfill of 30 days: each settlement once, at its time, with its interval and its apr."""
    history = History()
    since_ns = START_NS - 30 * DAY_NS
    rows = await reader(history.get).read("BTCUSDT", since_ns, START_NS)
    found = settlements_of("BTC", rows, since_ns)
    assert [each.stamp_ns for each in found] == [
        stamp_ns
        for stamp_ns in range(since_ns // (8 * HOUR_NS) * 8 * HOUR_NS, START_NS + 1, 8 * HOUR_NS)
        if stamp_ns > since_ns
    ]
    assert {each.interval_s for each in found} == {"28800"}
    assert all(float(each.apr) == pytest.approx(float(each.rate) * 1095) for each in found)
    assert len(history.asked) == 1
    assert "startTime" not in history.asked[0]


async def test_a_long_history_is_paged_by_its_end() -> None:
    """400 days: pages of 200, each ending before the oldest row seen, until enough is there."""
    history = History()
    since_ns = START_NS - 400 * DAY_NS
    rows = await reader(history.get).read("BTCUSDT", since_ns, START_NS)
    stamps = [row.stamp_ns for row in rows]
    assert len(stamps) == len(set(stamps)) == 7 * ROWS_MAX
    assert len(history.asked) == 7
    assert all(set(query) == {"category", "symbol", "endTime", "limit"} for query in history.asked)
    found = settlements_of("BTC", rows, since_ns)
    assert len(found) == 1200
    assert {each.interval_s for each in found} == {"28800"}


async def test_an_hourly_look_is_small() -> None:
    """What was collected an hour ago is asked for with a few rows, not with 200."""
    history = History()
    await reader(history.get).read("BTCUSDT", START_NS - HOUR_NS, START_NS)
    assert all(int(query["limit"]) <= 3 for query in history.asked)


async def test_the_history_ends_where_the_symbol_begins() -> None:
    """A symbol younger than the backfill: an empty page ends it; the first row has no interval."""
    pages = [
        PAGE % b'{"symbol":"X","fundingRate":"0.0001","fundingRateTimestamp":"1790000000000"},'
        b'{"symbol":"X","fundingRate":"-0.0002","fundingRateTimestamp":"1789996400000"}',
        PAGE % b"",
    ]

    async def get(_: str) -> Reply:
        return reply(pages.pop(0))

    rows = await reader(get).read("X", START_NS - 30 * DAY_NS, START_NS)
    first, second = settlements_of("X", rows, 0)
    assert (first.rate, first.interval_s, first.apr) == ("-0.0002", "", "")
    assert (second.rate, second.interval_s, second.apr) == ("0.0001", "3600", "0.8760")
    assert pages == []


async def test_a_venue_that_repeats_itself_is_left() -> None:
    """A venue that does not heed `endTime` gives the same page for ever: it is asked twice."""
    asked = []

    async def get(path: str) -> Reply:
        asked.append(path)
        return reply(PAGE % b'{"fundingRate":"0","fundingRateTimestamp":"1790000000000"}')

    rows = await reader(get).read("X", 0, START_NS)
    assert [row.rate for row in rows] == ["0"]
    assert len(asked) == 2


async def test_an_unknown_symbol_is_asked_once() -> None:
    """10001 is final: nothing, and no further request for that symbol."""
    asked = []

    async def get(path: str) -> Reply:
        asked.append(path)
        return reply(b'{"retCode":10001,"retMsg":"params error: symbol invalid","result":{}}')

    funding = reader(get)
    assert await funding.read("X", 0, START_NS) == []
    assert await funding.read("X", 0, START_NS) == []
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"retCode":10006,"retMsg":"Too many visits!"}', 200, SourceFailure.RATE_LIMITED),
        (b"<html>", 200, SourceFailure.UNREADABLE),
        (b'{"retCode":0,"result":{}}', 200, SourceFailure.UNREADABLE),
        (b"access too frequent", 403, SourceFailure.BANNED),
    ],
)
async def test_a_failure_is_told(body: bytes, status: int, kind: SourceFailure) -> None:
    """What goes wrong in a history goes wrong as in any other request."""

    async def get(_: str) -> Reply:
        return reply(body, status)

    with pytest.raises(SourceError) as failure:
        await reader(get).read("X", 0, START_NS)
    assert failure.value.kind is kind


async def test_a_ban_met_in_a_history_silences_all() -> None:
    """After "access too frequent" nothing is asked, whatever the endpoint."""
    clock = FakeClock()
    with venue() as mocked:
        mocked.answer(None, b"access too frequent", status=403)
        async with BybitClient(clock=clock) as client:
            with pytest.raises(SourceError):
                await client.settled("BTC", 0)
            with pytest.raises(SourceError) as silent:
                await client.settled("BTC", 0)
            poll = await client.poll(("BTC",), START_NS)
        assert len(mocked.asked) == 1
    assert silent.value.kind is SourceFailure.SILENT
    assert [problem.kind for problem in poll.problems] == [SourceFailure.SILENT]


def test_a_bad_row_costs_a_row() -> None:
    """A rate or a stamp that cannot be read costs its settlement, not its neighbours'."""
    row = b'{"fundingRate":"%s","fundingRateTimestamp":"%s"}'
    page = b",".join(
        row % pair
        for pair in (
            (b"0.3", b"1790010800000"),
            (b"NaN", b"1790007200000"),
            (b"0.1", b"1790003600000"),
            (b"0.1", b"-5"),
            (b"0.1", b"9" * 99),
        )
    )
    _, _, rows = read(reply(PAGE % (page + b',{"fundingRate":"0.2"},5')))
    found = settlements_of("X", rows, 0)
    assert [(each.rate, each.interval_s) for each in found] == [("0.1", ""), ("0.3", "3600")]


@given(
    hours=st.lists(st.integers(1, 500), min_size=1, unique=True).map(sorted),
    since=st.integers(0, 500),
)
def test_each_settlement_comes_once_in_order(hours: list[int], since: int) -> None:
    """Any rows in any order and number: those after `since`, rising, each with its own interval."""
    rows = [Settled(hour * HOUR_NS, "0.1") for hour in reversed(hours)]
    found = settlements_of("X", rows + rows, since * HOUR_NS)
    assert [each.stamp_ns // HOUR_NS for each in found] == [h for h in hours if h > since]
    for each in found:
        earlier = [hour for hour in hours if hour * HOUR_NS < each.stamp_ns]
        gap_h = each.stamp_ns // HOUR_NS - earlier[-1] if earlier else 99
        assert each.interval_s == (str(gap_h * 3600) if gap_h <= 24 else "")


def batch(slot_ns: int, **rates: tuple[str, str]) -> Batch:
    """A batch of tickers with interval (s) and yearly rate."""
    return Batch(
        source="variational",
        slot_ns=slot_ns,
        received_ns=slot_ns,
        tickers=list(rates),
        columns={
            "funding_interval_s": [interval for interval, _ in rates.values()],
            "funding_apr": [rate for _, rate in rates.values()],
        },
        quotes_updated_ns=[None] * len(rates),
    )


BOUNDARY_NS = START_NS // (8 * HOUR_NS) * 8 * HOUR_NS


def test_a_prediction_is_taken_at_its_settlement() -> None:
    """The last rate before a multiple of the interval, at that multiple, per interval, marked."""
    ledger = PredictedLedger()
    last = batch(BOUNDARY_NS - 20 * NS_PER_S, BTC=("28800", "0.1095"), SWAP=("", ""))
    assert ledger.crossed(last) == ()
    (found,) = ledger.crossed(batch(BOUNDARY_NS, BTC=("28800", "0.5")))
    assert (found.ticker, found.stamp_ns, found.predicted) == ("BTC", BOUNDARY_NS, True)
    assert (found.rate, found.interval_s, found.apr) == ("0.0001", "28800", "0.1095")
    assert ledger.crossed(batch(BOUNDARY_NS + 20 * NS_PER_S, BTC=("28800", "0.5"))) == ()


def test_only_what_is_settled_is_taken() -> None:
    """At an hour that ends no eight hours, only hourly listings are settled."""
    ledger = PredictedLedger()
    hour_ns = BOUNDARY_NS + HOUR_NS
    rates = {"BTC": ("28800", "0.1"), "ETH": ("3600", "0.1")}
    ledger.crossed(batch(hour_ns - NS_PER_S, **rates))
    assert [each.ticker for each in ledger.crossed(batch(hour_ns + NS_PER_S, **rates))] == ["ETH"]


def test_an_old_prediction_is_not_taken() -> None:
    """After an outage over a settlement nothing is made up."""
    ledger = PredictedLedger()
    ledger.crossed(batch(BOUNDARY_NS - (PREDICTION_AGE_MAX_S + 1) * NS_PER_S, A=("3600", "0.1")))
    assert ledger.crossed(batch(BOUNDARY_NS + NS_PER_S, A=("3600", "0.1"))) == ()


def test_a_step_back_of_the_clock_settles_nothing_twice() -> None:
    """Slots that were taken already settle nothing."""
    ledger = PredictedLedger()
    ledger.crossed(batch(BOUNDARY_NS, A=("3600", "0.1")))
    assert ledger.crossed(batch(BOUNDARY_NS - NS_PER_S, A=("3600", "0.1"))) == ()


def test_stamps_are_the_venues() -> None:
    """A stamp in ms becomes ns, to the digit."""
    _, _, rows = read(reply(PAGE % b'{"fundingRate":"0","fundingRateTimestamp":"1790000000000"}'))
    assert rows == [Settled(1_790_000_000_000 * NS_PER_MS, "0")]


class BannedMeanwhile(BybitClient):
    """While a ticker's answer is on its way, another request learns of a ban."""

    async def _get(self, path: str) -> Reply:
        del path
        self.conduct.be_silent(self.clock.now_ns(), 600)
        return Reply(200, {}, recorded("bybit", "golden"), self.clock.now_ns(), 0)


async def test_a_good_answer_does_not_undo_a_ban_learnt_meanwhile() -> None:
    """Settlements, lists and polls share one conduct: what one was told holds for all."""
    clock = FakeClock()
    async with BannedMeanwhile(clock=clock) as client:
        assert (await client.poll(("BTC",), START_NS)).ok
        clock.advance(599)
        assert not (await client.poll(("BTC",), START_NS)).ok
        clock.advance(1)
        assert (await client.poll(("BTC",), START_NS)).ok
