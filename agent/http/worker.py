"""One thread that works for the HTTP side, with a bound on what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

from agent.errors import PerpfluxError

CLOSE_S: Final = 1.0
P = ParamSpec("P")
T = TypeVar("T")


class BusyError(PerpfluxError):
    """Too much is waiting already; it can be asked again."""


class Worker:
    """Runs calls one after the other, off the event loop.

    Args:
        name: the thread's.
        waiting_max: more calls than these are refused.
    """

    def __init__(self, name: str, waiting_max: int) -> None:
        self._name = name
        self._waiting_max = waiting_max
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises.

        Raises:
            BusyError: too many wait.
        """
        if self._waiting >= self._waiting_max:
            raise BusyError(self._name, f"{self._waiting} requests wait", "ask again in a second")
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))
        finally:
            self._waiting -= 1

    def begin(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it done after what waits, whether or not anybody waits for it."""
        return self._thread.submit(work, *args, **kwargs)

    async def close(self) -> None:
        """Begin nothing more, and let end what is under way, for `CLOSE_S` at most.

        Who still reads the journal when it is closed would keep SQLite from folding its log in.
        """
        end = partial(self._thread.shutdown, wait=True, cancel_futures=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(end), CLOSE_S)
