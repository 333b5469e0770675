"""Venues' documents of any size, made from a seed: real shapes, real lengths of numbers.

The same seed gives the same bytes. `nasty_share` of the rows are such that a row by row look is
needed: another type, an exponent, no number at all, a name that cannot be a tag, a crossed quote.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

SERVER_MS: Final = 1_790_002_800_908
"""The time in Bybit's envelopes."""
UPDATED_AT: Final = "2026-09-21T14:59:02"
"""When Variational's quotes were made, to the second."""

_SYLLABLES: Final = "BA CO DE FI GU HY JA KO LU ME NI PO QU RA SO TI VE WU XA ZO".split()
_HOURS: Final = ("8", "8", "4", "4", "4", "2", "1")
_NASTY_NUMBERS: Final = ("1E-7", "NaN", "Infinity", "1_000", "0x1F", "1,5", " 1 ", "1e999999", "-")

Row = dict[str, Any]
Spoil = Callable[[random.Random, Row], None]


def bybit_document(rows: int, *, seed: int = 1, nasty_share: float = 0) -> bytes:
    """The answer to `GET /v5/market/tickers?category=linear`.

    One row in 60 is a perpetual in USDC and one a dated future, as in life.
    """
    rng = random.Random(seed)
    listed = [_contract(rng, index) for index in range(rows)]
    _spoil(rng, listed, nasty_share, _BYBIT_SPOILERS)
    return _text(
        {
            "retCode": 0,
            "retMsg": "OK",
            "result": {"category": "linear", "list": listed},
            "retExtInfo": {},
            "time": SERVER_MS,
        }
    )


def variational_document(rows: int, *, seed: int = 1, nasty_share: float = 0) -> bytes:
    """The answer to `GET /metadata/stats`; one listing in 80 is a swap without usable quotes."""
    rng = random.Random(seed)
    listings = [_listing(rng, index) for index in range(rows)]
    _spoil(rng, listings, nasty_share, _VARIATIONAL_SPOILERS)
    return _text(
        {
            "total_volume_24h": _decimal(rng, 9, 6),
            "cumulative_volume": _decimal(rng, 12, 6),
            "tvl": _decimal(rng, 8, 6),
            "open_interest": _decimal(rng, 10, 20),
            "num_markets": rows,
            "loss_refund": {"pool_size": "106919.70", "refunded_24h": "25475.04"},
            "listings": listings,
        }
    )


def _text(document: Row) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _name(index: int) -> str:
    """BTC, ETH, then names of two to four syllables, each once."""
    if index < 2:
        return ("BTC", "ETH")[index]
    count = len(_SYLLABLES)
    first, second = divmod(index, count)
    return _SYLLABLES[first % count] + _SYLLABLES[second] + ("" if first < count else str(first))


def _decimal(rng: random.Random, whole_digits: int, places: int) -> str:
    """A number of just so many digits, zeros at its end kept."""
    whole = rng.randrange(10 ** (whole_digits - 1), 10**whole_digits) if whole_digits else 0
    return f"{whole}.{rng.randrange(10**places):0{places}d}" if places else str(whole)


def _contract(rng: random.Random, index: int) -> Row:
    places = rng.choice((1, 2, 3, 4, 5, 6))
    price = Decimal(_decimal(rng, 7 - places, places))
    tick = Decimal(1).scaleb(-places)
    kind = index % 60
    symbol = f"{_name(index)}{('PERP', 'USDT-02OCT26')[kind - 58] if kind >= 58 else 'USDT'}"
    dated = kind == 59
    oi_usd = _decimal(rng, rng.randint(6, 10), 2)
    row = {
        "symbol": symbol,
        "lastPrice": str(price),
        "indexPrice": str(price + tick * rng.randint(-40, 40)),
        "markPrice": str(price + tick * rng.randint(-9, 9)),
        "prevPrice24h": str(price + tick * rng.randint(-900, 900)),
        "price24hPcnt": f"-0.0{rng.randint(10000, 99999)}",
        "highPrice24h": str(price + tick * 950),
        "lowPrice24h": str(price - tick * 950),
        "prevPrice1h": str(price + tick * rng.randint(-90, 90)),
        "openInterest": _decimal(rng, rng.randint(4, 9), rng.choice((0, 1, 2, 3))),
        "openInterestValue": oi_usd,
        "turnover24h": _decimal(rng, rng.randint(6, 10), 4),
        "volume24h": _decimal(rng, rng.randint(5, 10), 4),
        "fundingRate": ""
        if dated
        else f"{rng.choice(('', '-'))}0.000{rng.randint(1000, 99999):05d}",
        "nextFundingTime": "0" if dated else str(SERVER_MS // 3_600_000 * 3_600_000 + 3_600_000),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "1790928000000" if dated else "0",
        "ask1Size": _decimal(rng, 3, 2),
        "bid1Price": str(price),
        "ask1Price": str(price + tick * rng.randint(1, 4)),
        "bid1Size": _decimal(rng, 3, 2),
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingIntervalHour": "" if dated else rng.choice(_HOURS),
        "basisRateYear": "",
        "fundingCap": "" if dated else "0.005",
    }
    if index % 2:
        row["singleOpenInterest"] = _decimal(rng, 6, 2)
        row["singleOpenInterestValue"] = str(Decimal(oi_usd) / 2)
    return row


def _listing(rng: random.Random, index: int) -> Row:
    swap = index % 80 == 79
    price = Decimal(_decimal(rng, rng.randint(1, 5), 6))
    quotes: Row = {"updated_at": f"{UPDATED_AT}.{rng.randrange(10**9):09d}Z"}
    for tier, width in (("base", 4), ("size_1k", 5), ("size_100k", 14), ("size_1m", 61)):
        if swap or (tier == "size_1m" and index % 3 == 0):
            continue
        half = (price * width / 100_000).quantize(Decimal("0.000001"))
        quotes[tier] = {"bid": str(price - half), "ask": str(price + half)}
    return {
        "ticker": _name(index),
        "name": f"{_name(index).title()} Coin",
        "mark_price": f"{price}{rng.randrange(10**4):04d}",
        "volume_24h": _decimal(rng, rng.randint(4, 9), 6),
        "open_interest": {
            "long_open_interest": _decimal(rng, rng.randint(4, 8), 20),
            "short_open_interest": _decimal(rng, rng.randint(4, 8), 20),
        },
        "funding_rate": "0" if swap else f"{rng.choice(('', '-'))}0.{rng.randrange(10**6):06d}",
        "funding_interval_s": 0 if swap else rng.choice((3600, 14400, 28800)),
        "base_spread_bps": _decimal(rng, 1, 28),
        "quotes": quotes,
    }


def _spoil(rng: random.Random, rows: list[Row], share: float, spoilers: tuple[Spoil, ...]) -> None:
    for row in rng.sample(rows, round(len(rows) * share)):
        rng.choice(spoilers)(rng, row)


def _set(key: str, *values: object) -> Spoil:
    def spoil(rng: random.Random, row: Row) -> None:
        row[key] = rng.choice(values)

    return spoil


def _cross(tier: str) -> Spoil:
    def spoil(_: random.Random, row: Row) -> None:
        row["quotes"][tier] = {"bid": "2", "ask": "1"}

    return spoil


_NOT_TEXT: Final[tuple[Any, ...]] = (5, 1.5, True, [], {})
_BYBIT_SPOILERS: Final = (
    _set("symbol", "", "A\\BUSDT", "A\nBUSDT", *_NOT_TEXT, None),
    _set("markPrice", *_NASTY_NUMBERS, *_NOT_TEXT),
    _set("fundingRate", *_NASTY_NUMBERS, *_NOT_TEXT),
    _set("fundingIntervalHour", *_NASTY_NUMBERS, "0", "-1", "7"),
    _set("nextFundingTime", *_NASTY_NUMBERS, "1.5", "-5"),
    _set("openInterestValue", *_NASTY_NUMBERS, None),
)
_VARIATIONAL_SPOILERS: Final = (
    _set("ticker", "", "A\\B", "A\nB", "x" * 999, *_NOT_TEXT, None),
    _set("mark_price", *_NASTY_NUMBERS, *_NOT_TEXT),
    _set("funding_rate", *_NASTY_NUMBERS, "175.3", *_NOT_TEXT),
    _set("funding_interval_s", -1, 10**30, 1.5, "8"),
    _set("open_interest", "5", [], 7, {"long_open_interest": "1e5"}),
    _set("quotes", "", [], 7, {"updated_at": 7}),
    _cross("base"),
    _cross("size_1k"),
    _cross("size_1m"),
)
