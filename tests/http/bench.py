"""What the HTTP tests share: a server with everything around it in the test's hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp

from agent.http import HttpServer, Live
from tests.support.clock import FakeClock

STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "uptime_s": 61,
    "sources": {
        "bybit": {"state": "ok", "failures": 0, "age_s": 1},
        "variational": {"state": "starting", "failures": 2, "age_s": None},
    },
    "ledger": {"collected": 10, "stored": 6, "rejected": 1, "evicted": 1, "pending": 2},
    "shipping": {"state": "parked", "pending_bytes": 99, "oldest_pending_s": 7},
    "sinks": {
        "cloud": {
            "ledger": {"collected": 4, "stored": 4, "rejected": 0, "evicted": 0, "pending": 0},
            "shipping": {"state": "idle", "pending_bytes": 0, "oldest_pending_s": None},
        }
    },
    "journal": {
        "takes_writes": True,
        "last_error": None,
        "held_points": 3,
        "lost_points": 0,
    },
}


class Bench:
    """A server on a free port, with a status and a board that the test changes."""

    def __init__(self, folder: Path) -> None:
        self.status = {**STATUS, "journal": dict(STATUS["journal"])}
        self.stalled: list[str] = []
        self.url = ""
        self.clock = FakeClock()
        self.journal = folder / "journal.db"
        self.live = Live(lambda: {"bybit": 1, "variational": 20}, self.clock)
        self.server = HttpServer(
            self.document, lambda: self.stalled, self.live, self.journal, self.clock
        )

    async def document(self) -> dict[str, Any]:
        """The status document."""
        return self.status

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()
