"""The local history: reads a journal, also while a running agent holds it. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from agent.errors import JournalError
from agent.journal import rows
from agent.journal.database import connect, explain, garbled_is_corrupt
from agent.journal.fragment import decompress
from agent.journal.records import FUNDING_SUFFIX, Record

PAGE_RECORDS: Final = 32
"""Records of one read; between reads the agent may fold its log into the file."""
_OPERATION: Final = "read journal"
_FIRST_NS: Final = -(2**63)
_LAST_NS: Final = 2**63 - 1

_SLOTS: Final = "slot_ns >= :since AND slot_ns < :until"
_EXTENT: Final = f"SELECT min(seq), max(seq) FROM record WHERE {_SLOTS}"  # noqa: S608  # constants
_PAGE: Final = (
    f"{rows.READ} WHERE seq BETWEEN :first AND :last AND +slot_ns >= :since AND +slot_ns < :until"
    f" AND (:source IS NULL OR source IN (:source, :source || '{FUNDING_SUFFIX}'))"
    " ORDER BY seq LIMIT :limit"
)
"""The plus signs keep SQLite from the index on slots, which would sort each page anew."""


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    r"""One record, read back.

    Args:
        seq: its number, rising.
        source: who made it.
        slot_ns: the stamp of its lines, ns since the epoch.
        appended_ns: wall clock when it was taken.
        points: lines that count in the ledger.
        lines: line protocol, every line ended by "\n".
    """

    seq: int
    source: str
    slot_ns: int
    appended_ns: int
    points: int
    lines: str


class History:
    """A journal's records, for one thread at a time. A context manager.

    Attributes:
        damaged: how many damaged records were passed over so far.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self._path = path
        if not path.exists():
            raise JournalError(_OPERATION, f"{path} does not exist", "start `perpflux run` first")
        try:
            self._connection = connect(path, read_only=True)
        except sqlite3.Error as error:
            raise explain(error, _OPERATION, path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def records(
        self, since_ns: int | None = None, until_ns: int | None = None, source: str | None = None
    ) -> Iterator[HistoryRecord]:
        """The records with since_ns <= slot_ns < until_ns, in the order of seq, read back.

        Args:
            since_ns: first slot, ns since the epoch; None = from the beginning.
            until_ns: the slot to stop before; None = up to the newest at the time of the call.
            source: only this source's; None = all.

        Raises:
            JournalError: the journal cannot be read.
        """
        for record, _ in self.as_they_lie(since_ns, until_ns, source):
            lines = decompress(record.fragment, record.crc32, record.size).decode()
            yield HistoryRecord(
                record.seq, record.source, record.slot_ns, record.appended_ns, record.points, lines
            )

    def as_they_lie(
        self, since_ns: int | None = None, until_ns: int | None = None, source: str | None = None
    ) -> Iterator[tuple[Record, int]]:
        """The same records compressed, each with its number of lines."""
        bounds: dict[str, int | str | None] = {
            "since": _FIRST_NS if since_ns is None else since_ns,
            "until": _LAST_NS if until_ns is None else until_ns,
            "source": source,
            "limit": PAGE_RECORDS,
        }
        ((bounds["first"], bounds["last"]),) = self._read(_EXTENT, bounds)
        while page := self._read(_PAGE, bounds):
            for row in page:
                if (unpacked := rows.unpack(row)) is None:
                    self.damaged += 1
                else:
                    yield unpacked
            bounds["first"] = page[-1][0] + 1

    def _read(self, query: str, bounds: dict[str, int | str | None]) -> list[tuple[Any, ...]]:
        try:
            with garbled_is_corrupt():
                return self._connection.execute(query, bounds).fetchall()
        except sqlite3.Error as error:
            raise explain(error, _OPERATION, self._path) from error
