"""Polling: one loop per source, each slot one poll, each poll one entry in the journal.

The retry of a failed poll is the next slot. A source that fails, hangs or raises never delays
another; neither does a callback.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.entries import event_entry, poll_entry, settlement_entries
from agent.errors import JournalError, SourceError, SourceFailure
from agent.journal.records import Entry
from agent.log import get_logger
from agent.poll import EndpointReport, Poll
from agent.slots import Slot, SlotTimer
from agent.snapshot import Snapshot
from agent.sources.base import DataSourceClient, Tickers

POLL_DEADLINE_S: Final = 90
"""Bound on a poll, whatever its source does; a source's own deadline is shorter."""
CALLBACK_DEADLINE_S: Final = 5

Callback = Callable[[Snapshot], Awaitable[None] | None]
Listener = Callable[[Poll], None]


class Store(Protocol):
    """What the scheduler needs of the journal."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Take these durably. Raises JournalError."""

    async def last_slot_ns(self, source: str) -> int | None:
        """The slot that this source took last; None = none."""

    async def get_state(self, key: str) -> str | None:
        """A small fact kept over restarts."""

    async def put_state(self, key: str, value: str | None) -> None:
        """Keep a small fact; None forgets it."""


@dataclass(slots=True)
class SourceStatus:
    """What is known of a source's loop; None = not yet.

    `failures` counts failed polls in a row; `beat_ns` is monotonic time of the last turn.
    """

    last_slot_ns: int | None = None
    last_success_ns: int | None = None
    failures: int = 0
    last_error: str | None = None
    kinds: set[SourceFailure] = field(default_factory=set)
    interval_s: int = 0
    beat_ns: int = 0
    silent_until_ns: int = 0

    @property
    def state(self) -> str:
        """One of "starting", "ok" and "failing"."""
        if self.failures:
            return "failing"
        return "starting" if self.last_success_ns is None else "ok"


class DataCollectorScheduler:
    """Runs sources and hands over what they give.

    Args:
        sources: the venues; the scheduler does not close them.
        tickers: names, or "all".
        store: takes a poll's entry durably before the slot counts as taken; None = nothing is
            stored, only callbacks are called.
        host: the `host` tag of `poll` and `event` points.
        clock: where time comes from.
    """

    def __init__(
        self,
        sources: Sequence[DataSourceClient],
        tickers: Tickers,
        *,
        store: Store | None = None,
        host: str = "localhost",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sources = list(sources)
        self._tickers = tickers
        self._store = store
        self._host = host
        self._clock = clock
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Held, by source, while a slot is taken."""
        self._callbacks: list[Callback] = []
        self._broken_callbacks: set[Callback] = set()
        self._listeners: list[Listener] = []
        self._log = get_logger()
        self.store_failures = 0
        """Appends refused by the store in a row; 0 = it takes writes."""
        self.store_error: str | None = None
        self.status = {
            source.source_name: SourceStatus(interval_s=source.poll_interval_s)
            for source in self._sources
        }

    def add_callback(self, callback: Callback) -> None:
        """Call this, plain or async, with each snapshot after it was taken."""
        self._callbacks.append(callback)

    def add_listener(self, listener: Listener) -> None:
        """Call this with each poll after it was stored; it must return at once and not raise."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Poll every source in its slots until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for source in self._sources:
                self._start(source)
            await asyncio.Event().wait()  # loops come and go

    async def exchange(self, sources: Sequence[DataSourceClient], tickers: Tickers) -> None:
        """Poll these from their next slots on, while `run` runs; they know their last slots.

        A poll under way is finished and stored first. A source that is given again as the same
        object goes on undisturbed; those that are not given again are the caller's to close.
        """
        self._tickers = tickers
        before = {source.source_name: source for source in self._sources}
        after = {source.source_name: source for source in sources}
        self._sources = list(sources)
        changed = [name for name in {**before, **after} if before.get(name) is not after.get(name)]
        await asyncio.gather(*(self._swap(name, after.get(name)) for name in changed))

    async def _swap(self, name: str, source: DataSourceClient | None) -> None:
        loop = self._loops.pop(name, None)
        if loop is not None:
            async with self._turns[name]:
                loop.cancel()
        if source is None:
            self.status.pop(name, None)
            return
        status = self.status.setdefault(name, SourceStatus())
        status.interval_s = source.poll_interval_s
        self._start(source)

    def _start(self, source: DataSourceClient) -> None:
        assert self._group is not None, "loops start in `run`"
        name = source.source_name
        self.status[name].beat_ns = self._clock.monotonic_ns()
        self._loops[name] = self._group.create_task(self._run_source(source), name=f"poll {name}")

    async def run_once(self) -> list[Poll]:
        """Poll every source once, in its current slot, side by side.

        A slot that an earlier run took is taken again: who asks by hand wants an answer now. The
        point is the same; InfluxDB keeps the newer values.
        """
        for source in self._sources:
            await self._resume(source)
        timers = [SlotTimer(self._clock, source.poll_interval_s) for source in self._sources]
        slots = [await timer.next() for timer in timers]
        pairs = zip(self._sources, slots, strict=True)
        return list(await asyncio.gather(*(self.take_slot(*pair) for pair in pairs)))

    async def _run_source(self, source: DataSourceClient) -> None:
        name = source.source_name
        last_slot_ns = await self._resume(source)
        timer = SlotTimer(self._clock, source.poll_interval_s, last_slot_ns)
        while True:
            self.status[name].beat_ns = self._clock.monotonic_ns()
            slot = await timer.next()
            try:
                async with self._turns[name]:
                    await self.take_slot(source, slot)
            except Exception:  # noqa: BLE001  # a bug in one loop must not end the others
                self._log.exception("slot_crashed", source=name, slot_ns=slot.slot_ns)

    async def take_slot(self, source: DataSourceClient, slot: Slot) -> Poll:
        """One poll, stored and handed to the callbacks."""
        poll = await self._poll(source, slot.slot_ns)
        entries = [poll_entry(poll, host=self._host, missed_slots=slot.missed)]
        entries += settlement_entries(poll.source, poll.settlements)
        if slot.step_ns:
            text = f"the wall clock stepped by {slot.step_ns / NS_PER_S:+.3f} s"
            self._log.warning("clock_stepped", source=poll.source, step_ns=slot.step_ns)
            entries.append(self._event("clock_step", text, poll))
        first = self.status[poll.source].last_success_ns is None and poll.ok
        entries += self._noted(poll)
        await self._keep(source, poll, entries)
        if first:
            rows = 0 if poll.batch is None else len(poll.batch)
            self._log.info("source_ready", source=poll.source, rows=rows)
        for listener in self._listeners:
            listener(poll)
        await self._call_back(poll)
        return poll

    async def _poll(self, source: DataSourceClient, slot_ns: int) -> Poll:
        try:
            async with asyncio.timeout(POLL_DEADLINE_S):
                return await source.poll(self._tickers, slot_ns)
        except TimeoutError:
            kind, subject = SourceFailure.TIMED_OUT, f"no end within {POLL_DEADLINE_S} s"
        except Exception as error:  # noqa: BLE001  # a bug in one source must not end the others
            kind, subject = SourceFailure.CRASHED, f"{type(error).__name__}: {error}"
            if kind not in self.status[source.source_name].kinds:
                self._log.exception("source_crashed", source=source.source_name)
        problem = SourceError(f"poll {source.source_name}", subject, "please report", kind=kind)
        report = EndpointReport(endpoint="poll", ok=False)
        return Poll(
            source=source.source_name, slot_ns=slot_ns, reports=(report,), problems=(problem,)
        )

    def _noted(self, poll: Poll) -> list[Entry]:
        """Keep the status, log what is new; the events that belong in the journal."""
        status = self.status[poll.source]
        status.last_slot_ns = poll.slot_ns
        for notice in poll.notices:
            self._log.warning("source_notice", source=poll.source, text=notice)
        if poll.ok:
            return self._recovered(status, poll)
        status.failures += 1
        events = []
        for problem in poll.problems:
            status.last_error = str(problem)
            # Silence is what an earlier answer demanded; that one was logged.
            if problem.kind in status.kinds or problem.kind is SourceFailure.SILENT:
                continue
            status.kinds.add(problem.kind)
            self._log.warning(
                "source_down", source=poll.source, error=problem.subject, hint=problem.hint
            )
            events.append(self._event("source_down", str(problem), poll))
        return events

    def _recovered(self, status: SourceStatus, poll: Poll) -> list[Entry]:
        failures, status.failures = status.failures, 0
        status.kinds.clear()
        status.last_error = None
        status.last_success_ns = poll.slot_ns
        if not failures:
            return []
        self._log.info("source_up", source=poll.source, failures=failures)
        return [self._event("source_up", f"answers again after {failures} failures", poll)]

    def _event(self, kind: str, text: str, poll: Poll) -> Entry:
        return event_entry(kind, text, source=poll.source, host=self._host, stamp_ns=poll.slot_ns)

    async def _resume(self, source: DataSourceClient) -> int | None:
        """Take up a silence that a venue demanded of an earlier run; the slot taken last."""
        if self._store is None:
            return None
        try:
            kept_ns = int(await self._store.get_state(silence_key(source.source_name)) or 0)
            self.status[source.source_name].silent_until_ns = kept_ns
            source.silent_until_ns = max(source.silent_until_ns, kept_ns)
            return await self._store.last_slot_ns(source.source_name)
        except JournalError as error:
            self._store_failed(error)
            return None

    async def _keep(self, source: DataSourceClient, poll: Poll, entries: Sequence[Entry]) -> None:
        """Store a poll's entries, and the silence its venue demands."""
        if self._store is None:
            return
        status = self.status[poll.source]
        try:
            await self._store.append([entry for entry in entries if entry.lines])
            if source.silent_until_ns != status.silent_until_ns:
                await self._store.put_state(
                    silence_key(source.source_name), str(source.silent_until_ns)
                )
                status.silent_until_ns = source.silent_until_ns
        except JournalError as error:
            self._store_failed(error)
        else:
            if self.store_failures:
                self._log.info("journal_up", failures=self.store_failures)
            self.store_failures, self.store_error = 0, None

    def _store_failed(self, error: JournalError) -> None:
        self.store_failures += 1
        self.store_error = str(error)
        if self.store_failures == 1:
            self._log.error("journal_down", error=error.subject, hint=error.hint)

    async def _call_back(self, poll: Poll) -> None:
        if not self._callbacks or poll.batch is None:
            return
        for snapshot in poll.batch:
            for callback in self._callbacks:
                await self._call(callback, snapshot)

    async def _call(self, callback: Callback, snapshot: Snapshot) -> None:
        try:
            async with asyncio.timeout(CALLBACK_DEADLINE_S):
                result = callback(snapshot)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001  # what a callback does stays its own affair
            if callback not in self._broken_callbacks:
                self._broken_callbacks.add(callback)
                self._log.exception("callback_failed", callback=repr(callback), error=str(error))


def silence_key(source: str) -> str:
    """Where the journal keeps until when (wall clock, ns) this source is not to be asked."""
    return f"silent_until_ns:{source}"
