"""What the journal refused, kept in memory for a while: it goes first when it takes writes again.

No way around the journal: nothing is shipped from here, and nothing here counts as collected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from agent.journal.records import Entry

ENTRIES_MAX: Final = 1000
BYTES_MAX: Final = 16 * 2**20
"""Of lines; beyond either bound the oldest goes, and is counted."""
CHUNK_ENTRIES: Final = 64
"""Appended in one transaction."""


class Hold:
    """A bounded row of entries.

    Attributes:
        points: counted points in it.
        lost_polls: entries that had to go, since the process began.
        lost_points: their counted points.
    """

    def __init__(self) -> None:
        self.points = self.lost_polls = self.lost_points = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, entries: Sequence[Entry]) -> None:
        """Add these; the oldest go beyond the bounds."""
        for entry in entries:
            self._entries.append(entry)
            self.points += entry.points
            self._bytes += len(entry.lines)
        while len(self._entries) > ENTRIES_MAX or self._bytes > BYTES_MAX:
            lost = self._drop()
            self.lost_polls += 1
            self.lost_points += lost.points

    def first(self) -> list[Entry]:
        """The oldest ones, as many as go in one transaction; [] = there are none."""
        return [self._entries[i] for i in range(min(CHUNK_ENTRIES, len(self._entries)))]

    def taken(self, number: int) -> None:
        """The journal has the first so many."""
        for _ in range(number):
            self._drop()

    def _drop(self) -> Entry:
        entry = self._entries.popleft()
        self.points -= entry.points
        self._bytes -= len(entry.lines)
        return entry
