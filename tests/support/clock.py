"""Time in the hands of a test."""

from __future__ import annotations

import asyncio
from typing import Final

from agent.clock import NS_PER_S

START_NS: Final = 1_790_002_800 * NS_PER_S
"""2026-09-21T15:00:00Z: a slot of every interval that divides an hour."""


class FakeClock:
    """An `agent.clock.Clock` that stands still until it is told otherwise.

    Args:
        now_ns: the wall clock's first reading, ns since the epoch; the monotonic clock begins at 0.
        sleep_advances: True = `sleep` moves both clocks on by itself and returns; False = a
            sleeper waits until `advance` has taken the clock that far.
    """

    def __init__(self, now_ns: int = START_NS, *, sleep_advances: bool = True) -> None:
        self._wall_ns = now_ns
        self._monotonic_ns = 0
        self._sleep_advances = sleep_advances
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self.slept_s: list[float] = []
        """Every wait that was asked for, in order."""

    def now_ns(self) -> int:
        """The wall clock, ns since the epoch."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """The monotonic clock, ns."""
        return self._monotonic_ns

    async def sleep(self, duration_s: float) -> None:
        """Wait; see `sleep_advances`."""
        self.slept_s.append(duration_s)
        if self._sleep_advances:
            self.advance(duration_s)
            await asyncio.sleep(0)
            return
        due_ns = self._monotonic_ns + round(duration_s * NS_PER_S)
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((due_ns, woken))
        self._wake()
        await woken

    def advance(self, duration_s: float) -> None:
        """Move both clocks on and wake who is due."""
        step_ns = round(duration_s * NS_PER_S)
        self._wall_ns += step_ns
        self._monotonic_ns += step_ns
        self._wake()

    def step_wall(self, duration_s: float) -> None:
        """Step the wall clock alone, either way, as NTP or an operator would."""
        self._wall_ns += round(duration_s * NS_PER_S)

    def _wake(self) -> None:
        for due_ns, woken in self._sleepers:
            if due_ns <= self._monotonic_ns and not woken.done():
                woken.set_result(None)
        self._sleepers = [pair for pair in self._sleepers if not pair[1].done()]
