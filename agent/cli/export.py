"""`perpflux export`: points from the journal, also while an agent runs on it."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path

from agent import schema
from agent.cli.asked import Asked
from agent.cli.output import complain, emit, is_terminal
from agent.cli.progress import Progress
from agent.cli.stores import instant
from agent.config import load
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError
from agent.formats import WRITERS
from agent.journal import History


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
