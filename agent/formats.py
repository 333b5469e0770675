"""Points as JSON lines, CSV, line protocol or a table for people. Pure; numbers keep their text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self

from agent import schema
from agent.clock import to_rfc3339
from agent.line_protocol import Point, parse_line

_TEXT_FIELDS: Final = {
    field.name
    for measurement in schema.MEASUREMENTS.values()
    for field in measurement.fields
    if field.unit == "text"
}

Writer = Callable[[Iterable[str]], Iterator[str]]
"""Lines of line protocol (without newlines) to pieces of output."""


def as_lp(lines: Iterable[str]) -> Iterator[str]:
    """Line protocol as it is stored."""
    return (f"{line}\n" for line in lines)


def as_jsonl(lines: Iterable[str]) -> Iterator[str]:
    """One object per point: ts (RFC 3339, Z), measurement, tags, then fields as exact numbers."""
    return map(_json_object, map(parse_line, lines))


def _json_object(point: Point) -> str:
    texts = {"ts": to_rfc3339(point.stamp_ns), "measurement": point.measurement, **point.tags}
    pairs = [f"{json.dumps(key)}: {json.dumps(text)}" for key, text in texts.items()]
    pairs += [
        f"{json.dumps(key)}: {json.dumps(text) if key in _TEXT_FIELDS else json_number(text)}"
        for key, text in point.fields.items()
    ]
    return f"{{{', '.join(pairs)}}}\n"


def json_number(text: str) -> str:
    """A plain decimal as JSON writes it: without leading zeros, otherwise digit by digit.

    https://www.rfc-editor.org/rfc/rfc8259#section-6
    """
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    stripped = digits.lstrip("0")
    return sign + (stripped if stripped[:1].isdigit() else f"0{stripped}")


class Sheet(NamedTuple):
    """Which columns a table of points has, after `ts` and `measurement`."""

    tags: tuple[str, ...]
    fields: tuple[str, ...]

    @classmethod
    def of(
        cls,
        measurements: Iterable[str] = schema.MEASUREMENTS,
        fields: Collection[str] | None = None,
    ) -> Self:
        """A column for each tag and field of these measurements, or for these fields only."""
        chosen = [schema.MEASUREMENTS[name] for name in measurements]
        tags = dict.fromkeys(tag for each in chosen for tag in each.tags)
        every = dict.fromkeys(name for each in chosen for name in each.field_names)
        return cls(tuple(tags), tuple(every if fields is None else fields))

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return ("ts", "measurement", *self.tags, *self.fields)

    def cells(self, point: Point) -> list[str]:
        """The values of a point behind `ts`; "" where it has none."""
        return [
            point.measurement,
            *(point.tags.get(tag, "") for tag in self.tags),
            *(point.fields.get(name, "") for name in self.fields),
        ]


def as_csv(
    lines: Iterable[str], sheet: Sheet | None = None, *, with_header: bool = True
) -> Iterator[str]:
    """A header, then a row per point.

    A value that is not known is an empty cell. https://www.rfc-editor.org/rfc/rfc4180
    """
    sheet = sheet or Sheet.of()
    if with_header:
        yield _csv_row(sheet.names)
    for point in map(parse_line, lines):
        yield _csv_row([to_rfc3339(point.stamp_ns), *sheet.cells(point)])


def _csv_row(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


TABLE_COLUMNS: Final = (
    "best_bid",
    "best_ask",
    "mid",
    "spread_bps",
    "funding_apr",
    "oi_usd",
    "quote_age_ms",
)


def as_table(lines: Iterable[str]) -> Iterator[str]:
    """Snapshots as aligned columns; long numbers are cut to what a person reads."""
    rows = [["source", "ticker", *TABLE_COLUMNS]]
    for point in map(parse_line, lines):
        if point.measurement == schema.SNAPSHOT.name:
            cells = [_shortened(point.fields.get(name, "-")) for name in TABLE_COLUMNS]
            rows.append([point.tags["source"], point.tags["ticker"], *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells) + "\n"


def printable(text: str) -> str:
    """As it is, but for what a terminal would obey instead of show."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of text in columns, what a terminal cannot show replaced; the last column is ragged."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip() + "\n"


_TABLE_DECIMALS: Final = 8


def _shortened(text: str) -> str:
    whole, point, decimals = text.partition(".")
    return whole + point + decimals[:_TABLE_DECIMALS]


WRITERS: Final[dict[str, Writer]] = {
    "jsonl": as_jsonl,
    "csv": as_csv,
    "lp": as_lp,
    "table": as_table,
}
