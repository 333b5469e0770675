"""The read-only HTTP server. Bound to loopback unless configured otherwise."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from agent.clock import SYSTEM_CLOCK, Clock
from agent.errors import PerpfluxError
from agent.heartbeat import process_figures
from agent.http.api import Api
from agent.http.guard import add_headers, guard
from agent.http.live import Live
from agent.http.metrics import CONTENT_TYPE, metrics_text
from agent.http.page import load

REQUEST_BYTES_MAX: Final = 4096
"""Nothing is uploaded here."""
SHUTDOWN_TIMEOUT_S: Final = 1


class HttpServer:
    """Serves the live page, the API, health, metrics and status.

    Args:
        status: makes the status document anew.
        stalled: names of loops that do not turn.
        live: what is now.
        journal: the journal's file.
        clock: where time comes from.
    """

    def __init__(
        self,
        status: Callable[[], Awaitable[dict[str, Any]]],
        stalled: Callable[[], list[str]],
        live: Live,
        journal: Path,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._status = status
        self._stalled = stalled
        self._live = live
        self._journal = journal
        self._clock = clock
        self._api: Api | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen; returns the URL to open (a port of 0 takes a free one).

        Raises:
            PerpfluxError: the address cannot be listened on.
        """
        app = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[guard(host)])
        app.on_response_prepare.append(add_headers)
        app.on_shutdown.append(self._hang_up)
        api = self._api = Api(self._live, self._journal, self._clock)
        app.router.add_get("/", self._page)
        app.router.add_get("/api/snapshots", api.snapshots)
        app.router.add_get("/api/history", api.history)
        app.router.add_get("/api/stream", api.stream, allow_head=False)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status_json)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            handler_cancellation=True,  # who went away frees a place at once
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise PerpfluxError(
                "listen",
                f"{host}:{port}: {error.strerror or error}",
                'another program may use it: set http.listen to another port, or to "" for off',
            ) from error
        bound_host, bound_port = self._runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        return f"http://{shown}:{bound_port}"

    async def close(self) -> None:
        """Stop listening; answers under way get a second."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def _hang_up(self, _: web.Application) -> None:
        """Streams would go on for ever."""
        self._live.hang_up()

    async def _page(self, _: web.Request) -> web.Response:
        page = load()
        headers = {"Content-Security-Policy": page.policy}
        return web.Response(text=page.html, content_type="text/html", headers=headers)

    async def _healthz(self, _: web.Request) -> web.Response:
        stalled = self._stalled()
        text = f"stalled: {', '.join(stalled)}\n" if stalled else "ok\n"
        return web.Response(text=text, status=503 if stalled else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        journal = (await self._status())["journal"]
        ready = journal["takes_writes"]
        text = "ok\n" if ready else f"the journal takes no writes: {journal['last_error']}\n"
        return web.Response(text=text, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = metrics_text(await self._status(), process_figures())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _status_json(self, _: web.Request) -> web.Response:
        return web.json_response(await self._status(), dumps=_dumps)


def _dumps(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"
