"""Parts by themselves: encoding against `Point`, compressing against gzip 6, bytes on the disk."""

from __future__ import annotations

import gzip
import operator
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from agent.derive import texts
from agent.journal.fragment import compress, crc32, join
from agent.line_protocol import encode_batch
from agent.snapshot import Batch, Snapshot
from bench.payloads import Documents
from bench.pipeline import Pipeline, entries_of
from bench.straightforward import GZIP_LEVEL, Straightforward, new_point

POINT: Final = "influxdb_client Point, a snapshot at a time"
FROM_OBJECTS: Final = "ours, from Snapshot objects of Decimals"
FROM_DECIMALS: Final = "ours, from columns of Decimals"
FROM_TEXT: Final = "ours, from the source's exact text (what the program does)"
GZIP: Final = "gzip 6"
FRAGMENTS: Final = "ours (a fragment per record, joined)"

_NUMBERS: Final = [
    field.name
    for field in fields(Snapshot)
    if field.name not in {"source", "ticker", "slot_ns", "lag_ms", "quotes_updated_ns"}
]
_numbers_of: Final = operator.attrgetter(*_NUMBERS)


Decimals = dict[str, tuple[Decimal | None, ...]]
"""Field to one number per row: how derived numbers are held until they are written."""


def decimals_of(snapshots: Sequence[Snapshot]) -> Decimals:
    """The snapshots' numbers, a column each; without the columns that no row knows."""
    columns = zip(*map(_numbers_of, snapshots), strict=True)
    return {name: column for name, column in zip(_NUMBERS, columns, strict=True) if any(column)}


def lines_from(decimals: Decimals, like: Batch) -> str:
    """Lines from Decimals, written as the program writes its derived numbers."""
    columns = {name: texts(column) for name, column in decimals.items()}
    return encode_batch(replace(like, columns=columns))


def point_line(snapshot: Snapshot) -> str:
    """The same snapshot by the official client."""
    point = new_point(snapshot.source, snapshot.ticker)
    point.field("lag_ms", snapshot.lag_ms)
    for name in _NUMBERS:
        value = getattr(snapshot, name)
        if value is not None:
            point.field(name, value)
    return str(point.time(snapshot.slot_ns).to_line_protocol())


def encoders(pipeline: Pipeline, documents: Documents) -> dict[str, Callable[[int], object]]:
    """A poll's snapshots to line protocol, in four ways."""
    batches = [poll.batch for poll in pipeline.polls(documents) if poll.batch is not None]
    rows = [(list(batch), batch) for batch in batches]
    columns = [(decimals_of(snapshots), batch) for snapshots, batch in rows]
    return {
        POINT: lambda _: [[point_line(each) for each in snapshots] for snapshots, _ in rows],
        FROM_OBJECTS: lambda _: [
            lines_from(decimals_of(snapshots), batch) for snapshots, batch in rows
        ],
        FROM_DECIMALS: lambda _: [lines_from(*each) for each in columns],
        FROM_TEXT: lambda _: [encode_batch(batch) for batch in batches],
    }


def lines_of(pipeline: Pipeline, documents: Documents) -> list[bytes]:
    """A poll's lines, an entry per venue."""
    return [entry.lines for entry in entries_of(pipeline.polls(documents))]


def compressors(entries: Sequence[bytes]) -> dict[str, Callable[[int], bytes]]:
    """A poll's lines to one gzip body, in two ways."""
    whole = b"".join(entries)
    return {
        GZIP: lambda _: gzip.compress(whole, GZIP_LEVEL),
        FRAGMENTS: lambda _: join((compress(lines), crc32(lines), len(lines)) for lines in entries),
    }


def journal_bytes(folder: Path, polls: Sequence[Documents]) -> dict[str, int]:
    """What the same polls take on the disk: one record per poll, or a row per snapshot."""
    ours = Pipeline(folder / "ours.db")
    rows = Straightforward(folder / "rows.db")
    try:
        for documents in polls:
            ours.store.append(entries_of(ours.polls(documents)))
            rows.append(rows.snapshots(documents))
    finally:
        ours.close()
        rows.close()
    return {name: _size(folder / name) for name in ("ours.db", "rows.db")}


def _size(path: Path) -> int:
    """A database with what its log holds; closing has folded that in."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
