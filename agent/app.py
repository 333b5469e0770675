"""Builds everything, starts it and stops it; decides nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from agent.auditor import Target
from agent.audits import Audits
from agent.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock
from agent.config import Config, Loaded, StoreSink
from agent.discovery import DiscoveryLoop
from agent.errors import JournalError, PerpfluxError
from agent.heartbeat import Heartbeat
from agent.http import HttpServer, Live
from agent.journal import Backlog, Journal, Ledger
from agent.journal.database import MAIN_SINK
from agent.log import get_logger
from agent.poll import Poll
from agent.reload import Change, applicable, changes
from agent.scheduler import DataCollectorScheduler
from agent.settlements import SettlementLoop
from agent.shipper import UP
from agent.snapshot import is_tag
from agent.sources import SOURCES, BybitClient, DataSourceClient
from agent.sources.fetch import open_session
from agent.status import JournalReport, SinkReport, document, line, stalled
from agent.stores import Stores

DRAIN_S: Final = 2
"""How long a stop waits for what was just polled to reach the stores; the rest waits on disk."""
ONCE_DRAIN_S: Final = 30


class App:
    """The agent. Use as an async context manager: entering opens the journal and all doors.

    Args:
        loaded: configuration and token.
        host: the `host` tag; None = this machine's name.
        clock: where time comes from.

    Raises on entering:
        JournalError: the journal cannot be opened, or another process holds it.
        PerpfluxError: the host's name cannot be a tag, or the HTTP address be listened on.
    """

    def __init__(
        self, loaded: Loaded, *, host: str | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.config: Config = loaded.config
        self.url: str | None = None
        """Where the HTTP side listens; None = off."""
        self._token = loaded.token
        self._host = host or socket.gethostname()
        self._clock = clock
        self._log = get_logger()
        self._stack = AsyncExitStack()
        self._sources: list[DataSourceClient] = []
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._accounts = {MAIN_SINK: (Ledger(0, 0, 0, 0, 0), Backlog(0, 0, None))}
        self._unreadable: str | None = None
        """Why the journal cannot be read; then `_accounts` are those of before."""
        self._stop = asyncio.Event()
        self.running = asyncio.Event()
        """Set when the loops run."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        if not is_tag(self._host):
            raise PerpfluxError(
                "start",
                f"this machine's name {self._host!r} cannot be the tag `host`",
                "give it another with `hostnamectl hostname NAME`",
            )
        config = self.config
        self.journal = await Journal.open(
            Path(config.journal.path),
            bytes_max=config.journal.bytes_max,
            age_max_s=config.journal.age_max_s,
            clock=self._clock,
            patient=True,
        )
        stack.push_async_callback(self._close_journal)
        self._say_notes()
        await self._open_sources(stack)
        self.scheduler = DataCollectorScheduler(
            self._sources, config.tickers, store=self.journal, host=self._host, clock=self._clock
        )
        self.stores = Stores(self.journal, clock=self._clock)
        stack.push_async_callback(self.stores.close)
        await self.stores.open(config, self._token)
        self._discovery = DiscoveryLoop(
            lambda: self._with_history() if self.config.tickers == "all" else [],
            store=self.journal,
            host=self._host,
            clock=self._clock,
        )
        self._settlements = SettlementLoop(
            self._with_history, store=self.journal, clock=self._clock
        )
        self._heartbeat = Heartbeat(
            self.journal.append, self._figures, self._sinks, host=self._host, clock=self._clock
        )
        self._audits = Audits(
            self._audited,
            self.journal,
            Path(config.journal.path),
            host=self._host,
            clock=self._clock,
        )
        self._live = Live(self._intervals_s, self._clock)
        stack.push_async_callback(self._live.close)
        self._live.recall(Path(config.journal.path))
        self.scheduler.add_listener(self._live.take)
        self._http = HttpServer(
            self.status, self.stalled, self._live, Path(config.journal.path), self._clock
        )

    def _intervals_s(self) -> dict[str, int]:
        return {name: each.interval_s for name, each in self.scheduler.status.items()}

    async def _close_journal(self) -> None:
        await self.journal.close()
        self._say_notes()

    async def _open_sources(self, stack: AsyncExitStack) -> None:
        names = self.config.data_sources
        longest_s = max(getattr(self.config, name).poll_interval_s for name in names)
        session = await stack.enter_async_context(open_session(longest_s))
        stack.push_async_callback(self._close_sources)
        self._sources = [self._source(name, self.config, session) for name in names]

    def _source(
        self, name: str, config: Config, session: aiohttp.ClientSession | None
    ) -> DataSourceClient:
        arguments: dict[str, Any] = dict(getattr(config, name))
        return SOURCES[name](**arguments, session=session, clock=self._clock)

    def _with_history(self) -> list[BybitClient]:
        return [source for source in self._sources if isinstance(source, BybitClient)]

    async def _close_sources(self) -> None:
        for source in self._sources:
            await source.close()

    def _audited(self) -> dict[str, Target]:
        """What is looked after: every InfluxDB that is shipped to."""
        return {
            name: Target(store, token, shipping)
            for name, (store, token) in self.stores.targets.items()
            if isinstance(store, StoreSink) and (shipping := self.stores.status(name))
        }

    async def listen(self) -> None:
        """Open the HTTP side, where one is configured."""
        if self.config.http.address is not None:
            self.url = await self._http.start(*self.config.http.address)
            self._stack.push_async_callback(self._http.close)

    async def run(self, stop: asyncio.Event) -> None:
        """Poll, ship and answer until `stop` is set; then ship what was just polled, briefly."""
        self._stop = stop
        self._start("scheduler", self.scheduler.run())
        self._start("heartbeat", self._heartbeat.run())
        self._start("settlements", self._settlements.run())
        self._start("discovery", self._discovery.run())
        self._start("audits", self._audits.run())
        self._start("stores", self.stores.run())
        try:
            await asyncio.sleep(0)  # each has begun
            self.running.set()
            await stop.wait()
        finally:
            loops, self._loops = list(self._loops.values()), {}
            for loop in loops:
                loop.cancel()
            ended = await asyncio.gather(*loops, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        await self.ship(DRAIN_S)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a loop; one that ends by itself ends the agent."""
        loop = self._loops[name] = asyncio.create_task(work, name=name)
        loop.add_done_callback(
            lambda ended: self._stop.set() if self._loops.get(name) is ended else None
        )

    async def reload(self, loaded: Loaded) -> list[Change]:
        """Go on with another configuration, while `run` runs; what differs.

        The journal is not touched, and a poll or a batch under way is finished as it began. What
        only a restart can change stays as it was.
        """
        found = changes(self.config, loaded.config)
        before, self.config = self.config, applicable(self.config, loaded.config)
        await self._exchange_sources(before, self.config)
        if before.influxdb != self.config.influxdb:
            self._token = loaded.token
        await self.stores.exchange(self.config, self._token)
        return found

    async def _exchange_sources(self, before: Config, after: Config) -> None:
        former = {source.source_name: source for source in self._sources}
        self._sources = [
            former.pop(name)
            if name in former and getattr(before, name) == getattr(after, name)
            else self._source(name, after, session=None)
            for name in after.data_sources
        ]
        await self.scheduler.exchange(self._sources, after.tickers)
        self._live.retain(after.data_sources)
        for source in former.values():
            await source.close()

    async def once(self) -> list[Poll]:
        """Poll each source once and ship what came."""
        polls = await self.scheduler.run_once()
        await self.ship(ONCE_DRAIN_S)
        return polls

    async def ship(self, deadline_s: float) -> None:
        """Ship what waits, as far as it goes within the deadline."""
        await self.stores.drain(deadline_s)

    async def status(self) -> dict[str, Any]:
        """The `/status` document."""
        self._say_notes()
        reports = await self._reports()
        return document(
            self.scheduler,
            reports,
            host=self._host,
            journal=JournalReport(
                str(self.config.journal.path), self._unreadable, self.journal.hold
            ),
            uptime_s=(self._clock.monotonic_ns() - self._heartbeat.started_ns) // NS_PER_S,
            clock=self._clock,
        )

    async def line(self) -> str:
        """The status in one line."""
        return line(await self.status(), self._clock)

    def stalled(self) -> list[str]:
        """The loops that do not turn."""
        return stalled(self.scheduler, self._clock)

    async def _reports(self) -> dict[str, SinkReport]:
        try:
            self._accounts = {
                sink: (await self.journal.ledger(sink), await self.journal.backlog(sink))
                for sink in await self.journal.sinks()
            }
            self._unreadable = None
        except JournalError as error:
            self._unreadable = str(error)
        return {
            sink: SinkReport(
                *accounts,
                self.stores.status(sink),
                self._audits.status(sink),
            )
            for sink, accounts in self._accounts.items()
        }

    async def _figures(self) -> dict[str, str]:
        """The counts of the `agent` point."""
        self._say_notes()
        return await self._account(MAIN_SINK)

    async def _sinks(self) -> dict[str, dict[str, str]]:
        """The fields of the `sink` points: those of the stores that are shipped to."""
        found = {}
        for name in await self.journal.sinks():
            shipping = self.stores.status(name)
            if shipping is not None:
                found[name] = await self._account(name) | {"up": str(int(shipping.state in UP))}
        return found

    async def _account(self, sink: str) -> dict[str, str]:
        """What both kinds of points say of a store, as exact texts."""
        ledger = await self.journal.ledger(sink)
        backlog = await self.journal.backlog(sink)
        shipping = self.stores.status(sink)
        write_ms = shipping.write_ms if shipping else None
        age_ms = (
            0
            if backlog.oldest_ns is None
            else max(0, (self._clock.now_ns() - backlog.oldest_ns) // NS_PER_MS)
        )
        return {
            "collected": str(ledger.collected),
            "stored": str(ledger.stored),
            "rejected": str(ledger.rejected),
            "evicted": str(ledger.evicted),
            "pending": str(ledger.pending),
            "pending_bytes": str(backlog.bytes),
            "oldest_pending_s": f"{age_ms // 1000}.{age_ms % 1000:03d}",
            "write_ms": "" if write_ms is None else str(write_ms),
        }

    def _say_notes(self) -> None:
        """Log what the journal has to say, once."""
        while self.journal.notes:
            self._log.error("journal_notice", text=self.journal.notes.pop(0))
