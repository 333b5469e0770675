"""Builds everything, starts it and stops it; decides nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from agent.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock
from agent.config import BybitConfig, Config, Loaded, VariationalConfig
from agent.heartbeat import Heartbeat
from agent.http import HttpServer
from agent.influx import InfluxDoor
from agent.journal import Journal
from agent.log import get_logger
from agent.poll import Poll
from agent.scheduler import DataCollectorScheduler
from agent.shipper import Shipper
from agent.sources import SOURCES, DataSourceClient
from agent.sources.fetch import open_session
from agent.status import SinkReport, document, stalled

MAIN_SINK: Final = "influxdb"
DRAIN_S: Final = 2
"""How long a stop waits for what was just polled to reach InfluxDB; the rest waits on disk."""
ONCE_DRAIN_S: Final = 30


class App:
    """The agent. Use as an async context manager: entering opens the journal and all doors.

    Args:
        loaded: configuration and token.
        host: the `host` tag; None = this machine's name.
        clock: where time comes from.

    Raises on entering:
        JournalError: the journal cannot be opened, or another process holds it.
        PerpfluxError: the HTTP address cannot be listened on.
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
        self._shippers: dict[str, Shipper] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        config = self.config
        self.journal = await Journal.open(
            Path(config.journal.path),
            bytes_max=config.journal.bytes_max,
            age_max_s=config.journal.age_max_s,
            clock=self._clock,
        )
        stack.push_async_callback(self.journal.close)
        self._say_notes()
        sources = await self._open_sources(stack)
        self.scheduler = DataCollectorScheduler(
            sources, config.tickers, store=self.journal, host=self._host, clock=self._clock
        )
        if config.influxdb is not None and self._token is not None:
            door = InfluxDoor(
                str(config.influxdb.url), config.influxdb.org, config.influxdb.bucket, self._token
            )
            stack.push_async_callback(door.close)
            self._shippers[MAIN_SINK] = Shipper(MAIN_SINK, self.journal, door, clock=self._clock)
        self._heartbeat = Heartbeat(
            self.journal.append, self._figures, host=self._host, clock=self._clock
        )
        self._http = HttpServer(self.status, lambda: stalled(self.scheduler, self._clock))

    async def _open_sources(self, stack: AsyncExitStack) -> list[DataSourceClient]:
        config = self.config
        settings: Mapping[str, VariationalConfig | BybitConfig] = {
            "variational": config.variational,
            "bybit": config.bybit,
        }
        longest_s = max(settings[name].poll_interval_s for name in config.data_sources)
        session = await stack.enter_async_context(open_session(longest_s))
        sources: list[DataSourceClient] = []
        for name in config.data_sources:
            arguments: dict[str, Any] = dict(settings[name])
            arguments.pop("depth_tickers", None)
            source = SOURCES[name](**arguments, session=session, clock=self._clock)
            stack.push_async_callback(source.close)
            sources.append(source)
        return sources

    async def listen(self) -> None:
        """Open the HTTP side, where one is configured."""
        if self.config.http.address is not None:
            self.url = await self._http.start(*self.config.http.address)
            self._stack.push_async_callback(self._http.close)

    async def run(self, stop: asyncio.Event) -> None:
        """Poll, ship and answer until `stop` is set; then ship what was just polled, briefly."""
        loops = [
            asyncio.create_task(self.scheduler.run(), name="scheduler"),
            asyncio.create_task(self._heartbeat.run(), name="heartbeat"),
            *(
                asyncio.create_task(shipper.run(), name=f"ship {name}")
                for name, shipper in self._shippers.items()
            ),
        ]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*loops, stopping):
                task.cancel()
            ended = await asyncio.gather(*loops, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        await self.ship(DRAIN_S)

    async def once(self) -> list[Poll]:
        """Poll each source once and ship what came."""
        polls = await self.scheduler.run_once()
        await self.ship(ONCE_DRAIN_S)
        return polls

    async def ship(self, deadline_s: float) -> None:
        """Ship what waits, as far as it goes within the deadline."""
        await asyncio.gather(*(shipper.drain(deadline_s) for shipper in self._shippers.values()))

    async def status(self) -> dict[str, Any]:
        """The `/status` document."""
        self._say_notes()
        return document(
            self.scheduler,
            await self._reports(),
            host=self._host,
            journal_path=str(self.config.journal.path),
            uptime_s=(self._clock.monotonic_ns() - self._heartbeat.started_ns) // NS_PER_S,
            clock=self._clock,
        )

    async def _reports(self) -> dict[str, SinkReport]:
        return {
            sink: SinkReport(
                await self.journal.ledger(sink),
                await self.journal.backlog(sink),
                self._shippers[sink].status if sink in self._shippers else None,
            )
            for sink in await self.journal.sinks()
        }

    async def _figures(self) -> dict[str, str]:
        """The counts of the `agent` point."""
        self._say_notes()
        ledger = await self.journal.ledger(MAIN_SINK)
        backlog = await self.journal.backlog(MAIN_SINK)
        shipper = self._shippers.get(MAIN_SINK)
        write_ms = shipper.status.write_ms if shipper else None
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
            self._log.warning("journal_notice", text=self.journal.notes.pop(0))
