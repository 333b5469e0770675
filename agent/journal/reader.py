"""The local history: reads a journal, also while a running agent holds it. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.journal import rows
from agent.journal.database import explain, garbled_is_corrupt
from agent.journal.fragment import decompress
from agent.journal.records import FUNDING_SUFFIX, IMPORT_SUFFIX, Record
from agent.journal.view import View

PAGE_RECORDS: Final = 32
"""Records of one read; between reads the agent may fold its log into the file."""
_OPERATION: Final = "read journal"
_FIRST_NS: Final = -(2**63)
_LAST_NS: Final = 2**63 - 1

_SLOTS: Final = "slot_ns >= :since AND slot_ns < :until"
_EXTENT: Final = f"SELECT min(seq), max(seq) FROM record WHERE {_SLOTS}"  # noqa: S608  # constants
_PAGE: Final = (
    f"{rows.READ} WHERE seq BETWEEN :first AND :last AND +slot_ns >= :since AND +slot_ns < :until"
    " AND (:source IS NULL OR source IN"
    f" (:source, :source || '{FUNDING_SUFFIX}', :source || '{IMPORT_SUFFIX}'))"
    " ORDER BY seq LIMIT :limit"
)
"""The plus signs keep SQLite from the index on slots, which would sort each page anew."""

LOOK_MAX: Final = 64
"""Records of a step that are looked at for a slot which all sources have."""
_STEP: Final = (
    "SELECT slot_ns, source, seq FROM record"
    " WHERE slot_ns >= :since AND slot_ns < :until AND points > 0"
    " AND (:source IS NULL OR source = :source) ORDER BY slot_ns, seq LIMIT :limit"
)
_NEWEST: Final = (
    "SELECT seq FROM record WHERE source = :source AND slot_ns >= :since AND points > 0"
    " ORDER BY slot_ns DESC, seq DESC LIMIT 1"
)
_ONE: Final = f"{rows.READ} WHERE seq = :seq"


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


class History(View):
    """A journal's records, for one thread at a time. A context manager.

    Attributes:
        damaged: how many damaged records were passed over so far.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _OPERATION)
        self.damaged = 0

    def extent(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> tuple[int, int] | None:
        """The first and last seq of records with since_ns <= slot_ns < until_ns; None = none."""
        ((first, last),) = self._read(_EXTENT, _bounds(since_ns, until_ns, None))
        return None if first is None else (first, last)

    def crc32_of(self, seq: int) -> int | None:
        """The CRC-32 of a record's lines; None = there is no such record, or it is damaged."""
        found = [rows.unpack(row) for row in self._read(_ONE, {"seq": seq})]
        return found[0][0].crc32 if found and found[0] else None

    def records(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        source: str | None = None,
        *,
        seqs: tuple[int, int] | None = None,
    ) -> Iterator[HistoryRecord]:
        """The records with since_ns <= slot_ns < until_ns, in the order of seq, read back.

        Args:
            since_ns: first slot, ns since the epoch; None = from the beginning.
            until_ns: the slot to stop before; None = up to the newest at the time of the call.
            source: only this source's; None = all.
            seqs: only from this seq to that one, both included; None = all.

        Raises:
            JournalError: the journal cannot be read.
        """
        for record, _ in self.as_they_lie(since_ns, until_ns, source, seqs=seqs):
            yield _read_back(record)

    def thinned(
        self, since_ns: int, until_ns: int, step_ns: int, sources: Collection[str]
    ) -> Iterator[list[HistoryRecord]]:
        """For each step of time the first record with points of each source, read back.

        Where several sources have a slot in common it is that slot, so that they can be compared.
        Costs by the number of steps, not by what lies between.

        Args:
            since_ns: first slot, ns since the epoch.
            until_ns: the slot to stop before.
            step_ns: length of a step, ns, above 0; steps begin at its multiples.
            sources: these.

        Raises:
            JournalError: the journal cannot be read.
        """
        for begin_ns in range(since_ns // step_ns * step_ns, until_ns, step_ns):
            bounds = max(begin_ns, since_ns), min(begin_ns + step_ns, until_ns)
            yield self._these(self._first_of_step(*bounds, sources))

    def newest(self, source: str, since_ns: int) -> HistoryRecord | None:
        """The source's newest record with points, if its slot is since_ns or later (ns), read back.

        Raises:
            JournalError: the journal cannot be read.
        """
        found = self._read(_NEWEST, {"source": source, "since": since_ns})
        return next(iter(self._these([seq for (seq,) in found])), None)

    def _these(self, seqs: Iterable[int]) -> list[HistoryRecord]:
        found = [row for seq in seqs for row in self._read(_ONE, {"seq": seq})]
        records = [unpacked[0] for row in found if (unpacked := rows.unpack(row))]
        self.damaged += len(found) - len(records)
        return [_read_back(record) for record in records]

    def _first_of_step(self, since_ns: int, until_ns: int, sources: Collection[str]) -> list[int]:
        bounds: dict[str, int | str | None] = {
            "since": since_ns,
            "until": until_ns,
            "source": None,
            "limit": LOOK_MAX,
        }
        slots: dict[int, dict[str, int]] = {}
        first: dict[str, int] = {}
        for slot_ns, source, seq in self._read(_STEP, bounds):
            if source in sources:
                slots.setdefault(slot_ns, {})[source] = seq
                first.setdefault(source, seq)
        best = max(slots.values(), key=len, default={})
        for source in set(sources) - first.keys():
            alone = {**bounds, "source": source, "limit": 1}
            for _, _, seq in self._read(_STEP, alone):
                first[source] = seq
        return sorted({**first, **best}.values())

    def as_they_lie(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        source: str | None = None,
        *,
        seqs: tuple[int, int] | None = None,
    ) -> Iterator[tuple[Record, int]]:
        """The same records compressed, each with its number of lines."""
        bounds = _bounds(since_ns, until_ns, source)
        bounds["first"], bounds["last"] = seqs or self.extent(since_ns, until_ns) or (0, -1)
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


def _bounds(
    since_ns: int | None, until_ns: int | None, source: str | None
) -> dict[str, int | str | None]:
    return {
        "since": _FIRST_NS if since_ns is None else since_ns,
        "until": _LAST_NS if until_ns is None else until_ns,
        "source": source,
        "limit": PAGE_RECORDS,
    }


def _read_back(record: Record) -> HistoryRecord:
    lines = decompress(record.fragment, record.crc32, record.size).decode()
    return HistoryRecord(
        record.seq, record.source, record.slot_ns, record.appended_ns, record.points, lines
    )
