"""SIGHUP: what changes is applied between two polls and two batches; nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.app import App
from agent.clock import NS_PER_S
from agent.config import load
from agent.delivery import WriteApi
from agent.journal import Journal
from agent.journal.records import Entry
from agent.reload import Change, applicable, changes
from agent.scheduler import DataCollectorScheduler
from agent.shipper import Shipper
from agent.status import line
from tests.shipping.bench import DirectDoor, snapshot_line
from tests.shipping.fake_influxdb import FakeInfluxDB
from tests.support.clock import START_NS, FakeClock
from tests.support.program import running
from tests.support.recorded import recorded_venues
from tests.support.sources import FakeSource, FakeStore

PATIENCE_S = 10


async def until(condition: Callable[[], bool]) -> None:
    """Let all others run until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the condition is the code's own state, no event
            await asyncio.sleep(0)


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


def environ(tmp_path: Path, **settings: str) -> dict[str, str]:
    """A configuration from the environment alone."""
    return {"STATE_DIRECTORY": str(tmp_path), "PERPFLUX_CONFIG": "/dev/null", **settings}


def test_every_difference_is_named_and_what_needs_a_restart_is_told(tmp_path: Path) -> None:
    """Journal and HTTP side are held since the start; all else is applied."""
    before = load(environ=environ(tmp_path)).config
    after = load(
        environ=environ(
            tmp_path,
            PERPFLUX_TICKERS="SOL",
            PERPFLUX_BYBIT__SYMBOLS='{"PEPE": "1000PEPEUSDT"}',
            PERPFLUX_INFLUXDB__URL="http://127.0.0.1:1",
            PERPFLUX_SINKS__CLOUD__URL="http://127.0.0.1:2",
            PERPFLUX_JOURNAL__AGE_MAX_S="100",
            PERPFLUX_HTTP__LISTEN="",
        )
    ).config
    assert changes(before, after) == [
        Change("bybit.symbols.PEPE", "not set", '"1000PEPEUSDT"', live=True),
        Change("http.listen", '"127.0.0.1:9477"', '""', live=False),
        Change("influxdb.bucket", "not set", '"perps"', live=True),
        Change("influxdb.org", "not set", '"perps"', live=True),
        Change("influxdb.url", "not set", '"http://127.0.0.1:1"', live=True),
        Change("journal.age_max_s", "604800", "100", live=False),
        Change("sinks.cloud.bucket", "not set", '"perps"', live=True),
        Change("sinks.cloud.org", "not set", '"perps"', live=True),
        Change("sinks.cloud.url", "not set", '"http://127.0.0.1:2"', live=True),
        Change("tickers", '["BTC", "ETH"]', '["SOL"]', live=True),
    ]
    applied = applicable(before, after)
    assert (applied.journal, applied.http) == (before.journal, before.http)
    # So a restart is asked for again until it happens.
    assert [each.key for each in changes(applied, after)] == ["http.listen", "journal.age_max_s"]
    assert changes(before, before) == []


@asynccontextmanager
async def polling(
    sources: list[FakeSource], store: FakeStore, clock: FakeClock
) -> AsyncIterator[DataCollectorScheduler]:
    """A scheduler that runs."""
    scheduler = DataCollectorScheduler(sources, ["BTC"], store=store, clock=clock)
    task = asyncio.create_task(scheduler.run())
    await settle()
    try:
        yield scheduler
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_poll_under_way_is_stored_before_its_source_is_exchanged() -> None:
    """A reload costs no slot: the old source's poll ends, the new one takes the next slot."""
    clock, store, answer = FakeClock(sleep_advances=False), FakeStore(), asyncio.Event()

    class Slow(FakeSource):
        async def poll(self, *args: Any) -> Any:
            await answer.wait()
            return await super().poll(*args)

    old, new = Slow(), FakeSource(interval_s=2)
    async with polling([old], store, clock) as scheduler:
        exchange = asyncio.create_task(scheduler.exchange([new], ["BTC"]))
        await settle()
        assert not exchange.done()
        assert store.entries == []
        store.last_slots_ns["fake"] = START_NS
        answer.set()
        await exchange
        await settle()
        assert [entry.slot_ns for entry in store.entries] == [START_NS]
        assert new.slots_ns == []  # the slot is taken
        assert scheduler.status["fake"].interval_s == 2
        clock.advance(2)
        await settle()
    assert (old.slots_ns, new.slots_ns) == ([START_NS], [START_NS + 2 * NS_PER_S])


async def test_sources_come_and_go_and_the_others_are_undisturbed() -> None:
    """A source given again as the same object keeps its loop; one that is gone has no status."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    stays, goes, comes = FakeSource("stays", 5), FakeSource("goes"), FakeSource("comes")
    async with polling([stays, goes], store, clock) as scheduler:
        await scheduler.exchange([stays, comes], ["ETH"])
        await settle()
        assert list(scheduler.status) == ["stays", "comes"]
        assert stays.slots_ns == comes.slots_ns == [START_NS]
        clock.advance(1)
        await settle()
    assert len(stays.slots_ns) == len(goes.slots_ns) == 1
    assert len(comes.slots_ns) == 2


async def test_a_batch_under_way_is_answered_for_before_the_store_is_exchanged(
    tmp_path: Path,
) -> None:
    """What the former store got is settled; what comes then goes through the new door, at once."""
    clock, answer = FakeClock(), asyncio.Event()
    first, second = FakeInfluxDB(now_ns=clock.now_ns), FakeInfluxDB(now_ns=clock.now_ns)

    class Slow(DirectDoor):
        async def write(self, body: bytes, *, gzip: bool) -> Any:
            await answer.wait()
            return await super().write(body, gzip=gzip)

    journal = await Journal.open(tmp_path / "j.db", bytes_max=2**30, age_max_s=604_800, clock=clock)
    try:
        shipper = Shipper("influxdb", journal, WriteApi(Slow(first)), clock=clock)
        loop = asyncio.create_task(shipper.run())
        text = snapshot_line("BTC", "1", START_NS)
        await journal.append([Entry("bybit", START_NS, f"{text}\n".encode(), 1)])
        await until(lambda: shipper.status.state == "shipping")
        retired = asyncio.create_task(shipper.retire(loop))
        await settle()
        assert not retired.done()
        answer.set()
        await retired
        await asyncio.gather(loop, return_exceptions=True)
        assert len(first.writes) == 1
        assert (await journal.ledger("influxdb")).stored == 1

        shipper.exchange(WriteApi(DirectDoor(second)))
        loop = asyncio.create_task(shipper.run())
        text = snapshot_line("BTC", "2", START_NS + NS_PER_S)
        await journal.append([Entry("bybit", START_NS + NS_PER_S, f"{text}\n".encode(), 1)])
        await until(lambda: len(second.writes) == 1)
        await shipper.retire(loop)
        await asyncio.gather(loop, return_exceptions=True)
        assert len(first.writes) == 1
    finally:
        await journal.close()


async def test_a_parked_store_is_forgotten_when_it_is_exchanged(tmp_path: Path) -> None:
    """The wrong token of the former store does not delay the new one."""
    clock = FakeClock()
    fake = FakeInfluxDB(now_ns=clock.now_ns)
    journal = await Journal.open(tmp_path / "j.db", bytes_max=2**30, age_max_s=604_800, clock=clock)
    try:
        wrong = DirectDoor(fake)
        wrong.token = "wrong"
        shipper = Shipper("influxdb", journal, WriteApi(wrong), clock=clock)
        loop = asyncio.create_task(shipper.run())
        text = snapshot_line("BTC", "1", START_NS)
        await journal.append([Entry("bybit", START_NS, f"{text}\n".encode(), 1)])
        await until(lambda: shipper.status.state == "parked")
        await shipper.retire(loop)
        shipper.exchange(WriteApi(DirectDoor(fake)))
        assert (shipper.status.last_error, shipper.status.next_try_ns) == (None, None)
        loop = asyncio.create_task(shipper.run())
        await until(lambda: shipper.status.last_write_ns is not None)
        await shipper.retire(loop)
        await asyncio.gather(loop, return_exceptions=True)
    finally:
        await journal.close()


async def test_the_status_line_tells_backlog_and_ages(tmp_path: Path) -> None:
    """One line: state, age of each source, what waits, the last write, what is wrong."""
    clock = FakeClock()
    settings = environ(tmp_path, PERPFLUX_HTTP__LISTEN="")
    async with App(load(environ=settings), clock=clock) as app:
        assert await app.line() == (
            "ok; variational not yet, bybit not yet; no InfluxDB, 0 points stored locally"
        )
        assert app.stalled() == []
    document = {
        "state": "degraded",
        "sources": {"bybit": {"age_s": 3}, "variational": {"age_s": None}},
        "ledger": {"pending": 12},
        "sinks": {},
        "shipping": {
            "state": "parked",
            "last_write": "2026-09-21T14:59:00Z",
            "oldest_pending_s": 60,
            "last_error": "401 unauthorized access",
        },
    }
    assert line(document, clock) == (
        "degraded; bybit 3 s ago, variational not yet; 12 points wait, the oldest 60 s; "
        "last write 60 s ago; InfluxDB parked: 401 unauthorized access"
    )


CONFIG = """
data_sources = ["bybit"]
tickers = ["BTC"]
[bybit]
api_base = "{url}"
poll_interval_s = {interval_s}
depth_tickers = []
[http]
listen = ""
"""


@pytest.mark.slow
async def test_the_program_reloads_on_sighup_and_refuses_what_is_bad(tmp_path: Path) -> None:
    """Good: every difference is logged and applied. Bad: refused with the reason; it runs on."""
    file = tmp_path / "perpflux.toml"
    fake = FakeInfluxDB(now_ns=lambda: START_NS)
    async with recorded_venues() as url, fake.serve() as store_url:
        good = CONFIG.format(url=url, interval_s=3600)
        file.write_text(good, encoding="utf-8")
        settings = {
            "PERPFLUX_CONFIG": str(file),
            "INFLUXDB_V2_TOKEN": "secret",
        }
        async with running(tmp_path, "run", **settings) as program:
            await program.wait_for('"source_ready"')
            assert "loops_stalled" not in "".join(program.lines)
            file.write_text(good.replace("3600", "0"), encoding="utf-8")
            program.child.send_signal(signal.SIGHUP)
            refused = json.loads(await program.wait_for("reload_refused"))
            assert "bybit.poll_interval_s is 0" in refused["error"]

            file.write_text(
                CONFIG.format(url=url, interval_s=1)
                + f'[influxdb]\nurl = "{store_url}"\n[journal]\nage_max_s = 100\n',
                encoding="utf-8",
            )
            program.child.send_signal(signal.SIGHUP)
            await program.wait_for('"reloaded"')
            said = [json.loads(text) for text in program.lines]
            told = {each["key"]: each["event"] for each in said if "key" in each}
            assert told["bybit.poll_interval_s"] == "config_changed"
            assert told["influxdb.url"] == "config_changed"
            assert told["journal.age_max_s"] == "config_needs_restart"
            # Both the new interval and the new store are at work: the past ships as well.
            await until_stored(fake, points=3)

            file.write_text(good, encoding="utf-8")
            program.child.send_signal(signal.SIGHUP)
            await program.wait_for('"reloaded"')
            assert await program.stop() == 0


async def until_stored(fake: FakeInfluxDB, *, points: int) -> None:
    """Wait until it holds so many snapshots."""
    async with asyncio.timeout(PATIENCE_S):
        while sum(key[0] == "snapshot" for key in fake.bucket.points) < points:  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.05)
