"""The stories. Durations are those of the long run; the short one takes its share of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from agent.clock import SYSTEM_CLOCK
from agent.journal import Journal
from agent.journal.records import Entry
from tests.faults import proxy as faults
from tests.faults.proxy import Fault
from tests.faults.world import BACK_S_MAX, READY_S_MAX, Scenario, World
from tests.influxd.server import InfluxServer

UNAVAILABLE: Final = faults.answering(503)
TURNS_S: Final = 8
"""How long each fault lasts where they take turns."""


def of_ticker(ticker: str) -> Callable[[str], bool]:
    """Bybit's lines of a ticker: one in every poll."""
    head = f"snapshot,source=bybit,ticker={ticker} "
    return lambda line: line.startswith(head)


async def unavailable(world: World) -> None:
    """Status 503 and no word of when it ends."""
    await world.in_weather(UNAVAILABLE, 30)


async def unavailable_and_killed(world: World) -> None:
    """The same, with SIGKILL in the middle."""
    async with world.outage():
        world.proxy.fault = UNAVAILABLE
        await world.wait(15)
        await world.bounce()
        await world.wait(15)
        world.proxy.fault = faults.clear


async def unavailable_and_stopped(world: World) -> None:
    """The same, with SIGTERM in the middle."""
    async with world.outage():
        world.proxy.fault = UNAVAILABLE
        await world.wait(15)
        await world.agent.stop()
        await world.agent.up()
        await world.wait(15)
        world.proxy.fault = faults.clear


async def bucket_gone(world: World) -> None:
    """The bucket has another name for a while: a real 404. Only empty bodies are sent meanwhile."""
    server, bucket = world.server, world.bucket
    bucket_id = await asyncio.to_thread(server.bucket_id, bucket)
    writes = world.proxy.answers["404 write"]
    async with world.outage():
        await _rename(server, bucket_id, f"{bucket}-gone")
        await world.state("parked")
        await world.wait(20)
        await _rename(server, bucket_id, bucket)
    assert world.proxy.answers["404 write"] == writes + 1, "parked, and yet it wrote"


async def _rename(server: InfluxServer, bucket_id: str, name: str) -> None:
    path = f"/api/v2/buckets/{bucket_id}"
    await asyncio.to_thread(server._json, "PATCH", path, body={"name": name})


async def token_refused(world: World) -> None:
    """A wrong token (401), then one that is inactive (403)."""
    async with world.outage():
        world.proxy.fault = faults.wrong_token
        await world.state("parked")
        await world.wait(10)
        world.proxy.fault = faults.clear
    await world.flow()
    async with world.outage():
        await asyncio.to_thread(world.server.set_token_active, world.token, active=False)
        await world.state("parked")
        await world.wait(10)
        await asyncio.to_thread(world.server.set_token_active, world.token, active=True)


async def plant_bad_line(world: World) -> None:
    """A line in the journal that the server cannot parse, among good ones."""
    stamp_ns = SYSTEM_CLOCK.now_ns()
    line = f"snapshot,source=bybit,ticker=BAD lag_ms=1,mark_price=NaN {stamp_ns}"
    world.planted.add(line)
    world.refusable = lambda refused: refused == line
    journal = await Journal.open(
        world.agent.journal, bytes_max=2**31, age_max_s=604_800, clock=SYSTEM_CLOCK
    )
    await journal.append([Entry("bybit", stamp_ns, f"{line}\n".encode(), 1)])
    await journal.close()


async def one_bad_line(world: World) -> None:
    """It is refused, by name, and nothing else."""
    await world.wait(20)
    assert world.agent.status["ledger"]["rejected"] == 1


async def bad_lines_named(world: World) -> None:
    """A line of every poll is refused by name."""
    await world.in_weather(faults.refusing(of_ticker("BTC")), 20)


async def bad_lines_misquoted(world: World) -> None:
    """A line of every poll is refused by the real server, but under another name."""
    await world.in_weather(faults.misquoting(of_ticker("BTC")), 20)


async def poison(world: World) -> None:
    """A line of every poll makes the server fail for good (500), without naming it."""
    await world.in_weather(faults.poisoned(of_ticker("BTC")), 20)


async def plant_type_conflict(world: World) -> None:
    """The bucket has a field of the platform as an integer: of every poll a point is refused."""
    stamp_ns = SYSTEM_CLOCK.now_ns()
    line = f"platform,source=planted refund_pool_usd=1i {stamp_ns}"
    world.planted.add(line.replace("1i", "1"))
    world.refusable = lambda refused: refused.startswith("platform,source=variational ")
    answer = await asyncio.to_thread(world.server.write, world.bucket, line)
    assert answer.status == 204


async def type_conflict(world: World) -> None:
    """Every poll costs one point; the real server's 422 names its field."""
    await world.wait(20)
    assert world.agent.status["ledger"]["rejected"] > 1


async def five_kills(world: World) -> None:
    """SIGKILL at any instant, with a healthy server."""
    for _ in range(5):
        await asyncio.sleep(world.rng.uniform(0.2, 3))
        await world.bounce()


async def killed_before_acknowledging(world: World) -> None:
    """SIGKILL when InfluxDB has stored a batch and the agent does not know yet."""
    for _ in range(3):
        stored = asyncio.Event()
        killed = asyncio.Event()

        async def hold(stored: asyncio.Event = stored, killed: asyncio.Event = killed) -> None:
            stored.set()
            await killed.wait()

        world.proxy.on_stored = hold
        async with asyncio.timeout(READY_S_MAX):
            await stored.wait()
        await world.agent.kill()
        world.proxy.on_stored = None
        killed.set()
        await world.agent.up()
        await world.flow()


async def influxdb_killed(world: World) -> None:
    """SIGKILL of InfluxDB, three times, at any instant."""
    for _ in range(3):
        await asyncio.sleep(world.rng.uniform(0.2, 3))
        async with world.outage():
            await asyncio.to_thread(world.server.kill)
            await world.wait(10)
            await asyncio.to_thread(world.server.restart)
        await world.agent.until(
            lambda status: status["shipping"]["state"] in {"shipping", "idle"},
            BACK_S_MAX,
            "it ships again",
        )


async def nobody_there(world: World) -> None:
    """Nothing listens where InfluxDB was."""
    async with world.outage():
        await world.proxy.close()
        await asyncio.sleep(world.scale.outage_s)
        await world.proxy.open()


def every_fault() -> dict[str, Fault]:
    """All that can happen to a request, by name."""
    return {
        "reset": faults.reset,
        "answer lost": faults.lose_answer,
        "slow": faults.slow,
        "stall": faults.stall,
        "413": faults.too_large_above(600),
        "429": faults.answering(429, **{"Retry-After": "1"}),
        "503 with a date": faults.busy_until_date(2),
        "500": faults.answering(500, "<html>oops</html>"),
        "502": faults.answering(502, "<html>bad gateway</html>"),
        "permanent 500, once": faults.once(faults.permanent),
        "damaged, once": faults.once(faults.damaged),
        "302": faults.answering(302, Location="http://127.0.0.1:9/"),
        "401": faults.wrong_token,
        "404": faults.wrong_bucket,
        "bad lines": faults.refusing(of_ticker("ETH")),
    }


async def in_turn(world: World) -> None:
    """One fault after the other, without a pause."""
    async with world.outage():
        for fault in every_fault().values():
            world.proxy.fault = fault
            await world.wait(TURNS_S)
        world.proxy.fault = faults.clear


async def storm(world: World) -> None:
    """Anything at any instant: faults, SIGKILL and SIGTERM of the agent, SIGKILL of InfluxDB."""
    rng, agent = world.rng, world.agent

    async def kill_influxdb() -> None:
        await asyncio.to_thread(world.server.kill)
        await asyncio.sleep(rng.uniform(0, 2))
        await asyncio.to_thread(world.server.restart)

    async def restart_agent() -> None:
        await (agent.kill() if rng.random() < 0.7 else agent.stop())
        await asyncio.sleep(rng.uniform(0, 1))
        await agent.up()

    async def cut_off() -> None:
        await world.proxy.close()
        await asyncio.sleep(rng.uniform(0, 2))
        await world.proxy.open()

    async with world.outage(), asyncio.timeout(world.scale.storm_s + BACK_S_MAX):
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + world.scale.storm_s
        while loop.time() < ends_s:
            world.proxy.fault = rng.choice([*every_fault().values(), faults.clear, faults.clear])
            await asyncio.sleep(rng.uniform(0.1, 1.5))
            blow = rng.choice([kill_influxdb, restart_agent, restart_agent, cut_off, None])
            if blow is not None:
                await blow()
        world.proxy.fault = faults.clear


async def disk_full(world: World) -> None:
    """Neither disk nor InfluxDB take anything for a while: it says so, and holds what it polls."""
    agent, ballast = world.agent, world.agent.folder / "ballast"
    world.forgets = True
    world.proxy.fault = UNAVAILABLE
    began_s = asyncio.get_running_loop().time()
    await asyncio.to_thread(_fill, str(ballast))
    await agent.until(
        lambda status: not status["journal"]["takes_writes"], READY_S_MAX, "its disk is full"
    )
    assert not await agent.ready(), "/readyz says that all is well"
    assert "disk" in agent.status["journal"]["last_error"]
    await world.wait(20)
    ballast.unlink()
    await agent.until(lambda status: status["journal"]["takes_writes"], READY_S_MAX, "it has room")
    assert await agent.ready()
    world.proxy.fault = faults.clear
    world.outage_s = asyncio.get_running_loop().time() - began_s


def _fill(path: str) -> None:
    """Write until nothing fits any more."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        for size in (65_536, 4096):
            while True:
                try:
                    os.write(file, bytes(size))
                except OSError:
                    break
    finally:
        os.close(file)


SCENARIOS: Final = (
    Scenario("503 for 30 s", unavailable),
    Scenario("503 for 30 s, kill -9 in the middle", unavailable_and_killed),
    Scenario("503 for 30 s, SIGTERM in the middle", unavailable_and_stopped),
    Scenario("404 for 20 s", bucket_gone),
    Scenario("401, then 403, for 10 s each", token_refused),
    Scenario("one bad line, once", one_bad_line, before=plant_bad_line),
    Scenario("one bad line in every poll for 20 s", bad_lines_named),
    Scenario("the same, named wrongly", bad_lines_misquoted),
    Scenario("the same, a permanent 500 instead", poison),
    Scenario("a type conflict in every poll", type_conflict, before=plant_type_conflict),
    Scenario("five kill -9, healthy server", five_kills),
    Scenario("kill -9 between the 204 and its record", killed_before_acknowledging),
    Scenario("InfluxDB killed by SIGKILL three times", influxdb_killed, own_server=True),
    Scenario("nobody there for 10 minutes", nobody_there),
    Scenario("every fault in turn", in_turn),
    Scenario("storm", storm, own_server=True),
    Scenario("disk full and 503 for 20 s", disk_full, small_disk=True),
)
"""The first four, the bad lines and the five kills are those of the comparison with others."""
