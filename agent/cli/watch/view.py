"""The table of `perpflux watch`: which rows, in which order, in which words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple

from agent.board import Freshness, Row
from agent.cli.watch.feed import Frame
from agent.clock import NS_PER_S, to_rfc3339
from agent.formats import printable

DIGITS: Final = 7
"""Significant digits of a price."""
SOURCE_WIDTH: Final = 5
"""What is left of a source's name where the terminal is narrow."""
GIVEN_UP: Final = ("settles", "100k", "carry", "apr", "age")
"""Columns that a narrow terminal goes without, the first one first."""
_MARKS: Final[dict[Freshness, str]] = {"fresh": " ", "late": "*", "old": "!"}
"""Behind an age: it is to be seen without colours too."""
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_MINUTE_S: Final = 60

Key = Decimal | int | str | None


class Column(NamedTuple):
    """A column: its head, what it says of a row at an instant, and what it is sorted by.

    `help` says what it means. What is not known is "-" and comes last.
    """

    head: str
    text: Callable[[Row, int], str]
    key: Callable[[Row, int], Key]
    help: str


def _fixed(name: str, factor: int = 1, *, signed: bool = False) -> Callable[[Row, int], str]:
    def text(row: Row, _: int) -> str:
        number = row.number(name)
        if number is None:
            return "-"
        return format((number * factor).quantize(Decimal("0.01")), "+f" if signed else "f")

    return text


def _number(name: str) -> Callable[[Row, int], Key]:
    return lambda row, _: row.number(name)


def price(number: Decimal | None) -> str:
    """Seven significant digits, never an exponent."""
    if number is None:
        return "-"
    return format(Context(prec=DIGITS, rounding=ROUND_HALF_EVEN).plus(number), "f")


def left(seconds: int) -> str:
    """A duration in at most five characters."""
    if seconds < _MINUTE_S:
        return f"{seconds}s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S}m"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S}h{seconds % _HOUR_S // _MINUTE_S:02}"
    return f"{seconds // _DAY_S}d"


def _settles_s(row: Row, now_ns: int) -> int | None:
    if row.settles_ns is None or row.settles_ns < now_ns:
        return None
    return (row.settles_ns - now_ns) // NS_PER_S


def _settles(row: Row, now_ns: int) -> str:
    seconds = _settles_s(row, now_ns)
    return "-" if seconds is None else left(seconds)


COLUMNS: Final[dict[str, Column]] = {
    "ticker": Column("ticker", lambda r, _: r.ticker, lambda r, _: r.ticker, "of the market"),
    "source": Column("source", lambda r, _: r.source, lambda r, _: r.source, "whose numbers"),
    "mid": Column(
        "mid", lambda r, _: price(r.number("mid")), _number("mid"), "between bid and ask"
    ),
    "1k": Column("1k bp", _fixed("spread_bps"), _number("spread_bps"), "spread for USD 1,000"),
    "100k": Column(
        "100k bp", _fixed("spread_100k_bps"), _number("spread_100k_bps"), "spread for USD 100,000"
    ),
    "gap": Column(
        "gap bp", _fixed("gap_bps", signed=True), _number("gap_bps"), "mid over the other source's"
    ),
    "apr": Column("APR %", _fixed("funding_apr", 100), _number("funding_apr"), "funding, per year"),
    "carry": Column(
        "carry %",
        _fixed("carry_apr", 100, signed=True),
        _number("carry_apr"),
        "short here, long there, per year",
    ),
    "settles": Column("settl", _settles, _settles_s, "until funding is settled"),
    "age": Column(
        "age", lambda r, now: left(r.age_s(now)), lambda r, now: r.age_s(now), "of quotes"
    ),
}


@dataclass(slots=True)
class View:
    """What somebody wants to see.

    Attributes:
        sort: the name of a column.
        reverse: largest first.
        filter: only tickers that have this in their name, or that name one of several, by commas.
        source: only this one's rows; None = all.
    """

    sort: str = "ticker"
    reverse: bool = False
    filter: str = ""
    source: str | None = None

    def rows(self, frame: Frame) -> list[Row]:
        """The rows to show, in their order; what is not known comes last either way."""
        key = COLUMNS[self.sort].key
        keyed = [(key(row, frame.now_ns), row) for row in frame.rows if self._shows(row)]
        known = [pair for pair in keyed if pair[0] is not None]
        unknown = [row for value, row in keyed if value is None]
        known.sort(key=lambda pair: pair[0], reverse=self.reverse)  # type: ignore[arg-type,return-value]  # a column's keys are of one kind
        return [row for _, row in known] + unknown

    def _shows(self, row: Row) -> bool:
        if self.source not in {None, row.source}:
            return False
        wanted, ticker = (
            [name.strip() for name in self.filter.upper().split(",")],
            row.ticker.upper(),
        )
        return ticker in wanted if len(wanted) > 1 else wanted[0] in ticker


class Line(NamedTuple):
    """A row in words: its cells, and how fresh it is."""

    cells: list[str]
    freshness: Freshness


def lines(rows: Sequence[Row], names: Sequence[str], frame: Frame) -> list[Line]:
    """Rows in words, in these columns."""
    found = []
    for row in rows:
        fresh = row.freshness(frame.now_ns, frame.intervals_s.get(row.source, _MINUTE_S))
        cells = [printable(COLUMNS[name].text(row, frame.now_ns)) for name in names]
        if "age" in names:
            cells[list(names).index("age")] += _MARKS[fresh]
        found.append(Line(cells, fresh))
    return found


class Table(NamedTuple):
    """Heads, widths and lines: what fits."""

    names: list[str]
    heads: list[str]
    widths: list[int]
    lines: list[Line]


def table(view: View, rows: Sequence[Row], frame: Frame, width: int) -> Table:
    """These rows, in as many columns as the width has room for.

    Where it is short, sources are named by their first letters; then columns go. The sorted one
    stays.
    """
    names = list(COLUMNS)
    if view.source is not None:
        names.remove("source")
    found = lines(rows, names, frame)
    heads = [COLUMNS[name].head + (" " if name == "age" else "") for name in names]
    going = iter([name for name in GIVEN_UP if name != view.sort])
    while True:
        widths = [
            max(map(len, column)) for column in zip(heads, *(x.cells for x in found), strict=True)
        ]
        if sum(widths) + len(widths) - 1 <= width:
            return Table(names, heads, widths, found)
        at = names.index("source") if "source" in names else None
        if at is not None and widths[at] > SOURCE_WIDTH:
            heads[at] = heads[at][:SOURCE_WIDTH]
            for line in found:
                line.cells[at] = line.cells[at][:SOURCE_WIDTH]
            continue
        gone = next(going, None)
        if gone is None:
            return Table(names, heads, widths, found)
        at = names.index(gone)
        for each in (names, heads, *(line.cells for line in found)):
            del each[at]


def aligned(cells: Sequence[str], shown: Table) -> str:
    """A line: names on the left, numbers on the right."""
    placed = zip(cells, shown.widths, shown.names, strict=True)
    return " ".join(
        cell.ljust(width) if name in {"ticker", "source"} else cell.rjust(width)
        for cell, width, name in placed
    )


def plain(view: View, frame: Frame, width: int) -> Iterator[str]:
    """The whole table, without colours."""
    shown = table(view, view.rows(frame), frame, width)
    yield aligned(shown.heads, shown).rstrip()
    for line in shown.lines:
        yield aligned(line.cells, shown).rstrip()
    if not shown.lines:
        yield "no snapshots" if not frame.rows else f"none of {len(frame.rows)} rows is chosen"


def footer(frame: Frame) -> tuple[str, str]:
    """Two lines: the ledger; where this is from, when, and how shipping is."""
    counts = "  ".join(f"{name} {count:,}" for name, count in frame.ledger.items())
    now = to_rfc3339(frame.now_ns // NS_PER_S * NS_PER_S)
    return counts, printable(f"{now}  {frame.origin}; {frame.shipping}")
