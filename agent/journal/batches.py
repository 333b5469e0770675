"""The records of a batch, read from a sink's spans."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from agent.journal import rows
from agent.journal.records import Record
from agent.journal.spans import Span

DAMAGED_MAX: Final = 256
"""Damaged records marked in one transaction."""


def read_batch(
    connection: sqlite3.Connection, spans: Sequence[Span], points_max: int, bytes_max: int
) -> tuple[list[Record], list[int], bool]:
    """The first records of the first span that has any.

    Returns:
        The whole records, the seqs of damaged ones between them, and whether the span has more.
    """
    batch: list[Record] = []
    damaged: list[int] = []
    lines_sum = bytes_sum = 0
    for span in spans:
        found = connection.execute(f"{rows.READ} WHERE seq BETWEEN ? AND ? ORDER BY seq", span)
        with closing(found):
            for row in found:
                if (unpacked := rows.unpack(row)) is None:
                    damaged.append(row[0])
                    if len(damaged) == DAMAGED_MAX:
                        return batch, damaged, True
                    continue
                record, lines = unpacked
                lines_sum += lines
                bytes_sum += len(record.fragment)
                if batch and (lines_sum > points_max or bytes_sum > bytes_max):
                    return batch, damaged, True
                batch.append(record)
        if batch or damaged:
            break
    return batch, damaged, False
