"""Reading Bybit's answers: bytes to columns. Pure.

https://bybit-exchange.github.io/docs/v5/market/tickers . Units as published: funding per interval,
open interest both sides together. Rows have no clock; the envelope's `time` (server, ms) is the
time of the quotes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from typing import Final

import msgspec

from agent import derive
from agent.clock import NS_PER_MS
from agent.errors import SourceError, SourceFailure
from agent.snapshot import Columns, PlainColumn
from agent.sources.bybit.depth import NOTIONALS, Depth
from agent.sources.bybit.envelope import Verdict, instant_ns
from agent.sources.fetch import Reply
from agent.sources.rows import UNREADABLE, Rows, decode_each

KNOWN_KEYS: Final = frozenset(
    f"result.list.{key}"
    for key in """
    symbol lastPrice indexPrice markPrice prevPrice24h price24hPcnt highPrice24h lowPrice24h
    prevPrice1h openInterest openInterestValue singleOpenInterest singleOpenInterestValue
    turnover24h volume24h fundingRate nextFundingTime predictedDeliveryPrice basisRate
    deliveryFeeRate deliveryTime ask1Size bid1Price ask1Price bid1Size basis preOpenPrice
    preQty curPreListingPhase fundingIntervalHour basisRateYear fundingCap
    """.split()
).union("retCode retMsg result result.category result.list retExtInfo time".split())

_TOP: Final = {"bid_1k": "best_bid", "ask_1k": "best_ask"}
_BOOK_PRICES: Final = tuple(f"{side}_{size}" for size in NOTIONALS for side in ("bid", "ask"))
_MS: Final = Decimal("0.001")
_SECONDS_PER_HOUR: Final = 3600


class Row(msgspec.Struct, gc=False):
    """One contract in `result.list`; any key may be missing, "" means unknown."""

    symbol: str
    lastPrice: str | None = None
    indexPrice: str | None = None
    markPrice: str | None = None
    bid1Price: str | None = None
    ask1Price: str | None = None
    openInterest: str | None = None
    openInterestValue: str | None = None
    singleOpenInterestValue: str | None = None
    volume24h: str | None = None
    turnover24h: str | None = None
    fundingRate: str | None = None
    fundingIntervalHour: str | None = None
    nextFundingTime: str | None = None


class Result(msgspec.Struct):
    """The list of contracts."""

    rows: list[Row] = msgspec.field(name="list")


class Envelope(Verdict):
    """A whole answer."""

    time: int | None = None
    result: Result | None = None


class RawResult(msgspec.Struct):
    """The list with its rows unread, for reading them one by one."""

    rows: list[msgspec.Raw] = msgspec.field(name="list")


class RawEnvelope(msgspec.Struct):
    """A good answer with its rows unread."""

    result: RawResult
    time: int | None = None


_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode
_decode_verdict: Final = msgspec.json.Decoder(Verdict).decode
_decode_raw_envelope: Final = msgspec.json.Decoder(RawEnvelope).decode
_row_decoder: Final = msgspec.json.Decoder(Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read.

    Args:
        code: 0 = there are data; see `refusals` for others.
        message: the venue's words for the code.
        rows: its readable rows; none when the code is not 0.
        bad_rows: how many are not readable.
        time_ns: the server's time, ns since the epoch; None when it gives none.
    """

    code: int
    message: str
    rows: Sequence[Row] = ()
    bad_rows: int = 0
    time_ns: int | None = None


def read(reply: Reply) -> Answer:
    """The code, and only if it is 0 the rows: one by one where one of them is bad.

    Raises:
        SourceError: no JSON, or not Bybit's envelope.
    """
    try:
        try:
            envelope = _decode_envelope(reply.body)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return _read_each(reply.body)
    except UNREADABLE as error:
        raise SourceError(
            "poll bybit",
            f"the answer ({reply.description}) is not Bybit's envelope: {error}",
            "a cut-off answer heals by itself; otherwise check bybit.api_base",
            kind=SourceFailure.UNREADABLE,
        ) from error
    code, rows = envelope.retCode, envelope.result.rows if envelope.result else ()
    return Answer(
        code=code,
        message=envelope.retMsg or "",
        rows=() if code else rows,
        time_ns=instant_ns(envelope.time),
    )


def _read_each(body: bytes) -> Answer:
    verdict = _decode_verdict(body)
    if verdict.retCode:
        return Answer(code=verdict.retCode, message=verdict.retMsg or "")
    raw = _decode_raw_envelope(body)
    rows, bad_rows = decode_each(raw.result.rows, _row_decoder)
    return Answer(code=0, message="", rows=rows, bad_rows=bad_rows, time_ns=instant_ns(raw.time))


def rows_of(
    rows: Sequence[Row],
    tickers: list[str],
    stamps_ns: list[int | None],
    books: Mapping[str, Depth],
) -> Rows:
    """The published texts, column by column; missing, null and "" become "".

    Args:
        rows: what to store.
        tickers: under which names.
        stamps_ns: the time of each row's answer.
        books: symbol to its order book: then its prices and its time count.
    """
    last_prices = [row.lastPrice or "" for row in rows]
    columns = {
        "mark_price": [row.markPrice or last for row, last in zip(rows, last_prices, strict=True)],
        "index_price": [row.indexPrice or "" for row in rows],
        "last_price": last_prices,
        "best_bid": [row.bid1Price or "" for row in rows],
        "best_ask": [row.ask1Price or "" for row in rows],
        "funding_rate": [row.fundingRate or "" for row in rows],
        "long_oi": [row.openInterest or "" for row in rows],
        "volume_24h": [row.volume24h or "" for row in rows],
        "volume_24h_usd": [row.turnover24h or "" for row in rows],
    }
    extra = {
        "interval_h": [row.fundingIntervalHour or "" for row in rows],
        "next_funding_ms": [row.nextFundingTime or "" for row in rows],
        "single_oi_usd": [row.singleOpenInterestValue or "" for row in rows],
        "both_oi_usd": [row.openInterestValue or "" for row in rows],
    }
    if books:
        found = [books.get(row.symbol) for row in rows]
        for name in _BOOK_PRICES:
            # Without its order book the top of it stands for a size of 1k.
            top = columns[_TOP[name]] if name in _TOP else [""] * len(rows)
            columns[name] = [
                book.prices[name] if book else price for book, price in zip(found, top, strict=True)
            ]
        stamps_ns = [
            book.matched_ns if book and book.matched_ns is not None else stamp_ns
            for book, stamp_ns in zip(found, stamps_ns, strict=True)
        ]
    return Rows(tickers=tickers, columns=columns, quotes_updated_ns=stamps_ns, extra=extra)


def columns_of(rows: Rows, slot_ns: int, received_ns: int) -> Columns:
    """Published and derived columns of rows that hold only plain numbers."""
    published, extra = rows.columns, rows.extra
    top = {"bid_1k": published["best_bid"], "ask_1k": published["best_ask"]}
    columns = derive.complete({**top, **published})
    with localcontext(derive.EXACT):
        interval_s = PlainColumn(derive.each(_hours_as_seconds, extra["interval_h"]))
        until_funding = partial(_seconds_until, slot_ns // NS_PER_MS)
        columns["next_funding_s"] = PlainColumn(
            derive.each(until_funding, extra["next_funding_ms"])
        )
    columns["funding_interval_s"] = interval_s
    columns["funding_apr"] = derive.annualised(columns["funding_rate"], interval_s)
    columns["oi_usd"] = _one_side(extra["single_oi_usd"], extra["both_oi_usd"])
    columns["quote_age_ms"] = derive.age_ms(received_ns, rows.quotes_updated_ns)
    return columns


def _one_side(single: derive.Column, both: derive.Column) -> PlainColumn:
    """Open interest of one side as published, or half of both sides where it is not."""
    needed = ["" if one else two for one, two in zip(single, both, strict=True)]
    return derive.first_known(single, derive.halved(needed))


def _hours_as_seconds(hours: str) -> str:
    """Hours to seconds: "8" gives "28800"; "" for "" and for 0 (a contract without funding)."""
    interval_s = Decimal(hours or 0) * _SECONDS_PER_HOUR
    return derive.text_of(interval_s) if interval_s > 0 else ""


def _seconds_until(slot_ms: int, instant_ms: str) -> str:
    """Seconds from the slot to an instant; "" for "", "0" (none) and what has passed."""
    left_s = (Decimal(instant_ms or 0) - slot_ms) * _MS
    return derive.text_of(left_s) if left_s > 0 else ""
