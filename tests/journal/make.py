"""What the journal's tests build: entries, stores, damage."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from agent.clock import Clock
from agent.journal.records import Entry, Record
from agent.journal.store import Store
from tests.support.clock import START_NS, FakeClock

AGE_MAX_S = 3600
BYTES_MAX = 2**30
SINK = "influxdb"


def entry(
    lines: int = 2,
    *,
    points: int | None = None,
    source: str = "bybit",
    slot_ns: int = START_NS,
    padding: int = 0,
) -> Entry:
    """An entry of so many lines, each with so many characters that hardly compress."""
    dice = random.Random(slot_ns + lines + padding)
    text = "".join(
        f"snapshot,source={source},ticker=T{n} mark_price={n}.5"
        f"{dice.randbytes(padding // 2).hex()} {slot_ns}\n"
        for n in range(lines)
    )
    return Entry(source, slot_ns, text.encode(), lines if points is None else points)


def store_at(
    path: Path,
    *,
    bytes_max: int = BYTES_MAX,
    age_max_s: int = AGE_MAX_S,
    clock: Clock | None = None,
) -> Store:
    """An open store."""
    return Store(path, bytes_max=bytes_max, age_max_s=age_max_s, clock=clock or FakeClock())


def seqs(records: list[Record]) -> list[int]:
    """Their numbers."""
    return [record.seq for record in records]


def damage(path: Path, seq: int) -> None:
    """Flip a bit of the record's fragment behind the journal's back."""
    with closing(sqlite3.connect(path)) as connection:
        (fragment,) = connection.execute(
            "SELECT fragment FROM record WHERE seq = ?", (seq,)
        ).fetchone()
        flipped = bytes([fragment[0] ^ 1]) + fragment[1:]
        connection.execute("UPDATE record SET fragment = ? WHERE seq = ?", (flipped, seq))
        connection.commit()
