"""The loop that takes what waits for one sink out of the journal and sees it delivered.

A batch goes when 5,000 points wait, or half a second after the first. The newest and the oldest
take turns, so that new data arrives at once while a backlog drains. There is one retry, and it is
this loop; how long it waits is a pure function of the failures so far (`fates.back_off_s`).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.delivery import Delivered, Destination, Paused
from agent.errors import JournalError
from agent.fates import BackOff, Park, TooOld, back_off_s, shortened
from agent.horizon import Horizon
from agent.journal.records import Backlog, Lane, Record, Rejected
from agent.log import get_logger

BATCH_POINTS_MAX: Final = 5_000
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Compressed; the first of the two bounds that is met ends a batch."""
FLUSH_AFTER_S: Final = 0.5
PROBE_EVERY_S_MAX: Final = 30.0
UNSETTLED_MAX: Final = 64
"""Batches that are delivered while the journal cannot take note of it; after so many, it waits."""

State: TypeAlias = Literal["shipping", "backing_off", "parked", "idle"]
UP: Final = frozenset[State]({"shipping", "idle"})
"""Writes succeed, as far as there was anything to write."""


class Journal(Protocol):
    """What a shipper needs of the journal."""

    def subscribe(self) -> asyncio.Event:
        """A bell of one's own, set after each append."""

    async def backlog(self, sink: str) -> Backlog:
        """What waits."""

    async def next_batch(
        self, sink: str, *, lane: Lane, points_max: int, bytes_max: int
    ) -> list[Record]:
        """Lease the next records; [] when none wait."""

    async def settle(
        self, sink: str, records: Sequence[Record], rejected: Sequence[Rejected]
    ) -> None:
        """They are stored, but for the rejected lines."""

    async def release(self, sink: str, records: Sequence[Record] | None = None) -> None:
        """Give the lease of these back."""


@dataclass(frozen=True, slots=True)
class ShipperStatus:
    """How a sink's shipping is.

    Args:
        state: "idle" when nothing waits.
        last_error: why it is not shipping; None = it is.
        next_try_ns: wall clock, while it waits to try again; else None.
        last_write_ns: wall clock of the last batch that was delivered; None = none yet.
        write_ms: how long its last write took; None = none yet.
        attempts: failures in a row.
        outages: how often it went down, since the process began.
    """

    state: State
    last_error: str | None
    next_try_ns: int | None
    last_write_ns: int | None
    write_ms: int | None
    attempts: int
    outages: int = 0


class _Delivery(NamedTuple):
    """A batch that is delivered and not yet settled: its records without their fragments."""

    records: Sequence[Record]
    expired: Sequence[Rejected]
    outcome: Delivered


class Shipper:
    """Ships one sink.

    Args:
        sink: its name in the journal.
        journal: where the records are.
        destination: where they go; the shipper does not close it.
        clock: where time comes from.
        rand: a random number, 0 ≤ x < 1, for the jitter.
    """

    def __init__(
        self,
        sink: str,
        journal: Journal,
        destination: Destination,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._journal = journal
        self._destination = destination
        self._clock = clock
        self._rand = rand
        self._bell = journal.subscribe()
        self._busy = asyncio.Lock()
        """Held while a batch is under way."""
        self._lanes: cycle[Lane] = cycle(("newest", "oldest"))
        self._horizon = Horizon(clock)
        self._unsettled: deque[_Delivery] = deque()
        self._log = get_logger()
        self._state: State = "idle"
        self._parked = False
        self._attempts = 0
        self._outages = 0
        self._probes = 0
        self._told: set[type] = set()
        self._down_since_ns = 0
        self._last_error: str | None = None
        self._next_try_ns: int | None = None
        self._last_write_ns: int | None = None
        self._write_ms: int | None = None

    @property
    def status(self) -> ShipperStatus:
        """How it is now."""
        return ShipperStatus(
            state=self._state,
            last_error=self._last_error,
            next_try_ns=self._next_try_ns,
            last_write_ns=self._last_write_ns,
            write_ms=self._write_ms,
            attempts=self._attempts,
            outages=self._outages,
        )

    async def run(self) -> None:
        """Ship until cancelled. No failure ends it."""
        while True:
            trouble = await self._turn()
            if trouble is not None:
                await self._pause(trouble)

    async def retire(self, loop: asyncio.Task[None]) -> None:
        """End `run`, which runs in this task; a batch under way is answered for first."""
        async with self._busy:
            loop.cancel()

    def exchange(self, destination: Destination) -> None:
        """Ship to this one when `run` is called next; nothing of the former one counts."""
        self._destination = destination
        self._horizon.forget()
        self._parked = False
        self._next_try_ns = None
        self._recovered()

    async def drain(self, deadline_s: float) -> bool:
        """Ship what waits, without waiting for more; never while `run` runs.

        It gives up at the deadline, when it is parked, and after one try where shipping failed
        already before: what waits is safe in the journal.

        Args:
            deadline_s: bound on all of it.

        Returns:
            Whether nothing waits any more.
        """
        was_down = self._attempts > 0
        with suppress(TimeoutError, JournalError):
            async with asyncio.timeout(deadline_s):
                while (await self._journal.backlog(self._sink)).bytes:
                    trouble = await self._step()
                    if trouble is None:
                        continue
                    if was_down or isinstance(trouble, Park):
                        self._fail(trouble)
                        return False
                    await self._pause(trouble)
                return True
        return False

    async def _turn(self) -> Park | BackOff | None:
        try:
            if not self._parked:
                await self._until_due()
            return await self._step()
        except JournalError as error:
            return BackOff(shortened(str(error)))
        except Exception as error:  # noqa: BLE001  # a bug here must not end the shipping
            self._log.exception("shipping_crashed", sink=self._sink)
            return BackOff(shortened(f"{type(error).__name__}: {error}"))

    async def _step(self) -> Park | BackOff | None:
        """One batch, or one probe while parked; what is in the way, or None."""
        async with self._busy:
            return await (self._probe() if self._parked else self._ship())

    async def _until_due(self) -> None:
        """Until something waits, and has waited for half a second or fills a batch."""
        while True:
            self._bell.clear()
            if (await self._journal.backlog(self._sink)).bytes:
                break
            self._state = "idle"
            await self._bell.wait()
        if not self._attempts:
            await _first_of(self._clock.sleep(FLUSH_AFTER_S), self._until_full())

    async def _until_full(self) -> None:
        while (await self._journal.backlog(self._sink)).points < BATCH_POINTS_MAX:
            await self._bell.wait()
            self._bell.clear()

    async def _ship(self) -> Park | BackOff | None:
        self._state = "shipping"
        had_unsettled = bool(self._unsettled)
        refusal = await self._settle()
        if refusal is not None and len(self._unsettled) >= UNSETTLED_MAX:
            return refusal
        records = await self._next_batch()
        if not records:
            if refusal is None and not had_unsettled:
                # Evicted since it was seen: look again, but not at once.
                await self._clock.sleep(FLUSH_AFTER_S)
            return refusal
        return await self._deliver(records)

    async def _deliver(self, records: Sequence[Record]) -> Park | BackOff | None:
        """See a leased batch to its end. What the journal cannot note now is settled later."""
        to_send, expired = self._horizon.split(records)
        leased = True
        try:
            outcome: Delivered | Paused = Delivered((), self._write_ms)
            if to_send:
                outcome = await self._destination.deliver(to_send)
            if not isinstance(outcome, Delivered):
                return outcome.fate
            leased = False
        finally:
            if leased:
                # Should this fail as well, the next thing asked of the journal tells.
                with suppress(JournalError):
                    await self._journal.release(self._sink, records)
        if outcome.too_old is not None:
            self._learn(outcome.too_old)
        bare = [replace(record, fragment=b"") for record in records]
        self._unsettled.append(_Delivery(bare, expired, outcome))
        await self._settle()
        return None

    async def _settle(self) -> BackOff | None:
        """Have the journal take note of what is delivered; why it could not, or None."""
        while self._unsettled:
            batch = self._unsettled[0]
            rejected = [*batch.expired, *batch.outcome.rejected]
            try:
                await self._journal.settle(self._sink, batch.records, rejected)
            except JournalError as error:
                return BackOff(shortened(str(error)))
            self._unsettled.popleft()
            self._succeed(batch.records, batch.outcome)
        return None

    async def _next_batch(self) -> list[Record]:
        """The lane whose turn it is; the other one where that has nothing."""
        for lane in islice(self._lanes, 2):
            records = await self._journal.next_batch(
                self._sink, lane=lane, points_max=BATCH_POINTS_MAX, bytes_max=BATCH_BYTES_MAX
            )
            if records:
                return records
        return []

    async def _probe(self) -> Park | BackOff | None:
        trouble = await self._destination.doubt()
        self._probes += 1
        self._parked = trouble is not None
        return trouble

    async def _pause(self, trouble: Park | BackOff) -> None:
        """Wait until the next try is due."""
        self._fail(trouble)
        delay_s = self._delay_s(trouble)
        self._next_try_ns = self._clock.now_ns() + round(delay_s * NS_PER_S)
        await self._clock.sleep(delay_s)
        self._next_try_ns = None

    def _delay_s(self, trouble: Park | BackOff) -> float:
        if self._parked:
            # The first probe at once. A probe that succeeds is not the end of it: a batch is.
            if not self._probes:
                return 0.0
            return min(PROBE_EVERY_S_MAX, back_off_s(self._probes - 1, self._rand()))
        asked_s = trouble.retry_after_s if isinstance(trouble, BackOff) else None
        return max(back_off_s(self._attempts - 1, self._rand()), asked_s or 0)

    def _fail(self, trouble: Park | BackOff) -> None:
        self._parked = self._parked or isinstance(trouble, Park)
        self._state = "parked" if self._parked else "backing_off"
        self._last_error = trouble.reason
        if not self._attempts:
            self._outages += 1
            self._down_since_ns = self._clock.monotonic_ns()
        self._attempts += 1
        if type(trouble) not in self._told:
            self._told.add(type(trouble))
            hint = trouble.hint if isinstance(trouble, Park) else ""
            self._log.warning(
                "shipping_down",
                sink=self._sink,
                state=self._state,
                error=trouble.reason,
                hint=hint,
            )

    def _learn(self, too_old: TooOld) -> None:
        if self._horizon.bound_ns is None:
            self._log.warning(
                "points_expire",
                sink=self._sink,
                retention=too_old.duration,
                hint="what is older is rejected unsent; make the bucket's retention longer, then "
                "`perpflux rejected replay --all`",
            )
        self._horizon.learn(too_old)

    def _succeed(self, records: Sequence[Record], outcome: Delivered) -> None:
        points = sum(record.points for record in records)
        if outcome.rejected:
            self._log.warning(
                "lines_rejected",
                sink=self._sink,
                lines=len(outcome.rejected),
                points=sum(rejected.points for rejected in outcome.rejected),
                reason=outcome.rejected[0].reason,
            )
        if self._attempts:
            down_ns = self._clock.monotonic_ns() - self._down_since_ns
            self._log.info(
                "shipping_up",
                sink=self._sink,
                attempts=self._attempts,
                down_s=down_ns // NS_PER_S,
                points=points,
            )
        self._recovered()
        self._last_write_ns = self._clock.now_ns()
        self._write_ms = outcome.write_ms

    def _recovered(self) -> None:
        self._attempts = self._probes = 0
        self._told.clear()
        self._last_error = None


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
