"""One fault run: simulated venues, the real agent, a proxy that breaks things, a real InfluxDB."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.demo.market import Market
from agent.demo.venues import SERVED_MAX, SimulatedVenues
from tests.faults.agents import Agent, Status
from tests.faults.judge import Evidence, Verdict, judge
from tests.faults.oracle import PATHS, Oracle
from tests.faults.proxy import Fault, FaultProxy, clear
from tests.influxd.server import InfluxServer, open_server

READY_S_MAX: Final = 60
BACK_S_MAX: Final = 180
"""An outage's end is seen after 60 s of back-off at the latest; then the backlog ships."""
FRESH_S: Final = 5
"""Nothing waits for longer than this where shipping keeps up."""
TMPFS_BYTES: Final = 16 * 2**20

_numbers = itertools.count()


class CannotRunError(Exception):
    """A scenario needs what this machine does not have; the text says what."""


@dataclass(frozen=True)
class Scale:
    """How large the runs are.

    Args:
        listings: tickers of each venue, polled once a second.
        share: of the durations in the table of scenarios.
        outage_s: of the long outage.
        storm_s: how long everything breaks at random.
        jobs: scenarios side by side.
    """

    listings: int
    share: float
    outage_s: float
    storm_s: float
    jobs: int


SHORT: Final = Scale(listings=24, share=0.25, outage_s=20, storm_s=20, jobs=10)
LONG: Final = Scale(listings=200, share=1, outage_s=600, storm_s=300, jobs=2)


@dataclass
class World:
    """What a scenario plays with.

    Attributes:
        outage_s: how long something was broken, so far.
        planted: lines that were put into journal or bucket by hand.
        refusable: tells lines that may be rejected, besides those that the proxy refused.
        forgets: the journal may let go of what was shipped.
    """

    agent: Agent
    proxy: FaultProxy
    server: InfluxServer
    bucket: str
    token: str
    scale: Scale
    rng: random.Random
    outage_s: float = 0
    planted: set[str] = field(default_factory=set)
    refusable: Callable[[str], bool] = lambda _: False
    forgets: bool = False

    async def wait(self, table_s: float) -> None:
        """As long as the table of scenarios says, at this scale."""
        await asyncio.sleep(table_s * self.scale.share)

    async def flow(self) -> None:
        """Until points arrive in InfluxDB, and go on arriving."""
        ledger = self.agent.status["ledger"] if self.agent.status else {"stored": 0}
        stored = ledger["stored"]
        await self.agent.until(
            lambda status: status["ledger"]["stored"] > stored, READY_S_MAX, "points are stored"
        )

    async def in_weather(self, fault: Fault, table_s: float) -> None:
        """A fault for a while."""
        async with self.outage():
            self.proxy.fault = fault
            await self.wait(table_s)
            self.proxy.fault = clear

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Something is broken for the block; what can be collected is collected all the while."""
        collected = self.agent.status["ledger"]["collected"]
        began_s = time.monotonic()
        yield
        self.outage_s += time.monotonic() - began_s
        await self.agent.until(
            lambda status: status["ledger"]["collected"] > collected,
            READY_S_MAX,
            "it goes on collecting",
        )

    async def state(self, wanted: str) -> None:
        """Until shipping is in this state."""
        await self.agent.until(
            lambda status: status["shipping"]["state"] == wanted, READY_S_MAX, f"it is {wanted}"
        )

    async def bounce(self) -> None:
        """SIGKILL and a new start."""
        await self.agent.kill()
        await self.agent.up()


Play = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A story of faults.

    Args:
        name: what happens, in a few words, with the durations of the long run.
        play: makes it happen; the agent runs and InfluxDB is well at its beginning.
        before: is done before the agent starts; None = nothing.
        own_server: it breaks InfluxDB itself.
        small_disk: the agent's folder is a file system of its own, of `TMPFS_BYTES`.
    """

    name: str
    play: Play
    before: Play | None = None
    own_server: bool = False
    small_disk: bool = False


@dataclass
class Report:
    """What came of a scenario.

    Args:
        name: the scenario's.
        verdict: the judge's; None where it was not come to.
        kills: SIGKILLs of the agent.
        outage_s: how long something was broken.
        back_s: from its end until nothing waited for long.
        reads: statuses that were read, all of them lawful.
        failure: why it did not come to an end; "" = it did.
        cannot: why it cannot run here; "" = it can.
    """

    name: str
    verdict: Verdict | None = None
    kills: int = 0
    outage_s: float = 0
    back_s: float = 0
    reads: int = 0
    failure: str = ""
    cannot: str = ""

    @property
    def wrong(self) -> str:
        """What is wrong; "" = nothing."""
        if self.failure or self.verdict is None:
            return self.failure or self.cannot
        found = self.verdict
        lines = [
            f"{name} = {count}"
            for name in ("lost", "altered", "invented", "twice")
            if (count := getattr(found, name))
        ]
        return "\n".join([*lines, *found.said])


async def run(
    scenario: Scenario, shared: InfluxServer, folder: Path, scale: Scale, seed: int
) -> Report:
    """Play a scenario from beginning to end and judge it; it never raises for what goes wrong."""
    report = Report(scenario.name)
    folder = folder / f"run-{next(_numbers)}"
    (folder / "state").mkdir(parents=True)
    try:
        async with AsyncExitStack() as stack:
            server = await _own_server(folder, stack) if scenario.own_server else shared
            if scenario.small_disk:
                await _mount(folder / "state", stack)
            rng = random.Random(f"{seed}/{scenario.name}")
            market = Market(rng.randrange(2**32), count=scale.listings, refresh_s=1)
            venues = await stack.enter_async_context(SimulatedVenues.start(market=market))
            proxy = await stack.enter_async_context(FaultProxy.start(server.url, rng))
            world = await _world(server, venues.url, proxy, folder / "state", scale, rng)
            if scenario.before:
                await scenario.before(world)
            async with world.agent.running():
                await world.flow()
                await scenario.play(world)
                await _finish(world, report)
            assert len(venues.served) < SERVED_MAX, "more was served than the oracle knows"
            await _judge(world, Oracle(market, venues.served), report)
    except CannotRunError as reason:
        report.cannot = str(reason)
    except Exception as error:  # noqa: BLE001  # whatever it is belongs to this run's report
        report.failure = "".join(traceback.format_exception(error))
    return report


async def _world(
    server: InfluxServer,
    venues_url: str,
    proxy: FaultProxy,
    folder: Path,
    scale: Scale,
    rng: random.Random,
) -> World:
    """A bucket of its own, and an agent that polls everything once a second."""
    bucket = f"faults-{os.getpid()}-{next(_numbers)}"
    await asyncio.to_thread(server.create_bucket, bucket)
    token = await asyncio.to_thread(server.write_token, bucket)
    agent = Agent(
        folder,
        {
            "PERPFLUX_TICKERS": "all",
            "PERPFLUX_VARIATIONAL__API_BASE": venues_url,
            "PERPFLUX_VARIATIONAL__POLL_INTERVAL_S": "1",
            "PERPFLUX_BYBIT__API_BASE": venues_url,
            # The oracle knows polls of the two documents.
            "PERPFLUX_BYBIT__DEPTH_TICKERS": "",
            "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
            "PERPFLUX_INFLUXDB__URL": proxy.url,
            "PERPFLUX_INFLUXDB__ORG": server.org,
            "PERPFLUX_INFLUXDB__BUCKET": bucket,
            "INFLUXDB_V2_TOKEN": token,
        },
    )
    return World(agent, proxy, server, bucket, token, scale, rng)


async def _finish(world: World, report: Report) -> None:
    """It comes back by itself, without a hand; then it is stopped."""
    agent = world.agent
    ended_s = time.monotonic()
    collected = agent.status["ledger"]["collected"]

    def caught_up(status: Status) -> bool:
        ledger, waited_s = status["ledger"], status["shipping"]["oldest_pending_s"]
        return ledger["collected"] > collected and (waited_s or 0) <= FRESH_S

    await agent.until(caught_up, BACK_S_MAX, "it has caught up")
    report.back_s = time.monotonic() - ended_s
    await agent.stop_empty()


async def _judge(world: World, oracle: Oracle, report: Report) -> None:
    agent = world.agent
    ledger, rejected = await agent.account()
    evidence = Evidence(
        journal=agent.journal,
        server=world.server,
        bucket=world.bucket,
        oracle=oracle,
        ledger=ledger,
        rejected=rejected,
        refusable=lambda line: line in world.proxy.refused_lines or world.refusable(line),
        planted=frozenset(world.planted),
        forgets=world.forgets,
        # Where a connection was cut, an answer may have been lost with it.
        may_resend=agent.kills > 0 or world.proxy.answers["cut"] > 0,
    )
    verdict = report.verdict = await asyncio.to_thread(judge, evidence)
    report.kills, report.outage_s, report.reads = agent.kills, world.outage_s, agent.reads
    # Whoever is killed or stopped while a poll is under way has not collected it.
    in_flight = sum(map(oracle.points, PATHS)) * (agent.kills + agent.stops)
    if verdict.untaken > in_flight:
        verdict.say(f"{verdict.untaken} points were not taken; at most {in_flight} were in flight")


async def _own_server(folder: Path, stack: AsyncExitStack) -> InfluxServer:
    """A server that may be killed."""
    server = await asyncio.to_thread(open_server, folder / "influxd")
    if server.engine is None:
        raise CannotRunError(f"the server at {server.url} is not ours to kill")
    stack.push_async_callback(asyncio.to_thread, server.engine.close)
    return server


async def _mount(folder: Path, stack: AsyncExitStack) -> None:
    """A small file system in memory over the folder."""
    command = ("mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder))
    try:
        await _execute(*command)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRunError(f"a small disk cannot be made: {error}") from error
    stack.push_async_callback(_execute, "umount", str(folder))


async def _execute(*command: str) -> None:
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, stderr=said)


async def run_all(
    scenarios: Sequence[Scenario],
    shared: InfluxServer,
    folder: Path,
    scale: Scale,
    seed: int,
    tell: Callable[[Report], object] = lambda _: None,
) -> list[Report]:
    """Play them side by side, so many at a time as the scale says; `tell` hears of each end."""
    jobs = asyncio.Semaphore(scale.jobs)

    async def play(scenario: Scenario) -> Report:
        async with jobs:
            report = await run(scenario, shared, folder, scale, seed)
        tell(report)
        return report

    # The longest stand last in their list: they begin first.
    reports = await asyncio.gather(*map(play, reversed(scenarios)))
    return reports[::-1]


COLUMNS: Final = """
    kills outage_s back_s offered untaken collected stored rejected lost altered invented
""".split()


def table(reports: Sequence[Report]) -> Iterator[str]:
    """The figures as a table in Markdown."""
    width = max(len(report.name) for report in reports)
    yield f"| {'scenario':{width}} | {' | '.join(COLUMNS)} | verdict |"
    yield f"|{'-' * (width + 2)}|{'|'.join('-' * (len(name) + 1) + ':' for name in COLUMNS)}|---|"
    for report in reports:
        figures = vars(report) | (vars(report.verdict) if report.verdict else {})
        cells = (_cell(figures.get(name)).rjust(len(name)) for name in COLUMNS)
        word = "not run" if report.cannot else "WRONG" if report.wrong else "good"
        yield f"| {report.name:{width}} | {' | '.join(cells)} | {word} |"


def _cell(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.0f}"
