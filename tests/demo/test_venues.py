"""The simulated venues over HTTP, on a loopback port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.documents import ROUTES, answer
from agent.demo.market import Market
from agent.demo.venues import BYBIT_REQUESTS_MAX, SERVED_MAX, SimulatedVenues

NOW_NS = 1_789_898_084_048_123_456
STATS = "/metadata/stats"
TICKERS = "/v5/market/tickers?category=linear"


class StandingClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.instant_ns = NOW_NS

    def now_ns(self) -> int:
        """The instant that the test set."""
        return self.instant_ns

    def monotonic_ns(self) -> int:
        """The same: nothing here steps."""
        return self.instant_ns

    async def sleep(self, duration_s: float) -> None:
        """Nothing here waits."""
        raise AssertionError(f"asked to wait {duration_s} s")


@pytest.fixture
def clock() -> StandingClock:
    """The venues' clock."""
    return StandingClock()


@pytest.fixture
async def venues(clock: StandingClock) -> AsyncIterator[SimulatedVenues]:
    """Both venues, serving."""
    async with SimulatedVenues.start(market=Market(7), clock=clock) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that leaves bodies as they come off the wire."""
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        yield client


PLAIN = {"Accept-Encoding": "identity"}


async def test_bodies_are_those_of_the_documents(
    venues: SimulatedVenues, session: aiohttp.ClientSession, clock: StandingClock
) -> None:
    """What was served can be worked out again from `served`, byte for byte, at each instant."""
    bodies = []
    queries = ("", "?category=linear&symbol=BTCUSDT", "?category=linear&symbol=NOSUCH&cursor=a%3Db")
    for path in ROUTES:
        for query in queries:
            async with session.get(f"{venues.url}{path}{query}", headers=PLAIN) as response:
                assert (response.status, response.content_type) == (200, "application/json")
                bodies.append(await response.read())
            clock.instant_ns += 333 * NS_PER_MS
    assert [answer(Market(7), *entry) for entry in venues.served] == bodies
    assert venues.served[1][1] - venues.served[0][1] == 333 * NS_PER_MS


async def test_time_is_the_clock_given(
    venues: SimulatedVenues, session: aiohttp.ClientSession, clock: StandingClock
) -> None:
    """The venues have no time but that of their clock, also when it steps back."""
    clock.instant_ns = NOW_NS - NS_PER_S
    async with session.get(f"{venues.url}{TICKERS}", headers=PLAIN) as response:
        assert (await response.json())["time"] == clock.instant_ns // NS_PER_MS


async def test_gzip_only_when_asked(
    venues: SimulatedVenues, session: aiohttp.ClientSession
) -> None:
    """A client that takes gzip gets it, whatever else it takes; another gets plain bytes."""
    async with session.get(f"{venues.url}{STATS}", headers=PLAIN) as response:
        assert "Content-Encoding" not in response.headers
        body = await response.read()
    asked = {"Accept-Encoding": "deflate, gzip, br"}
    async with session.get(f"{venues.url}{STATS}", headers=asked) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(await response.read()) < len(body) // 2
    async with aiohttp.ClientSession() as decoding:  # noqa: SIM117 - a client of its own
        async with decoding.get(f"{venues.url}{STATS}", headers=asked) as response:
            assert await response.read() == body


async def test_rate_limit_headers(
    venues: SimulatedVenues, session: aiohttp.ClientSession, clock: StandingClock
) -> None:
    """Bybit's replies count down from 600 in each window of 5 s; Variational's say nothing."""
    window_ns = 5 * NS_PER_S
    clock.instant_ns = NOW_NS // window_ns * window_ns
    left = []
    for _ in range(3):
        async with session.get(f"{venues.url}{TICKERS}") as response:
            headers = response.headers
        left.append(int(headers["X-Bapi-Limit-Status"]))
        assert headers["X-Bapi-Limit"] == str(BYBIT_REQUESTS_MAX)
        reset_ns = int(headers["X-Bapi-Limit-Reset-Timestamp"]) * NS_PER_MS
        assert reset_ns == (clock.instant_ns // window_ns + 1) * window_ns
        clock.instant_ns += 2 * NS_PER_S
    clock.instant_ns = NOW_NS + window_ns
    async with session.get(f"{venues.url}{TICKERS}") as response:
        left.append(int(response.headers["X-Bapi-Limit-Status"]))
    assert left == [599, 598, 597, 599]
    async with session.get(f"{venues.url}{STATS}") as response:
        assert not any(name.startswith("X-Bapi") for name in response.headers)


async def test_a_fault_is_asked_first(
    venues: SimulatedVenues, session: aiohttp.ClientSession
) -> None:
    """A fault's response goes out as it is and is not `served`; None answers normally."""
    asked = []

    def broken(request: web.Request) -> web.StreamResponse | None:
        asked.append(request.path)
        if request.path == STATS:
            return web.Response(status=429, headers={"Retry-After": "7"})
        return None

    venues.fault = broken
    async with session.get(f"{venues.url}{STATS}") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
    async with session.get(f"{venues.url}{TICKERS}") as response:
        assert response.status == 200
    assert asked == [STATS, "/v5/market/tickers"]
    assert [path_qs for path_qs, _ in venues.served] == [TICKERS]
    venues.fault = None
    async with session.get(f"{venues.url}{STATS}") as response:
        assert response.status == 200


async def test_a_fault_may_take_its_time(
    venues: SimulatedVenues, session: aiohttp.ClientSession
) -> None:
    """A fault may be async (to stall), and may cut the connection."""

    async def cut(request: web.Request) -> web.StreamResponse | None:
        assert request.transport is not None
        request.transport.abort()
        return None

    venues.fault = cut
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"{venues.url}{STATS}")


async def test_other_paths_are_not_there(
    venues: SimulatedVenues, session: aiohttp.ClientSession
) -> None:
    """A path that neither venue has is a 404 and is not `served`."""
    async with session.get(f"{venues.url}/v5/market/time") as response:
        assert response.status == 404
    assert not venues.served


def test_the_record_is_bounded() -> None:
    """`served` forgets the oldest, however long the venues run."""
    assert SimulatedVenues(Market(1), StandingClock()).served.maxlen == SERVED_MAX


async def test_a_large_market_is_served_whole(session: aiohttp.ClientSession) -> None:
    """600 listings come in one reply of each venue, compressed or not."""
    async with SimulatedVenues.start(market=Market(7, count=600)) as venues:
        async with session.get(f"{venues.url}{STATS}", headers=PLAIN) as response:
            assert json.loads(await response.read())["num_markets"] == 600
        async with (
            aiohttp.ClientSession() as decoding,
            decoding.get(f"{venues.url}{TICKERS}") as response,
        ):
            assert response.headers["Content-Encoding"] == "gzip"
            assert len((await response.json())["result"]["list"]) == 599


async def test_the_port_is_free_after_the_block(session: aiohttp.ClientSession) -> None:
    """Leaving the block frees the port, also for venues that start there again; close repeats."""
    async with SimulatedVenues.start(market=Market(7)) as venues:
        port = int(venues.url.rpartition(":")[2])
        async with session.get(f"{venues.url}{STATS}") as response:
            assert response.status == 200
    await venues.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"{venues.url}{STATS}")
    async with SimulatedVenues.start(market=Market(7), port=port) as again:
        assert again.url == venues.url
        with pytest.raises(OSError, match=str(port)):
            async with SimulatedVenues.start(market=Market(7), port=port):
                pass
