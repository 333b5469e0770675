"""What goes into the journal and what comes out: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FUNDING_SUFFIX = "/funding"
IMPORT_SUFFIX = "/import"
"""Behind a source's name in the entries of settlements, and of an earlier collector's rows: their
stamps are no slots that the source took."""

Lane = Literal["newest", "oldest"]
"""Which end of the backlog a batch is taken from."""


def venue_of(source: str) -> str:
    """The `source` tag of an entry's lines."""
    return source.removesuffix(FUNDING_SUFFIX).removesuffix(IMPORT_SUFFIX)


@dataclass(frozen=True, slots=True)
class Entry:
    r"""What one poll hands over: becomes one record.

    Args:
        source: who made it ("bybit", "variational", "agent", "bybit/funding",
            "variational/import").
        slot_ns: the one stamp that all its lines share, ns since the epoch.
        lines: line protocol, UTF-8, every line ended by "\n"; not empty.
        points: how many of the lines count in the ledger.
    """

    source: str
    slot_ns: int
    lines: bytes
    points: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it lies in the journal.

    Args:
        seq: its number, rising by append; gaps are possible.
        source: who made it.
        slot_ns: the stamp of its lines.
        appended_ns: wall clock when it was taken.
        points: lines that count in the ledger.
        size: bytes of its lines, uncompressed.
        crc32: CRC-32 of the uncompressed lines.
        fragment: raw deflate of the lines, ended by a sync flush (see `fragment`).
    """

    seq: int
    source: str
    slot_ns: int
    appended_ns: int
    points: int
    size: int
    crc32: int
    fragment: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that a sink refused for good, or that could not be read back.

    Args:
        line: the line without its newline; "" = the whole record (it is damaged, or was not sent
            because it is older than the sink's retention).
        reason: the sink's words, shortened.
        points: how many ledger points it stands for: 1, 0 for an uncounted line, more only for a
            whole record.
        seq: the record it came from.
    """

    line: str
    reason: str
    points: int
    seq: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected line as it is kept for the operator.

    Args:
        id: its number, rising; unique over all sinks.
        at_ns: wall clock when it was rejected, ns since the epoch.
        rejected: the line, the reason, the points, the record.
    """

    id: int
    at_ns: int
    rejected: Rejected


@dataclass(frozen=True, slots=True)
class Evicted:
    """What the bounds removed.

    Args:
        records: how many records.
        unsent_points: counted points among them that a sink still had to get, summed over sinks.
    """

    records: int
    unsent_points: int

    def __add__(self, other: Evicted) -> Evicted:
        return Evicted(self.records + other.records, self.unsent_points + other.unsent_points)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where every counted point of a sink is. Law: collected = the sum of the other four."""

    collected: int
    stored: int
    rejected: int
    evicted: int
    pending: int

    @property
    def holds(self) -> bool:
        """Whether the law of conservation holds."""
        return self.collected == self.stored + self.rejected + self.evicted + self.pending


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a sink.

    Args:
        points: counted points.
        bytes: size of their records, compressed.
        oldest_ns: when the oldest of them was taken; None when nothing waits.
    """

    points: int
    bytes: int
    oldest_ns: int | None
