"""The rate budget: never more requests than the venue allows, whatever is asked for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_MS, NS_PER_S
from agent.config import load as configuration
from agent.config.load import BYBIT_OTHER_REQUESTS_MAX, BYBIT_REQUESTS_PER_S_MAX
from agent.sources import BybitClient
from agent.sources.budget import RateBudget
from agent.sources.bybit.door import HISTORIES_SHARE, REQUESTS_MAX, TICKERS_SHARE, WINDOW_S, left_of
from tests.support.clock import START_NS, FakeClock
from tests.support.venue import recorded, venue

START_MS = START_NS // NS_PER_MS
ROW = json.loads(recorded("bybit", "order-book"))["result"]["list"][0]

steps = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 40), st.integers(0, 30)), max_size=60
)


@given(steps=steps, requests_max=st.integers(1, 50), window_s=st.integers(1, 6))
def test_no_window_holds_more_than_its_requests(
    steps: list[tuple[int, int, int]], requests_max: int, window_s: int
) -> None:
    """In any window of that length, wherever it begins, no more than so many were granted."""
    clock = FakeClock()
    budget = RateBudget(clock, requests_max, window_s)
    granted: list[tuple[int, int]] = []
    for wait_ms, wanted, spare in steps:
        clock.advance(wait_ms / 1000)
        granted.append((clock.monotonic_ns(), budget.take(wanted, spare=spare)))
    for start_ns, _ in granted:
        end_ns = start_ns + window_s * NS_PER_S
        within = [count for at_ns, count in granted if start_ns <= at_ns < end_ns]
        assert sum(within) <= requests_max


@given(steps=steps, told=st.integers(-5, 60))
def test_no_more_is_taken_than_the_venue_says_is_left(
    steps: list[tuple[int, int, int]], told: int
) -> None:
    """After an answer that says how many are left, no more are granted until its reset."""
    clock = FakeClock()
    budget = RateBudget(clock, 50, 5)
    budget.heed(told, 5 * NS_PER_S, budget.taken)
    granted = 0
    for wait_ms, wanted, spare in steps:
        clock.advance(wait_ms / 1000)
        if clock.monotonic_ns() < 5 * NS_PER_S:
            granted += budget.take(wanted, spare=spare)
    assert granted <= max(0, told)


def test_what_is_spent_comes_back_after_a_window() -> None:
    """Everything at once, then nothing, then everything again."""
    clock = FakeClock()
    budget = RateBudget(clock, 10, 5)
    assert [budget.take(7), budget.take(7), budget.take(1)] == [7, 3, 0]
    clock.advance(4.999)
    assert budget.left() == 0
    clock.advance(0.001)
    assert budget.left() == 10


def test_what_is_spared_is_left_for_others() -> None:
    """Who leaves some for others gets nothing of it; the others do."""
    budget = RateBudget(FakeClock(), 10, 5)
    assert budget.take(10, spare=4) == 6
    assert budget.take(1, spare=4) == 0
    assert budget.take(10) == 4


def test_a_step_of_the_wall_clock_gives_nothing_back() -> None:
    """The window is one of monotonic time."""
    clock = FakeClock()
    budget = RateBudget(clock, 10, 5)
    budget.take(10)
    clock.step_wall(3600)
    assert budget.left() == 0


def asked(budget: RateBudget) -> int:
    """Take one request; its number."""
    assert budget.take()
    return budget.taken


def test_the_strictest_of_answers_under_way_together_counts() -> None:
    """They come out of order: one that says more is left does not undo one that says less."""
    clock = FakeClock()
    budget = RateBudget(clock, 50, 5)
    first, second = asked(budget), asked(budget)
    budget.heed(3, NS_PER_S, second)
    budget.heed(40, NS_PER_S, first)
    assert budget.left() == 3
    clock.advance(5)
    assert budget.left() == 50


def test_what_was_taken_since_is_not_in_the_venues_count_yet() -> None:
    """Of what an answer leaves, requests that went out after its own are taken off."""
    budget = RateBudget(FakeClock(), 50, 5)
    first = asked(budget)
    budget.take(4)
    budget.heed(10, NS_PER_S, first)
    assert budget.left() == 6


def test_a_later_request_brings_newer_word() -> None:
    """Asked once a second for long, a venue that always has enough left never stops us."""
    clock = FakeClock()
    budget = RateBudget(clock, 50, 5)
    for _ in range(100):
        budget.heed(20, 5 * NS_PER_S, asked(budget))
        assert budget.left() >= 20
        clock.advance(1)


def test_the_headers_are_read() -> None:
    """A tenth of the venue's limit stays with others; without headers, or odd ones, nothing."""
    status = {"X-Bapi-Limit-Status": "80", "X-Bapi-Limit": "600"}
    reset = {"X-Bapi-Limit-Reset-Timestamp": str(START_MS + 1500)}
    assert left_of(status | reset, START_NS) == (20, 1500 * NS_PER_MS)
    assert left_of(status, START_NS) == (20, WINDOW_S * NS_PER_S)
    assert left_of({"X-Bapi-Limit-Status": "7"} | reset, START_NS) == (7, 1500 * NS_PER_MS)
    for odd in ({}, {"X-Bapi-Limit-Status": "-1"}, {"X-Bapi-Limit-Status": "9" * 99}):
        assert left_of(odd, START_NS) is None


def test_the_budget_is_below_the_venues_limit() -> None:
    """600 in 5 s is the venue's; ours is less in more, and the tickers fit in their share."""
    assert REQUESTS_MAX < 600
    assert WINDOW_S > 5
    assert TICKERS_SHARE > 8 * WINDOW_S
    assert REQUESTS_MAX // WINDOW_S == BYBIT_REQUESTS_PER_S_MAX
    assert TICKERS_SHARE + HISTORIES_SHARE == BYBIT_OTHER_REQUESTS_MAX * WINDOW_S


async def polled(slots: int, books: int, headers: dict[str, str]) -> tuple[list[str], list[Any]]:
    """What was asked in so many slots of one second with so many books, and the polls."""
    clock = FakeClock()
    names = [f"T{index}" for index in range(books)]
    rows = [ROW | {"symbol": f"{name}USDT"} for name in names]
    body = json.dumps({"retCode": 0, "result": {"list": rows[:9]}, "time": START_MS}).encode()
    polls = []
    with venue() as mocked:
        mocked.answer("/v5/market/tickers?category=linear", body, repeat=True, headers=headers)
        mocked.answer(None, b'{"retCode":10001}', repeat=True, headers=headers)
        # The deadlines are real time: long ones, however slow the machine.
        async with BybitClient(
            depth_tickers=names, clock=clock, poll_interval_s=60, timeout_s=60
        ) as client:
            for _ in range(slots):
                client._books._unknown.clear()
                polls.append(await client.poll("all", START_NS))
                clock.advance(1)
        return mocked.asked, polls


async def test_whatever_the_configuration_the_budget_holds() -> None:
    """With more books than allowed, books are left out and counted; tickers come in every slot."""
    asked, polls = await polled(slots=WINDOW_S, books=200, headers={})
    # Books take all but the others' shares in three slots; then only tickers go out.
    assert len(asked) == REQUESTS_MAX - TICKERS_SHARE - HISTORIES_SHARE + 3
    assert len([path for path in asked if "tickers" in path]) == WINDOW_S
    assert all(poll.reports[0].ok for poll in polls)
    left_out = [poll.reports[1].left_out for poll in polls]
    assert sum(left_out) + len(asked) == WINDOW_S * 201
    assert [note for poll in polls for note in poll.notices if "depth_tickers" in note]


async def test_a_client_that_takes_anothers_place_has_what_that_one_left() -> None:
    """Two clients on one clock, as over a reload, share the venue's limit."""
    clock = FakeClock()
    with venue() as mocked:
        mocked.answer(None, recorded("bybit", "golden"), repeat=True)
        for _ in range(2):
            async with BybitClient(clock=clock) as client:
                for _ in range(REQUESTS_MAX):
                    await client.poll(("BTC",), START_NS)
        assert len(mocked.asked) == REQUESTS_MAX


async def test_books_are_left_out_in_turns() -> None:
    """Those that were left out come first in the next slot: each book has its turn."""
    asked, _ = await polled(slots=2 * WINDOW_S, books=700, headers={})
    assert len({path for path in asked if "orderbook" in path}) == 700


async def test_what_the_venue_says_is_left_is_heeded() -> None:
    """When others on the address have spent the limit, nothing more is asked; it is counted."""
    spent = {
        "X-Bapi-Limit": "600",
        "X-Bapi-Limit-Status": "61",
        "X-Bapi-Limit-Reset-Timestamp": str(START_MS + 5000),
    }
    asked, polls = await polled(slots=4, books=1, headers=spent)
    # Of the 61 a tenth of the limit is not ours, and the second request may not be counted yet.
    assert len(asked) == 2
    assert polls[1].reports[0].left_out == 1
    assert not polls[1].reports[0].ok
    assert "rate limit" in " ".join(polls[1].notices)


def test_the_configuration_warns_before(tmp_path: Any) -> None:
    """More books a second than fit are warned of when the configuration is read."""
    path = tmp_path / "c.toml"
    names = [f"T{index}" for index in range(BYBIT_REQUESTS_PER_S_MAX)]
    for tickers, warned in (('"all"', True), ('["T1"]', False), (json.dumps(names[:50]), False)):
        path.write_text(f"tickers = {tickers}\n[bybit]\ndepth_tickers = {json.dumps(names)}\n")
        warnings = configuration(path, environ={"HOME": "/x"}).warnings
        assert any("depth_tickers" in text for text in warnings) == warned
