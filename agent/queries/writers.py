"""Rows of a query as a table, CSV or JSON lines. Pure; numbers keep InfluxDB's text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from agent.queries.rows import Column, Row

TABLE_ROWS_MAX: Final = 10_000
"""A table is aligned, so it is kept until it is complete; what is longer is for csv and jsonl."""

_NUMBERS: Final = frozenset({"double", "long", "unsignedLong"})
_NO_NUMBERS: Final = frozenset({"NaN", "+Inf", "-Inf"})
_UNKNOWN: Final = "-"


class RowWriter(Protocol):
    """Turns rows into pieces of output."""

    def add(self, row: Row) -> str:
        """What can be written now, "" when nothing can."""

    def end(self) -> str:
        """What is left to write."""


class _Ordered:
    """Rows with some columns first; finds out when a block of other columns begins."""

    def __init__(self, first: Sequence[str]) -> None:
        self._first = first
        self._columns: tuple[Column, ...] | None = None
        self._places: tuple[int, ...] = ()

    def begins(self, row: Row) -> bool:
        """Whether this row's columns differ from those of the row before."""
        if row.columns == self._columns:
            return False
        self._columns = row.columns
        names = [column.name for column in row.columns]
        front = [names.index(name) for name in self._first if name in names]
        self._places = (*front, *(place for place in range(len(names)) if place not in front))
        return True

    def columns(self, row: Row) -> list[Column]:
        """The row's columns in order."""
        return [row.columns[place] for place in self._places]

    def cells(self, row: Row) -> list[str | None]:
        """The row's cells in order."""
        return [row.cells[place] for place in self._places]


class CsvWriter:
    """A header, then the rows; a block of other columns has an empty line and its own header.

    Args:
        first: names of columns that come first, in this order.
    """

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._order = _Ordered(first)
        self._empty = True

    def add(self, row: Row) -> str:
        """The row, below its header when it begins a block."""
        header = ""
        if self._order.begins(row):
            names = [column.name for column in self._order.columns(row)]
            header = ("" if self._empty else "\n") + _csv_line(names)
        self._empty = False
        return header + _csv_line(cell or "" for cell in self._order.cells(row))

    def end(self) -> str:
        """Nothing."""
        return ""


def _csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


class JsonlWriter:
    """An object per row: numbers with their exact text, null left out, NaN and infinities null.

    Args:
        first: names of columns that come first, in this order.
    """

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._order = _Ordered(first)

    def add(self, row: Row) -> str:
        """The row as one line."""
        self._order.begins(row)
        known = zip(self._order.columns(row), self._order.cells(row), strict=True)
        pairs = [
            f"{json.dumps(column.name)}: {_json_value(column.datatype, cell)}"
            for column, cell in known
            if cell is not None
        ]
        return f"{{{', '.join(pairs)}}}\n"

    def end(self) -> str:
        """Nothing."""
        return ""


def _json_value(datatype: str, cell: str) -> str:
    if datatype in _NUMBERS:
        return "null" if cell in _NO_NUMBERS else cell
    return cell if datatype == "boolean" else json.dumps(cell)


class TableWriter:
    """Aligned columns for people; numbers to the right, `-` for null.

    Args:
        first: names of columns that come first, in this order.
    """

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._order = _Ordered(first)
        self._rows: list[list[str]] = []
        self._numeric: list[bool] = []
        self.left_out = 0
        """Rows beyond TABLE_ROWS_MAX, which are not shown."""
        self._shown = 0

    def add(self, row: Row) -> str:
        """The table before, when this row begins another one."""
        before = ""
        if self._order.begins(row):
            before = f"{self.end()}\n" if self._rows else ""
            columns = self._order.columns(row)
            self._rows = [[column.name for column in columns]]
            self._numeric = [column.datatype in _NUMBERS for column in columns]
        if self._shown < TABLE_ROWS_MAX:
            self._rows.append([cell or _UNKNOWN for cell in self._order.cells(row)])
            self._shown += 1
        else:
            self.left_out += 1
        return before

    def end(self) -> str:
        """The table that has been collected."""
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        return "".join(self._line(row, widths) for row in self._rows)

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, self._numeric, strict=True)
        )
        return "  ".join(cells).rstrip() + "\n"


WRITERS: Final[dict[str, Callable[[Sequence[str]], RowWriter]]] = {
    "table": TableWriter,
    "csv": CsvWriter,
    "jsonl": JsonlWriter,
}
