"""Recorded answers and what they must come to: a folder each, see README.md beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.clock import parse_rfc3339_ns, slot_at
from agent.sources import SOURCES
from tests.support.clock import FakeClock
from tests.support.venue import CASES, lines_of, new_source, read_case, venue

FOLDERS = sorted(path.parent for path in CASES.glob("*/*/case.toml"))
DEFAULTS: dict[str, Any] = {
    "tickers": ["BTC"],
    "client": {},
    "problems": [],
    "notices": [],
    "more_reports": {},
}
KEYS = {"rule", "now", "answers", "report", *DEFAULTS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}/{path.name}")
async def test_case(folder: Path) -> None:
    """A recorded answer comes to just the lines, report, problems and notices beside it."""
    source = folder.parent.name
    case = DEFAULTS | read_case(source, folder.name)
    assert case.keys() == KEYS
    assert case["rule"].endswith(".")
    now_ns = parse_rfc3339_ns(case["now"])
    assert now_ns is not None
    with venue() as mocked:
        for answer in case["answers"]:
            body = (folder / answer.pop("body")).read_bytes()
            mocked.answer(answer.pop("path"), body, **answer)
        async with new_source(source, clock=FakeClock(now_ns), **case["client"]) as client:
            slot_ns = slot_at(now_ns, client.poll_interval_s)
            poll = await client.poll(case["tickers"], slot_ns)
            silence_s = client.conduct.silence_left_s(now_ns)
        assert len(mocked.asked) == len(case["answers"])

    expected = folder / "expected.lp"
    assert lines_of(poll) == (expected.read_text() if expected.exists() else "")
    assert (poll.source, poll.slot_ns) == (source, slot_ns)
    assert [(problem.kind, problem.silence_s) for problem in poll.problems] == [
        (problem["kind"], problem.get("silence_s", 0)) for problem in case["problems"]
    ]
    for problem, entry in zip(poll.problems, case["problems"], strict=True):
        assert entry["says"] in str(problem)
        assert problem.operation == f"poll {source}"
        assert problem.hint
    assert silence_s == max((problem.silence_s for problem in poll.problems), default=0)
    said = [
        {"ok": report.ok, "rows": report.rows, "bad_rows": report.bad_rows}
        for report in poll.reports
    ]
    assert said == [case["report"], *case["more_reports"].values()]
    assert [report.endpoint for report in poll.reports[1:]] == [*case["more_reports"]]
    assert all(report.latency_ms == 0 for report in poll.reports)
    assert len(poll.notices) == len(case["notices"])
    for notice, fragment in zip(poll.notices, case["notices"], strict=True):
        assert fragment in notice


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_recorded_cases(source: str) -> None:
    """No source without recorded answers."""
    assert any(folder.parent.name == source for folder in FOLDERS)
