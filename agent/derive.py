"""Numbers made from published ones, a column at a time. Pure.

Sums and halves are exact; ratios and products carry 12 significant digits (the contract asks for
9). A result is missing ("") where an input is missing or the formula has no value. Formulas: the
table in `agent.schema`.

Texts come checked: plain numbers of at most 36 digits either side (`agent.sources.rows`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from decimal import Context, Decimal, InvalidOperation, localcontext
from functools import partial
from typing import Final, TypeVar

from agent.clock import NS_PER_MS
from agent.snapshot import PLAIN_NUMBER, Columns, PlainColumn

SECONDS_PER_YEAR: Final = 31_536_000
"""365 days: the year of both venues' annualised rates."""
PUBLISHED_DIGITS_MAX: Final = 36
"""Digits on either side of the point that a venue's number may have (seen: 29 decimals).

Fewer than can be stored, so that a sum, a half or a product with 3600 still can be."""
NUMBER_LENGTH_MAX: Final = 90
"""Longer texts are not looked at as numbers."""
_DIGITS: Final = f"[0-9]{{1,{PUBLISHED_DIGITS_MAX}}}"
PUBLISHED_NUMBER: Final = re.compile(rf"(?:-?{_DIGITS}(?:\.{_DIGITS})?)?")
"""Such a number, or nothing."""
EXACT: Final = Context(prec=90)
"""Wide enough that no sum or half is rounded."""
RATIO: Final = Context(prec=12)

_ZERO: Final = Decimal(0)
_HALF: Final = Decimal("0.5")
_POINT: Final = Decimal("0.0001")

Column = Sequence[str]
_Numbers = Sequence[Decimal | None]
KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


def numbers(column: Column) -> list[Decimal | None]:
    """Decimals of a column; None where it is missing."""
    if "" in column:
        return [Decimal(value) if value else None for value in column]
    return list(map(Decimal, column))


def text_of(number: Decimal) -> str:
    """Plain decimal text, never with an exponent."""
    return format(number, "f")


def plain_number(text: str) -> str | None:
    """A number as plain decimal text, exact; "" stays ""; None when it is no number we take."""
    if PUBLISHED_NUMBER.fullmatch(text):
        return text
    if len(text) > NUMBER_LENGTH_MAX or not text.isascii() or "_" in text or text != text.strip():
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > PUBLISHED_DIGITS_MAX:
        return None
    plain = text_of(number)
    return plain if PUBLISHED_NUMBER.fullmatch(plain) else None


def texts(column: _Numbers) -> PlainColumn:
    """Plain decimal texts; "" for None and for what is too large or small to be stored."""
    found = PlainColumn(["" if number is None else str(number) for number in column])
    # `str` is much faster than `format`, but writes what is very small or large with an exponent.
    if "E" in "".join(found):
        found = PlainColumn([_without_exponent(text) if "E" in text else text for text in found])
    return found


def _without_exponent(text: str) -> str:
    plain = text_of(Decimal(text))
    return plain if PLAIN_NUMBER.fullmatch(plain) else ""


def complete(published: Columns) -> dict[str, Column]:
    """The columns with mid, spreads, impacts and basis added where they can be known."""
    columns = dict(published)
    known = {name: numbers(columns[name]) for name in _INPUTS if name in columns}
    mids: dict[str, _Numbers] = {}
    points: dict[str, _Numbers] = {}
    for size, spread in _SPREADS.items():
        if f"bid_{size}" in known and f"ask_{size}" in known:
            bids, asks = known[f"bid_{size}"], known[f"ask_{size}"]
            mids[size] = _mids(bids, asks)
            points[size] = _points(mids[size])
            columns[spread] = _in_points(asks, bids, points[size])
    if "1k" in mids:
        mid, point = mids["1k"], points["1k"]
        columns["mid"] = texts(mid)
        if "100k" in mids:
            columns["impact_buy_bps"] = _in_points(known["ask_100k"], mid, point)
            columns["impact_sell_bps"] = _in_points(mid, known["bid_100k"], point)
    if "mark_price" in known and "index_price" in known:
        index = known["index_price"]
        columns["basis_bps"] = _in_points(known["mark_price"], index, _points(index))
    return columns


_SPREADS: Final = {"1k": "spread_bps", "100k": "spread_100k_bps", "1m": "spread_1m_bps"}
_INPUTS: Final = "bid_1k ask_1k bid_100k ask_100k bid_1m ask_1m mark_price index_price".split()


def _mids(bids: _Numbers, asks: _Numbers) -> _Numbers:
    """(bid + ask) / 2, row by row, exact."""
    with localcontext(EXACT):
        return [
            None if bid is None or ask is None else (bid + ask) * _HALF
            for bid, ask in zip(bids, asks, strict=True)
        ]


def _points(prices: _Numbers) -> _Numbers:
    """One basis point of each price, exact; None where it is not above 0."""
    with localcontext(EXACT):
        return [price * _POINT if price is not None and price > _ZERO else None for price in prices]


def _in_points(upper: _Numbers, lower: _Numbers, points: _Numbers) -> PlainColumn:
    """(upper - lower) / one basis point, row by row."""
    with localcontext(RATIO):
        return texts(
            [
                None if point is None or high is None or low is None else (high - low) / point
                for high, low, point in zip(upper, lower, points, strict=True)
            ]
        )


def gaps_bps(mids: Column, reference_mids: Column) -> PlainColumn:
    """(mid - reference mid) / reference mid * 10^4, row by row."""
    references = numbers(reference_mids)
    return _in_points(numbers(mids), references, _points(references))


def annualised(rates: Column, intervals_s: Column) -> PlainColumn:
    """Rate per interval, simply annualised: rate * intervals per year."""
    with localcontext(RATIO):
        per_year = each(_intervals_per_year, intervals_s)
        return texts(
            [
                Decimal(rate) * times if rate and times is not None else None
                for rate, times in zip(rates, per_year, strict=True)
            ]
        )


def _intervals_per_year(interval_s: str) -> Decimal | None:
    interval = Decimal(interval_s or 0)
    return SECONDS_PER_YEAR / interval if interval > _ZERO else None


def added(first: Column, second: Column) -> PlainColumn:
    """The exact sums, row by row."""
    with localcontext(EXACT):
        return texts(
            [
                Decimal(one) + Decimal(other) if one and other else None
                for one, other in zip(first, second, strict=True)
            ]
        )


def differences(first: Column, second: Column) -> PlainColumn:
    """The exact first - second, row by row."""
    with localcontext(EXACT):
        return texts(
            [
                Decimal(one) - Decimal(other) if one and other else None
                for one, other in zip(first, second, strict=True)
            ]
        )


def halved(column: Column) -> PlainColumn:
    """Exact halves."""
    with localcontext(EXACT):
        return texts([Decimal(value) * _HALF if value else None for value in column])


def first_known(first: Column, second: Column) -> PlainColumn:
    """Row by row the first text, or the second where the first is missing."""
    return PlainColumn([one or other for one, other in zip(first, second, strict=True)])


def age_ms(received_ns: int, stamps_ns: Sequence[int | None]) -> PlainColumn:
    """Receipt minus stamp in whole milliseconds, at least 0; missing where there is no stamp."""
    return PlainColumn(each(partial(_age_ms, received_ns), stamps_ns))


def _age_ms(received_ns: int, stamp_ns: int | None) -> str:
    return "" if stamp_ns is None else str(max(0, (received_ns - stamp_ns) // NS_PER_MS))


def each(function: Callable[[KeyT], ValueT], column: Sequence[KeyT]) -> list[ValueT]:
    """The function's value for each of a column, worked out once for what is there often."""
    values = {key: function(key) for key in set(column)}
    return [values[key] for key in column]
