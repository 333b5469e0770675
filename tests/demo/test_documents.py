"""The simulated venues' bodies, against recorded ones."""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from agent.clock import NS_PER_MS
from agent.demo.documents import LAUNCH_MS, answer, plain
from agent.demo.market import Market

SAMPLES = Path(__file__).parent / "samples"
NOW_NS = 1_789_898_084_048_123_456
NOW_MS = NOW_NS // NS_PER_MS
MARKET = Market(7)

STATS = "/metadata/stats"
TICKERS = "/v5/market/tickers?category=linear"
BOOK = "/v5/market/orderbook?category=linear&symbol="
INSTRUMENTS = "/v5/market/instruments-info?category=linear"
FUNDING = "/v5/market/funding/history?category=linear&symbol="
EVERY = (STATS, TICKERS, f"{BOOK}BTCUSDT&limit=50", INSTRUMENTS, f"{FUNDING}SOLUSDT&limit=9")

SINGLE_OI = {"singleOpenInterest", "singleOpenInterestValue"}


def sample(name: str) -> Any:
    """A recorded body, parsed."""
    return json.loads((SAMPLES / f"{name}.json").read_text())


def ask(path_qs: str, market: Market = MARKET, instant_ns: int = NOW_NS) -> Any:
    """A simulated body, parsed."""
    return json.loads(answer(market, path_qs, instant_ns))


def result(path_qs: str, market: Market = MARKET, instant_ns: int = NOW_NS) -> Any:
    """The result of a Bybit answer that succeeded."""
    body = ask(path_qs, market, instant_ns)
    assert (body["retCode"], body["retMsg"]) == (0, "OK")
    return body["result"]


def shape(value: Any) -> Any:
    """Keys and JSON types; of a text also what kind it is; of a list the shapes it holds."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(inner), sort_keys=True) for inner in value})
    if isinstance(value, str):
        if value == "":
            return "empty text"
        return "decimal text" if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else "text"
    return type(value).__name__


def test_a_ticker_has_the_recorded_shape() -> None:
    """One symbol's reply has just the keys and types of the recorded one."""
    recorded = sample("bybit-tickers-btcusdt-2025-11-04")
    assert shape(ask(f"{TICKERS}&symbol=BTCUSDT")) == shape(recorded)


def test_every_ticker_row_has_the_recorded_keys() -> None:
    """Without a symbol all contracts come; some give one-sided open interest, half of the whole."""
    [recorded] = sample("bybit-tickers-btcusdt-2025-11-04")["result"]["list"]
    rows = result(TICKERS)["list"]
    assert [row["symbol"] for row in rows] == list(MARKET.contracts)
    single = [row for row in rows if row.keys() & SINGLE_OI]
    assert 0 < len(single) < len(rows)
    for row in rows:
        assert row.keys() - SINGLE_OI == recorded.keys()
    for row in single:
        assert row.keys() >= SINGLE_OI
        assert Decimal(row["singleOpenInterest"]) * 2 == Decimal(row["openInterest"])
        half = Decimal(row["openInterestValue"]) / 2
        assert abs(Decimal(row["singleOpenInterestValue"]) - half) <= Decimal("0.01")


def test_a_ticker_row_agrees_with_itself() -> None:
    """Values are quantity times price, the day's change that of the two prices, as at the venue."""
    for row in result(TICKERS)["list"]:
        number = {
            key: Decimal(text) for key, text in row.items() if re.fullmatch(r"[-0-9.]+", text)
        }
        value = number["openInterest"] * number["markPrice"]
        assert abs(value / number["openInterestValue"] - 1) < Decimal("0.0002")
        average = number["turnover24h"] / number["volume24h"]
        assert number["lowPrice24h"] <= average <= number["highPrice24h"]
        change = number["lastPrice"] / number["prevPrice24h"] - 1
        assert abs(change - number["price24hPcnt"]) <= Decimal("0.000001")
        interval_ms = int(row["fundingIntervalHour"]) * 3_600_000
        assert NOW_MS < int(row["nextFundingTime"]) <= NOW_MS + interval_ms
        assert int(row["nextFundingTime"]) % interval_ms == 0


def test_a_book_has_the_recorded_shape() -> None:
    """The order book's reply has just the keys and types of the recorded one."""
    recorded = sample("bybit-orderbook-btcusdt-2026-09-20")
    assert shape(ask(f"{BOOK}BTCUSDT")) == shape(recorded)


@pytest.mark.parametrize("symbol", MARKET.contracts)
def test_a_book_begins_with_the_ticker_and_keeps_to_the_ticks(symbol: str) -> None:
    """The best levels are the ticker's, text for text; all prices are multiples of the tick."""
    [row] = result(f"{TICKERS}&symbol={symbol}")["list"]
    [instrument] = result(f"{INSTRUMENTS}&symbol={symbol}")["list"]
    book = result(f"{BOOK}{symbol}&limit=200")
    assert book["b"][0] == [row["bid1Price"], row["bid1Size"]]
    assert book["a"][0] == [row["ask1Price"], row["ask1Size"]]
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("b", "a"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    tick, step = Decimal(instrument["priceFilter"]["tickSize"]), instrument["lotSizeFilter"]
    assert not any(price % tick for price in bids + asks)
    sizes = [Decimal(size) for _, size in book["b"] + book["a"]]
    assert not any(size % Decimal(step["qtyStep"]) for size in sizes)


@pytest.mark.parametrize(
    ("limit", "levels"), [("", 25), ("&limit=1", 1), ("&limit=1000", 1000), ("&limit=5000", 1000)]
)
def test_the_book_is_as_deep_as_asked(limit: str, levels: int) -> None:
    """25 levels unless told otherwise; more than 1000 is cut without a word."""
    book = result(f"{BOOK}ETHUSDT{limit}")
    assert (len(book["b"]), len(book["a"])) == (levels, levels)


def test_a_book_tells_market_time_apart_from_reply_time() -> None:
    """`cts` is when the book last changed, never after `ts`, and that never after the reply."""
    for offset_ms in range(0, 500, 7):
        body = ask(f"{BOOK}BTCUSDT&limit=1", instant_ns=NOW_NS + offset_ms * NS_PER_MS)
        book = body["result"]
        assert book["cts"] % 250 == 0
        assert book["cts"] <= book["ts"] <= body["time"] == NOW_MS + offset_ms
        assert body["time"] - book["cts"] < 250


def test_variational_has_the_recorded_shape() -> None:
    """A listing has just the keys and types of the recorded one; the totals are there as well."""
    recorded, body = sample("variational-btc-2026-01-06"), ask(STATS, Market(7, ("BTC",)))
    assert shape(body["listings"]) == shape(recorded["listings"])
    assert shape(body["loss_refund"]) == shape(recorded["loss_refund"])
    assert body.keys() - recorded.keys() == {
        *("total_volume_24h", "cumulative_volume", "tvl", "open_interest")
    }
    assert {shape(body[key]) for key in body.keys() - recorded.keys()} == {"decimal text"}


def test_variational_ignores_the_query() -> None:
    """Query parameters change nothing."""
    assert ask(f"{STATS}?ticker=ETH") == ask(STATS)


def test_variational_serves_the_same_bytes_until_its_refresh() -> None:
    """Asking more often gives the same document; after `refresh_s` another one."""
    made_ns = MARKET.made_at(NOW_NS)
    body = answer(MARKET, STATS, made_ns)
    assert answer(MARKET, STATS, made_ns + MARKET.refresh_ns - 1) == body
    assert answer(MARKET, STATS, made_ns + MARKET.refresh_ns) != body


def test_variational_totals_are_those_of_its_listings() -> None:
    """Volume is the sum; `open_interest` is twice the sum of longs and shorts; markets counted."""
    body = ask(STATS)
    rows = body["listings"]
    assert body["num_markets"] == len(rows) == len(MARKET.listings)
    assert Decimal(body["total_volume_24h"]) == sum(Decimal(row["volume_24h"]) for row in rows)
    sides = [Decimal(text) for row in rows for text in row["open_interest"].values()]
    assert Decimal(body["open_interest"]) == 2 * sum(sides)


def test_the_cumulative_volume_never_falls() -> None:
    """What was traded since the start only grows, with every new document."""
    volumes = [
        Decimal(ask(STATS, instant_ns=NOW_NS + step * MARKET.refresh_ns)["cumulative_volume"])
        for step in range(20)
    ]
    assert volumes == sorted(set(volumes))


def test_variational_quotes_carry_readable_times() -> None:
    """Each listing's time parses, is some seconds old, and most have nanosecond digits."""
    digits = []
    for row in ask(STATS, Market(7, count=100))["listings"]:
        text = row["quotes"]["updated_at"]
        seconds, fraction = text.removesuffix("Z").split(".")
        whole_s = int(datetime.fromisoformat(f"{seconds}Z").timestamp())
        age_ns = NOW_NS - whole_s * 10**9 - int(fraction.ljust(9, "0"))
        assert 10**9 <= age_ns < 9 * 10**9
        digits.append(len(fraction))
    assert max(digits) == 9
    assert sum(count > 6 for count in digits) > 90


def test_base_spread_is_the_width_over_the_mark() -> None:
    """`base_spread_bps` is the full width of `base` over the mark price, as recorded."""
    for row in [sample("variational-btc-2026-01-06")["listings"][0], *ask(STATS)["listings"]]:
        if "base_spread_bps" in row:
            base = row["quotes"]["base"]
            width_bps = (Decimal(base["ask"]) - Decimal(base["bid"])) * 10_000
            expected = width_bps / Decimal(row["mark_price"])
            assert abs(Decimal(row["base_spread_bps"]) - expected) < Decimal("1e-20")


def test_a_swap_has_neither_funding_nor_quotes() -> None:
    """XAUS: interval 0, rate "0", no tier and so no spread; its quotes still carry a time."""
    [row] = [row for row in ask(STATS)["listings"] if row["ticker"] == "XAUS"]
    assert (row["funding_interval_s"], row["funding_rate"]) == (0, "0")
    assert row["quotes"].keys() == {"updated_at"}
    assert "base_spread_bps" not in row


def test_a_thin_market_lacks_the_largest_tier() -> None:
    """ADA: no `size_1m`, and no null in its place."""
    [row] = [row for row in ask(STATS)["listings"] if row["ticker"] == "ADA"]
    assert row["quotes"].keys() == {"updated_at", "base", "size_1k", "size_100k"}


@pytest.mark.parametrize(
    "path_qs",
    [
        f"{TICKERS}&symbol=NOSUCHUSDT",
        f"{TICKERS}&symbol=btcusdt",
        f"{TICKERS}&symbol=XAUSUSDT",
        f"{BOOK}NOSUCHUSDT",
        "/v5/market/orderbook?category=linear",
        f"{INSTRUMENTS}&symbol=NOSUCHUSDT",
        f"{FUNDING}NOSUCHUSDT",
    ],
)
def test_an_unknown_symbol_gets_the_recorded_error(path_qs: str) -> None:
    """A symbol that is unknown, missing or in lower case gets error 10001, word for word."""
    recorded = sample("bybit-error-10001")
    assert ask(path_qs) == recorded | {"time": NOW_MS}


@pytest.mark.parametrize(
    "path_qs",
    [
        "/v5/market/tickers",
        "/v5/market/tickers?category=spot",
        f"{BOOK}BTCUSDT&limit=0",
        f"{BOOK}BTCUSDT&limit=-1",
        f"{BOOK}BTCUSDT&limit=many",
        f"{BOOK}BTCUSDT&limit={'9' * 5000}",
        f"{INSTRUMENTS}&cursor=elsewhere",
        f"{FUNDING}BTCUSDT&startTime=1700000000000",
        f"{FUNDING}BTCUSDT&startTime=soon&endTime=later",
    ],
)
def test_unusable_parameters_are_refused(path_qs: str) -> None:
    """What cannot be used gets 10001 in the shape of the recorded error, never an exception."""
    body = ask(path_qs)
    assert body["retCode"] == 10001
    assert shape(body) == shape(sample("bybit-error-10001"))


@pytest.mark.parametrize("escape", [True, False])
def test_instruments_come_in_pages(*, escape: bool) -> None:
    """Following the cursor to "" gives every contract once, escaped anew or sent as it came."""
    market = Market(7, count=60)
    symbols: list[str] = []
    cursor = ""
    for _ in range(20):
        query = urlencode({"cursor": cursor}) if escape else f"cursor={cursor}"
        page = result(f"{INSTRUMENTS}&limit=25&{query}", market)
        assert len(page["list"]) <= 25
        symbols += [row["symbol"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert symbols == list(market.contracts)
    assert result(f"{INSTRUMENTS}&limit={len(symbols)}", market)["nextPageCursor"] == ""


def test_500_instruments_unless_told_otherwise() -> None:
    """A page holds 500, at most 1000: more than that needs the cursor."""
    market = Market(7, count=1100)
    assert len(result(INSTRUMENTS, market)["list"]) == 500
    assert len(result(f"{INSTRUMENTS}&limit=4000", market)["list"]) == 1000


def test_an_instrument_agrees_with_its_ticker() -> None:
    """The interval stands in minutes there and in hours in the ticker; all are USDT perpetuals."""
    hours = {row["symbol"]: row["fundingIntervalHour"] for row in result(TICKERS)["list"]}
    for row in result(INSTRUMENTS)["list"]:
        assert row["fundingInterval"] == int(hours[row["symbol"]]) * 60
        assert (row["contractType"], row["status"]) == ("LinearPerpetual", "Trading")
        assert row["symbol"] == row["baseCoin"] + row["quoteCoin"]
        assert (row["quoteCoin"], row["settleCoin"], row["deliveryTime"]) == ("USDT", "USDT", "0")
    assert hours["HYPEUSDT"] == "1"


def test_funding_comes_newest_first_and_only_settled() -> None:
    """200 rows an interval apart, downward from the last settlement, none from the future."""
    rows = result(f"{FUNDING}SUIUSDT")["list"]
    stamps = [int(row["fundingRateTimestamp"]) for row in rows]
    interval_ms = 4 * 3_600_000
    assert stamps[0] == NOW_MS // interval_ms * interval_ms
    assert stamps == [stamps[0] - row * interval_ms for row in range(200)]
    assert len({row["fundingRate"] for row in rows}) > 100
    assert all(row.keys() == {"symbol", "fundingRate", "fundingRateTimestamp"} for row in rows)


def test_funding_pages_join_up() -> None:
    """Going back with endTime = oldest - 1 gives what one larger window gives: no gap, no twin."""
    whole = result(f"{FUNDING}BTCUSDT&limit=200")["list"]
    pages: list[Any] = []
    end_ms = NOW_MS
    for _ in range(4):
        page = result(f"{FUNDING}BTCUSDT&endTime={end_ms}&limit=50")["list"]
        assert len(page) == 50
        pages += page
        end_ms = int(page[-1]["fundingRateTimestamp"]) - 1
    assert pages == whole


def test_a_funding_window_includes_both_ends() -> None:
    """Settlements at startTime and at endTime both belong to the answer; more than 200 is cut."""
    stamps = [int(row["fundingRateTimestamp"]) for row in result(f"{FUNDING}BTCUSDT")["list"]]
    rows = result(f"{FUNDING}BTCUSDT&startTime={stamps[9]}&endTime={stamps[3]}")["list"]
    assert [int(row["fundingRateTimestamp"]) for row in rows] == stamps[3:10]
    assert len(result(f"{FUNDING}BTCUSDT&startTime=0&endTime={NOW_MS}&limit=999")["list"]) == 200


def test_there_is_no_funding_before_the_launch() -> None:
    """A window before the contract's launch is empty, not an error."""
    assert result(f"{FUNDING}BTCUSDT&startTime=0&endTime={LAUNCH_MS - 1}")["list"] == []
    assert result(f"{FUNDING}BTCUSDT&startTime=0&endTime={LAUNCH_MS + 8 * 3_600_000}")["list"]


def test_the_settled_rate_is_the_one_the_ticker_showed() -> None:
    """History at a settlement gives the ticker's rate of the minute before it."""
    [row] = result(f"{FUNDING}HYPEUSDT&limit=1")["list"]
    before_ns = (int(row["fundingRateTimestamp"]) - 1) * NS_PER_MS
    [shown] = result(f"{TICKERS}&symbol=HYPEUSDT", instant_ns=before_ns)["list"]
    assert row["fundingRate"] == shown["fundingRate"]


@pytest.mark.parametrize("path_qs", EVERY)
def test_same_seed_and_instant_give_the_same_bytes(path_qs: str) -> None:
    """A body depends on seed, request and instant: not on what was asked before."""
    worn, fresh = Market(3), Market(3)
    for other in EVERY:
        answer(worn, other, NOW_NS - 10**12)
    assert answer(worn, path_qs, NOW_NS) == answer(fresh, path_qs, NOW_NS)


@pytest.mark.parametrize("path_qs", EVERY)
def test_bodies_hold_no_exponent(path_qs: str) -> None:
    """Every number in a text is plain decimal, at any size of price."""
    body = answer(Market(7, count=200), path_qs, NOW_NS)
    numbers = re.findall(r'"(-?[0-9.]+(?:[eE][^"]*)?)"', body.decode())
    assert numbers
    assert [text for text in numbers if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)] == []


@pytest.mark.parametrize("instant_ns", [0, 1, 86_400 * 10**9, LAUNCH_MS * NS_PER_MS])
def test_any_instant_can_be_served(instant_ns: int) -> None:
    """A test's clock may stand anywhere, the epoch included."""
    for path_qs in EVERY:
        assert ask(path_qs, instant_ns=instant_ns)


def test_bodies_are_the_same_everywhere() -> None:
    """Bodies do not depend on process or machine: one recorded from this seed still comes out.

    Whoever changes the model on purpose records it anew.
    """
    recorded = (SAMPLES / "simulated-seed-7.json").read_bytes().strip()
    assert answer(MARKET, f"{TICKERS}&symbol=HYPEUSDT", NOW_NS) == recorded


@pytest.mark.parametrize(
    ("units", "digits", "places", "text"),
    [
        (0, 0, None, "0"),
        (12, 0, None, "12"),
        (12, 0, 2, "12.00"),
        (1, 8, None, "0.00000001"),
        (-5, 3, None, "-0.005"),
        (-123_456, 4, 2, "-12.34"),
        (-1, 4, 2, "0.00"),
        (804_300, 1, 2, "80430.00"),
        (10**30, 8, None, "1" + "0" * 22 + ".00000000"),
    ],
)
def test_plain_texts(units: int, digits: int, places: int | None, text: str) -> None:
    """Decimal text is plain at every size, cut toward zero, and never says "-0"."""
    assert plain(units, digits, places) == text
