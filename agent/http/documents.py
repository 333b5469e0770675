"""Rows as JSON: numbers digit by digit, instants RFC 3339, what is not known left out. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from agent.board import Row, limits
from agent.clock import to_rfc3339
from agent.formats import json_number
from agent.http.parameters import INSTANT_FIELDS

_INSTANTS_MAX: Final = 4096

_instant = lru_cache(maxsize=_INSTANTS_MAX)(to_rfc3339)
"""A poll's rows share their instants."""
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_quoted = lru_cache(maxsize=_INSTANTS_MAX)(json.dumps)


def row_json(row: Row, fields: Sequence[str]) -> str:
    """An object: ts, source, ticker, then those of the fields that are known."""
    whose = f'"source":{_quoted(row.source)},"ticker":{_quoted(row.ticker)}'
    pairs = [f'"ts":"{_instant(row.slot_ns)}"', whose]
    texts = row.texts
    pairs += [f'"{name}":{json_number(texts[name])}' for name in fields if name in texts]
    stamps = (row.quotes_updated_ns, row.settles_ns, row.gap_slot_ns)
    pairs += [
        f'"{name}":"{_instant(stamp_ns)}"'
        for name, stamp_ns in zip(INSTANT_FIELDS, stamps, strict=True)
        if stamp_ns is not None and name in fields
    ]
    return f"{{{','.join(pairs)}}}"


def board_json(
    rows: Iterable[Row],
    fields: Sequence[str],
    *,
    now_ns: int,
    intervals_s: Mapping[str, int],
    gone: Iterable[tuple[str, str]] | None = None,
) -> str:
    """The document of now: the agent's time, the sources, the rows; in one line.

    Args:
        rows: what to tell.
        fields: which fields of them.
        now_ns: the agent's wall clock, ns since the epoch.
        intervals_s: by source, how often it is polled, s.
        gone: sources and tickers that were told before and are no more; None = not to be told.
    """
    sources = {
        name: {"poll_interval_s": interval_s, **limits(interval_s)._asdict()}
        for name, interval_s in intervals_s.items()
    }
    told = ",".join([row_json(row, fields) for row in rows])
    left = "" if gone is None else f',"gone":{_dumps(list(gone))}'
    head = f'"now":"{to_rfc3339(now_ns)}","sources":{_dumps(sources)}'
    return f'{{{head},"snapshots":[{told}]{left}}}'


def points_json(rows: Iterable[Row], fields: Sequence[str], *, step_s: int) -> str:
    """The document of the past: how far its points are apart at least, and the points."""
    told = ",\n".join([row_json(row, fields) for row in rows])
    return f'{{"step_s":{step_s},"points":[{told}]}}\n'
