"""A record as a row of the table `record`, and back; its checksum is wrong when anything in it is.

The checksum covers the numbers as well as the fragment: a wrong `size` or `crc32` would spoil the
whole body the fragment is joined into, not only its own lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agent.journal.fragment import compress, crc32
from agent.journal.records import Entry, Record

_STORED: Final = "seq, source, slot_ns, appended_ns, points, lines, size, crc32"
READ: Final = f"SELECT {_STORED}, damaged, checksum, fragment FROM record"  # noqa: S608  # constants
"""Reads what `unpack` takes."""
INSERT: Final = (
    f"INSERT INTO record ({_STORED}, damaged, checksum, fragment, points_total, bytes_total)"  # noqa: S608  # constants
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)"
)
"""Takes what `pack` gives, then points_total and bytes_total."""


def pack(entry: Entry, seq: int, appended_ns: int) -> tuple[Any, ...]:
    """The row of an entry, its lines compressed; the fragment comes last."""
    # `count` looks at every byte; `replace` finds the newlines in a tenth of the time.
    lines = len(entry.lines) - len(entry.lines.replace(b"\n", b""))
    assert entry.lines.endswith(b"\n"), "an entry's lines end with a newline"
    assert 0 <= entry.points <= lines, "an entry has no more points than lines"
    fragment = compress(entry.lines)
    head = (
        seq,
        entry.source,
        entry.slot_ns,
        appended_ns,
        entry.points,
        lines,
        len(entry.lines),
        crc32(entry.lines),
    )
    return (*head, _checksum(head, fragment), fragment)


def unpack(row: Sequence[Any]) -> tuple[Record, int] | None:
    """The record of a row that `READ` gave and how many lines it has; None when it is damaged."""
    *head, damaged, checksum, fragment = row
    if damaged or not isinstance(fragment, bytes) or _checksum(head, fragment) != checksum:
        return None
    seq, source, slot_ns, appended_ns, points, lines, size, lines_crc32 = head
    record = Record(seq, source, slot_ns, appended_ns, points, size, lines_crc32, fragment)
    return record, lines


def _checksum(head: Sequence[Any], fragment: bytes) -> int:
    return crc32(repr(tuple(head)).encode("utf-8", "replace") + fragment)
