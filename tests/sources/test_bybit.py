"""What Bybit's client does from poll to poll."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from agent.errors import SourceFailure
from agent.poll import Poll
from agent.sources import BybitClient
from agent.sources.bybit import wire
from agent.sources.bybit.refusals import RATE_SILENCE_MAX_S
from agent.sources.fetch import Reply
from tests.support.clock import FakeClock
from tests.support.venue import BYBIT_PATH, Venue, recorded, venue

BTC = f"{BYBIT_PATH}&symbol=BTCUSDT"
NOPE = f"{BYBIT_PATH}&symbol=NOPEUSDT"
GOLDEN = recorded("bybit", "golden")
UNKNOWN = recorded("bybit", "unknown-symbol")
LIMITED = recorded("bybit", "rate-limited-10006")
BANNED = recorded("bybit", "banned-403")


@pytest.fixture
def bybit() -> Iterator[Venue]:
    """The venue."""
    with venue() as mocked:
        yield mocked


@pytest.fixture
def clock() -> FakeClock:
    """The client's clock."""
    return FakeClock()


@pytest.fixture
async def client(clock: FakeClock) -> AsyncIterator[BybitClient]:
    """The client."""
    async with BybitClient(clock=clock) as new:
        yield new


def kinds(poll: Poll) -> list[SourceFailure]:
    """What failed."""
    return [problem.kind for problem in poll.problems]


async def test_limits_in_a_row_double_the_silence(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """2 s, 4 s, 8 s … up to a minute; nothing is asked in between; an answer resets it."""
    bybit.answer(body=LIMITED, repeat=True)
    pauses_s = []
    for _ in range(8):
        [problem] = (await client.poll(["BTC"], 0)).problems
        assert problem.kind is SourceFailure.RATE_LIMITED
        pauses_s.append(problem.silence_s)
        clock.advance(problem.silence_s - 0.001)
        assert kinds(await client.poll(["BTC"], 0)) == [SourceFailure.SILENT]
        clock.advance(0.001)
    assert pauses_s == [2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses_s[-1] == RATE_SILENCE_MAX_S
    assert len(bybit.asked) == 8


async def test_an_answer_ends_the_doubling(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """After a good poll the next limit is 2 s again."""
    for body in (LIMITED, LIMITED, GOLDEN, LIMITED):
        bybit.answer(body=body)
    silences_s = []
    for _ in range(4):
        poll = await client.poll(["BTC"], 0)
        silences_s.append([problem.silence_s for problem in poll.problems])
        clock.advance(60)
    assert silences_s == [[2], [4], [], [2]]


async def test_limits_of_one_slot_count_once(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """Requests side by side that are all refused are one refusal."""
    bybit.answer(body=LIMITED, repeat=True)
    poll = await client.poll(["BTC", "ETH", "SOL"], 0)
    assert [problem.silence_s for problem in poll.problems] == [2, 2, 2]
    clock.advance(2)
    poll = await client.poll(["BTC"], 0)
    assert [problem.silence_s for problem in poll.problems] == [4]


async def test_another_failure_does_not_end_the_doubling(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """A lost connection between two limits is no sign that the venue wants to be asked."""
    bybit.answer(body=LIMITED)
    await client.poll(["BTC"], 0)
    clock.advance(2)
    bybit.answer(status=502)
    assert kinds(await client.poll(["BTC"], 0)) == [SourceFailure.REFUSED]
    bybit.answer(body=LIMITED)
    [problem] = (await client.poll(["BTC"], 0)).problems
    assert problem.silence_s == 4


async def test_a_ban_is_ten_minutes_of_silence(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """Not one request for ten minutes, whatever else was answered in the same slot."""
    bybit.answer(BTC, GOLDEN)
    bybit.answer(NOPE, BANNED, status=403)
    poll = await client.poll(["BTC", "NOPE"], 0)
    assert kinds(poll) == [SourceFailure.BANNED]
    assert len(poll.batch or ()) == 1
    for _ in range(599):
        clock.advance(1)
        assert kinds(await client.poll(["BTC"], 0)) == [SourceFailure.SILENT]
    assert len(bybit.asked) == 2
    clock.advance(1)
    bybit.answer(BTC, GOLDEN)
    assert (await client.poll(["BTC"], 0)).ok


async def test_an_unknown_symbol_is_never_asked_for_again(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """Code 10001 is terminal for that symbol: asked once, said once; the others go on."""
    bybit.answer(BTC, GOLDEN, repeat=True)
    bybit.answer(NOPE, UNKNOWN)
    polls = []
    for _ in range(3):
        polls.append(await client.poll(["BTC", "NOPE"], 0))
        clock.advance(1)
    assert [len(poll.notices) for poll in polls] == [1, 0, 0]
    assert all(poll.ok and len(poll.batch or ()) == 1 for poll in polls)
    assert sorted(bybit.asked) == [BTC, BTC, BTC, NOPE]


async def test_an_unknown_symbol_is_said_though_another_request_failed(
    bybit: Venue, client: BybitClient
) -> None:
    """It is never asked for again, so it must be said then or never."""
    bybit.answer(BTC, b"", status=502)
    bybit.answer(NOPE, UNKNOWN)
    poll = await client.poll(["BTC", "NOPE"], 0)
    assert kinds(poll) == [SourceFailure.REFUSED]
    [notice] = poll.notices
    assert "'NOPEUSDT'" in notice


async def test_when_no_symbol_is_left_every_poll_fails(bybit: Venue, client: BybitClient) -> None:
    """Nothing is asked any more, and that is a failure that says what to check."""
    bybit.answer(NOPE, UNKNOWN)
    for _ in range(3):
        poll = await client.poll(["NOPE"], 0)
        [problem], [report] = poll.problems, poll.reports
        assert problem.kind is SourceFailure.REFUSED
        assert "none of the configured tickers" in str(problem)
        assert not report.ok
    assert bybit.asked == [NOPE]


async def test_a_failure_of_one_symbol_costs_no_other(bybit: Venue, client: BybitClient) -> None:
    """What came is stored; the report says that not all came."""
    bybit.answer(BTC, GOLDEN)
    bybit.answer(NOPE, GOLDEN[:99])
    poll = await client.poll(["BTC", "NOPE"], 0)
    assert [snapshot.ticker for snapshot in poll.batch or ()] == ["BTC"]
    assert kinds(poll) == [SourceFailure.UNREADABLE]
    [report] = poll.reports
    assert (report.ok, report.rows) == (False, 1)
    assert report.bytes == len(GOLDEN) + 99
    assert poll.notices == ()


async def test_the_slowest_request_is_the_polls_latency(
    bybit: Venue, clock: FakeClock, client: BybitClient
) -> None:
    """Latency is that of the slowest request, receipt that of the last answer."""

    async def take_time(*_: object, **__: object) -> None:
        clock.advance(0.25)

    bybit.answer(BTC, GOLDEN, wait=take_time)
    bybit.answer(NOPE, GOLDEN)
    poll = await client.poll(["BTC", "NOPE"], clock.now_ns())
    assert poll.reports[0].latency_ms == 250
    assert poll.batch is not None
    assert poll.batch.lag_ms == 250


async def test_eight_or_all(bybit: Venue, client: BybitClient) -> None:
    """Eight symbols are asked for one by one, nine by the list of all: what is cheaper to send."""
    eight = [f"T{number}" for number in range(8)]
    bybit.answer(body=GOLDEN, repeat=True)
    await client.poll(eight, 0)
    assert sorted(bybit.asked) == sorted(f"{BYBIT_PATH}&symbol={name}USDT" for name in eight)
    await client.poll([*eight, "T8"], 0)
    assert bybit.asked.count(BYBIT_PATH) == 1
    assert len(bybit.asked) == 9


async def test_a_name_is_no_way_into_the_query(bybit: Venue, client: BybitClient) -> None:
    """Whatever a ticker is called, it stays one value of the query."""
    bybit.answer(body=UNKNOWN)
    await client.poll(["A&category=spot#/ü"], 0)
    assert len(bybit.asked) == 1
    assert bybit.asked[0].count("&") == bybit.asked[0].count("?") == 1


def test_with_a_code_there_are_no_rows() -> None:
    """Rows beside a code other than 0 cannot be taken by mistake: reading drops them."""
    body = recorded("bybit", "code-before-result")
    answer = wire.read(Reply(200, {}, body, 0, 0))
    assert (answer.code, answer.message, list(answer.rows)) == (10016, "Internal server error", [])
    assert b"lastPrice" in body
