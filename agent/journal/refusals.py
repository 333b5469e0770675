"""Rejected lines kept for the operator, the newest so many a sink; the counters know them all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from agent.journal.records import Rejected, RejectedRow

ROWS_MAX: Final = 100_000
"""Rejected lines kept for a sink."""
TEXT_BYTES_MAX: Final = 64 * 2**20
"""Text of lines and reasons kept for a sink."""
SHARE_MAX: Final = 8
"""All sinks' rejected lines take at most the eighth part of the journal's `bytes_max`: else they
would push every record out of a small journal."""

FORGOTTEN: Final = "rejected_forgotten_seq:"
"""With the sink's name: a key of the table `state`."""
_NEWEST: Final = (
    "SELECT rows_total, bytes_total FROM rejected WHERE sink = ? ORDER BY id DESC LIMIT 1"
)
_INSERT: Final = (
    "INSERT INTO rejected (sink, seq, at_ns, line, reason, points, rows_total, bytes_total)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIRST_KEPT: Final = (
    "SELECT id FROM rejected WHERE sink = ? AND rows_total > ? AND bytes_total > ?"
    " ORDER BY id LIMIT 1"
)


def keep(
    connection: sqlite3.Connection,
    sink: str,
    lines: Sequence[Rejected],
    *,
    at_ns: int,
    text_bytes_max: int,
) -> None:
    """Add the lines. A row goes when those behind it fill a bound; the newest one stays.

    Running totals tell which ones; nothing is counted anew.
    """
    if not lines:
        return
    rows_total, bytes_total = connection.execute(_NEWEST, (sink,)).fetchone() or (0, 0)
    for line in lines:
        rows_total += 1
        bytes_total += len(line.line.encode()) + len(line.reason.encode())
        connection.execute(
            _INSERT,
            (sink, line.seq, at_ns, line.line, line.reason, line.points, rows_total, bytes_total),
        )
    floor = (rows_total - ROWS_MAX, bytes_total - text_bytes_max)
    (first_kept,) = connection.execute(_FIRST_KEPT, (sink, *floor)).fetchone()
    forget(connection, sink, first_kept)


def forget(connection: sqlite3.Connection, sink: str, first_kept: int) -> int:
    """Remove the rows with a smaller id; how many. Which records they were of is remembered."""
    (seq,) = connection.execute(
        "SELECT max(seq) FROM rejected WHERE sink = ? AND id < ?", (sink, first_kept)
    ).fetchone()
    if seq is None:
        return 0
    remember_forgotten(connection, sink, seq)
    return connection.execute(
        "DELETE FROM rejected WHERE sink = ? AND id < ?", (sink, first_kept)
    ).rowcount


def remember_forgotten(connection: sqlite3.Connection, sink: str, seq: int) -> None:
    """A rejected line of this record is known no longer."""
    connection.execute(
        "REPLACE INTO state (key, value) VALUES (?, ?)",
        (FORGOTTEN + sink, str(max(seq, forgotten_seq(connection, sink)))),
    )


def forgotten_seq(connection: sqlite3.Connection, sink: str) -> int:
    """Of the records up to this one, rejected lines may be known no longer; 0 = of none."""
    row = connection.execute(
        "SELECT value FROM state WHERE key = ?", (FORGOTTEN + sink,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def text_bytes_max(journal_bytes_max: int, sinks: int) -> int:
    """How much text each of so many sinks may keep in a journal of this size (bytes)."""
    return min(TEXT_BYTES_MAX, journal_bytes_max // (SHARE_MAX * sinks))


_COLUMNS: Final = "id, at_ns, line, reason, points, seq"


def read(
    connection: sqlite3.Connection, sink: str, limit: int, before_id: int | None
) -> list[RejectedRow]:
    """The newest `limit` rows of the sink with a smaller id than `before_id` (None: any)."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM rejected WHERE sink = ? AND id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608  # constants
        (sink, 2**63 - 1 if before_id is None else before_id, limit),
    )
    return [_row(*row) for row in rows]


def read_from(
    connection: sqlite3.Connection, sink: str, limit: int, after_id: int
) -> list[RejectedRow]:
    """The oldest `limit` rows of the sink with a larger id than `after_id`."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM rejected WHERE sink = ? AND id > ? ORDER BY id LIMIT ?",  # noqa: S608  # constants
        (sink, after_id, limit),
    )
    return [_row(*row) for row in rows]


def take(connection: sqlite3.Connection, sink: str, number: int) -> RejectedRow | None:
    """Remove the row of this id and give it; None = the sink has none."""
    row = connection.execute(
        f"DELETE FROM rejected WHERE sink = ? AND id = ? RETURNING {_COLUMNS}",  # noqa: S608  # constants
        (sink, number),
    ).fetchone()
    return None if row is None else _row(*row)


def _row(number: int, at_ns: int, line: str, reason: str, points: int, seq: int) -> RejectedRow:
    return RejectedRow(number, at_ns, Rejected(line, reason, points, seq))
