"""The guard: a short run that fails only where a ratio is far worse than it was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from bench import parts, scale
from bench.payloads import Documents, patchy
from bench.pipeline import Pipeline
from bench.straightforward import Straightforward
from bench.timing import Times, ratio, rotating, take_turns

ROUNDS: Final = 5
MARGIN: Final = 1.6
"""How much worse a ratio may be: more than any noise, less than a lost fast path."""
PIPELINE_TO_DECODE: Final = 5.1
"""Recorded: our whole pipeline by an untyped `msgspec.json.decode` of the same bytes."""
STRAIGHTFORWARD_TO_PIPELINE: Final = 8.0
POINT_TO_TEXT: Final = 22.0
POINT_TO_DECIMALS: Final = 7.2
GZIP_TO_FRAGMENTS: Final = 12.5
LARGE_TO_USUAL: Final = 1.1
"""Recorded: what a point costs in a poll of 4,000 points by what it costs in one of 1,000."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def at_most(times: Times, of: str, to: str, recorded: float) -> None:
    """The ratio's better quartile is within the margin above what was recorded."""
    assert ratio(times, of, to).low <= recorded * MARGIN, ratio(times, of, to)


def at_least(times: Times, of: str, to: str, recorded: float) -> None:
    """The ratio's better quartile is within the margin below what was recorded."""
    assert ratio(times, of, to).high >= recorded / MARGIN, ratio(times, of, to)


def decode(documents: Documents) -> None:
    """The floor: both documents as plain objects."""
    msgspec.json.decode(documents.bybit)
    msgspec.json.decode(documents.variational)


def test_the_pipeline_keeps_its_distance(tmp_path: Path) -> None:
    """Bytes to acknowledged costs a few decodes, and a fraction of the straightforward build."""
    documents = patchy()
    ours, theirs = Pipeline(tmp_path / "ours.db"), Straightforward(tmp_path / "theirs.db")
    times = take_turns(
        {
            "decode": rotating(decode, documents),
            "ours": rotating(ours.run, documents),
            "theirs": rotating(theirs.run, documents),
        },
        ROUNDS,
    )
    ours.close()
    theirs.close()
    at_most(times, "ours", "decode", PIPELINE_TO_DECODE)
    at_least(times, "theirs", "ours", STRAIGHTFORWARD_TO_PIPELINE)


def test_encoding_and_compressing_keep_their_distance(tmp_path: Path) -> None:
    """Lines cost a fraction of `Point`, a body a fraction of gzip 6 at nine tenths of its ratio."""
    pipeline = Pipeline(tmp_path / "journal.db")
    documents = patchy()[0]
    lines = parts.lines_of(pipeline, documents)
    packers = parts.compressors(lines)
    times = take_turns({**parts.encoders(pipeline, documents), **packers}, ROUNDS)
    pipeline.close()
    at_least(times, parts.POINT, parts.FROM_TEXT, POINT_TO_TEXT)
    at_least(times, parts.POINT, parts.FROM_DECIMALS, POINT_TO_DECIMALS)
    at_least(times, parts.GZIP, parts.FRAGMENTS, GZIP_TO_FRAGMENTS)
    assert len(packers[parts.GZIP](0)) >= 0.9 * len(packers[parts.FRAGMENTS](0))


def test_a_point_costs_the_same_in_a_large_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cost grows with the number of points and no faster."""
    monkeypatch.setattr(scale, "TICKERS", (500, 2000))
    usual, large = scale.costs(tmp_path, ROUNDS)
    assert large.point_us <= usual.point_us * LARGE_TO_USUAL * MARGIN


def test_the_journal_takes_a_fraction_of_rows(tmp_path: Path) -> None:
    """A compressed record per poll takes at most 0.30 of a row per snapshot."""
    sizes = parts.journal_bytes(tmp_path, patchy() * 3)
    assert sizes["ours.db"] <= 0.30 * sizes["rows.db"]
