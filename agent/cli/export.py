"""`perpflux export`: points from the journal, also while an agent runs on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from agent import schema
from agent.cli.output import complain, emit, is_terminal
from agent.cli.progress import Progress
from agent.cli.stores import instant
from agent.config import load
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError
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


def command(options: argparse.Namespace) -> int:
    """Print or write the points; 1 when records of the journal are damaged."""
    asked = _asked(options)
    if options.resume and options.output is None:
        raise UsageError("export", "--resume is for a file", "name it with --output")
    if asked.format == "parquet" and options.output is None:
        raise UsageError("export", "parquet goes into a file", "name it with --output")
    loaded = load(options.config)
    with History(Path(loaded.config.journal.path)) as history:
        if options.output is None:
            _print(history, asked)
        else:
            from agent.cli.export_file import write_file  # noqa: PLC0415  # not for printing

            write_file(
                history, asked, options.output, str(loaded.config.journal.path), options.resume
            )
        if history.damaged:
            complain(f"perpflux: {history.damaged} damaged records of the journal were left out")
        return EXIT_FAILED if history.damaged else EXIT_OK


def _print(history: History, asked: Asked) -> None:
    seqs = history.extent(asked.since_ns, asked.until_ns) or (1, 0)
    width = None if is_terminal() else Progress.terminal_width()
    with Progress("export", seqs[1] - seqs[0] + 1, width=width) as progress:
        for piece in asked.pieces(iter(()), is_first=True):
            emit(piece)
        for record in asked.records(history, seqs, progress):
            for piece in asked.pieces(asked.lines(record), is_first=False):
                emit(piece)


def _asked(options: argparse.Namespace) -> Asked:
    """Raises UsageError."""
    if options.measurement not in {None, *schema.MEASUREMENTS}:
        known = ", ".join(schema.MEASUREMENTS)
        raise UsageError("export", f"no measurement {options.measurement!r}", f"one of {known}")
    measurements = (options.measurement,) if options.measurement else tuple(schema.MEASUREMENTS)
    fields = None
    if options.fields is not None:
        fields = tuple(dict.fromkeys(name.strip() for name in options.fields.split(",")))
        measurements = _having(measurements, fields)
    ending = options.output.suffix.removeprefix(".") if options.output else ""
    by_name = ending if ending in {*WRITERS, "parquet"} - {"table"} else "jsonl"
    return Asked(
        options.format or by_name,
        instant("export", options.since),
        instant("export", options.until),
        options.source,
        options.ticker,
        measurements,
        fields,
    )


def _having(measurements: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...]:
    """Those measurements that have some of these fields. Raises UsageError."""
    known = {name: set(schema.MEASUREMENTS[name].field_names) for name in measurements}
    every = sorted(set[str]().union(*known.values()))
    for field in fields:
        if field not in every:
            near = get_close_matches(field, every, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(every)}"
            raise UsageError("export", f"no field {field!r}", hint)
    return tuple(name for name in measurements if known[name] & set(fields))
