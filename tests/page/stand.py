"""The page's server with an hour of the simulated market behind it, all at one instant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.documents import answer
from agent.demo.market import Market
from agent.entries import poll_entry
from agent.poll import Poll
from agent.sources import BybitClient, VariationalClient
from agent.sources.fetch import Reply
from tests.http.bench import Bench
from tests.journal.make import store_at
from tests.support.clock import START_NS, FakeClock

HOUR_S: Final = 3600
EVERY_S: Final = 20
ANSWERED_AFTER_MS: Final = 250
DEPTH: Final = ("BTC", "ETH", "SOL")
STATUS: Final[dict[str, Any]] = {
    "version": "0.1.0",
    "host": "demo",
    "state": "ok",
    "uptime_s": 86_400,
    "sources": {
        "bybit": {"state": "ok", "failures": 0, "age_s": 1, "last_error": None},
        "variational": {"state": "ok", "failures": 0, "age_s": 4, "last_error": None},
    },
    "ledger": {
        "collected": 1_958_412,
        "stored": 1_958_389,
        "rejected": 0,
        "evicted": 0,
        "pending": 23,
    },
    "shipping": {
        "state": "idle",
        "last_error": None,
        "pending_bytes": 99,
        "oldest_pending_s": 0,
    },
    "sinks": {},
    "journal": {"takes_writes": True, "last_error": None, "held_points": 0, "lost_points": 0},
}


class _Simulated:
    """A source whose venue is the market, at the clock's time."""

    _clock: FakeClock
    market: Market

    async def _get(self, path: str) -> Reply:
        body = answer(self.market, path, self._clock.now_ns())
        kind = {"Content-Type": "application/json"}
        return Reply(200, kind, body, self._clock.now_ns(), ANSWERED_AFTER_MS)


class _Bybit(_Simulated, BybitClient):  # type: ignore[misc]  # its clock is ours
    pass


class _Variational(_Simulated, VariationalClient):  # type: ignore[misc]  # its clock is ours
    pass


class Stand(Bench):
    """A bench whose board and journal are full."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        super().__init__(folder)
        self.status = {**STATUS}
        self._wire = FakeClock(START_NS - HOUR_S * NS_PER_S)
        market = Market(seed, refresh_s=EVERY_S)
        self._bybit = _Bybit(clock=self._wire, depth_tickers=DEPTH)
        self._variational = _Variational(clock=self._wire)
        self._bybit.market = self._variational.market = market

    async def fill(self) -> None:
        """An hour of polls into the journal, the last ones onto the board."""
        entries = []
        for slot_s in range(-HOUR_S, 1, EVERY_S):
            polls = await self.polls(slot_s)
            entries += [poll_entry(poll, host="demo", missed_slots=0) for poll in polls]
        with closing(store_at(self.journal, clock=self.clock)) as store:
            store.append(entries)
        for poll in polls:
            self.live.take(poll)

    async def polls(self, slot_s: int) -> list[Poll]:
        """What both venues answer so many seconds after the start."""
        slot_ns = START_NS + slot_s * NS_PER_S
        answered_ns = slot_ns + ANSWERED_AFTER_MS * NS_PER_MS
        self._wire.advance((answered_ns - self._wire.now_ns()) / NS_PER_S)
        return [await source.poll("all", slot_ns) for source in (self._bybit, self._variational)]


def luminance(colour: str) -> float:
    """Of "rgb(1, 2, 3)". https://www.w3.org/TR/WCAG21/#dfn-relative-luminance ."""
    red, green, blue = _channels(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> Iterator[float]:
    for text in colour[colour.index("(") + 1 : -1].split(",")[:3]:
        share = int(text) / 255
        yield share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def contrast(colour: str, ground: str) -> float:
    """From 1 to 21. https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio ."""
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)
