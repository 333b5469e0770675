"""What systemd hears while the agent runs: ready, how it is, that it turns, that it stops.

The watchdog is fed only while the loops turn: a blocked event loop feeds nothing, and a source
whose loop does not come back is seen here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Self

from agent.clock import NS_PER_US, SYSTEM_CLOCK, Clock
from agent.log import get_logger
from agent.notify import US_PER_S, Notifier

BEAT_S_MAX: Final = 10
"""The status line is never older than this."""
BEATS_PER_WATCHDOG: Final = 3
LINE_S: Final = 1
"""How long the status line may take; a slow disk is not a dead agent."""
EXTEND_EVERY_S: Final = 5
EXTENSION_S: Final = 15
EXTENSIONS_MAX: Final = 12
"""A stop that takes longer than a minute and a quarter is ended by systemd."""


class Supervision:
    """Keeps systemd informed. Use as an async context manager around the whole life of the agent.

    Args:
        notifier: where to.
        clock: where time comes from.
    """

    def __init__(self, notifier: Notifier, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._notifier = notifier
        self._clock = clock
        self._log = get_logger()
        self._tasks: list[asyncio.Task[None]] = []
        limit_s = notifier.watchdog_s or BEAT_S_MAX * BEATS_PER_WATCHDOG
        self._beat_s = min(BEAT_S_MAX, limit_s / BEATS_PER_WATCHDOG)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(
        self,
        line: Callable[[], Awaitable[str]],
        stalled: Callable[[], list[str]],
        running: asyncio.Event,
        stop: asyncio.Event,
    ) -> None:
        """Say that it is ready when `running` is set, and then how it is until `stop` is.

        Args:
            line: the status, one line.
            stalled: names of loops that do not turn.
            running: set when the loops run.
            stop: set when the agent begins to stop.
        """
        beating = asyncio.create_task(self._beat(line, stalled, running), name="supervision")
        stopping = asyncio.create_task(self._stop(stop, beating), name="supervised stop")
        self._tasks += [beating, stopping]

    def reloading(self) -> None:
        """The configuration is being read again; `reloaded` must follow."""
        now_us = self._clock.monotonic_ns() // NS_PER_US
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=now_us)

    def reloaded(self) -> None:
        """It goes on, with the new configuration or the old one."""
        self._notifier.tell(READY=1)

    async def _beat(
        self,
        line: Callable[[], Awaitable[str]],
        stalled: Callable[[], list[str]],
        running: asyncio.Event,
    ) -> None:
        await running.wait()
        self._notifier.tell(READY=1)
        said: list[str] = []
        while True:
            names = stalled()
            if not names:
                self._notifier.tell(WATCHDOG=1)
            elif names != said:
                self._log.error("loops_stalled", loops=names, watchdog_s=self._notifier.watchdog_s)
            said = names
            self._notifier.tell(STATUS=await _within(line))
            await self._clock.sleep(self._beat_s)

    async def _stop(self, stop: asyncio.Event, beating: asyncio.Task[None]) -> None:
        await stop.wait()
        beating.cancel()
        self._notifier.tell(STOPPING=1, STATUS="stopping: ships what was just polled")
        for _ in range(EXTENSIONS_MAX):
            self._notifier.tell(EXTEND_TIMEOUT_USEC=EXTENSION_S * US_PER_S)
            await self._clock.sleep(EXTEND_EVERY_S)


async def _within(line: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(LINE_S):
            return await line()
    except TimeoutError:
        return f"the journal did not answer within {LINE_S} s"
    except Exception as error:  # noqa: BLE001  # a status that cannot be had is a status
        return str(error)
