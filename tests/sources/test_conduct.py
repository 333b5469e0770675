"""When a venue demands silence: arithmetic on instants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.sources.conduct import SILENCE_MAX_S, Conduct, doubled_s

NOW_NS = 1_790_002_800 * NS_PER_S


@pytest.mark.parametrize(
    ("attempt", "pause_s"),
    [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (10_000, 3600)],
)
def test_pauses_double_up_to_the_longest(attempt: int, pause_s: int) -> None:
    """Back-off is a pure function of the attempt, and bounded however often it is refused."""
    assert doubled_s(60, attempt) == pause_s


def test_a_new_conduct_is_free() -> None:
    """Nothing was demanded yet."""
    assert Conduct().silence_left_s(NOW_NS) == 0


@given(st.integers(1, SILENCE_MAX_S), st.integers(0, 2 * SILENCE_MAX_S * NS_PER_S))
def test_silence_lasts_just_as_long(duration_s: int, passed_ns: int) -> None:
    """Asked again when the time is up and not a nanosecond before; seconds are rounded up."""
    conduct = Conduct()
    conduct.be_silent(NOW_NS, duration_s)
    left_ns = duration_s * NS_PER_S - passed_ns
    assert conduct.silence_left_s(NOW_NS + passed_ns) == max(0, -(-left_ns // NS_PER_S))


@pytest.mark.parametrize(("asked_s", "given_s"), [(-5, 0), (0, 0), (10**9, SILENCE_MAX_S)])
def test_silence_is_bounded(asked_s: int, given_s: int) -> None:
    """An absurd demand is at most an hour, and never less than nothing."""
    conduct = Conduct()
    conduct.be_silent(NOW_NS, asked_s)
    assert conduct.silence_left_s(NOW_NS) == given_s


def test_the_longest_silence_counts() -> None:
    """A later, shorter demand does not end an earlier, longer one."""
    conduct = Conduct()
    conduct.be_silent(NOW_NS, 600)
    conduct.be_silent(NOW_NS + NS_PER_S, 2)
    assert conduct.silence_left_s(NOW_NS + NS_PER_S) == 599


def test_an_answer_ends_it_all() -> None:
    """After an answer the next refusal starts from the base again."""
    conduct = Conduct(refusals=5)
    conduct.be_silent(NOW_NS, 600)
    conduct.answered()
    assert (conduct.refusals, conduct.silence_left_s(NOW_NS)) == (0, 0)


@pytest.mark.parametrize("back_s", [60, SILENCE_MAX_S])
def test_a_clock_that_steps_back(back_s: int) -> None:
    """What is left is never more than the longest silence there is: else the demand is void."""
    conduct = Conduct()
    conduct.be_silent(NOW_NS, 600)
    left_s = 600 + back_s
    expected_s = left_s if left_s <= SILENCE_MAX_S else 0
    assert conduct.silence_left_s(NOW_NS - back_s * NS_PER_S) == expected_s
