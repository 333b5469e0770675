"""Recorded answers and what they must come to: a folder each, see README.md beside this file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent import schema
from agent.clock import parse_rfc3339_ns, slot_at
from agent.line_protocol import encode_batch, encode_point
from agent.poll import Poll
from agent.sources import SOURCES
from tests.support.clock import FakeClock
from tests.support.venue import venue

HERE = Path(__file__).parent
CASES = sorted(path.parent.relative_to(HERE) for path in HERE.glob("*/*/case.toml"))
KEYS = {"rule", "now", "tickers", "client", "answers", "report", "problems", "notices"}


def lines_of(poll: Poll) -> str:
    """The points that a poll gives, but for `poll` points."""
    lines = "" if poll.batch is None else encode_batch(poll.batch)
    if poll.platform:
        tags = {"source": poll.source}
        lines += encode_point(schema.PLATFORM, tags, poll.platform, poll.slot_ns)
    return lines


def read_case(folder: Path) -> dict[str, Any]:
    """The case, with defaults; a misspelt key is an error."""
    case = tomllib.loads((folder / "case.toml").read_text())
    assert case.keys() <= KEYS, f"{folder}: {sorted(case.keys() - KEYS)} unknown"
    assert case["rule"].endswith(".")
    return {"tickers": ["BTC"], "client": {}, "problems": [], "notices": [], **case}


@pytest.mark.parametrize("path", CASES, ids=str)
async def test_case(path: Path) -> None:
    """A recorded answer comes to just the lines, report, problems and notices beside it."""
    case, source = read_case(HERE / path), path.parts[0]
    now_ns = parse_rfc3339_ns(case["now"])
    assert now_ns is not None
    clock = FakeClock(now_ns)
    with venue(source) as mocked:
        for answer in case["answers"]:
            body = (HERE / path / answer.pop("body")).read_bytes()
            mocked.answer(answer.pop("path"), body, **answer)
        async with SOURCES[source](clock=clock, **case["client"]) as client:
            slot_ns = slot_at(now_ns, client.poll_interval_s)
            poll = await client.poll(case["tickers"], slot_ns)
            silence_s = client.conduct.silence_left_s(now_ns)
        assert len(mocked.asked) == len(case["answers"])

    expected = HERE / path / "expected.lp"
    assert lines_of(poll) == (expected.read_text() if expected.exists() else "")
    assert (poll.source, poll.slot_ns) == (source, slot_ns)
    problems = [
        {"kind": problem.kind, "silence_s": problem.silence_s} for problem in poll.problems
    ]
    wanted = [
        {"kind": problem["kind"], "silence_s": problem.get("silence_s", 0)}
        for problem in case["problems"]
    ]
    assert problems == wanted
    for problem, entry in zip(poll.problems, case["problems"], strict=True):
        assert entry["says"] in str(problem)
        assert problem.operation == f"poll {source}"
        assert problem.hint
    assert silence_s == max((problem.silence_s for problem in poll.problems), default=0)
    [report] = poll.reports
    assert {"ok": report.ok, "rows": report.rows, "bad_rows": report.bad_rows} == case["report"]
    assert report.latency_ms == 0
    assert len(poll.notices) == len(case["notices"])
    for said, fragment in zip(poll.notices, case["notices"], strict=True):
        assert fragment in said


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_recorded_cases(source: str) -> None:
    """No source without recorded answers."""
    assert any(path.parts[0] == source for path in CASES)
