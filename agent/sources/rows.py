"""From a venue's rows to a batch: optimistic first, row by row only where a row is bad.

A poll's texts are normally all plain decimals; then nothing is done per value. Where one is not,
every row is looked at: an exponent is written out, a row that cannot be read is dropped and
counted. One bad row costs one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, TypeVar

import msgspec

from agent.derive import PUBLISHED_DIGITS_MAX, PUBLISHED_NUMBER, plain_number
from agent.snapshot import (
    TAG_LINES,
    Batch,
    Columns,
    PlainColumn,
    each_fits,
    is_tag,
    number_lines,
)

UNREADABLE: Final = (ValueError, RecursionError)
"""What decoding raises: msgspec's errors and UnicodeDecodeError are ValueErrors."""

_PUBLISHED_LINES: Final = number_lines(PUBLISHED_DIGITS_MAX)

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Rows:
    """What a venue published, as columns of its exact texts ("" = not known)."""

    tickers: Sequence[str]
    columns: Columns
    quotes_updated_ns: Sequence[int | None]
    extra: Columns
    """Columns that derivation needs and no field is (e.g. an instant in ms)."""


def no_row(_: Columns) -> set[int]:
    """Refuses nothing."""
    return set()


def build_batch(
    rows: Rows,
    *,
    source: str,
    slot_ns: int,
    received_ns: int,
    derive: Callable[[Rows], Columns],
    refuse: Callable[[Columns], set[int]] = no_row,
) -> tuple[Batch, int]:
    """The batch of these rows and how many of them had to be dropped.

    Args:
        rows: what was published.
        source: the source tag.
        slot_ns: the slot, ns since the epoch.
        received_ns: when the answer was there, ns since the epoch.
        derive: published and derived columns of rows that hold only plain numbers.
        refuse: rows that a rule of the venue forbids (another unit, a crossed quote).
    """
    good = _checked(rows) or _cleaned(rows)
    columns, tickers, stamps_ns = derive(good), good.tickers, good.quotes_updated_ns
    refused = refuse(columns)
    if refused:
        kept = [row not in refused for row in range(len(tickers))]
        columns = _picked(columns, kept)
        tickers, stamps_ns = list(compress(tickers, kept)), list(compress(stamps_ns, kept))
    batch = Batch(
        source=source,
        slot_ns=slot_ns,
        received_ns=received_ns,
        tickers=tickers,
        columns=columns,
        quotes_updated_ns=stamps_ns,
    )
    return batch, len(rows.tickers) - len(batch)


def _checked(rows: Rows) -> Rows | None:
    """The rows, when each can be stored as it is."""
    published = (*rows.columns.values(), *rows.extra.values())
    if (
        each_fits(rows.tickers, TAG_LINES)
        and len(set(rows.tickers)) == len(rows.tickers)
        and all(each_fits(values, _PUBLISHED_LINES) for values in published)
    ):
        return Rows(rows.tickers, _plain(rows.columns), rows.quotes_updated_ns, _plain(rows.extra))
    return None


def _plain(columns: Columns) -> dict[str, PlainColumn]:
    return {name: PlainColumn(values) for name, values in columns.items()}


def _picked(columns: Columns, kept: Sequence[bool]) -> dict[str, PlainColumn]:
    return {name: PlainColumn(compress(values, kept)) for name, values in columns.items()}


def _cleaned(rows: Rows) -> Rows:
    """Every value a plain number or "", every ticker a tag and there once; else the row goes."""
    kept = [True] * len(rows.tickers)
    seen: set[str] = set()
    for row, ticker in enumerate(rows.tickers):
        kept[row] = ticker not in seen and is_tag(ticker)
        seen.add(ticker)
    columns = {name: _cleaned_column(values, kept) for name, values in rows.columns.items()}
    extra = {name: _cleaned_column(values, kept) for name, values in rows.extra.items()}
    return Rows(
        tickers=list(compress(rows.tickers, kept)),
        columns=_picked(columns, kept),
        quotes_updated_ns=list(compress(rows.quotes_updated_ns, kept)),
        extra=_picked(extra, kept),
    )


def _cleaned_column(values: Sequence[str], kept: list[bool]) -> Sequence[str]:
    """The values as plain numbers; a row without one is no longer kept."""
    if each_fits(values, _PUBLISHED_LINES):
        return values
    fits = PUBLISHED_NUMBER.fullmatch
    plain = [value if fits(value) else plain_number(value) for value in values]
    for row, text in enumerate(plain):
        kept[row] &= text is not None
    return [text or "" for text in plain]


def decode_each(
    raws: Iterable[msgspec.Raw], decoder: msgspec.json.Decoder[RowT]
) -> tuple[list[RowT], int]:
    """Rows one by one: those that can be read, and how many cannot."""
    rows: list[RowT] = []
    bad_rows = 0
    for raw in raws:
        try:
            rows.append(decoder.decode(raw))
        except UNREADABLE:
            bad_rows += 1
    return rows, bad_rows


def unknown_keys(document: Any, known: frozenset[str]) -> set[str]:
    """Dotted paths in a decoded JSON document that are not known (lists add nothing to a path).

    Bounded by the document, which the fetcher bounds. A path below an unknown one is not looked at.
    """
    found: set[str] = set()
    waiting = [("", document)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, list):
            waiting.extend((path, item) for item in node)
        elif isinstance(node, dict):
            for key, value in node.items():
                full = f"{path}.{key}" if path else key
                if full in known:
                    waiting.append((full, value))
                else:
                    found.add(full)
    return found
