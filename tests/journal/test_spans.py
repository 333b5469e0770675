"""Lists of seq ranges, against plain sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal.spans import OPEN_END, Span, holds, runs, within, without

TOP = 30
seq_sets = st.sets(st.integers(1, TOP))


def members(spans: list[Span]) -> set[int]:
    """The seqs up to `TOP` that the spans hold."""
    return {seq for seq in range(1, TOP + 1) if holds(spans, seq)}


@given(seqs=seq_sets)
@settings(max_examples=30, derandomize=True)
def test_runs_are_the_fewest_spans(seqs: set[int]) -> None:
    """Runs hold exactly the seqs given, sorted, with a gap between any two."""
    spans = runs(seqs)
    assert members(spans) == seqs
    assert all(before[1] + 1 < after[0] for before, after in pairwise(spans))


@given(seqs=seq_sets, holes=seq_sets, opened=st.booleans())
@settings(max_examples=60, derandomize=True)
def test_without_takes_out_exactly_the_holes(seqs: set[int], holes: set[int], opened: bool) -> None:  # noqa: FBT001  # drawn
    """What is left is the difference; an open end stays open."""
    spans = [*runs(seqs), *([(TOP + 1, OPEN_END)] if opened else [])]
    left = without(spans, reversed(runs(holes)))
    assert members(left) == seqs - holes
    assert all(first <= last for first, last in left)
    assert not opened or left[-1] == (TOP + 1, OPEN_END)


@given(seqs=seq_sets, last=st.integers(0, TOP))
@settings(max_examples=30, derandomize=True)
def test_within_cuts_at_the_last(seqs: set[int], last: int) -> None:
    """Nothing behind `last` stays, everything up to it does."""
    assert members(within(runs(seqs), last)) == {seq for seq in seqs if seq <= last}
