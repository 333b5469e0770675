"""A proxy on loopback between the agent and InfluxDB that breaks what it is told to.

Its `fault` stands over every request, probes too, as bad weather does; `clear` passes them on.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import Final, Self, TypeAlias

import aiohttp
from aiohttp import web

BODY_BYTES_MAX: Final = 64 * 2**20
STALL_S_MAX: Final = 60
UPSTREAM_TIMEOUT_S: Final = 30
CLOSE_S: Final = 0.1
"""0 would wait for ever (aiohttp)."""
CUT: Final = 599
"""Status of the answers that nobody gets."""
_HOP_HEADERS: Final = {"host", "content-length", "transfer-encoding", "connection"}
# Below the ports that the kernel hands out, as in tests/influxd/server.py: nobody takes ours
# while the proxy is down.
PORTS: Final = range(12_000, 20_000)

Fault: TypeAlias = Callable[["FaultProxy", web.Request], Awaitable[web.StreamResponse]]
"""What becomes of a request."""


class FaultProxy:
    """Stands before one server; `url` is what the agent is given.

    Attributes:
        fault: what happens to requests from now on.
        answers: how many requests got which answer ("204 write", "404 probe", "cut").
        refused_lines: every line that a fault refused in InfluxDB's stead.
        closing: set while it does not listen.
        on_stored: is called when the server stored a body, before its 204 goes on; None = nobody.
    """

    def __init__(self, upstream: str, session: aiohttp.ClientSession, rng: random.Random) -> None:
        self.fault: Fault = clear
        self.answers: Counter[str] = Counter()
        self.refused_lines: set[str] = set()
        self.on_stored: Callable[[], Awaitable[None]] | None = None
        self.closing = asyncio.Event()
        self.rng = rng
        self._upstream = upstream
        self._session = session
        self._runner: web.AppRunner | None = None
        self._port = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, upstream: str, rng: random.Random) -> AsyncIterator[Self]:
        """Serve until the end of the block."""
        timeout = aiohttp.ClientTimeout(total=UPSTREAM_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            proxy = cls(upstream, session, rng)
            await proxy.open()
            try:
                yield proxy
            finally:
                await proxy.close()

    @property
    def url(self) -> str:
        """Where it listens, also while it is down."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen (again), on the port it always had."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A body is passed on as it came: still compressed.
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=CLOSE_S, auto_decompress=False
        )
        await runner.setup()
        self.closing.clear()
        for port in [self._port] if self._port else random.sample(PORTS, 100):
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
            except OSError:
                continue
            self._port, self._runner = port, runner
            return
        await runner.cleanup()
        raise OSError(f"no port to listen on (had {self._port})")

    async def close(self) -> None:
        """Refuse connections and cut those that are open, until `open`."""
        runner, self._runner = self._runner, None
        self.closing.set()
        if runner is not None:
            await runner.cleanup()

    async def pass_on(
        self,
        request: web.Request,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """The server's own answer. A server that does not answer breaks the connection."""
        body = await request.read() if body is None else body
        kept = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_HEADERS}
        try:
            async with self._session.request(
                request.method,
                f"{self._upstream}{request.path_qs}",
                data=body,
                headers={**kept, **(headers or {})},
            ) as reply:
                answer = await reply.read()
        except (aiohttp.ClientError, TimeoutError):
            return cut(request)
        if reply.status == 204 and body and self.on_stored is not None:
            await self.on_stored()
        passed = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP_HEADERS}
        return web.Response(status=reply.status, body=answer, headers=passed)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        kind = "write" if request.can_read_body else "probe"
        try:
            response = await self.fault(self, request)
        except ConnectionResetError:  # who asked is gone: killed, or tired of waiting
            response = cut(request)
        self.answers["cut" if response.status == CUT else f"{response.status} {kind}"] += 1
        return response


def cut(request: web.Request) -> web.Response:
    """Reset the connection; the answer goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=CUT)


async def clear(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """All is well."""
    return await proxy.pass_on(request)


async def stall(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """Take the request and never answer; the caller has to lose patience."""
    await request.read()
    with suppress(TimeoutError):
        await asyncio.wait_for(proxy.closing.wait(), STALL_S_MAX)
    return cut(request)


async def reset(_: FaultProxy, request: web.Request) -> web.StreamResponse:
    """Break the connection after the first bytes of the body: nothing reaches the server."""
    await request.content.readany()
    return cut(request)


async def lose_answer(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """The server stores, its answer is lost: the agent cannot know."""
    await proxy.pass_on(request)
    return cut(request)


async def slow(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """Up to 1.5 s for each answer."""
    await asyncio.sleep(1.5 * proxy.rng.random())
    return await proxy.pass_on(request)


async def wrong_token(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """InfluxDB's own 401: it sees another token."""
    return await proxy.pass_on(request, headers={"Authorization": "Token wrong"})


async def wrong_bucket(_: FaultProxy, request: web.Request) -> web.StreamResponse:
    """InfluxDB's 404, word by word."""
    message = f'bucket "{request.query.get("bucket", "")}" not found'
    return _error(404, "not found", message)


def answering(status: int, page: str = "", **headers: str) -> Fault:
    """A proxy's answer to everything; nothing reaches the server."""

    async def fault(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=page, headers=headers)

    return fault


def busy_until_date(after_s: int) -> Fault:
    """Status 503 with `Retry-After` as an HTTP date."""

    async def fault(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        until = formatdate(time.time() + after_s, usegmt=True)
        return web.Response(status=503, headers={"Retry-After": until})

    return fault


def too_large_above(bytes_max: int) -> Fault:
    """Status 413 for larger bodies, as a proxy with a bound gives it."""

    async def fault(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if len(body) > bytes_max:
            return web.Response(status=413, text="<html>413 Request Entity Too Large</html>")
        return await proxy.pass_on(request, body)

    return fault


def once(fault: Fault) -> Fault:
    """The fault for one write, then clear."""
    used = False

    async def either(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        nonlocal used
        if used or not request.can_read_body:
            return await clear(proxy, request)
        used = True
        return await fault(proxy, request)

    return either


async def permanent(_: FaultProxy, request: web.Request) -> web.StreamResponse:
    """InfluxDB's 500 that no resend of the same body would change."""
    await request.read()
    return _error(500, "internal error", "An internal error has occurred - check server logs")


async def damaged(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """A byte flips on the way: InfluxDB finds its gzip broken."""
    body = bytearray(await request.read())
    if body:
        body[proxy.rng.randrange(len(body) // 2, len(body))] ^= 0xFF
    return await proxy.pass_on(request, bytes(body))


def refusing(bad: Callable[[str], bool]) -> Fault:
    """What InfluxDB does about lines it cannot parse: it names each, and stores nothing."""

    async def fault(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        named = [line for line in lines_of(request, body) if bad(line)]
        if not named:
            return await proxy.pass_on(request, body)
        proxy.refused_lines.update(named)
        text = "\n".join(f"unable to parse '{line}': invalid number" for line in named)
        return _error(400, "invalid", text)

    return fault


def misquoting(bad: Callable[[str], bool]) -> Fault:
    """The real server's 400, in which it names lines that were never sent: a proxy altered them."""

    async def fault(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        lines = lines_of(request, body)
        if not any(map(bad, lines)):
            return await proxy.pass_on(request, body)
        proxy.refused_lines.update(filter(bad, lines))
        spoilt = [f"{line}x" if bad(line) else line for line in lines]
        data = gzip.compress("".join(f"{line}\n" for line in spoilt).encode(), compresslevel=1)
        return await proxy.pass_on(request, data, {"Content-Encoding": "gzip"})

    return fault


def poisoned(bad: Callable[[str], bool]) -> Fault:
    """A permanent 500 for every body that holds such a line."""

    async def fault(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        named = [line for line in lines_of(request, body) if bad(line)]
        if not named:
            return await proxy.pass_on(request, body)
        proxy.refused_lines.update(named)
        return await permanent(proxy, request)

    return fault


def lines_of(request: web.Request, body: bytes) -> Sequence[str]:
    """The lines of a write."""
    data = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
    return data.decode().splitlines()


def _error(status: int, code: str, message: str) -> web.Response:
    """An error as InfluxDB words it."""
    return web.Response(
        status=status,
        body=json.dumps({"code": code, "message": message}).encode(),
        content_type="application/json",
        headers={"X-Platform-Error-Code": code},
    )
