"""Both venues behind one loopback port, answering from `agent.demo.documents`."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from aiohttp import web

from agent.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock
from agent.demo.documents import BYBIT_PREFIX, ROUTES, answer
from agent.demo.market import Market

SERVED_MAX: Final = 10_000
CLOSE_TIMEOUT_S: Final = 1.0
COMPRESS_INLINE_BYTES_MAX: Final = 64 * 1024
"""Larger bodies are compressed in a thread."""
BYBIT_REQUESTS_MAX: Final = 600
BYBIT_WINDOW_NS: Final = 5 * NS_PER_S

_Answer = web.StreamResponse | None
Fault = Callable[[web.Request], _Answer | Awaitable[_Answer]]
"""Is asked first: a response goes out as it is, None means answer normally; may be async."""


class SimulatedVenues:
    """Variational and Bybit on one port: `async with SimulatedVenues.start(market=...) as venues`.

    Attributes:
        url: base URL of both, without a slash at the end.
        fault: breaks answers on purpose; None: all is well.
        served: the newest normal answers as (path and query as sent, instant in ns): just what
            `agent.demo.documents.answer` wants in order to give the same body again.
    """

    def __init__(self, market: Market, clock: Clock) -> None:
        self.url = ""
        self.fault: Fault | None = None
        self.served: deque[tuple[str, int]] = deque(maxlen=SERVED_MAX)
        self._market = market
        self._clock = clock
        self._window = 0
        self._window_requests = 0
        app = web.Application()
        app.add_routes([web.get(path, self._answer) for path in ROUTES])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *,
        market: Market,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> AsyncIterator[Self]:
        """Serve until the end of the block.

        Args:
            market: what is served.
            host: a loopback address or name.
            port: 0 takes a free one; see `url`.
            clock: its wall clock is the venues'.

        Raises:
            OSError: the port is taken.
        """
        venues = cls(market, clock)
        try:
            await venues._runner.setup()
            site = web.TCPSite(venues._runner, host, port)
            await site.start()
            bound_port = venues._runner.addresses[0][1]
            venues.url = f"http://{host}:{bound_port}"
            yield venues
        finally:
            await venues.close()

    async def close(self) -> None:
        """Stop serving; more than once does no harm."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.fault is not None:
            broken = self.fault(request)
            if inspect.isawaitable(broken):
                broken = await broken
            if broken is not None:
                return broken
        instant_ns = self._clock.now_ns()
        self.served.append((request.path_qs, instant_ns))
        response = web.Response(
            body=answer(self._market, request.path_qs, instant_ns),
            content_type="application/json",
            zlib_executor_size=COMPRESS_INLINE_BYTES_MAX,
        )
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        if request.path.startswith(BYBIT_PREFIX):
            response.headers.update(self._limit_headers(instant_ns))
        return response

    def _limit_headers(self, instant_ns: int) -> dict[str, str]:
        """How much of the 600 requests in 5 s is left; nobody is turned away.

        https://bybit-exchange.github.io/docs/v5/rate-limit
        """
        window = instant_ns // BYBIT_WINDOW_NS
        if window != self._window:
            self._window, self._window_requests = window, 0
        self._window_requests += 1
        reset_ms = (window + 1) * BYBIT_WINDOW_NS // NS_PER_MS
        return {
            "X-Bapi-Limit": str(BYBIT_REQUESTS_MAX),
            "X-Bapi-Limit-Status": str(max(0, BYBIT_REQUESTS_MAX - self._window_requests)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }
