"""What Variational's client does from poll to poll."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agent.errors import SourceFailure
from agent.sources import VariationalClient
from agent.sources.variational import wire
from tests.support.clock import FakeClock
from tests.support.payloads import variational_document
from tests.support.venue import VARIATIONAL_PATH, Venue, recorded, venue

GOLDEN = recorded("variational", "golden")


@pytest.fixture
def variational() -> Iterator[Venue]:
    """The venue."""
    with venue() as mocked:
        yield mocked


@pytest.fixture
def clock() -> FakeClock:
    """The client's clock."""
    return FakeClock()


@pytest.fixture
async def client(clock: FakeClock) -> AsyncIterator[VariationalClient]:
    """The client."""
    async with VariationalClient(clock=clock) as new:
        yield new


@pytest.mark.parametrize("status", [429, 403])
async def test_refusals_in_a_row_double_the_silence(
    variational: Venue, clock: FakeClock, client: VariationalClient, status: int
) -> None:
    """A minute, two, four … up to an hour; nothing is asked in between."""
    variational.answer(status=status, repeat=True)
    pauses_s = []
    for _ in range(9):
        [problem] = (await client.poll(["BTC"], 0)).problems
        pauses_s.append(problem.silence_s)
        clock.advance(problem.silence_s - 0.001)
        [silent] = (await client.poll(["BTC"], 0)).problems
        assert silent.kind is SourceFailure.SILENT
        clock.advance(0.001)
    assert pauses_s == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert len(variational.asked) == 9


async def test_an_answer_ends_the_doubling(
    variational: Venue, clock: FakeClock, client: VariationalClient
) -> None:
    """Only a good poll sets the pause back to a minute; a page or an empty list does not."""
    challenge: dict[str, Any] = {"body": b"<html>", "content_type": "text/html"}
    empty: dict[str, Any] = {"body": recorded("variational", "empty-listings")}
    limited: dict[str, Any] = {"status": 429}
    for answer in (limited, challenge, empty, limited, {"body": GOLDEN}, limited):
        variational.answer(**answer)
    silences_s = []
    for _ in range(6):
        poll = await client.poll(["BTC"], 0)
        silences_s.append([problem.silence_s for problem in poll.problems])
        clock.advance(3600)
    assert silences_s == [[60], [0], [0], [120], [], [60]]


async def test_retry_after_does_not_shorten_the_doubling(
    variational: Venue, clock: FakeClock, client: VariationalClient
) -> None:
    """The longer of the venue's wish and our own pause counts."""
    for wish_s in ("90", "90", "90"):
        variational.answer(status=429, headers={"Retry-After": wish_s})
    pauses_s = []
    for _ in range(3):
        [problem] = (await client.poll(["BTC"], 0)).problems
        pauses_s.append(problem.silence_s)
        clock.advance(problem.silence_s)
    assert pauses_s == [90, 120, 240]


@pytest.mark.parametrize("tickers", [["BTC"], [f"T{number}" for number in range(500)], "all"])
async def test_one_request_answers_for_all(
    variational: Venue, client: VariationalClient, tickers: list[str]
) -> None:
    """One document has every market: one request a poll, whatever is configured."""
    variational.answer(body=GOLDEN)
    poll = await client.poll(tickers, 0)
    assert poll.ok
    assert variational.asked == [VARIATIONAL_PATH]


async def test_many_unlisted_tickers_are_each_said_once(
    variational: Venue, client: VariationalClient
) -> None:
    """One notice per ticker, in order, and none in the next poll."""
    variational.answer(body=GOLDEN, repeat=True)
    poll = await client.poll(["ZZZ", "BTC", "AAA"], 0)
    assert [notice.split("'")[1] for notice in poll.notices] == ["AAA", "ZZZ"]
    assert (await client.poll(["ZZZ", "BTC", "AAA"], 0)).notices == ()


async def test_nothing_is_stored_of_a_refused_answer(
    variational: Venue, client: VariationalClient
) -> None:
    """An answer without listings is refused as a whole: no point of the venue either."""
    variational.answer(body=recorded("variational", "empty-listings"))
    poll = await client.poll(["BTC"], 0)
    assert (poll.batch, dict(poll.platform)) == (None, {})


def test_every_number_that_is_read_is_a_known_key() -> None:
    """What the structs read is not reported as unknown."""
    for struct, path in (
        (wire.Document, ""),
        (wire.Listing, "listings."),
        (wire.LossRefund, "loss_refund."),
        (wire.OpenInterest, "listings.open_interest."),
        (wire.Quotes, "listings.quotes."),
        (wire.Quote, "listings.quotes.size_1k."),
    ):
        for key in struct.__struct_fields__:
            assert f"{path}{key}" in wire.KNOWN_KEYS


def test_a_document_of_real_size_is_made_of_known_keys() -> None:
    """The seeded documents have the shapes of real ones: same seed, same bytes."""
    assert variational_document(50, seed=3) == variational_document(50, seed=3)
    assert variational_document(50, seed=3) != variational_document(50, seed=4)
