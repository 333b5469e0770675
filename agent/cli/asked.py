"""What an export is asked for: which points, which of their fields, in which format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from agent.cli.progress import Progress
from agent.formats import WRITERS, Sheet, as_csv
from agent.journal import History, HistoryRecord
from agent.line_protocol import escape_tag, with_fields


@dataclass(frozen=True)
class Asked:
    """What is wanted; instants in ns, None = no bound or all."""

    format: str
    since_ns: int | None
    until_ns: int | None
    source: str | None
    ticker: str | None
    measurements: tuple[str, ...]
    fields: tuple[str, ...] | None

    @cached_property
    def sheet(self) -> Sheet:
        """The columns, for formats that have some."""
        return Sheet.of(self.measurements, self.fields)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {key: list(x) if isinstance(x, tuple) else x for key, x in asdict(self).items()}

    def records(
        self, history: History, seqs: tuple[int, int], progress: Progress
    ) -> Iterator[HistoryRecord]:
        """The records of these seqs that may hold some."""
        done = seqs[0] - 1
        for record in history.records(self.since_ns, self.until_ns, self.source, seqs=seqs):
            yield record
            progress.add(record.seq - done)
            done = record.seq

    def lines(self, record: HistoryRecord) -> Iterator[str]:
        """The lines of a record that are wanted, with the wanted fields."""
        ticker = f",ticker={escape_tag(self.ticker)} " if self.ticker else ""
        begins = tuple(f"{name}," for name in self.measurements)
        for line in record.lines.splitlines():
            if ticker not in line or not line.startswith(begins):
                continue
            kept = line if self.fields is None else with_fields(line, self.fields)
            if kept is not None:
                yield kept

    def pieces(self, lines: Iterator[str], *, is_first: bool) -> Iterator[str]:
        """Output of a text format; the first time with its header."""
        if self.format == "csv":
            return as_csv(lines, self.sheet, with_header=is_first)
        return WRITERS[self.format](lines)
