"""How many points a sink should have of a time: what the journal holds and the sink acknowledged.

Points are told apart as InfluxDB does it: by measurement, tags and stamp; so a slot that was taken
twice counts once. What still waits, what was rejected and what is damaged is left out.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from agent import schema
from agent.journal import refusals, rows
from agent.journal.database import connect, explain, garbled_is_corrupt
from agent.journal.fragment import decompress
from agent.journal.records import Record, venue_of
from agent.journal.spans import holds
from agent.journal.tables import spans_of

PAGE_RECORDS: Final = 64
"""Records of one read; between reads the agent may fold its log into the file."""
_COUNTED: Final = [name for name, each in schema.MEASUREMENTS.items() if each.counted]
_HEAD: Final = re.compile(rb"(?:[^ \\\n]|\\.)+")
"""Measurement and tags of a line, up to the first blank that is none of theirs."""
_MEASUREMENT: Final = re.compile(rb"[^, ]+")
_PAGE: Final = (
    f"{rows.READ} WHERE (slot_ns, seq) > (?, ?) AND slot_ns < ? ORDER BY slot_ns, seq LIMIT ?"
)


class Cell(NamedTuple):
    """Where points are counted: a source's measurement in a window (its start, ns)."""

    measurement: str
    source: str
    window_ns: int


@dataclass(slots=True)
class Census:
    """Points that a sink should have.

    Attributes:
        points: by cell; only such as have some.
        unsure: (source, window) where fewer may be right: of its rejected lines some are forgotten.
    """

    points: Counter[Cell] = field(default_factory=Counter)
    unsure: set[tuple[str, int]] = field(default_factory=set)


_TAKEN: Final = "FROM record WHERE instr(source, '/') = 0"
"""Records of slots that a source took; see `agent.journal.records.venue_of`."""


def extent(path: Path) -> tuple[int, int] | None:
    """The first and the last slot that a source took, ns; None = there is none.

    Settlements and imported rows are older than the journal: they do not count.

    Raises:
        JournalError: the journal cannot be read.
    """
    try:
        with garbled_is_corrupt(), closing(connect(path, read_only=True)) as connection:
            first_ns, last_ns = connection.execute(
                f"SELECT (SELECT min(slot_ns) {_TAKEN}), (SELECT max(slot_ns) {_TAKEN})"
            ).fetchone()
    except sqlite3.Error as error:
        raise explain(error, "count journal", path) from error
    return None if first_ns is None else (first_ns, last_ns)


def census(path: Path, sink: str, since_ns: int, until_ns: int, window_ns: int) -> Census:
    """Count the points with since_ns <= slot < until_ns, by source, measurement and window.

    Raises:
        JournalError: the journal cannot be read.
    """
    try:
        with garbled_is_corrupt(), closing(connect(path, read_only=True)) as connection:
            return _Counter(connection, sink, window_ns).count(since_ns, until_ns)
    except sqlite3.Error as error:
        raise explain(error, "count journal", path) from error


class _Counter:
    def __init__(self, connection: sqlite3.Connection, sink: str, window_ns: int) -> None:
        self._connection = connection
        self._window_ns = window_ns
        self._spans = spans_of(connection, sink)
        self._forgotten_seq = refusals.forgotten_seq(connection, sink)
        self._refused: dict[int, list[int]] = defaultdict(list)
        """Ids of rejected lines by record."""
        found = connection.execute("SELECT seq, id FROM rejected WHERE sink = ?", (sink,))
        for seq, number in found:
            self._refused[seq].append(number)

    def count(self, since_ns: int, until_ns: int) -> Census:
        result = Census()
        records = self._records(since_ns, until_ns)
        for slot_ns, of_slot in groupby(records, lambda record: record.slot_ns):
            window_ns = slot_ns // self._window_ns * self._window_ns
            by_source: dict[str, list[Record]] = defaultdict(list)
            for record in of_slot:
                by_source[record.source].append(record)
                if record.seq <= self._forgotten_seq:
                    result.unsure.add((venue_of(record.source), window_ns))
            for source, of_source in by_source.items():
                for measurement, points in self._points(of_source).items():
                    result.points[Cell(measurement, venue_of(source), window_ns)] += points
        return result

    def _records(self, since_ns: int, until_ns: int) -> Iterator[Record]:
        """Whole records that do not wait, by slot."""
        after = (since_ns - 1, 2**63 - 1)
        while page := self._connection.execute(_PAGE, (*after, until_ns, PAGE_RECORDS)).fetchall():
            for row in page:
                unpacked = rows.unpack(row)
                if unpacked is not None and not holds(self._spans, unpacked[0].seq):
                    yield unpacked[0]
            after = (page[-1][2], page[-1][0])

    def _points(self, records: list[Record]) -> Counter[str]:
        """Different points in the records of one slot."""
        if len(records) == 1 and records[0].seq not in self._refused:
            data = b"\n" + _lines(records[0])
            return Counter({name: data.count(f"\n{name},".encode()) for name in _COUNTED})
        heads = set[bytes]()
        for record in records:
            refused = self._refused_heads(record.seq)
            if refused is not None:
                heads |= {*_heads(_lines(record))} - refused
        names = Counter(_MEASUREMENT.match(head)[0].decode() for head in heads)  # type: ignore[index]  # a head begins so
        return Counter({name: names[name] for name in _COUNTED})

    def _refused_heads(self, seq: int) -> set[bytes] | None:
        """What of a record was rejected; None = all of it."""
        heads = set[bytes]()
        for number in self._refused.get(seq, ()):
            row = self._connection.execute(
                "SELECT line FROM rejected WHERE id = ?", (number,)
            ).fetchone()
            if row is None:
                continue  # replayed meanwhile
            if not row[0]:
                return None
            heads.update(_heads(row[0].encode()))
        return heads


def _lines(record: Record) -> bytes:
    return decompress(record.fragment, record.crc32, record.size)


def _heads(data: bytes) -> Iterator[bytes]:
    return (match[0] for line in data.split(b"\n") if (match := _HEAD.match(line)))
