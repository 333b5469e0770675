"""Real servers on loopback, most of them hostile, against the one door to the venues."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from agent.clock import SYSTEM_CLOCK
from agent.errors import SourceError, SourceFailure
from agent.sources import BybitClient
from agent.sources.fetch import ANSWER_BYTES_MAX, Fetcher, Reply, open_session
from tests.support.loopback import serving
from tests.support.venue import recorded

pytestmark = pytest.mark.slow

MB = 1 << 20
FLOOD_BYTES = 200 * MB
BOMB_BYTES = 64 * MB
ON_THE_WAY_BYTES_MAX = 24 * MB
"""What sockets and buffers of either side may hold beyond what was read."""
MEMORY_BYTES_MAX = 4 * ANSWER_BYTES_MAX
DEADLINE_S = 5.0
SHORT_S = 0.2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def handled_by(handler: Handler) -> AsyncIterator[str]:
    """A server whose every answer is the handler's; its base URL."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with serving(app) as url:
        yield url


@asynccontextmanager
async def speaking(conversation: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    """A server below HTTP: what it says after the first line is the conversation's own affair."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await conversation(writer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def fetcher(timeout_s: float = DEADLINE_S) -> AsyncIterator[Fetcher]:
    """A fetcher with a session of its own."""
    async with open_session(1) as session:
        fetching = Fetcher("bybit", session, timeout_s, SYSTEM_CLOCK)
        yield fetching
        await fetching.close()


async def fetched(handler: Handler, timeout_s: float = DEADLINE_S) -> Reply:
    """What comes of one GET."""
    async with handled_by(handler) as url, fetcher(timeout_s) as fetching:
        return await fetching.get(f"{url}/a?b=c")


async def refused(handler: Handler, timeout_s: float = DEADLINE_S) -> SourceError:
    """What a GET that must fail says; its hint names the key to look at."""
    with pytest.raises(SourceError) as caught:
        await fetched(handler, timeout_s)
    assert caught.value.operation == "poll bybit"
    assert "bybit." in caught.value.hint
    return caught.value


def answering(body: bytes, encoding: str = "") -> Handler:
    """The same answer to every request, called whatever it is called."""

    async def handler(_: web.Request) -> web.Response:
        headers = {"Content-Encoding": encoding} if encoding else {}
        return web.Response(body=body, headers=headers)

    return handler


async def test_a_body_of_200_mb_is_cut_off() -> None:
    """Reading stops at the cap: what follows is never taken from the network."""
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.content_length = FLOOD_BYTES
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < FLOOD_BYTES:
                await response.write(bytes(MB))
                sent += MB
        return response

    problem = await refused(flood)
    assert problem.kind is SourceFailure.TOO_LARGE
    assert f"more than {ANSWER_BYTES_MAX} bytes" in problem.subject
    assert sent <= ANSWER_BYTES_MAX + ON_THE_WAY_BYTES_MAX


async def test_a_gzip_bomb_stays_small() -> None:
    """64 MB in 64 kilobytes are unpacked no further than the cap."""
    bomb = gzip.compress(bytes(BOMB_BYTES))
    assert len(bomb) < MB // 8
    tracemalloc.start()
    try:
        problem = await refused(answering(bomb, "gzip"))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert problem.kind is SourceFailure.TOO_LARGE
    assert peak_bytes < MEMORY_BYTES_MAX


@pytest.mark.parametrize("size", [ANSWER_BYTES_MAX, ANSWER_BYTES_MAX + 1])
@pytest.mark.parametrize("encoding", ["gzip", ""])
async def test_the_cap_is_a_bound_on_what_is_unpacked(size: int, encoding: str) -> None:
    """The largest answer that is taken has just the cap, one byte more is too large."""
    body = bytes(size)
    handler = answering(gzip.compress(body, compresslevel=1) if encoding else body, encoding)
    if size <= ANSWER_BYTES_MAX:
        assert len((await fetched(handler)).body) == size
    else:
        assert (await refused(handler)).kind is SourceFailure.TOO_LARGE


async def test_what_follows_a_gzip_body_is_not_gathered() -> None:
    """A small gzip body with endless bytes behind it ends at once, not at the deadline."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(gzip.compress(b"{}"))
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * MB)
        return response

    problem = await refused(flood)
    assert problem.kind is SourceFailure.UNREADABLE
    assert "goes on after the end" in problem.subject


async def test_a_body_that_never_ends_meets_the_deadline() -> None:
    """The deadline is over the whole answer: a byte now and then does not prolong it."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(SHORT_S / 10)
        return response

    problem = await refused(drip, SHORT_S)
    assert problem.kind is SourceFailure.TIMED_OUT
    assert "within 0.2 s" in problem.subject


async def test_an_answer_that_never_begins_meets_the_deadline() -> None:
    """Neither does silence after the request."""
    forever = asyncio.Event()

    async def silence(_: web.Request) -> web.StreamResponse:
        await forever.wait()
        raise AssertionError

    assert (await refused(silence, SHORT_S)).kind is SourceFailure.TIMED_OUT


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"?\r\n\r\n"]
)
async def test_a_connection_that_ends_too_soon(said: bytes) -> None:
    """Closed without a word, in the middle of the body, or after what is no HTTP."""

    async def conversation(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with speaking(conversation) as url, fetcher() as fetching:
        with pytest.raises(SourceError) as caught:
            await fetching.get(url)
    assert caught.value.kind is SourceFailure.UNREACHABLE
    assert url in caught.value.subject


async def test_a_reset_in_the_middle_of_the_body() -> None:
    """A reset is reported like any other lost connection; half a body is never an answer."""

    async def reset(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"retCode":0')
        assert request.transport is not None
        request.transport.abort()
        return response

    assert (await refused(reset)).kind is SourceFailure.UNREACHABLE


async def test_headers_without_end_are_refused() -> None:
    """A header larger than aiohttp's bound is no answer."""

    async def conversation(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000)
        await writer.drain()

    async with speaking(conversation) as url, fetcher() as fetching:
        with pytest.raises(SourceError) as caught:
            await fetching.get(url)
    assert caught.value.kind is SourceFailure.UNREACHABLE


async def test_nobody_listens() -> None:
    """A refused connection says where, and what to check."""
    async with speaking(asyncio.sleep) as url:
        pass
    async with fetcher() as fetching:
        with pytest.raises(SourceError) as caught:
            await fetching.get(url)
    assert caught.value.kind is SourceFailure.UNREACHABLE
    assert url in caught.value.subject
    assert caught.value.hint == "check network, DNS and bybit.api_base"


# Without the time of the run: it would be part of the names of tests.
PACKED = gzip.compress(b'{"retCode":0}' * 1000, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PACKED[:-9], "gzip"),
        (PACKED[:40], "gzip"),
        (PACKED[:-8] + bytes(8), "gzip"),
        (b"", "gzip"),
        (b"{}", "gzip"),
        (PACKED + PACKED, "gzip"),
        (PACKED + b"x", "gzip"),
        (zlib.compress(b"{}"), "deflate"),
        (b"\x0b\x00\x80{}\x03", "br"),
        (b"{}", "gzip, gzip"),
        (b"{}", "nonsense"),
    ],
)
async def test_a_wrong_encoding_is_no_answer(body: bytes, encoding: str) -> None:
    """Cut off, damaged, followed by more, not packed at all, or packed as nobody asked for."""
    assert (await refused(answering(body, encoding))).kind is SourceFailure.UNREADABLE


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "GZIP"])
async def test_an_answer_comes_whole(encoding: str) -> None:
    """Packed or not, the body is what the venue meant; latency and receipt are taken."""
    body = recorded("bybit", "golden")
    packed = gzip.compress(body) if encoding.lower() == "gzip" else body
    before_ns = SYSTEM_CLOCK.now_ns()
    reply = await fetched(answering(packed, encoding))
    assert (reply.status, reply.body) == (200, body)
    assert before_ns <= reply.received_ns <= SYSTEM_CLOCK.now_ns()
    assert 0 <= reply.latency_ms < DEADLINE_S * 1000


async def test_redirects_are_not_followed() -> None:
    """The answer is the redirect itself; the place it names is not asked."""
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    assert (await fetched(redirect)).status == 302
    assert asked == ["/a?b=c"]


async def test_one_request_in_flight_per_url() -> None:
    """Who asks for what is under way shares the answer; another URL is another request."""
    asked: list[str] = []
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) == 2:
            go_on.set()
        await go_on.wait()
        return web.Response(body=request.path.encode())

    async with handled_by(slow) as url, fetcher() as fetching:
        replies = await asyncio.gather(*(fetching.get(f"{url}/{path}") for path in "aabaa"))
        assert [reply.body for reply in replies] == [b"/a", b"/a", b"/b", b"/a", b"/a"]
        assert sorted(asked) == ["/a", "/b"]
        await fetching.get(f"{url}/a")
        assert sorted(asked) == ["/a", "/a", "/b"]


async def test_a_shared_failure_reaches_everyone() -> None:
    """Two who wait for one request both learn that it failed, and the next one is made anew."""
    asked = 0

    async def fail_once(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{}")
        if asked == 1:
            assert request.transport is not None
            request.transport.abort()
        return response

    async with handled_by(fail_once) as url, fetcher() as fetching:
        both = await asyncio.gather(fetching.get(url), fetching.get(url), return_exceptions=True)
        assert [type(each) for each in both] == [SourceError, SourceError]
        assert (await fetching.get(url)).body == b"{}"
    assert asked == 2


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_connection_is_kept_over_polls(encoding: str) -> None:
    """Polls one after another use one connection, also when answers are packed."""
    peers = set()
    body = recorded("bybit", "golden")

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        packed = gzip.compress(body) if encoding else body
        return web.Response(body=packed, headers={"Content-Encoding": encoding or "identity"})

    async with handled_by(handler) as url, BybitClient(api_base=url) as client:
        for _ in range(5):
            assert (await client.fetch_stats("BTC")) is not None
    assert len(peers) == 1


async def test_any_session_will_do() -> None:
    """A session that a library user shares may unpack and raise by itself: nothing changes."""
    answers = [
        web.Response(
            body=gzip.compress(recorded("bybit", "golden")), headers={"Content-Encoding": "gzip"}
        ),
        web.Response(body=recorded("bybit", "banned-403"), status=403),
    ]

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["User-Agent"].startswith("perpflux/")
        return answers.pop(0)

    async with (
        handled_by(handler) as url,
        aiohttp.ClientSession(raise_for_status=True, headers={"User-Agent": "other"}) as session,
        BybitClient(api_base=url, session=session) as client,
    ):
        assert (await client.fetch_stats("BTC")) is not None
        [problem] = (await client.poll(["BTC"], 0)).problems
    assert problem.kind is SourceFailure.BANNED


async def test_a_source_tells_of_a_hostile_venue() -> None:
    """What the fetcher found is the poll's problem, in the words an operator reads."""
    bomb = gzip.compress(bytes(2 * ANSWER_BYTES_MAX), compresslevel=1)
    async with handled_by(answering(bomb, "gzip")) as url, BybitClient(api_base=url) as client:
        poll = await client.poll(["BTC", "ETH"], 0)
    assert [problem.kind for problem in poll.problems] == [SourceFailure.TOO_LARGE] * 2
    assert (poll.batch, poll.reports[0].ok, poll.reports[0].bytes) == (None, False, 0)
