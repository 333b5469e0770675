"""What the doctor says of a source, against simulated venues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from agent.clock import NS_PER_S
from agent.config import load
from agent.demo.documents import answer
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from agent.doctor import Finding, State, examine
from agent.doctor.venues import Venue
from agent.journal import Journal
from tests.support.clock import START_NS, FakeClock

HTTP_DATE = "Mon, 21 Sep 2026 15:00:00 GMT"
"""START_NS, as a header has it."""


@pytest.fixture
async def venues() -> AsyncIterator[SimulatedVenues]:
    """Both venues; their clock stands at START_NS."""
    async with SimulatedVenues.start(
        market=Market(1, refresh_s=5), clock=FakeClock(START_NS)
    ) as venues:
        yield venues


async def findings(
    source: str, folder: Path, url: str, *, clock: FakeClock | None = None, **settings: str
) -> dict[str, Finding]:
    """What is found of a source, by the last part of the check's name."""
    environ = {
        "STATE_DIRECTORY": str(folder),
        "PERPFLUX_TICKERS": "BTC",
        f"PERPFLUX_{source.upper()}__API_BASE": url,
        **settings,
    }
    config = load(environ=environ).config
    checks = Venue(source, config, clock or FakeClock(START_NS)).checks()
    return {name.partition(".")[2]: found async for name, found in examine(checks)}


async def test_a_venue_that_is_well(tmp_path: Path, venues: SimulatedVenues) -> None:
    """Every line is ok: the way to it, its rows, what it still allows, its clock to the ms."""
    found = await findings("bybit", tmp_path, venues.url)
    assert {each.state for each in found.values()} == {State.OK}
    assert found["reached"].text.startswith(f"{venues.url.removeprefix('http://')}: connected in ")
    assert "HTTP 200 in " in found["reached"].text
    assert found["answer"].text.startswith("1 rows in ")
    assert found["limits"].text in {"598 of 600 requests left", "599 of 600 requests left"}
    assert found["clock"].text == "0 ms ahead of the server's, by its own time"


async def test_a_venue_that_cannot_be_reached(tmp_path: Path) -> None:
    """It fails once, with a hint; what could not be looked at says so."""
    found = await findings("bybit", tmp_path, "http://127.0.0.1:9")
    assert found["reached"].state is State.FAIL
    assert "check network, DNS and bybit.api_base" in found["reached"].advice
    assert [found[name].state for name in ("answer", "limits", "clock")] == [State.SKIP] * 3


async def test_a_venue_that_hangs_names_the_stage(tmp_path: Path, venues: SimulatedVenues) -> None:
    """After the source's own time-out the line says how far it came."""
    end = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await end.wait()
        return web.Response()

    venues.fault = hang
    found = await findings("bybit", tmp_path, venues.url, PERPFLUX_BYBIT__TIMEOUT_S="0.1")
    assert found["reached"].state is State.FAIL
    assert "(it hung at the answer)" in found["reached"].text
    end.set()


async def test_a_venue_that_refuses_is_reached_but_does_not_answer(
    tmp_path: Path, venues: SimulatedVenues
) -> None:
    """The network is fine and the answer is not: two lines that tell these apart."""
    venues.fault = lambda _: web.Response(status=403, text="blocked")
    found = await findings("variational", tmp_path, venues.url)
    assert found["reached"].state is State.OK
    assert "HTTP 403" in found["reached"].text
    assert found["answer"].state is State.FAIL
    assert "HTTP 403" in found["answer"].text
    assert found["answer"].advice


async def test_unlisted_tickers_and_unknown_keys_are_warned_about(
    tmp_path: Path, venues: SimulatedVenues
) -> None:
    """A typing mistake in tickers, and keys that the venue has added."""

    def drifted(request: web.Request) -> web.Response:
        body = answer(Market(1), request.path_qs, START_NS)
        return web.Response(
            body=body.replace(b'{"retCode"', b'{"novelty":1,"retCode"', 1),
            content_type="application/json",
        )

    venues.fault = drifted
    found = await findings("bybit", tmp_path, venues.url, PERPFLUX_TICKERS="BTC,BCT")
    assert found["answer"].state is State.WARN
    assert "'BCTUSDT'" in found["answer"].text
    assert "'novelty'" in found["answer"].text


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        (1, State.OK, "1000 ms ahead of"),
        (-3, State.WARN, "3000 ms behind"),
        (60, State.FAIL, "60000 ms ahead of"),
    ],
)
async def test_the_clock_is_compared_with_the_venues_own_time(
    tmp_path: Path, venues: SimulatedVenues, ahead_s: int, state: State, words: str
) -> None:
    """A clock that is off by seconds is warned about; by more than a slot it fails."""
    clock = FakeClock(START_NS + ahead_s * NS_PER_S)
    found = (await findings("bybit", tmp_path, venues.url, clock=clock))["clock"]
    assert found.state is state
    assert found.text.startswith(words)
    assert bool(found.advice) is (state is not State.OK)


@pytest.mark.parametrize(
    ("headers", "state", "words"),
    [
        ({"Date": HTTP_DATE}, State.OK, "500 ms behind"),
        ({"Date": HTTP_DATE, "Age": "40"}, State.FAIL, "40500 ms behind"),
        ({"Date": "yesterday"}, State.SKIP, "no time to compare"),
    ],
)
async def test_where_quotes_have_no_server_time_the_date_header_is_used(
    tmp_path: Path, venues: SimulatedVenues, headers: dict[str, str], state: State, words: str
) -> None:
    """Its second counts by its middle; a cached answer is as much older as it says."""
    venues.fault = lambda request: web.Response(
        body=answer(Market(1), request.path_qs, START_NS),
        content_type="application/json",
        headers=headers,
    )
    found = (await findings("variational", tmp_path, venues.url))["clock"]
    assert found.state is state
    assert words in found.text


async def test_few_requests_left_are_warned_about(tmp_path: Path, venues: SimulatedVenues) -> None:
    """The venue counts all programs of this address."""
    venues.fault = lambda request: web.Response(
        body=answer(Market(1), request.path_qs, START_NS),
        content_type="application/json",
        headers={"X-Bapi-Limit": "600", "X-Bapi-Limit-Status": "59"},
    )
    found = (await findings("bybit", tmp_path, venues.url))["limits"]
    assert (found.state, found.text) == (State.WARN, "59 of 600 requests left")


async def test_a_venue_that_demanded_silence_is_not_asked(
    tmp_path: Path, venues: SimulatedVenues
) -> None:
    """The doctor does not break a silence that the agent keeps."""
    journal = await Journal.open(
        tmp_path / "perpflux.db", bytes_max=2**30, age_max_s=604_800, clock=FakeClock(START_NS)
    )
    await journal.put_state("silent_until_ns:bybit", str(START_NS + 90 * NS_PER_S))
    await journal.close()
    found = await findings("bybit", tmp_path, venues.url)
    assert found["reached"].state is State.SKIP
    assert "another 90 s" in found["reached"].text
    assert not venues.served
