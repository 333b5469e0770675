"""The rows of the earlier collector's database as the journal's entries, a chunk at a time.

What of its numbers can be kept: the columns are NUMERIC, so SQLite has turned every text that looks
like a number into an integer or a 64-bit float (https://www.sqlite.org/datatype3.html#type_affinity).
Such a float gives back every number of up to 15 digits, but not zeros at its end; of more digits,
the shortest decimal that is this float. A text that SQLite left alone keeps its digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from agent import derive, schema
from agent.clock import parse_rfc3339_ns
from agent.errors import LegacyDatabaseError
from agent.journal.records import IMPORT_SUFFIX, Entry
from agent.legacy.database import SOURCE, TABLE, VALUES, columns_of, connect, explained, indexes_of
from agent.line_protocol import encode_point
from agent.snapshot import is_tag

CHUNK_ROWS: Final = 1000
_OPERATION: Final = "read database"


class Place(NamedTuple):
    """A row, by which a file is known again and reading goes on behind it."""

    id: int
    ts: str
    ticker: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows in a row.

    Args:
        entries: what they are in the journal: one for the rows of a stamp and source.
        last: the last row.
        rows: how many there were.
        unreadable: rows without a time, a name or any number: they are left out.
        bad_values: values that are no numbers: they are left out, their rows are not.
        repeated: rows whose stamp, source and ticker an earlier row has: they are left out.
    """

    entries: tuple[Entry, ...]
    last: Place
    rows: int
    unreadable: int
    bad_values: int
    repeated: int

    @property
    def points(self) -> int:
        """Points in the entries."""
        return sum(entry.points for entry in self.entries)


class LegacyDatabase:
    """The rows of such a file, migrated or not, in the order they were written. A context manager.

    Raises:
        LegacyDatabaseError: it is no such database. Every method raises it when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(_OPERATION, path), ExitStack() as stack:
            self._connection = stack.enter_context(closing(connect(path, read_only=True)))
            columns = columns_of(self._connection, path)
            self._names = [name for name in VALUES if name in columns]
            self._page = self._query("source" in columns)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _query(self, has_source: bool) -> str:  # noqa: FBT001
        """Rows with whether an earlier one is of the same point, which an index must tell."""
        source, same = f"'{SOURCE}'", "before.ts = row.ts AND before.ticker = row.ticker"
        same += f" AND coalesce({', '.join(f'before.{name}' for name in self._names)}) IS NOT NULL"
        usable: set[tuple[str, ...]] = {("ts",)}
        if has_source:
            source = f"coalesce(row.source, '{SOURCE}')"
            same += " AND before.source IS row.source"
            usable.add(("source", "ticker", "ts"))
        if not usable & indexes_of(self._connection):
            raise LegacyDatabaseError(
                _OPERATION,
                f"{self._path} has no index on its times",
                f"`perpflux migrate-sqlite {self._path}` makes one",
            )
        return (
            f"SELECT row.id, row.ts, row.ticker, {source},"  # noqa: S608  # constants
            f" EXISTS (SELECT 1 FROM {TABLE} AS before WHERE {same} AND before.id < row.id),"
            f" {', '.join(f'row.{name}' for name in self._names)}"
            f" FROM {TABLE} AS row WHERE row.id > ? ORDER BY row.id LIMIT {CHUNK_ROWS}"
        )

    def has(self, place: Place) -> bool:
        """Whether this row is in the file."""
        with explained(_OPERATION, self._path):
            found = self._connection.execute(
                f"SELECT ts, ticker FROM {TABLE} WHERE id = ?",  # noqa: S608  # a constant
                (place.id,),
            ).fetchone()
        return found is not None and tuple(map(str, found)) == place[1:]

    def count(self, after_id: int = 0) -> int:
        """How many rows there are behind that one."""
        with explained(_OPERATION, self._path):
            (rows,) = self._connection.execute(
                f"SELECT count(*) FROM {TABLE} WHERE id > ?",  # noqa: S608  # a constant
                (after_id,),
            ).fetchone()
        return int(rows)

    def chunks(self, after_id: int = 0) -> Iterator[Chunk]:
        """All rows behind that one, also such as are written meanwhile."""
        while True:
            with explained(_OPERATION, self._path):
                found = self._connection.execute(self._page, (after_id,)).fetchall()
            if not found:
                return
            yield chunk_of(found, self._names)
            after_id = found[-1][0]


def chunk_of(found: Sequence[Sequence[Any]], names: Sequence[str]) -> Chunk:
    """Rows (id, ts, ticker, source, repeated, values by these names) as entries. Pure."""
    cells = [
        [number_text(cell) for cell in column] for column in list(zip(*found, strict=True))[5:]
    ]
    bad_values = sum(column.count(None) for column in cells)
    stored = {
        name: [text or "" for text in column] for name, column in zip(names, cells, strict=True)
    }
    columns = _completed(stored, [row[3] for row in found])
    known = [any(row) for row in zip(*stored.values(), strict=True)]
    points: list[_Point] = []
    unreadable = repeated = 0
    for index, (_, ts, ticker, source, is_repeated, *_) in enumerate(found):
        stamp_ns = stamp_of(ts)
        if is_repeated:
            repeated += 1
        elif stamp_ns is None or not (_is_name(ticker) and _is_name(source) and known[index]):
            unreadable += 1
        else:
            fields = {name: column[index] for name, column in columns.items()}
            points.append(_Point(stamp_ns, source, ticker, fields))
    entries = tuple(
        _entry(stamp_ns, source, list(group))
        for (stamp_ns, source), group in groupby(points, lambda point: point[:2])
    )
    last = Place(found[-1][0], str(found[-1][1]), str(found[-1][2]))
    return Chunk(entries, last, len(found), unreadable, bad_values, repeated)


class _Point(NamedTuple):
    stamp_ns: int
    source: str
    ticker: str
    fields: Mapping[str, str]


def _entry(stamp_ns: int, source: str, points: Sequence[_Point]) -> Entry:
    lines = [
        encode_point(
            schema.SNAPSHOT, {"source": source, "ticker": point.ticker}, point.fields, stamp_ns
        )
        for point in points
    ]
    # Under a name of its own, as settlements are: the stamp is no slot that the source took.
    return Entry(f"{source}{IMPORT_SUFFIX}", stamp_ns, "".join(lines).encode(), len(lines))


def _completed(
    stored: Mapping[str, Sequence[str]], sources: Sequence[str]
) -> dict[str, Sequence[str]]:
    """What the rows say, and what follows from it; where both are there, what they say.

    The stamp is the time of receipt (the collector's `quote_age_ms` is `ts` less
    `quotes_updated_at`), so `lag_ms` is 0. Variational publishes funding per year, and USD.
    """
    columns = derive.complete(stored)
    for name, column in stored.items():
        columns[name] = derive.first_known(column, columns[name])
    columns["lag_ms"] = ["0"] * len(sources)
    if "quote_age_ms" in stored:
        columns["quote_age_ms"] = ["0" if x.startswith("-") else x for x in stored["quote_age_ms"]]
    own: dict[str, Sequence[str] | None] = {
        "funding_apr": stored.get("funding_rate"),
        "volume_24h_usd": stored.get("volume_24h"),
    }
    if "long_oi" in stored and "short_oi" in stored:
        own["oi_usd"] = derive.added(stored["long_oi"], stored["short_oi"])
    for name, texts in own.items():
        if texts is not None:
            pairs = zip(texts, sources, strict=True)
            columns[name] = [text if source == SOURCE else "" for text, source in pairs]
    return columns


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_tag(value)


def stamp_of(ts: object) -> int | None:
    """A naive time in UTC (or one that names its zone), ns since the epoch; None = it is none."""
    if not isinstance(ts, str):
        return None
    naive_ns = parse_rfc3339_ns(f"{ts}Z")
    return parse_rfc3339_ns(ts) if naive_ns is None else naive_ns


def number_text(value: object) -> str | None:
    """What SQLite gave, as plain decimal text; "" = NULL or empty; None = it is no number."""
    if value is None:
        return ""
    if isinstance(value, int | float | str):
        # A float's repr is the shortest decimal that reads back as the same float.
        return derive.plain_number(str(value).strip())
    return None
