"""The one type that flows: a `Snapshot`, in the `Batch` of one poll.

A batch holds columns of exact decimal text, because a poll of 600 rows is parsed, checked and
encoded a column at a time; a `Snapshot` is a row of it with `Decimal`s, made on demand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from agent import schema
from agent.clock import INSTANT_MAX_NS, to_datetime
from agent.errors import LineProtocolError

Columns = Mapping[str, Sequence[str]]
"""Field name to one text per row; "" means not known."""

DIGITS_MAX: Final = 40
"""Digits that a stored number may have on either side of its point."""
TAG_LENGTH_MAX: Final = 256
"""Longest tag value; venues' names are below 32."""

PLAIN_NUMBER: Final = re.compile(rf"-?[0-9]{{1,{DIGITS_MAX}}}(?:\.[0-9]{{1,{DIGITS_MAX}}})?")
"""A decimal as we store it: no exponent, no sign but minus."""
UNFIT_IN_TAG: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Control characters, backslashes and lone surrogates: the server refuses some of them with the
whole request, and reads a backslash before an escaped character in two ways."""


def number_lines(digits_max: int) -> re.Pattern[str]:
    """Lines of plain numbers of so many digits on either side, or of nothing; for `each_fits`.

    Possessive throughout, so that a bad value costs no more time than a good one.
    """
    digits = f"[0-9]{{1,{digits_max}}}+"
    return re.compile(rf"(?:(?:-?{digits}(?:\.{digits})?+)?+\n)*+")


_STORED_LINES: Final = number_lines(DIGITS_MAX)
TAG_LINES: Final = re.compile(rf"(?:[^{UNFIT_IN_TAG.pattern[1:-1]}]{{1,{TAG_LENGTH_MAX}}}+\n)*+")
"""Lines of texts that can be tags; for `each_fits`."""


def each_fits(values: Sequence[str], lines: re.Pattern[str]) -> bool:
    """Whether the values, each ended by a newline, are lines of that pattern (in one pass)."""
    text = "\n".join([*values, ""])
    # A newline inside a value would pass for the end of one.
    return lines.fullmatch(text) is not None and text.count("\n") == len(values)


def is_tag(text: str) -> bool:
    """Whether the text can be a tag value; `each_fits` with `TAG_LINES` asks it of many at once."""
    return 0 < len(text) <= TAG_LENGTH_MAX and UNFIT_IN_TAG.search(text) is None


def is_plain_column(values: Sequence[str]) -> bool:
    """Whether every value is a plain number or ""."""
    return each_fits(values, _STORED_LINES)


class PlainColumn(list[str]):
    """A column known to hold nothing but plain numbers and "": it need not be checked again.

    Made where every text has been checked, or was written from a number of bounded size.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One ticker of one source at one slot; None means not known.

    Names, units and meanings of the numbers are those of `agent.schema.SNAPSHOT`. Published
    numbers are the source's exact decimals. `slot_ns` and `quotes_updated_ns` are nanoseconds
    since the epoch (UTC).
    """

    source: str
    ticker: str
    slot_ns: int
    lag_ms: Decimal
    quotes_updated_ns: int | None = None
    quote_age_ms: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    last_price: Decimal | None = None
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    bid_1k: Decimal | None = None
    ask_1k: Decimal | None = None
    bid_100k: Decimal | None = None
    ask_100k: Decimal | None = None
    bid_1m: Decimal | None = None
    ask_1m: Decimal | None = None
    mid: Decimal | None = None
    spread_bps: Decimal | None = None
    spread_100k_bps: Decimal | None = None
    spread_1m_bps: Decimal | None = None
    impact_buy_bps: Decimal | None = None
    impact_sell_bps: Decimal | None = None
    basis_bps: Decimal | None = None
    funding_rate: Decimal | None = None
    funding_interval_s: Decimal | None = None
    funding_apr: Decimal | None = None
    next_funding_s: Decimal | None = None
    long_oi: Decimal | None = None
    short_oi: Decimal | None = None
    oi_usd: Decimal | None = None
    volume_24h: Decimal | None = None
    volume_24h_usd: Decimal | None = None

    @property
    def ts(self) -> datetime:
        """The slot as an aware UTC datetime."""
        return to_datetime(self.slot_ns)

    def as_dict(self) -> dict[str, Any]:
        """The unified snapshot of contract section 5: ts, source, ticker and every field.

        Numbers are Decimal or None, `quote_age_ms` and `lag_ms` are int (None when not known),
        `ts` and `quotes_updated_at` aware UTC datetimes (the latter None when not known).
        """
        updated_ns = self.quotes_updated_ns
        unified: dict[str, Any] = {"ts": self.ts, "source": self.source, "ticker": self.ticker}
        unified.update((name, getattr(self, name)) for name in schema.SNAPSHOT.field_names)
        unified["lag_ms"] = int(self.lag_ms)
        unified["quote_age_ms"] = None if self.quote_age_ms is None else int(self.quote_age_ms)
        unified["quotes_updated_at"] = None if updated_ns is None else to_datetime(updated_ns)
        return unified


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Sequence[Snapshot]):
    """The snapshots of one poll: one source, one slot, a row per ticker.

    `columns` has a text per row for each field that any row knows ("" where a row does not);
    `quotes_updated_ns` the source's time of each row's quotes (None where it gives none).
    Building one checks it: if it exists it can be encoded.

    Raises:
        LineProtocolError: a column has another length, an unknown name or a value that is no
            plain number; a ticker is there twice or cannot be a tag; an instant lies before 1970
            or after 2262.
    """

    source: str
    slot_ns: int
    received_ns: int
    tickers: Sequence[str]
    columns: Columns
    quotes_updated_ns: Sequence[int | None]

    def __post_init__(self) -> None:
        rows = len(self.tickers)
        if not each_fits([self.source, *self.tickers], TAG_LINES):
            raise self._refused("the source or a ticker cannot be a tag")
        if len(set(self.tickers)) != rows:
            raise self._refused("a ticker is there twice")
        stamps_ns = self.quotes_updated_ns
        if len(stamps_ns) != rows:
            raise self._refused("quotes_updated_ns has another length than tickers")
        for stamp_ns in {self.slot_ns, self.received_ns, *stamps_ns}:
            if stamp_ns is not None and not 0 <= stamp_ns <= INSTANT_MAX_NS:
                raise self._refused(f"instant {stamp_ns} ns lies before 1970 or after 2262")
        for name, values in self.columns.items():
            if name not in _COLUMN_NAMES:
                raise self._refused(f"{name!r} is not a field of the schema")
            plain = isinstance(values, PlainColumn) or is_plain_column(values)
            if len(values) != rows or not plain:
                raise self._refused(f"{name} has another length or a value that is no number")

    def _refused(self, problem: str) -> LineProtocolError:
        return LineProtocolError("build batch", f"{self.source or '?'}: {problem}")

    @property
    def lag_ms(self) -> int:
        """Receipt minus slot in milliseconds; negative only when the clock stepped back."""
        return (self.received_ns - self.slot_ns) // 1_000_000

    def __len__(self) -> int:
        return len(self.tickers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._row(row) for row in range(*index.indices(len(self)))]
        return self._row(range(len(self))[index])

    def __iter__(self) -> Iterator[Snapshot]:
        return map(self._row, range(len(self)))

    def _row(self, row: int) -> Snapshot:
        values = {
            name: Decimal(column[row]) for name, column in self.columns.items() if column[row]
        }
        return Snapshot(
            source=self.source,
            ticker=self.tickers[row],
            slot_ns=self.slot_ns,
            lag_ms=Decimal(self.lag_ms),
            quotes_updated_ns=self.quotes_updated_ns[row],
            **values,
        )


_COLUMN_NAMES: Final = frozenset(schema.SNAPSHOT.field_names) - {"lag_ms"}
assert {f.name for f in fields(Snapshot)} == set(schema.SNAPSHOT.field_names) | {
    "source",
    "ticker",
    "slot_ns",
    "quotes_updated_ns",
}, "Snapshot and agent.schema.SNAPSHOT name different fields"
