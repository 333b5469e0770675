"""The statements that several operations share: appending, totals, spans, counters.

A span's content is told from the running totals of its first and last record; no query here
walks over records, so a backlog of millions costs what an empty one costs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.journal import rows
from agent.journal.records import Entry, Ledger
from agent.journal.refusals import FORGOTTEN
from agent.journal.spans import Span

_HEAD: Final = "SELECT seq, points_total, bytes_total FROM record ORDER BY seq DESC LIMIT 1"
_FIRST: Final = (
    "SELECT seq, points_total - points, bytes_total - length(fragment), appended_ns"
    " FROM record WHERE seq >= ? ORDER BY seq LIMIT 1"
)
_LAST: Final = (
    "SELECT seq, points_total, bytes_total FROM record WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Sum:
    """What some spans hold: counted points, compressed bytes, when the oldest was taken."""

    points: int = 0
    bytes: int = 0
    oldest_ns: int | None = None


def head(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """The seq, points_total and bytes_total of the newest record; zeros when there is none."""
    seq, points_total, bytes_total = connection.execute(_HEAD).fetchone() or (0, 0, 0)
    return seq, points_total, bytes_total


def append(
    connection: sqlite3.Connection,
    entries: Sequence[Entry],
    *,
    now_ns: int,
    after_seq: int = 0,
    claim: Callable[[int], None],
) -> int:
    """Add a record per entry, numbered after the newest; inside the caller's transaction.

    Args:
        connection: of the transaction.
        entries: in their order.
        now_ns: wall clock, when they are taken.
        after_seq: their numbers are above this one too.
        claim: is told the bytes of their fragments before anything is written; may raise.

    Returns:
        The seq of the last one.
    """
    head_seq, points_total, bytes_total = head(connection)
    first_seq = max(head_seq, after_seq) + 1
    packed = [rows.pack(entry, seq, now_ns) for seq, entry in enumerate(entries, first_seq)]
    claim(sum(len(row[-1]) for row in packed))
    for row, entry in zip(packed, entries, strict=True):
        points_total += entry.points
        bytes_total += len(row[-1])
        connection.execute(rows.INSERT, (*row, points_total, bytes_total))
    return first_seq + len(entries) - 1


def oldest(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """The seq of the oldest record and the points before it; None when there is none."""
    row = connection.execute(_FIRST, (0,)).fetchone()
    return None if row is None else (row[0], row[1])


def sum_of(connection: sqlite3.Connection, spans: Iterable[Span]) -> Sum:
    """What the records in these spans come to."""
    points = size = 0
    oldest_ns: int | None = None
    for first, last in spans:
        first_row = connection.execute(_FIRST, (first,)).fetchone()
        last_row = connection.execute(_LAST, (last,)).fetchone()
        if first_row is None or last_row is None or first_row[0] > last_row[0]:
            continue  # no record in it (yet)
        points += last_row[1] - first_row[1]
        size += last_row[2] - first_row[2]
        oldest_ns = first_row[3] if oldest_ns is None else oldest_ns
    return Sum(points, size, oldest_ns)


def sink_names(connection: sqlite3.Connection) -> list[str]:
    """The names of all sinks, sorted."""
    return [name for (name,) in connection.execute("SELECT name FROM sink ORDER BY name")]


def forget_sink(connection: sqlite3.Connection, sink: str) -> None:
    """Remove a sink with its spans, counters, rejected lines and what is remembered of it."""
    for table, column in (("sink", "name"), ("span", "sink"), ("rejected", "sink")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (sink,))  # noqa: S608  # constants
    connection.execute("DELETE FROM state WHERE key = ?", (FORGOTTEN + sink,))


def spans_of(connection: sqlite3.Connection, sink: str) -> list[Span]:
    """What the sink has still to get."""
    return connection.execute(
        "SELECT first_seq, last_seq FROM span WHERE sink = ? ORDER BY first_seq", (sink,)
    ).fetchall()


def ledger_of(connection: sqlite3.Connection, sink: str) -> Ledger:
    """Where every counted point of a sink is; the sink exists."""
    pending = sum_of(connection, spans_of(connection, sink)).points
    born_total, stored, rejected, evicted = connection.execute(
        "SELECT born_total, stored, rejected, evicted FROM sink WHERE name = ?", (sink,)
    ).fetchone()
    collected = head(connection)[1] - born_total
    return Ledger(collected, stored, rejected, evicted, pending)


def put_spans(
    connection: sqlite3.Connection, sink: str, old: Sequence[Span], new: Sequence[Span]
) -> None:
    """Write what changed from `old` to `new`."""
    connection.executemany(
        "DELETE FROM span WHERE sink = ? AND first_seq = ?",
        [(sink, first) for first, last in old if (first, last) not in new],
    )
    connection.executemany(
        "INSERT INTO span (sink, first_seq, last_seq) VALUES (?, ?, ?)",
        [(sink, *span) for span in new if span not in old],
    )


def count(
    connection: sqlite3.Connection,
    sink: str,
    *,
    stored: int = 0,
    rejected: int = 0,
    evicted: int = 0,
) -> None:
    """Add to the sink's counters."""
    connection.execute(
        "UPDATE sink SET stored = stored + ?, rejected = rejected + ?, evicted = evicted + ?"
        " WHERE name = ?",
        (stored, rejected, evicted, sink),
    )
