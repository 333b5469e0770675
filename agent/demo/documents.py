"""The simulated market in the venues' own words: a request line and an instant in, a body out.

Pure, so that a test can work out what was answered from `SimulatedVenues.served`. The shapes are
those of https://bybit-exchange.github.io/docs/v5/market/tickers (and /orderbook, /instrument,
/history-fund-rate) and of https://docs.variational.io, "Technical documentation / API".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from agent.clock import NS_PER_MS, NS_PER_S, to_rfc3339
from agent.demo.listings import Listing
from agent.demo.market import BOOK_LEVELS_MAX, NANO, STEP_NS, Level, Market, Stats

BOOK_LEVELS_DEFAULT: Final = 25
INSTRUMENTS_DEFAULT: Final = 500
INSTRUMENTS_MAX: Final = 1000
FUNDING_ROWS_MAX: Final = 200
LAUNCH_MS: Final = 1_585_526_400_000
"""Every contract was launched then (March 2020); there is no funding before."""

BYBIT_PREFIX: Final = "/v5/"

_PARAMS_ERROR: Final = 10001
_HOUR_MS: Final = 3_600_000
_NANO_DIGITS: Final = 9
_DAY_NS: Final = 86_400 * NS_PER_S
_CURSOR_START: Final = "next="
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_FUNDING_CAP: Final = "0.005"
_TVL_USD: Final = 92_000_000

Document = dict[str, object]
Query = Mapping[str, str]


class _RefusedError(Exception):
    """Bybit's answer to unusable parameters, which comes with HTTP status 200."""


def answer(market: Market, path_qs: str, instant_ns: int) -> bytes:
    """The JSON body for `path_qs` (path and query as sent) at that instant.

    Raises KeyError for a path that neither venue has.
    """
    parts = urlsplit(path_qs)
    make = ROUTES[parts.path]
    query = dict(parse_qsl(parts.query))
    if not parts.path.startswith(BYBIT_PREFIX):
        return msgspec.json.encode(make(market, query, instant_ns))
    code, message = 0, "OK"
    try:
        _check_category(query)
        result = make(market, query, instant_ns)
    except _RefusedError as refused:
        code, message = _PARAMS_ERROR, str(refused)
        result = {"category": "", "list": [], "nextPageCursor": ""}
    return msgspec.json.encode(
        {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": instant_ns // NS_PER_MS,
        }
    )


def plain(units: int, digits: int, places: int | None = None) -> str:
    """The decimal text of units x 10^-digits, cut down or filled up to `places` decimals.

    None: as many as digits. Never an exponent.
    """
    size = abs(units)
    if places is not None:
        size, digits = size * 10**places // 10**digits, places
    whole, rest = divmod(size, 10**digits)
    sign = "-" if units < 0 and size else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def _stats(market: Market, _query: Query, instant_ns: int) -> Document:
    rows = [
        (listing, market.stats_at(ticker, instant_ns))
        for ticker, listing in market.listings.items()
    ]
    age_ns = max(0, market.made_at(instant_ns) - LAUNCH_MS * NS_PER_MS)
    daily_e6 = sum(listing.variational_volume_usd for listing, _ in rows) * 10**6
    oi_e20 = sum(stats.long_oi_e20 + stats.short_oi_e20 for _, stats in rows)
    return {
        "total_volume_24h": plain(sum(stats.volume_e6 for _, stats in rows), 6),
        "cumulative_volume": plain(daily_e6 * age_ns // _DAY_NS, 6),
        "tvl": plain(_TVL_USD, 0, 6),
        "open_interest": plain(2 * oi_e20, 20),
        "num_markets": len(rows),
        "loss_refund": {"pool_size": "106919.70", "refunded_24h": "25475.04"},
        "listings": [_stats_row(listing, stats) for listing, stats in rows],
    }


def _stats_row(listing: Listing, stats: Stats) -> Document:
    tenth_digits = listing.tick_digits + 1
    base_spread = {}
    if "base" in stats.tiers:
        bid, ask = stats.tiers["base"]
        width = (ask - bid) * NANO // 10 * 10 ** (4 + 28)
        base_spread["base_spread_bps"] = plain(width // stats.mark_nanoticks, 28)
    return {
        "ticker": listing.ticker,
        "name": listing.name,
        "mark_price": plain(stats.mark_nanoticks, listing.tick_digits + _NANO_DIGITS),
        "volume_24h": plain(stats.volume_e6, 6),
        "open_interest": {
            "long_open_interest": plain(stats.long_oi_e20, 20),
            "short_open_interest": plain(stats.short_oi_e20, 20),
        },
        "funding_rate": plain(stats.funding_apr_ppm, 6) if stats.funding_apr_ppm else "0",
        "funding_interval_s": listing.variational_interval_s,
        **base_spread,
        "quotes": {
            "updated_at": to_rfc3339(stats.updated_at_ns),
            **{
                tier: {"bid": plain(bid, tenth_digits), "ask": plain(ask, tenth_digits)}
                for tier, (bid, ask) in stats.tiers.items()
            },
        },
    }


def _tickers(market: Market, query: Query, instant_ns: int) -> Document:
    return {
        "category": "linear",
        "list": [_ticker_row(market, listing, instant_ns) for listing in _contracts(market, query)],
    }


def _ticker_row(market: Market, listing: Listing, instant_ns: int) -> Document:
    quote = market.quote_at(listing.ticker, instant_ns)
    bid_lots, ask_lots = market.best_lots_at(listing.ticker, instant_ns)
    places, digits, lot_digits = _places(listing), listing.tick_digits, listing.qty_digits
    nano_digits = digits + _NANO_DIGITS
    change_ppm = (quote.last_ticks - quote.last_24h_ago_ticks) * 10**6 // quote.last_24h_ago_ticks
    oi_value = quote.oi_lots * quote.mark_nanoticks
    turnover = quote.volume_lots * (quote.last_ticks + quote.last_24h_ago_ticks) // 2
    row: Document = {
        "symbol": listing.symbol,
        "lastPrice": plain(quote.last_ticks, digits, places),
        "indexPrice": plain(quote.index_nanoticks, nano_digits, places),
        "markPrice": plain(quote.mark_nanoticks, nano_digits, places),
        "prevPrice24h": plain(quote.last_24h_ago_ticks, digits, places),
        "price24hPcnt": plain(change_ppm, 6),
        "highPrice24h": plain(quote.high_ticks, digits, places),
        "lowPrice24h": plain(quote.low_ticks, digits, places),
        "prevPrice1h": plain(quote.last_1h_ago_ticks, digits, places),
        "openInterest": plain(quote.oi_lots, lot_digits),
        "openInterestValue": plain(oi_value, lot_digits + nano_digits, 2),
        "turnover24h": plain(turnover, lot_digits + digits, 4),
        "volume24h": plain(quote.volume_lots, lot_digits, 4),
        "fundingRate": plain(quote.funding_e8, 8),
        "nextFundingTime": str(quote.next_funding_ns // NS_PER_MS),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "ask1Size": plain(ask_lots, lot_digits),
        "bid1Price": plain(quote.bid_ticks, digits, places),
        "ask1Price": plain(quote.ask_ticks, digits, places),
        "bid1Size": plain(bid_lots, lot_digits),
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingIntervalHour": str(listing.bybit_interval_h),
        "basisRateYear": "",
        "fundingCap": _FUNDING_CAP,
    }
    if listing.single_oi:
        row["singleOpenInterest"] = plain(quote.oi_lots * 5, lot_digits + 1)
        row["singleOpenInterestValue"] = plain(oi_value * 5, lot_digits + nano_digits + 1, 2)
    return row


def _orderbook(market: Market, query: Query, instant_ns: int) -> Document:
    listing = _contract(market, query)
    levels = _limit(query, BOOK_LEVELS_DEFAULT, BOOK_LEVELS_MAX)
    bids, asks = market.book_at(listing.ticker, instant_ns, levels)
    step_ns = instant_ns // STEP_NS * STEP_NS
    matched_ms = step_ns // NS_PER_MS
    return {
        "s": listing.symbol,
        "a": _levels(listing, asks),
        "b": _levels(listing, bids),
        "ts": min(matched_ms + 2, instant_ns // NS_PER_MS),
        "u": step_ns // STEP_NS,
        "seq": step_ns // STEP_NS * 100,
        "cts": matched_ms,
    }


def _levels(listing: Listing, rows: list[Level]) -> list[list[str]]:
    digits, places, lot_digits = listing.tick_digits, _places(listing), listing.qty_digits
    return [[plain(ticks, digits, places), plain(lots, lot_digits)] for ticks, lots in rows]


def _instruments(market: Market, query: Query, _instant_ns: int) -> Document:
    contracts = _contracts(market, query)
    start = _cursor_start(query, len(contracts))
    stop = start + _limit(query, INSTRUMENTS_DEFAULT, INSTRUMENTS_MAX)
    return {
        "category": "linear",
        "list": [_instrument_row(listing) for listing in contracts[start:stop]],
        # The venue's cursors hold escapes of their own; a client must give them back as they came.
        "nextPageCursor": f"next%3D{stop}" if stop < len(contracts) else "",
    }


def _instrument_row(listing: Listing) -> Document:
    places = _places(listing)
    lot = plain(1, listing.qty_digits)
    order_max = plain(listing.lots(listing.depth_usd), listing.qty_digits)
    return {
        "symbol": listing.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": listing.ticker,
        "quoteCoin": "USDT",
        "launchTime": str(LAUNCH_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(places),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": plain(1, listing.tick_digits, places),
            "maxPrice": plain(listing.level_ticks * 10, listing.tick_digits, places),
            "tickSize": plain(1, listing.tick_digits, places),
        },
        "lotSizeFilter": {
            "maxOrderQty": order_max,
            "minOrderQty": lot,
            "qtyStep": lot,
            "postOnlyMaxOrderQty": order_max,
            "maxMktOrderQty": order_max,
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": listing.bybit_interval_h * 60,
        "settleCoin": "USDT",
        "copyTrading": "both",
        "upperFundingRate": _FUNDING_CAP,
        "lowerFundingRate": f"-{_FUNDING_CAP}",
    }


def _funding_history(market: Market, query: Query, instant_ns: int) -> Document:
    listing = _contract(market, query)
    interval_ms = listing.bybit_interval_h * _HOUR_MS
    now_ms = instant_ns // NS_PER_MS
    if "startTime" in query and "endTime" not in query:
        raise _RefusedError("params error: Time is invalid")
    start_ms = max(_time_ms(query, "startTime", LAUNCH_MS, now_ms), LAUNCH_MS)
    end_ms = _time_ms(query, "endTime", now_ms, now_ms)
    limit = _limit(query, FUNDING_ROWS_MAX, FUNDING_ROWS_MAX)
    newest_ms = end_ms // interval_ms * interval_ms
    oldest_ms = max(start_ms, newest_ms - (limit - 1) * interval_ms)
    return {
        "category": "linear",
        "list": [
            {
                "symbol": listing.symbol,
                "fundingRate": plain(market.settled_e8(listing, settled_ms * NS_PER_MS), 8),
                "fundingRateTimestamp": str(settled_ms),
            }
            for settled_ms in range(newest_ms, oldest_ms - 1, -interval_ms)
        ],
    }


ROUTES: Final[dict[str, Callable[[Market, Query, int], Document]]] = {
    "/metadata/stats": _stats,
    "/v5/market/tickers": _tickers,
    "/v5/market/orderbook": _orderbook,
    "/v5/market/instruments-info": _instruments,
    "/v5/market/funding/history": _funding_history,
}
"""Every path that is served."""


def _check_category(query: Query) -> None:
    if query.get("category") != "linear":
        raise _RefusedError("params error: Category is invalid")


def _contract(market: Market, query: Query) -> Listing:
    """The contract that the query names, in upper case as the venue wants it."""
    try:
        return market.contracts[query.get("symbol", "")]
    except KeyError:
        raise _RefusedError("params error: symbol invalid") from None


def _contracts(market: Market, query: Query) -> list[Listing]:
    """The contract that the query names; every one if it names none."""
    return [_contract(market, query)] if "symbol" in query else list(market.contracts.values())


def _number(text: str | None, name: str, default: int, most: int) -> int:
    """A count or a time (ms); one that is too large is cut, as the venue does."""
    if text is None:
        return default
    if not _DIGITS.fullmatch(text):
        raise _RefusedError(f"params error: {name} invalid")
    return min(int(text), most)


def _limit(query: Query, default: int, most: int) -> int:
    limit = _number(query.get("limit"), "limit", default, most)
    if limit == 0:
        raise _RefusedError("params error: limit invalid")
    return limit


def _time_ms(query: Query, name: str, default_ms: int, now_ms: int) -> int:
    return _number(query.get(name), name, default_ms, now_ms)


def _cursor_start(query: Query, most: int) -> int:
    """Where the page starts; the cursor may come with its escapes resolved or not."""
    cursor = unquote(query.get("cursor", f"{_CURSOR_START}0"))
    return _number(cursor.removeprefix(_CURSOR_START), "cursor", 0, most)


def _places(listing: Listing) -> int:
    """Decimals that Bybit writes a price with; may be more than a tick has ("80427.90")."""
    return max(2, listing.tick_digits)
