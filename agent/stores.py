"""The stores that are shipped to: each with a destination and a shipper of its own, side by side.

None knows of another: each has its cursor, back-off and ledger, and a slow one delays nobody.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, TypeAlias

from agent.clock import NS_PER_S, Clock
from agent.config import Config, NatsSink, NoToken, StoreSink, TokenSource
from agent.delivery import Destination, WriteApi
from agent.errors import JournalError
from agent.influx import InfluxDoor
from agent.influx import TokenSource as Token
from agent.influx_client import prepare
from agent.journal import Journal
from agent.journal.database import MAIN_SINK
from agent.log import get_logger
from agent.shipper import Shipper, ShipperStatus
from agent.stream.publisher import Publisher

ADD_AGAIN_S: Final = 5.0
"""A journal that could not take a new store up is asked again so often."""

Target: TypeAlias = tuple[StoreSink | NatsSink, Token]
"""A store as it is configured, and its secret."""


def targets(config: Config, token: TokenSource | None) -> dict[str, Target]:
    """The configured stores by name; `token` is that of `[influxdb]`."""
    found: dict[str, Target] = {}
    if config.influxdb is not None and token is not None:
        found[MAIN_SINK] = config.influxdb, token
    for name, store in config.sinks.items():
        found[name] = store, token_of(store)
    return found


def token_of(store: StoreSink | NatsSink) -> Token:
    """The token of a further store: that of its file, or none at all."""
    if isinstance(store, StoreSink) and store.token_file is not None:
        return TokenSource(store.token_file, {})
    return NoToken()


def destination(store: StoreSink | NatsSink, token: Token) -> Destination:
    """Where the records of a store go."""
    if isinstance(store, NatsSink):
        return Publisher(store)
    return WriteApi(InfluxDoor(str(store.url), store.org, store.bucket, token))


class Stores:
    """Ships to every configured store.

    Args:
        journal: where the records are.
        clock: where time comes from.
    """

    def __init__(self, journal: Journal, *, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._log = get_logger()
        self._targets: dict[str, Target] = {}
        self._destinations: dict[str, Destination] = {}
        self._shippers: dict[str, Shipper] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[None] | None = None
        """While `run` runs: done when a loop has ended by itself."""

    @property
    def names(self) -> list[str]:
        """Those that are shipped to."""
        return list(self._shippers)

    @property
    def targets(self) -> dict[str, Target]:
        """What is shipped to, by name."""
        return dict(self._targets)

    def status(self, name: str) -> ShipperStatus | None:
        """How shipping to it goes; None = nothing is shipped there."""
        shipper = self._shippers.get(name)
        return None if shipper is None else shipper.status

    async def open(self, config: Config, token: TokenSource | None) -> None:
        """Make a door and a shipper for each configured store; nothing is sent yet."""
        for name, target in targets(config, token).items():
            await self._open(name, target)
        await self._tell_left()

    async def exchange(self, config: Config, token: TokenSource | None) -> None:
        """Go on with another configuration. A store that stays as it is, is not disturbed."""
        wanted = targets(config, token)
        names = {
            name
            for name in self._targets.keys() | wanted.keys()
            if _store(self._targets, name) != _store(wanted, name)
        }
        # Side by side: a slow one is waited for until its batch is answered.
        await asyncio.gather(*(self._exchange(name, wanted.get(name)) for name in sorted(names)))
        if names:
            await self._tell_left()

    async def run(self) -> None:
        """Ship until cancelled. Raises what ended a loop, which never happens by design."""
        self._ended = asyncio.get_running_loop().create_future()
        for name in self._shippers:
            self._begin(name)
        try:
            await self._ended
        finally:
            self._ended = None
            loops, self._loops = list(self._loops.values()), {}
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def drain(self, deadline_s: float) -> None:
        """Ship what waits, as far as it goes within the deadline; never while `run` runs."""
        await asyncio.gather(*(shipper.drain(deadline_s) for shipper in self._shippers.values()))

    async def close(self) -> None:
        """Close the doors."""
        for destination in self._destinations.values():
            await destination.close()

    async def _open(self, name: str, target: Target) -> None:
        to = destination(*target)
        self._targets[name] = target
        self._destinations[name] = to
        if isinstance(target[0], StoreSink):
            # Beside the first polls, not after them.
            asyncio.get_running_loop().run_in_executor(None, prepare)
        # A journal that takes no writes now is asked again by `_ship`.
        with suppress(JournalError):
            await self._journal.add_sink(name)
        if name in self._shippers:
            self._shippers[name].exchange(to)
        else:
            self._shippers[name] = Shipper(name, self._journal, to, clock=self._clock)

    async def _exchange(self, name: str, target: Target | None) -> None:
        loop = self._loops.pop(name, None)
        if loop is not None:
            await self._shippers[name].retire(loop)
        former = self._destinations.pop(name, None)
        if former is not None:
            await former.close()
        self._targets.pop(name, None)
        if target is not None:
            await self._open(name, target)
        if name not in self._destinations:
            self._shippers.pop(name, None)
        elif self._ended is not None:
            self._begin(name)

    def _begin(self, name: str) -> None:
        loop = self._loops[name] = asyncio.create_task(self._ship(name), name=f"ship {name}")
        loop.add_done_callback(lambda ended: self._on_end(name, ended))

    def _on_end(self, name: str, ended: asyncio.Task[None]) -> None:
        if self._loops.get(name) is not ended or self._ended is None or self._ended.done():
            return
        error = None if ended.cancelled() else ended.exception()
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    async def _ship(self, name: str) -> None:
        while name not in await self._known():
            with suppress(JournalError):
                await self._journal.add_sink(name)
                break
            await self._clock.sleep(ADD_AGAIN_S)
        await self._shippers[name].run()

    async def _known(self) -> list[str]:
        with suppress(JournalError):
            return await self._journal.sinks()
        return []

    async def _tell_left(self) -> None:
        """Say what waits for stores that are configured no longer; it is kept until told not to."""
        for name in await self._known():
            if name in self._targets or name == MAIN_SINK:
                continue
            with suppress(JournalError):
                backlog = await self._journal.backlog(name)
                oldest_ns = backlog.oldest_ns or self._clock.now_ns()
                self._log.warning(
                    "sink_not_configured",
                    sink=name,
                    points=backlog.points,
                    oldest_s=max(0, self._clock.now_ns() - oldest_ns) // NS_PER_S,
                    hint=f"its place in the journal is kept: add [sinks.{name}] again and it goes "
                    f"on there, or give it up with `perpflux backlog --forget {name}`",
                )


def _store(stores: dict[str, Target], name: str) -> StoreSink | NatsSink | None:
    return stores[name][0] if name in stores else None
