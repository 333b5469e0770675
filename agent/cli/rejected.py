"""`perpflux rejected`: points that a store refused, looked at, sent again or forgotten.

It works while the agent runs: `agent.journal.Desk` says how.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.cli.output import complain, emit, say
from agent.cli.stores import destination_of
from agent.clock import SYSTEM_CLOCK, to_rfc3339
from agent.config import Loaded, load
from agent.delivery import Destination
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError
from agent.formats import aligned, printable
from agent.journal import Desk, Record, Rejected, RejectedRow
from agent.journal.fragment import compress, crc32
from agent.resend import Numbered, Resender, in_batches

PAGE_ROWS: Final = 1_000
"""Rows read at a time."""
LINE_CHARS_SHOWN: Final = 100
REASONS_SHOWN_MAX: Final = 10
_COLUMNS: Final = ("id", "at", "points", "seq", "reason", "line")
_WHOLE: Final = "(the whole record)"


def command(options: argparse.Namespace) -> int:
    """One of list, show, replay and purge; 1 when something is not there or refused again."""
    loaded = load(options.config)
    journal = loaded.config.journal
    actions: dict[str, Callable[[Desk, argparse.Namespace, Loaded], int]] = {
        "list": _list,
        "show": _show,
        "replay": _replay,
        "purge": _purge,
    }
    with Desk(Path(journal.path), bytes_max=journal.bytes_max) as desk:
        return actions[options.action](desk, options, loaded)


def _list(desk: Desk, options: argparse.Namespace, _: Loaded) -> int:
    rows = _every(desk, options.sink) if not options.ids else _chosen(desk, options)
    if options.format == "table":
        cells = [_cells(row) for row in rows]
        for text in aligned([_COLUMNS, *cells]) if cells else ():
            emit(text)
        if not cells:
            say("nothing is rejected, or all of it was replayed or purged")
        return EXIT_OK
    if options.format == "csv":
        emit(_csv_row(_COLUMNS))
    for row in rows:
        document = _document(row)
        emit(
            _csv_row(document.values()) if options.format == "csv" else f"{json.dumps(document)}\n"
        )
    return EXIT_OK


def _show(desk: Desk, options: argparse.Namespace, _: Loaded) -> int:
    if not options.ids:
        raise UsageError("rejected show", "no ID is given", "perpflux rejected list shows them")
    rows = _chosen(desk, options)
    for row in rows:
        document = {**_document(row), "line": row.rejected.line or _WHOLE}
        for text in aligned([(key, str(value)) for key, value in document.items()]):
            emit(text)
        say()
    return EXIT_OK if len(rows) == len(set(options.ids)) else EXIT_FAILED


def _replay(desk: Desk, options: argparse.Namespace, loaded: Loaded) -> int:
    rows = _meant(desk, options)
    store = destination_of(loaded, options.sink)

    async def replay() -> tuple[int, list[str]]:
        try:
            return await replayed(desk, options.sink, rows, store)
        finally:
            await store.close()

    stored, reasons = asyncio.run(replay())
    say(f"{stored} points are stored now")
    for reason in reasons[:REASONS_SHOWN_MAX]:
        complain(f"perpflux: {printable(reason)}")
    if reasons:
        complain(f"perpflux: {len(reasons)} lines stay rejected")
    return EXIT_FAILED if reasons else EXIT_OK


def _purge(desk: Desk, options: argparse.Namespace, _: Loaded) -> int:
    _meant(desk, options)
    number = desk.purge(options.sink, None if options.all else options.ids)
    say(f"{number} rejected lines are forgotten; the ledger counts them as before")
    return EXIT_OK


async def replayed(
    desk: Desk, sink: str, rows: Iterator[RejectedRow] | Sequence[RejectedRow], store: Destination
) -> tuple[int, list[str]]:
    """Send rejected lines again and have the journal account for them.

    Returns:
        The points that are stored now, and why others are not.

    Raises:
        InfluxDBError: the store does not take them now; what went before is accounted for.
    """
    resender = Resender(store)
    stored = 0
    reasons: list[str] = []

    def to_send() -> Iterator[Numbered]:
        for row in rows:
            numbered = _record(desk, row)
            if numbered is None:
                gone = f"record {row.rejected.seq} is no longer in the journal, or damaged"
                reasons.append(f"{row.id}: {gone}")
            else:
                yield numbered

    for batch in in_batches(to_send()):
        outcome = await resender.send(batch)
        refused: Mapping[int, list[Rejected]] = defaultdict(list)
        for line in outcome.rejected:
            refused[line.seq].append(line)
            reasons.append(f"{line.seq}: {line.reason}")
        ids = [record.seq for record in batch]
        stored += desk.replayed(sink, ids, refused, SYSTEM_CLOCK.now_ns())
    return stored, reasons


def _record(desk: Desk, row: RejectedRow) -> Numbered | None:
    """What a row stands for as a record that has the row's id for its number."""
    if not row.rejected.line:
        whole = desk.record(row.rejected.seq)
        # Its lines are not counted here: a record by itself always fits a request.
        return None if whole is None else (replace(whole, seq=row.id), whole.points)
    data = f"{row.rejected.line}\n".encode("utf-8", "surrogateescape")
    fragment = compress(data)
    return (
        Record(
            row.id, "", row.at_ns, row.at_ns, row.rejected.points, len(data), crc32(data), fragment
        ),
        1,
    )


def _meant(desk: Desk, options: argparse.Namespace) -> Iterator[RejectedRow] | list[RejectedRow]:
    """The lines a change is about: those named, or all. Raises UsageError."""
    if bool(options.ids) == options.all:
        operation = f"rejected {options.action}"
        raise UsageError(operation, "say which lines", "name IDs, or say --all")
    return _every(desk, options.sink) if options.all else _chosen(desk, options)


def _every(desk: Desk, sink: str) -> Iterator[RejectedRow]:
    """All lines there are now, oldest first; those that are refused meanwhile are not seen."""
    last_id = desk.last_rejected_id(sink)
    after_id = 0
    while page := desk.rejected(sink, PAGE_ROWS, after_id):
        for row in page:
            if row.id > last_id:
                return
            yield row
        after_id = page[-1].id


def _chosen(desk: Desk, options: argparse.Namespace) -> list[RejectedRow]:
    rows = []
    for number in dict.fromkeys(options.ids):
        found = desk.rejected(options.sink, 1, number - 1)
        if found and found[0].id == number:
            rows.append(found[0])
        else:
            complain(f"perpflux: {options.sink} has no rejected line {number}")
    return rows


def _cells(row: RejectedRow) -> list[str]:
    cells = [str(value) for value in _document(row).values()]
    line = cells[-1] or _WHOLE
    cells[-1] = line if len(line) <= LINE_CHARS_SHOWN else f"{line[: LINE_CHARS_SHOWN - 1]}…"
    return cells


def _document(row: RejectedRow) -> dict[str, str | int]:
    rejected = row.rejected
    values = (row.id, to_rfc3339(row.at_ns), rejected.points, rejected.seq, rejected.reason)
    return dict(zip(_COLUMNS, (*values, rejected.line), strict=True))


def _csv_row(cells: object) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]  # any iterable
    return buffer.getvalue()
