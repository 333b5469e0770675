"""One name for one thing: what is joined over the venues, and what is left apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.demo.documents import answer
from agent.demo.listings import DEFAULT_TICKERS
from agent.demo.market import Market
from agent.errors import SourceError, SourceFailure
from agent.sources import BybitClient
from agent.sources.bybit.door import Door
from agent.sources.bybit.instruments import PAGES_MAX, read_all
from agent.sources.fetch import Reply
from agent.sources.names import BYBIT_APART, BYBIT_SYMBOLS, bybit_symbol, bybit_ticker
from tests.support.clock import START_NS, FakeClock
from tests.support.venue import recorded, venue

tickers = st.one_of(
    st.from_regex(r"[A-Z0-9]{1,12}", fullmatch=True),
    st.sampled_from([*BYBIT_APART, *BYBIT_SYMBOLS, "1000CAT", "SHIB", "SHIB1000"]),
)
ROW = json.loads(recorded("bybit", "golden"))["result"]["list"][0]


@pytest.mark.parametrize(
    ("ticker", "symbol"),
    [
        ("BTC", "BTCUSDT"),
        ("1000PEPE", "1000PEPEUSDT"),
        ("1000CAT", "1000CATUSDT"),
        ("1000SHIB", "SHIB1000USDT"),
        ("SPX", "SPXUSDT"),
    ],
)
def test_joined(ticker: str, symbol: str) -> None:
    """The same asset in the same unit has one ticker, whichever way one asks."""
    assert bybit_symbol(ticker) == symbol
    assert bybit_ticker(symbol) == ticker


def test_left_apart() -> None:
    """Bybit's CAT is not Caterpillar: neither is asked for the other, nor stored as it."""
    assert bybit_symbol("CAT") is bybit_symbol("cat") is None
    assert bybit_ticker("CATUSDT") == "CATUSDT"
    assert bybit_symbol("FF0") is bybit_symbol("1NEIRO") is None
    assert bybit_ticker("FFUSDT") == "FF"
    assert bybit_ticker("ODDUSDT", "ODDLY") == "ODDUSDT"  # the base coin decides, not the name
    assert bybit_ticker("1000PEPEUSDT", "1000PEPE") == "1000PEPE"
    assert bybit_ticker("BTCPERP") is bybit_ticker("BTCUSDT-02OCT26") is None


@given(ticker=tickers)
def test_a_join_goes_both_ways(ticker: str) -> None:
    """The symbol that a ticker asks for is that of its own ticker: the map is one to one."""
    symbol = bybit_symbol(ticker)
    if symbol is not None:
        assert bybit_symbol(bybit_ticker(symbol) or "") == symbol


@given(symbol=tickers.map("{}USDT".format))
def test_no_two_symbols_are_one_ticker(symbol: str) -> None:
    """A perpetual's ticker leads back to it, or (apart) to no symbol of another asset."""
    ticker = bybit_ticker(symbol)
    assert ticker is not None
    assert bybit_symbol(ticker) == symbol or ticker == symbol


async def test_an_ambiguous_ticker_is_not_collected_and_said() -> None:
    """Caterpillar in `tickers` costs a notice at Bybit; a symbol in the configuration decides."""
    with venue() as mocked:
        mocked.answer(body=recorded("bybit", "golden"), repeat=True)
        async with BybitClient(clock=FakeClock()) as client:
            poll = await client.poll(("BTC", "CAT"), START_NS)
        assert len(mocked.asked) == 1
        assert any("'CAT' is no ticker of bybit" in text for text in poll.notices)
        async with BybitClient(symbols={"CAT": "CATUSDT"}, clock=FakeClock()) as client:
            poll = await client.poll(("BTC", "CAT"), START_NS)
        assert not any("no ticker of bybit" in text for text in poll.notices)
        assert "symbol=CATUSDT" in " ".join(mocked.asked)


class Listings:
    """A venue's list of contracts, page by page."""

    def __init__(self, *pages: bytes) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []
        self.door = Door(self.get, FakeClock())

    async def get(self, path: str) -> Reply:
        """The next page; the last for ever."""
        self.asked.append(path)
        return Reply(200, {}, self.pages.pop(0) if self.pages[1:] else self.pages[0], 0, 0)


def page(*rows: dict[str, object], cursor: str = "") -> bytes:
    """A page of contracts."""
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result}).encode()


def contract(symbol: str, **fields: object) -> dict[str, object]:
    """A perpetual in USDT."""
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "deliveryTime": "0",
        "fundingInterval": 480,
    } | fields


async def test_the_pages_are_followed_to_their_end() -> None:
    """The cursor goes back as it came, escapes and all, until there is none."""
    first = page(contract("BTCUSDT"), {"symbol": 5}, cursor="first%3D1%2C2")
    listings = Listings(first, page(contract("ETHUSDT", fundingInterval=60)))
    found = await read_all(listings.door, "linear", lambda: 2)
    assert {symbol: each.interval_s for symbol, each in found.items()} == {
        "BTCUSDT": 28_800,
        "ETHUSDT": 3_600,
    }
    assert "cursor=first%3D1%2C2&" in listings.asked[1]


async def test_pages_without_end_are_nothing() -> None:
    """Half a list would look like delistings: no end, or a failed page, is an error."""
    listings = Listings(page(contract("BTCUSDT"), cursor="again"))
    with pytest.raises(SourceError):
        await read_all(listings.door, "linear", lambda: 2)
    assert len(listings.asked) == PAGES_MAX
    broken = Listings(page(contract("BTCUSDT"), cursor="next"), b'{"retCode":10006}')
    with pytest.raises(SourceError) as failure:
        await read_all(broken.door, "linear", lambda: 2)
    assert failure.value.kind is SourceFailure.RATE_LIMITED


async def test_the_simulated_venue_is_read() -> None:
    """Every contract of the demo, with its interval."""
    market = Market(7)

    async def get(path: str) -> Reply:
        return Reply(200, {}, answer(market, path, START_NS), 0, 0)

    found = await read_all(Door(get, FakeClock()), "linear", lambda: 2)
    assert {each.base_coin for each in found.values()} <= set(DEFAULT_TICKERS)
    assert all(each.perpetual and not each.leaves and each.interval_s for each in found.values())


async def test_the_list_decides_what_is_a_perpetual() -> None:
    """What is listed as a dated future is not taken with "all", whatever its name looks like."""
    rows = [
        ROW,
        ROW | {"symbol": "ODDUSDT"},
        ROW | {"symbol": "NEWUSDT"},
        ROW | {"symbol": "CATUSDT"},
    ]
    body = json.dumps({"retCode": 0, "result": {"list": rows}, "time": START_NS // NS_PER_S * 1000})
    listed = page(contract("BTCUSDT"), contract("ODDUSDT", contractType="LinearFutures"))
    with venue() as mocked:
        mocked.answer("/v5/market/instruments-info?category=linear&limit=1000", listed)
        mocked.answer("/v5/market/tickers?category=linear", body.encode(), repeat=True)
        async with BybitClient(clock=FakeClock()) as client:
            await client.discover()
            poll = await client.poll("all", START_NS)
    assert poll.batch is not None
    # One that is not on the list yet is taken by its name until the next look.
    assert list(poll.batch.tickers) == ["BTC", "NEW", "CATUSDT"]
