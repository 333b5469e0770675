"""What InfluxDB answers to a query, row by row. Pure; texts stay exact.

Annotated CSV: https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.errors import InfluxDBError

RECORD_CHARS_MAX: Final = 16 * 2**20
"""Bound on one row of an answer."""

DEFAULT_RESULT: Final = "_result"
"""What Flux calls a result that has no name of its own."""
_PLUMBING: Final = frozenset({"", "table"})
_ERROR_COLUMNS: Final = ["error", "reference"]


class Column(NamedTuple):
    """A column of a block of rows: its name and InfluxDB's name of its type."""

    name: str
    datatype: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        columns: without the number of the table, and without the result's name where it has none.
        cells: the texts as InfluxDB gives them; None = null (CSV cannot tell it from "").
    """

    columns: tuple[Column, ...]
    cells: tuple[str | None, ...]

    def as_dict(self) -> dict[str, str | None]:
        """The cells by the names of their columns."""
        return {column.name: cell for column, cell in zip(self.columns, self.cells, strict=True)}


@dataclass(frozen=True, slots=True)
class _Block:
    """The rows below one line of names."""

    columns: tuple[Column, ...]
    places: tuple[int, ...]
    defaults: Sequence[str]
    is_error: bool

    def row(self, record: Sequence[str]) -> Row:
        if self.is_error:
            raise InfluxDBError("run the query", record[-2] or "failed without a reason")
        cells = (record[place] or self.defaults[place] or None for place in self.places)
        return Row(self.columns, tuple(cells))


class RowReader:
    """Takes an answer in pieces of any length and gives its rows. One reader an answer."""

    def __init__(self) -> None:
        self._rest = ""
        self._annotations: dict[str, list[str]] = {}
        self._block: _Block | None = None

    def feed(self, piece: str, *, last: bool = False) -> Iterator[Row]:
        """The rows that are complete with this piece.

        Raises:
            InfluxDBError: it reports an error after the first rows, or a row is too long.
        """
        text = self._rest + piece
        end = len(text) if last else _end_of_records(text)
        self._rest = text[end:]
        if len(self._rest) > RECORD_CHARS_MAX:
            raise InfluxDBError("run the query", f"a row has over {RECORD_CHARS_MAX} characters")
        for record in csv.reader(io.StringIO(text[:end], newline="")):
            if not record:
                self._annotations, self._block = {}, None
            elif record[0].startswith("#"):
                self._annotations[record[0]] = record
            elif self._block is None:
                self._block = _block(record, self._annotations)
            else:
                yield self._block.row(record)


def _end_of_records(text: str) -> int:
    """Where the last complete record ends: at a line end with no quote open."""
    end = text.rfind("\n") + 1
    while end and text.count('"', 0, end) % 2:
        end = text.rfind("\n", 0, end - 1) + 1
    return end


def _block(names: Sequence[str], annotations: dict[str, list[str]]) -> _Block:
    nothing = [""] * len(names)
    types = annotations.get("#datatype", nothing)
    defaults = annotations.get("#default", nothing)
    places = tuple(
        place
        for place, name in enumerate(names)
        if name not in _PLUMBING
        and not (name == "result" and defaults[place] in {"", DEFAULT_RESULT})
    )
    return _Block(
        columns=tuple(Column(names[place], types[place]) for place in places),
        places=places,
        defaults=defaults,
        is_error=list(names[-2:]) == _ERROR_COLUMNS,
    )
