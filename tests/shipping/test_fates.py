"""What InfluxDB's answers mean: one table."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fates import (
    REASON_CHARS_MAX,
    TOKEN_UNREADABLE,
    Answer,
    BackOff,
    Park,
    Stored,
    TooOld,
    TypeConflict,
    back_off_s,
    meaning,
    shortened,
)
from agent.influx import answer_of
from tests.support.clock import START_NS

CASES: Final = tomllib.loads((Path(__file__).parent / "cases" / "answers.toml").read_text())["case"]

Case = dict[str, Any]


def plain(value: object) -> object:
    """A field of a fate as the table writes it."""
    match value:
        case None:
            return "None"
        case TypeConflict(measurement=measurement, field=field, sent=sent, existing=existing):
            return {
                "measurement": measurement, "field": field, "sent": sent, "existing": existing
            }  # fmt: skip
        case TooOld(newest_ns=newest_ns, duration=duration, bound_ns=bound_ns):
            return {"newest_ns": newest_ns, "duration": duration, "bound_ns": bound_ns}
        case tuple():
            return [plain(each) for each in value]
        case _:
            return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_answer_has_its_fate(case: Case) -> None:
    """Status, headers and body decide what becomes of what was sent."""
    answer = answer_of(
        case["status"],
        case.get("headers", {}),
        case.get("body", "").encode(),
        now_ns=START_NS,
        elapsed_ms=3,
    )
    expected = dict(case["fate"])
    fate = meaning(answer)
    assert type(fate).__name__ == expected.pop("is")
    assert {name: plain(getattr(fate, name)) for name in expected} == expected


def test_no_answer_backs_off() -> None:
    """Nobody knows what is stored when no answer came: it is sent again."""
    answer = Answer(None, "", "no answer: Server disconnected", None, 12)
    assert meaning(answer) == BackOff("no answer: Server disconnected", None)


def test_no_token_parks() -> None:
    """Without a token nothing is sent, and everything is kept."""
    fate = meaning(Answer(None, TOKEN_UNREADABLE, "read the InfluxDB token: none", None, 0))
    assert isinstance(fate, Park)
    assert fate.reason == "read the InfluxDB token: none"


@given(
    status=st.none() | st.integers(100, 999),
    code=st.sampled_from(["", "invalid", "internal error", "unprocessable entity"]),
    message=st.text() | st.from_regex(r"(partial write: )?.*dropped=\d*(.*\n)?"),
)
def test_every_answer_has_a_fate_and_only_204_stores_all(
    status: int | None, code: str, message: str
) -> None:
    """Whatever comes in, there is a fate; nothing but a 204 says that all is stored."""
    fate = meaning(Answer(status, code, message, None, 0))
    assert isinstance(fate, Stored) == (status == 204)


@given(line=st.text(st.characters(exclude_characters="\n")), reason=st.sampled_from(["bad", ""]))
def test_a_named_line_comes_back_as_it_was_sent(line: str, reason: str) -> None:
    """Quotes, colons and the words of the message itself may stand in a line."""
    fate = meaning(Answer(400, "invalid", f"unable to parse '{line}': {reason}", None, 0))
    assert getattr(fate, "lines", None) == ((line, reason),)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_back_off_is_bounded(attempt: int, rand: float) -> None:
    """The wait doubles from 1 s to 60 s at most, and jitter takes anything off it."""
    assert 0 <= back_off_s(attempt, rand) <= min(60, 2 ** min(attempt, 10))


def test_back_off_doubles() -> None:
    """1, 2, 4, ... 32, 60 s at the upper end of the jitter."""
    assert [back_off_s(n, 1.0) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off_s(3, 0.25) == 2


@given(st.text())
def test_a_reason_is_one_short_line(text: str) -> None:
    """Reasons go into logs and tables."""
    reason = shortened(text)
    assert len(reason) <= REASON_CHARS_MAX
    assert reason.splitlines() in ([], [reason])
