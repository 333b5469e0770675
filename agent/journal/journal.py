"""The journal as the event loop sees it: each operation awaited, all in one writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, ParamSpec, Self, TypeVar
from weakref import WeakSet

from agent.clock import Clock
from agent.errors import JournalError
from agent.journal.hold import Hold
from agent.journal.records import (
    Backlog,
    Entry,
    Evicted,
    Lane,
    Ledger,
    Record,
    Rejected,
    RejectedRow,
)
from agent.journal.store import Store

CLOSE_S: Final = 10.0
"""Longest wait for the writer thread when closing."""
EVICTIONS_MAX: Final = 64
"""Transactions of one `enforce_bounds`; appends get in between them."""

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """Points between being collected and being stored, and the local history.

    Built by `open`. Every operation is one transaction and raises JournalError when it fails,
    having changed nothing. A cancelled one may still take place.

    Attributes:
        notes: lines for the caller to log and clear: what was set aside or found damaged, with a
            hint; at most `opened.NOTES_MAX`.
        hold: entries that were refused and wait in memory.
    """

    def __init__(self, store: Store, writer: ThreadPoolExecutor) -> None:
        self.notes = store.notes
        self.hold = Hold()
        self._store = store
        self._writer = writer
        self._bells: WeakSet[asyncio.Event] = WeakSet()
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, *, bytes_max: int, age_max_s: int, clock: Clock, patient: bool = False
    ) -> Self:
        """Open the journal, or begin one; a corrupt file is set aside and noted.

        Args:
            path: the file; its folder is made if need be.
            bytes_max: bound on the used pages of the file.
            age_max_s: how long a record is kept, in seconds.
            clock: stamps records and tells their age.
            patient: open also where folder or disk do not let it yet; each operation tries again.

        Raises:
            JournalBusyError: another process holds this journal.
            JournalUnavailableError: folder or disk do not let it, and it is not patient.
            JournalError: the file is of a newer perpflux or of another program.
        """
        writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        try:
            store = await asyncio.get_running_loop().run_in_executor(
                writer,
                lambda: Store(
                    path, bytes_max=bytes_max, age_max_s=age_max_s, clock=clock, patient=patient
                ),
            )
        except BaseException:
            writer.shutdown(wait=False)
            raise
        return cls(store, writer)

    async def close(self) -> None:
        """Finish what is under way, fold the log into the file, let go of the lock.

        A second call does nothing. Raises JournalError when it takes longer than `CLOSE_S`.
        """
        if self._closed:
            return
        self._closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._writer, self._close)
        self._writer.shutdown(wait=False)
        try:
            await asyncio.wait_for(asyncio.shield(closing), CLOSE_S)
        except TimeoutError:
            raise JournalError(
                "close journal", f"the disk did not answer within {CLOSE_S:.0f} s", "look after it"
            ) from None

    def _close(self) -> None:
        """In the writer thread: a last try with what is held, then the file."""
        try:
            self._append([])
        except JournalError as error:
            self._store.note(f"{self.hold.points} points held in memory are lost: {error}")
        self._store.close()

    def subscribe(self) -> asyncio.Event:
        """A bell of one's own: set after every append, as long as its owner keeps it.

        Whoever waits for it clears it.
        """
        bell = asyncio.Event()
        self._bells.add(bell)
        return bell

    async def append(self, entries: Sequence[Entry]) -> None:
        """Add one record per entry, in one transaction; durable when it returns.

        Rings the bells, and enforces the bounds now and then: should that fail, it is noted.

        Raises:
            JournalError: they are not on the disk. They are held in memory (see `hold`) and go
                before whatever is appended next: do not give them again.
        """
        await self._do(self._append, entries)
        for bell in tuple(self._bells):
            bell.set()
        await self._tidy()

    async def _tidy(self) -> None:
        """Enforce the bounds now and then; what was just written stands in any case."""
        if self._store.tidy_due:
            try:
                await self.enforce_bounds()
            except JournalError as error:
                self._store.note(str(error))

    def _append(self, entries: Sequence[Entry]) -> None:
        """In the writer thread: what is held, then these."""
        try:
            while held := self.hold.first():
                self._store.append(held)
                self.hold.taken(len(held))
            self._store.append(entries)
        except JournalError:
            self.hold.keep(entries)
            raise

    async def next_batch(
        self, sink: str, *, lane: Lane, points_max: int, bytes_max: int
    ) -> list[Record]:
        """The lane's next records, leased until `settle` or `release`; empty when none waits there.

        They are of one span, in the order of seq, and at least one if any waits. What is leased
        is not given out again and not removed by the bounds.

        Args:
            sink: who asks.
            lane: "newest" is the open span: what was appended since it was last split off. When
                it holds more than this batch, it is closed at the head, so that what comes from
                now on ships at once. "oldest" is the first span, which may be the open one.
            points_max: bound on lines of the batch, unless its first record alone has more.
            bytes_max: bound on its compressed bytes, likewise.
        """
        return await self._do(self._store.next_batch, sink, lane, points_max, bytes_max)

    async def settle(
        self, sink: str, records: Sequence[Record], rejected: Sequence[Rejected]
    ) -> None:
        """The sink answered for good: it has these records, but for the rejected lines.

        Records that are no longer pending, and rejected lines of no record given, are passed
        over; so settling twice counts once.
        """
        await self._do(self._store.settle, sink, records, rejected)

    async def account(
        self, sink: str, stored: int, refused: Sequence[tuple[Entry, Sequence[Rejected]]]
    ) -> None:
        """Count points that went past the journal, in one transaction.

        Args:
            sink: whose ledger.
            stored: points that are collected and stored at once.
            refused: what the sink refused, each entry with its lines and why (their seq is given
                here); its points are collected and rejected.
        """
        await self._do(self._store.account, sink, stored, refused)
        await self._tidy()

    async def release(self, sink: str, records: Sequence[Record] | None = None) -> None:
        """Give back these leased records, None = all: they will be given out again."""
        await self._do(self._store.release, sink, records)

    async def enforce_bounds(self) -> Evicted:
        """Remove the oldest records while the journal is too large or they are too old.

        Unshipped points go too, and count as evicted. The newest record, leased ones and what
        follows those stay. For ten minutes after the start, or a step of the wall clock, none is
        too old.
        """
        total = Evicted(0, 0)
        for _ in range(EVICTIONS_MAX):
            evicted = await self._do(self._store.evict_some)
            if evicted.records == 0:
                break
            total += evicted
        return total

    async def ledger(self, sink: str) -> Ledger:
        """Where every counted point of the sink is."""
        return await self._do(self._store.ledger, sink)

    async def backlog(self, sink: str) -> Backlog:
        """What waits for the sink, leased or not."""
        return await self._do(self._store.backlog, sink)

    async def rejected(
        self, sink: str, limit: int, before_id: int | None = None
    ) -> list[RejectedRow]:
        """The newest `limit` rejected lines with an id below `before_id` (None: any)."""
        return await self._do(self._store.rejected, sink, limit, before_id)

    async def sinks(self) -> list[str]:
        """The names of all sinks, sorted; "influxdb" is always one."""
        return await self._do(self._store.sinks)

    async def add_sink(self, name: str) -> None:
        """Add a sink that is to get the whole history; one that is there stays as it is."""
        await self._do(self._store.add_sink, name)

    async def drop_sink(self, name: str) -> None:
        """Forget a sink, its counters and its rejected lines; "influxdb" cannot be dropped."""
        await self._do(self._store.drop_sink, name)

    async def last_slot_ns(self, source: str) -> int | None:
        """The slot that this source took last, ns since the epoch; None when it took none."""
        return await self._do(self._store.last_slot_ns, source)

    async def get_state(self, key: str) -> str | None:
        """A small fact kept over restarts; None when there is none."""
        return await self._do(self._store.get_state, key)

    async def put_state(self, key: str, value: str | None) -> None:
        """Keep a small fact over restarts; None removes it."""
        await self._do(self._store.put_state, key, value)

    async def _do(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise JournalError("use journal", "it is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, lambda: operation(*args, **kwargs))
