"""The stream under fire: two agents, three NATS servers, two `perpflux sink`, a real InfluxDB.

In each round somebody is killed: the leader of the stream, an agent, a sink. At the end everything
that either agent took must be in InfluxDB, once, with the values that one of them took; and in the
stream no message may be twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import nats

from agent.clock import SystemClock, slot_at
from agent.demo.market import Market
from agent.demo.venues import SERVED_MAX, SimulatedVenues
from agent.journal import History
from agent.line_protocol import parse_line
from tests.faults.agents import Agent
from tests.faults.judge import (
    COUNTED,
    Identity,
    Taken,
    Verdict,
    _check_served,
    compare,
    identity_of,
    read_back,
)
from tests.faults.oracle import Oracle
from tests.influxd.server import InfluxServer
from tests.natsd.server import NatsServer, open_cluster
from tests.support.program import COMMAND, environment

STREAM: Final = "perps"
SUBJECT: Final = "perps.points"
REPLICAS: Final = 3
READY_S_MAX: Final = 60
DRAIN_S_MAX: Final = 90
"""A lease of somebody who was killed runs out after 30 s."""
POLL_EVERY_S: Final = 0.2
DOWN_S: Final = (0.5, 2.5)
"""How long a victim stays down, at least and at most."""
BETWEEN_S: Final = (0.5, 2.0)
VICTIMS: Final = ("leader", "agent", "sink")


class SlotClock(SystemClock):
    """A venue whose figures change with the slots only: two agents read the same."""

    def now_ns(self) -> int:
        """The beginning of the slot."""
        return slot_at(super().now_ns(), 1)


class SinkProcess:
    """`perpflux sink` with a state folder of its own; killed and started again."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self._log = folder.with_suffix(".log")
        self._child: asyncio.subprocess.Process | None = None

    async def up(self) -> None:
        """Start it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *COMMAND,
                "sink",
                "--make-stream",
                f"--replicas={REPLICAS}",
                cwd=self._folder,
                env=environment(self._folder, self._settings),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )

    async def kill(self) -> None:
        """SIGKILL: it has no last word."""
        assert self._child is not None
        assert self._child.returncode is None, f"it ended by itself:\n{self.log_tail()}"
        self._child.kill()
        await self._child.wait()

    async def stop(self) -> None:
        """SIGTERM: it ends in order, with exit code 0."""
        assert self._child is not None
        self._child.terminate()
        code = await asyncio.wait_for(self._child.wait(), READY_S_MAX)
        assert code == 0, f"it ended with {code}:\n{self.log_tail()}"

    async def end(self) -> None:
        """Whatever it does now, it ends."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(encoding="utf-8")[-3000:]


class OfTwo(Verdict):
    """A verdict on two agents: that both take a slot is what they are for."""

    def say(self, text: str) -> None:
        """Keep what is wrong."""
        if not text.startswith("taken twice"):
            super().say(text)


@dataclass
class Outcome:
    """What came of a run; the verdict counts both agents' points together.

    Args:
        verdict: nothing may be lost, altered or invented.
        kills: how often each kind of victim was killed.
        taken: points in both journals, those of the same slot twice.
        distinct: the same, each once.
        messages: in the stream, of the venues' numbers.
        twice: messages that are in the stream more than once.
        seconds: from the first start to the last acknowledgement.
    """

    verdict: Verdict = field(default_factory=OfTwo)
    kills: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    distinct: int = 0
    messages: int = 0
    twice: int = 0
    seconds: float = 0

    @property
    def wrong(self) -> list[str]:
        """What is wrong; [] = nothing."""
        counts = {name: getattr(self.verdict, name) for name in ("lost", "altered", "invented")}
        counts["twice in the stream"] = self.twice
        return [*(f"{name} = {n}" for name, n in counts.items() if n), *self.verdict.said]

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"killed: {killed}; taken {self.taken}, of them distinct {self.distinct}, stored "
            f"{self.verdict.stored}, lost {self.verdict.lost}, altered {self.verdict.altered}, "
            f"invented {self.verdict.invented}; {self.messages} messages, {self.twice} twice; "
            f"{self.seconds:.0f} s"
        )


@dataclass
class World:
    """Everything that runs."""

    cluster: Sequence[NatsServer]
    agents: Sequence[Agent]
    sinks: Sequence[SinkProcess]
    rng: random.Random

    async def strike(self, victim: str) -> None:
        """Kill one of a kind, and start it again after a while."""
        down_s = self.rng.uniform(*DOWN_S)
        if victim == "leader":
            leader = await self._leader()
            await asyncio.to_thread(leader.kill)
            await asyncio.sleep(down_s)
            leader.start()
            await asyncio.to_thread(leader.wait)
            return
        kind: Sequence[Agent | SinkProcess] = self.agents if victim == "agent" else self.sinks
        chosen = self.rng.choice(kind)
        await chosen.kill()
        await asyncio.sleep(down_s)
        await chosen.up()

    async def _leader(self) -> NatsServer:
        for _ in range(int(READY_S_MAX / POLL_EVERY_S)):
            for server in self.cluster:
                if await asyncio.to_thread(server.leads, STREAM):
                    return server
            await asyncio.sleep(POLL_EVERY_S)
        raise AssertionError(f"no leader within {READY_S_MAX} s")


async def run(
    server: InfluxServer, folder: Path, *, rounds: int, seed: int, listings: int = 12
) -> Outcome:
    """Play `rounds` kills, of each kind in turn in an order of its own, and judge."""
    rng = random.Random(f"{seed}/stream")
    outcome = Outcome()
    bucket = f"stream-{os.getpid()}-{rng.randrange(2**32)}"
    await asyncio.to_thread(server.create_bucket, bucket)
    token = await asyncio.to_thread(server.write_token, bucket)
    market = Market(rng.randrange(2**32), count=listings, refresh_s=1)
    began_s = time.monotonic()
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(open_cluster(folder / "nats"))
        venues = await stack.enter_async_context(
            SimulatedVenues.start(market=market, clock=SlotClock())
        )
        stream = {
            "PERPFLUX_SINKS__STREAM__NATS_URL": ",".join(each.url for each in cluster),
            "PERPFLUX_SINKS__STREAM__STREAM": STREAM,
            "PERPFLUX_SINKS__STREAM__SUBJECT": SUBJECT,
            "PERPFLUX_JOURNAL__BYTES_MAX": str(64 * 2**20),
        }
        agents = [_agent(folder / name, stream, venues.url) for name in ("one", "two")]
        store = {
            "PERPFLUX_INFLUXDB__URL": server.url,
            "PERPFLUX_INFLUXDB__ORG": server.org,
            "PERPFLUX_INFLUXDB__BUCKET": bucket,
            "INFLUXDB_V2_TOKEN": token,
        }
        sinks = [SinkProcess(folder / f"sink-{n}", {**stream, **store}) for n in (1, 2)]
        world = World(cluster, agents, sinks, rng)
        client = await nats.connect([each.url for each in cluster], error_cb=_quiet)
        stack.push_async_callback(client.close)
        for sink in sinks:
            stack.push_async_callback(sink.end)
            await sink.up()
        for agent in agents:
            await stack.enter_async_context(agent.running())
        await _flow(world)
        for victim in _order(rounds, rng):
            await world.strike(victim)
            outcome.kills[victim] += 1
            await asyncio.sleep(rng.uniform(*BETWEEN_S))
        await _flow(world)
        for agent in agents:
            await agent.stop_empty()
        await _drained(client.jetstream())
        outcome.seconds = time.monotonic() - began_s
        for sink in sinks:
            await sink.stop()
        await _count(client.jetstream(), outcome)
    assert len(venues.served) < SERVED_MAX, "more was served than the oracle knows"
    await asyncio.to_thread(_judge, outcome, agents, Oracle(market, venues.served), server, bucket)
    return outcome


def _agent(folder: Path, stream: Mapping[str, str], venues_url: str) -> Agent:
    """Polls everything once a second, and ships to the stream only."""
    settings = {
        **stream,
        "PERPFLUX_TICKERS": "all",
        "PERPFLUX_VARIATIONAL__API_BASE": venues_url,
        "PERPFLUX_VARIATIONAL__POLL_INTERVAL_S": "1",
        "PERPFLUX_BYBIT__API_BASE": venues_url,
        "PERPFLUX_BYBIT__DEPTH_TICKERS": "",
        "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
    }
    # Two hosts: what each says of itself stands apart.
    return Agent(folder, settings, sink="stream", host=folder.name)


def _order(rounds: int, rng: random.Random) -> Sequence[str]:
    order: list[str] = []
    while len(order) < rounds:
        order += rng.sample(VICTIMS, len(VICTIMS))
    return order[:rounds]


async def _quiet(_: Exception) -> None:
    """The test's own client loses its server too."""


async def _flow(world: World) -> None:
    """Until the stream takes points of both agents."""
    for agent in world.agents:
        before = agent.ledger(agent.status)["stored"] if agent.status else 0
        await agent.until(agent.stored_above(before), READY_S_MAX, "the stream takes points")


async def _drained(jetstream: Any) -> None:
    """Until the consumer has nothing left, given out or not."""
    deadline_s = time.monotonic() + DRAIN_S_MAX
    said = ""
    while time.monotonic() < deadline_s:
        try:
            info = await jetstream.consumer_info(STREAM, "perpflux-influxdb")
        except Exception as error:  # noqa: BLE001  # a leader may just be chosen
            said = repr(error)
        else:
            if not info.num_pending and not info.num_ack_pending:
                return
            said = f"{info.num_pending} wait, {info.num_ack_pending} are out"
        await asyncio.sleep(POLL_EVERY_S)
    raise AssertionError(f"not stored within {DRAIN_S_MAX} s: {said}")


async def _count(jetstream: Any, outcome: Outcome) -> None:
    """Messages of the venues' numbers in the stream, and those that are there twice."""
    info = await jetstream.stream_info(STREAM)
    ids: Counter[str] = Counter()
    for seq in range(info.state.first_seq, info.state.last_seq + 1):
        message = await jetstream.get_msg(STREAM, seq)
        if ".agent." not in message.subject:
            ids[message.headers["Nats-Msg-Id"]] += 1
    outcome.messages = ids.total()
    outcome.twice = sum(count - 1 for count in ids.values())


def _judge(
    outcome: Outcome, agents: Sequence[Agent], oracle: Oracle, server: InfluxServer, bucket: str
) -> None:
    """Both journals against what was served, and against InfluxDB."""
    verdict = outcome.verdict
    taken: dict[Identity, list[Taken]] = {}
    for agent in agents:
        with History(agent.journal) as history:
            for record in history.records():
                points = [(line, parse_line(line)) for line in record.lines.splitlines()]
                for line, point in points:
                    taken.setdefault(identity_of(point), []).append((line, point))
                counted = [point for _, point in points if point.measurement in COUNTED]
                outcome.taken += len(counted)
                if counted:
                    _check_served(record, counted, oracle, verdict)
    hosts = {dict(tags).get("host") for _, tags, _ in taken}
    assert hosts == {None, *(agent.folder.name for agent in agents)}
    outcome.distinct = sum(identity[0] in COUNTED for identity in taken)
    found = read_back(server, bucket, 0, None)
    compare(taken, found, set(), verdict)
    for identity in found:
        verdict.invented += 1
        verdict.say(f"in InfluxDB, but nobody took it: {identity}")
