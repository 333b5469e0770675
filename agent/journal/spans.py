"""Ranges of sequence numbers: what a sink has still to get, as a short sorted list. Pure.

A span is (first, last), both included. A list of spans is sorted, disjoint and has no empty one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

Span = tuple[int, int]

OPEN_END: Final = 2**63 - 1
"""Last seq of a span that takes in whatever is appended: SQLite's largest integer."""


def runs(seqs: Iterable[int]) -> list[Span]:
    """The fewest spans that hold exactly these seqs, given in any order."""
    spans: list[Span] = []
    for seq in sorted(seqs):
        if spans and seq <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], seq)
        else:
            spans.append((seq, seq))
    return spans


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of the spans when the holes (in any order) are taken out."""
    left = list(spans)
    for first, last in holes:
        left = [
            part
            for span in left
            for part in ((span[0], min(span[1], first - 1)), (max(span[0], last + 1), span[1]))
            if part[0] <= part[1]
        ]
    return left


def within(spans: Iterable[Span], last: int) -> list[Span]:
    """What of the spans lies at or before `last`."""
    return [(first, min(end, last)) for first, end in spans if first <= last]


def holds(spans: Sequence[Span], seq: int) -> bool:
    """Whether a span holds the seq."""
    index = bisect_right(spans, (seq, OPEN_END)) - 1
    return index >= 0 and seq <= spans[index][1]
