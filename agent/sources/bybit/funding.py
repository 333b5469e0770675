"""Bybit's settled funding: pages of history, newest first, read backwards.

https://bybit-exchange.github.io/docs/v5/market/history-fund-rate : at most 200 rows a page;
`startTime` without `endTime` is an error, so pages are asked for by `endTime` alone. A row says no
interval: it is the time since the row before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import quote

import msgspec

from agent import derive
from agent.clock import INSTANT_MAX_NS, NS_PER_MS, NS_PER_S
from agent.derive import plain_number
from agent.errors import SourceError, SourceFailure
from agent.poll import Settlement
from agent.sources.bybit import refusals
from agent.sources.bybit.door import TICKERS_SHARE, Door
from agent.sources.bybit.envelope import Verdict
from agent.sources.fetch import Reply
from agent.sources.rows import UNREADABLE, decode_each

PATH: Final = "/v5/market/funding/history"
ROWS_MAX: Final = 200
"""Rows of a page; the venue gives no more."""
PAGES_MAX: Final = 60
"""A year of hourly settlements has 44."""
INTERVAL_MAX_S: Final = 86_400
"""Two rows further apart have a hole between them, and no interval."""
SHORTEST_INTERVAL_NS: Final = 3600 * NS_PER_S
_STAMP_LENGTH_MAX: Final = 15


@dataclass(frozen=True, slots=True)
class Settled:
    """One row: when (ns since the epoch), and the rate as published; "" = it cannot be read."""

    stamp_ns: int
    rate: str


class _Row(msgspec.Struct):
    fundingRateTimestamp: str
    fundingRate: str | None = None


class _Result(msgspec.Struct):
    rows: list[msgspec.Raw] = msgspec.field(name="list")


class _Envelope(msgspec.Struct):
    result: _Result


_decode_verdict: Final = msgspec.json.Decoder(Verdict).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_row_decoder: Final = msgspec.json.Decoder(_Row)


def read(reply: Reply) -> tuple[int, str, list[Settled]]:
    """Code, the venue's words for it, and if the code is 0 the page's readable rows.

    Raises:
        SourceError: no JSON, or not Bybit's envelope.
    """
    try:
        verdict = _decode_verdict(reply.body)
        if verdict.retCode:
            return verdict.retCode, verdict.retMsg or "", []
        rows, _ = decode_each(_decode_envelope(reply.body).result.rows, _row_decoder)
    except UNREADABLE as error:
        raise SourceError(
            "poll bybit",
            f"the answer ({reply.description}) is no funding history: {error}",
            "a cut-off answer heals by itself; otherwise check bybit.api_base",
            kind=SourceFailure.UNREADABLE,
        ) from error
    stamps = [_stamp_ns(row.fundingRateTimestamp) for row in rows]
    return (
        0,
        "",
        [
            Settled(stamp_ns, plain_number(row.fundingRate or "") or "")
            for stamp_ns, row in zip(stamps, rows, strict=True)
            if stamp_ns is not None
        ],
    )


def _stamp_ns(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= _STAMP_LENGTH_MAX):
        return None
    stamp_ns = int(text) * NS_PER_MS
    return stamp_ns if 0 < stamp_ns <= INSTANT_MAX_NS else None


def settlements_of(ticker: str, rows: list[Settled], since_ns: int) -> list[Settlement]:
    """The settlements after `since_ns`, oldest first, each once, with the interval it closed.

    The first of all rows has none: nothing tells when its interval began.
    """
    rates = {row.stamp_ns: row.rate for row in rows}
    stamps = sorted(rates)
    intervals = {
        later_ns: str((later_ns - earlier_ns) // NS_PER_S)
        for earlier_ns, later_ns in pairwise(stamps)
        if later_ns - earlier_ns <= INTERVAL_MAX_S * NS_PER_S
    }
    wanted = [stamp_ns for stamp_ns in stamps if stamp_ns > since_ns and rates[stamp_ns]]
    lengths_s = [intervals.get(stamp_ns, "") for stamp_ns in wanted]
    aprs = derive.annualised([rates[stamp_ns] for stamp_ns in wanted], lengths_s)
    return [
        Settlement(
            ticker=ticker, stamp_ns=stamp_ns, rate=rates[stamp_ns], interval_s=length_s, apr=apr
        )
        for stamp_ns, length_s, apr in zip(wanted, lengths_s, aprs, strict=True)
    ]


class FundingReader:
    """Reads histories within the rate budget, leaving the tickers theirs.

    Args:
        door: the way to the venue.
        category: "linear".
        pause_s: the silence that a rate limit asks for now.
    """

    def __init__(self, door: Door, category: str, pause_s: Callable[[], int]) -> None:
        self._door = door
        self._category = category
        self._pause_s = pause_s
        self._unknown: set[str] = set()

    async def read(self, symbol: str, since_ns: int, now_ns: int) -> list[Settled]:
        """Rows from now back to one at or before `since_ns` (or to the symbol's first).

        None for a symbol that the venue does not know. Raises SourceError.
        """
        rows: list[Settled] = []
        oldest_ns = now_ns + NS_PER_MS
        wanted = (now_ns - since_ns) // SHORTEST_INTERVAL_NS + 2
        limit = max(2, min(ROWS_MAX, wanted))
        for _ in range(PAGES_MAX):
            if symbol in self._unknown:
                break
            page = await self._page(symbol, oldest_ns // NS_PER_MS - 1, limit)
            fresh = [row for row in page if row.stamp_ns < oldest_ns]
            if not fresh:
                break
            rows += fresh
            oldest_ns = min(row.stamp_ns for row in fresh)
            if oldest_ns <= since_ns:
                break
        return rows

    async def _page(self, symbol: str, end_ms: int, limit: int) -> list[Settled]:
        query = (
            f"category={self._category}&endTime={end_ms}&limit={limit}&symbol={quote(symbol, '')}"
        )
        reply = await self._door.get(f"{PATH}?{query}", spare=TICKERS_SHARE)
        refusals.check_status(reply, self._pause_s())
        code, message, rows = read(reply)
        if code == refusals.SYMBOL_INVALID:
            self._unknown.add(symbol)
            return []
        refusals.check_code(code, message, self._pause_s())
        return rows
