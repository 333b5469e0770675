"""`/api`: snapshots of now, of the past, and as they come (docs/http-api.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web

from agent.clock import Clock
from agent.http.documents import points_json
from agent.http.live import Live
from agent.http.parameters import Query, Selection, Span, selection, span
from agent.http.worker import Worker
from agent.journal import History
from agent.past import rows, step_s_of

HISTORY_WAITING_MAX: Final = 8
"""Requests for the past that may wait; one is worked on at a time."""
ROWS_MAX: Final = 10_000
"""Rows of an answer; with more tickers the points lie further apart."""
HEARTBEAT_S: Final = 15
"""A stream is never silent for longer, so that a cut is noticed."""
WRITE_S: Final = 30
"""Who takes nothing for so long is let go."""
RECONNECT_MS: Final = 2000
"""How long a browser waits before it connects again."""
JSON: Final = "application/json"


class Api:
    """The handlers.

    Args:
        live: what is now.
        journal: the journal's file.
        clock: where time comes from.
    """

    def __init__(self, live: Live, journal: Path, clock: Clock) -> None:
        self._live = live
        self._journal = journal
        self._clock = clock
        self._reader = Worker("history", HISTORY_WAITING_MAX)

    async def close(self) -> None:
        """Read nothing more."""
        await self._reader.close()

    async def snapshots(self, request: web.Request) -> web.Response:
        """The newest snapshot of every ticker and source."""
        chosen = selection(_query(request), self._live.sources)
        return web.Response(text=await self._live.document(chosen) + "\n", content_type=JSON)

    async def history(self, request: web.Request) -> web.Response:
        """What the journal has of a part of the past, thinned."""
        sources = self._live.sources
        chosen = selection(_query(request), sources, also=("since", "until", "points"))
        asked = span(_query(request), self._clock.now_ns())
        tickers = len(chosen.tickers or ()) * len(sources) or self._live.row_count
        points = max(2, min(asked.points, ROWS_MAX // max(1, tickers)))
        text = await self._reader.do(self._read, chosen, asked, points, sources)
        return web.Response(text=text, content_type=JSON)

    def _read(self, chosen: Selection, asked: Span, points: int, sources: list[str]) -> str:
        step_s = step_s_of(asked.since_ns, asked.until_ns, points)
        with History(self._journal) as history:
            found = rows(
                history,
                asked.since_ns,
                asked.until_ns,
                step_s,
                sources=sources,
                tickers=chosen.tickers,
                fields=chosen.fields,
                chosen=chosen.takes,
            )
            return points_json(found, chosen.fields, step_s=step_s)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Everything once, then what each poll changes, as server-sent events."""
        chosen = selection(_query(request), self._live.sources)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})

        def let_go() -> None:
            if request.transport is not None:
                request.transport.abort()

        watcher = await self._live.join(chosen, let_go)
        try:
            await response.prepare(request)
            await response.write(f"retry: {RECONNECT_MS}\n\n".encode())
            while (message := await _next(watcher.messages)) is not None:
                async with asyncio.timeout(WRITE_S):
                    await response.write(message)
        except (ConnectionError, TimeoutError):
            let_go()
        finally:
            self._live.leave(chosen, watcher)
        return response


def _query(request: web.Request) -> Query:
    return {name: request.query.getall(name) for name in request.query}


async def _next(messages: asyncio.Queue[bytes | None]) -> bytes | None:
    """The next message; a comment when there is none for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            return await messages.get()
    except TimeoutError:
        return b": still here\n\n"
