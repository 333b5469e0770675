"""Our own pipeline, stage by stage: the program's classes, only the network left out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, SYSTEM_CLOCK
from agent.entries import poll_entry
from agent.journal.fragment import join
from agent.journal.records import Entry
from agent.journal.store import Store
from agent.poll import Poll
from agent.shipper import BATCH_BYTES_MAX, BATCH_POINTS_MAX
from agent.sources import BybitClient, VariationalClient
from agent.sources.budget import RateBudget
from agent.sources.fetch import Reply
from bench.payloads import Documents
from bench.timing import Stages

FIRST_SLOT_NS: Final = 1_790_002_800 * NS_PER_S
HOST: Final = "bench"
SINK: Final = "influxdb"
JOURNAL_BYTES_MAX: Final = 4 << 30
AGE_MAX_S: Final = 10**9
RECEIVED_AFTER_NS: Final = NS_PER_S
REQUESTS_MAX: Final = 10**9


def unbounded() -> RateBudget:
    """No limit on what is asked: there is no venue."""
    return RateBudget(SYSTEM_CLOCK, REQUESTS_MAX, 1)


class _Bybit(BybitClient):
    reply: Reply

    async def _get(self, path: str) -> Reply:  # noqa: ARG002  # the network's signature
        return self.reply


class _Variational(VariationalClient):
    reply: Reply

    async def _get(self, path: str) -> Reply:  # noqa: ARG002  # the network's signature
        return self.reply


def open_store(path: Path) -> Store:
    """A journal as the program opens it, with bounds that nothing here meets."""
    return Store(path, bytes_max=JOURNAL_BYTES_MAX, age_max_s=AGE_MAX_S, clock=SYSTEM_CLOCK)


class Pipeline:
    """Bytes to acknowledged, a poll of both venues at a time.

    Attributes:
        store: its journal.
        stages: what each stage takes.
        points: how many the last poll had.
        body: what the last poll would have sent.
    """

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self.stages = Stages()
        self.points = 0
        self.body = b""
        self._loop = asyncio.new_event_loop()
        self._bybit = _Bybit(budget=unbounded())
        self._variational = _Variational()
        self._slot_ns = FIRST_SLOT_NS

    def close(self) -> None:
        """Let go of the journal."""
        self.store.close()
        self._loop.close()

    def begin(self, slot_ns: int) -> None:
        """The next poll is that of the second after this slot."""
        self._slot_ns = slot_ns

    def polls(self, documents: Documents) -> list[Poll]:
        """Bytes to snapshots, validated and with everything derived."""
        self._slot_ns += NS_PER_S
        received_ns = self._slot_ns + RECEIVED_AFTER_NS
        self._bybit.reply = _reply(documents.bybit, received_ns)
        self._variational.reply = _reply(documents.variational, received_ns)
        return [
            self._loop.run_until_complete(source.poll("all", self._slot_ns))
            for source in (self._bybit, self._variational)
        ]

    def run(self, documents: Documents) -> None:
        """One poll of both venues, all the way."""
        with self.stages.stage("bytes to snapshots"):
            polls = self.polls(documents)
        with self.stages.stage("snapshots to lines"):
            entries = entries_of(polls)
        with self.stages.stage("lines to a durable journal (compressed)"):
            self.store.append(entries)
        with self.stages.stage("read back"):
            records = self.store.next_batch(SINK, "newest", BATCH_POINTS_MAX, BATCH_BYTES_MAX)
        with self.stages.stage("joined into one body"):
            self.body = join((record.fragment, record.crc32, record.size) for record in records)
        with self.stages.stage("acknowledged"):
            self.store.settle(SINK, records, [])
        self.points = sum(entry.points for entry in entries)


def entries_of(polls: list[Poll]) -> list[Entry]:
    """What the scheduler puts into the journal."""
    return [poll_entry(poll, host=HOST, missed_slots=0) for poll in polls]


def _reply(body: bytes, received_ns: int) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, body, received_ns, 5)
