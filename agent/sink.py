"""`perpflux sink`, built, started and stopped: a shipper that takes from a stream.

It is the agent's own shipper with the same fates; only what it takes from is another.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.config import JournalConfig, NatsSink
from agent.delivery import Destination
from agent.journal import Journal
from agent.journal.database import MAIN_SINK
from agent.log import get_logger
from agent.shipper import Shipper
from agent.stream.mailbox import Mailbox

STOP_S: Final = 4
"""How long a stop waits for the store's answer; what is not answered is given back."""
STATE_EVERY_S: Final = 60
STALL_S: Final = 120


class Sink:
    """Fills one store from one stream. Use as an async context manager.

    Args:
        stream: where from.
        store: its name, for the log.
        destination: where to; closed with this.
        durable: the consumer's name.
        box: the file of the journal that keeps refused lines and the ledger.
        bounds: `[journal]`: how large and how old it may grow.
        clock: where time comes from.

    Raises on entering:
        JournalError: the box cannot be opened, or another process holds it.
    """

    def __init__(
        self,
        stream: NatsSink,
        store: str,
        destination: Destination,
        *,
        durable: str,
        box: Path,
        bounds: JournalConfig,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.running = asyncio.Event()
        """Set when the loops run."""
        self._stream = stream
        self._store = store
        self._destination = destination
        self._durable = durable
        self._path = box
        self._bounds = bounds
        self._clock = clock
        self._log = get_logger()

    async def __aenter__(self) -> Self:
        self._box = await Journal.open(
            self._path,
            bytes_max=self._bounds.bytes_max,
            age_max_s=self._bounds.age_max_s,
            clock=self._clock,
        )
        self._mailbox = Mailbox(self._stream, self._durable, self._box, clock=self._clock)
        self._shipper = Shipper(self._store, self._mailbox, self._destination, clock=self._clock)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._mailbox.close()
        await self._destination.close()
        await self._box.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Take, store and acknowledge until `stop` is set; then give back what is not stored."""
        loops = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("ship", self._shipper.run()),
                ("take", self._mailbox.run()),
                ("tell", self._tell()),
            )
        ]
        for loop in loops:
            loop.add_done_callback(lambda _: stop.set())
        try:
            await asyncio.sleep(0)  # each has begun
            self.running.set()
            await stop.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._shipper.retire(loops[0])
        finally:
            for loop in loops:
                loop.cancel()
            ended = await asyncio.gather(*loops, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def state(self) -> dict[str, Any]:
        """Where its points are, and how stream and store are."""
        ledger = await self._box.ledger(MAIN_SINK)
        shipping = self._shipper.status
        return {
            **asdict(ledger),
            "taken": self._mailbox.taken,
            "again": self._mailbox.again,
            "store": shipping.state,
            "store_error": shipping.last_error,
            "stream": "down" if self._mailbox.error else "up",
            "stream_error": self._mailbox.error,
            "write_ms": shipping.write_ms,
        }

    async def line(self) -> str:
        """The state in one line."""
        state = await self.state()
        errors = [state[name] for name in ("stream_error", "store_error") if state[name]]
        return (
            f"stream {state['stream']}; {self._store} {state['store']}; {state['stored']} points "
            f"stored, {state['rejected']} rejected, {state['taken']} in hand"
            + "".join(f"; {error}" for error in errors)
        )

    def stalled(self) -> list[str]:
        """The loops that do not turn."""
        idle_ns = self._clock.monotonic_ns() - self._mailbox.beat_ns
        return ["take"] if idle_ns > STALL_S * NS_PER_S else []

    async def _tell(self) -> None:
        """Log the state, once a minute."""
        while True:
            await self._clock.sleep(STATE_EVERY_S)
            for note in self._box.notes:
                self._log.error("journal_notice", text=note)
            self._box.notes.clear()
            self._log.info("sink", **await self.state())
