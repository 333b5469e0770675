"""The journal's bounds in bytes and age: which of the oldest records have to go."""

from __future__ import annotations

import sqlite3
from typing import Final

from agent.journal.records import Evicted
from agent.journal.spans import within, without
from agent.journal.tables import count, put_spans, sink_names, spans_of, sum_of

RECORDS_MAX: Final = 512
"""Records removed in one transaction."""

_OLDEST: Final = "SELECT seq, length(fragment) FROM record WHERE seq < ? ORDER BY seq LIMIT ?"
_EXPIRED: Final = "SELECT seq FROM record WHERE appended_ns < ? ORDER BY appended_ns DESC LIMIT 1"


def bytes_over(connection: sqlite3.Connection, bytes_max: int) -> int:
    """How many bytes too much the file's used pages hold; 0 or less when they fit."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free_pages) * page_bytes - bytes_max)


def last_to_go(
    connection: sqlite3.Connection, *, over_bytes: int, taken_before_ns: int = 0, keep_from: int
) -> int | None:
    """The last seq of the oldest records that have to go in the next transaction, or None.

    A record is at least as old as any taken after it. So when the clock stepped back, one "from
    the future" goes with the first expired one behind it and does not stand in the way for ever.
    Nothing from `keep_from` on goes.
    """
    oldest = connection.execute(_OLDEST, (keep_from, RECORDS_MAX)).fetchall()
    (expired_seq,) = connection.execute(_EXPIRED, (taken_before_ns,)).fetchone() or (0,)
    last = None
    for seq, size in oldest:
        if over_bytes <= 0 and seq > expired_seq:
            break
        over_bytes -= size
        last = seq
    return last


def unshipped_from(connection: sqlite3.Connection) -> int:
    """The first seq that a sink has still to get, or may get: all before it is shipped."""
    return int(connection.execute("SELECT min(first_seq) FROM span").fetchone()[0])


def evict(connection: sqlite3.Connection, last: int) -> Evicted:
    """Remove every record up to `last`; what a sink had still to get of them is counted."""
    unsent_points = 0
    for sink in sink_names(connection):
        spans = spans_of(connection, sink)
        lost = sum_of(connection, within(spans, last)).points
        count(connection, sink, evicted=lost)
        put_spans(connection, sink, spans, without(spans, [(0, last)]))
        unsent_points += lost
    records = connection.execute("DELETE FROM record WHERE seq <= ?", (last,)).rowcount
    return Evicted(records, unsent_points)
