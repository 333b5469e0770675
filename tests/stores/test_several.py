"""Several stores from one journal: each with its own place, state, back-off and ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from agent import schema
from agent import stores as stores_module
from agent.app import App
from agent.clock import NS_PER_S
from agent.config import Config, NatsSink, StoreSink, load
from agent.delivery import Destination, WriteApi
from agent.errors import JournalError
from agent.journal import Entry, Journal, Rejected
from agent.journal.fragment import decompress
from agent.line_protocol import parse_lines
from agent.shipper import Shipper
from agent.stores import Stores
from tests.shipping.bench import DirectDoor, snapshot_line, stored_tickers
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.support.clock import START_NS, FakeClock

PATIENCE_S: Final = 10
AGE_MAX_S: Final = 100_000_000
"""Long, because every pause of a store that is away moves the clock on."""
DOWN: Final = Fault(None)


async def until(condition: Callable[[], bool]) -> None:
    """Let all others run until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the condition is the code's own state, no event
            await asyncio.sleep(0)


def configured(tmp_path: Path, *names: str, **settings: str) -> Config:
    """A configuration with these stores; "influxdb" is the main one."""
    variables = {"STATE_DIRECTORY": str(tmp_path), "PERPFLUX_CONFIG": "/dev/null", **settings}
    for name in names:
        section = "INFLUXDB" if name == "influxdb" else f"SINKS__{name.upper()}"
        variables[f"PERPFLUX_{section}__URL"] = f"http://{name}"
    loaded = load(environ=variables)
    return loaded.config


class Bench:
    """A journal and a fake store for each name."""

    def __init__(self, journal: Journal, clock: FakeClock, tmp_path: Path) -> None:
        self.journal = journal
        self.clock = clock
        self.fakes: dict[str, FakeInfluxDB] = {}
        self.doors: dict[str, list[DirectDoor]] = {}
        self.stores = Stores(journal, clock=clock)
        self._tmp_path = tmp_path
        self._slot = 0

    def fake(self, name: str) -> FakeInfluxDB:
        """The store of that name."""
        return self.fakes.setdefault(name, FakeInfluxDB(now_ns=self.clock.now_ns))

    def destination(self, store: StoreSink | NatsSink, _: object) -> Destination | None:
        """Stands for `agent.stores.destination`: no network."""
        if isinstance(store, NatsSink):
            return None
        name = str(store.url).removeprefix("http://").rstrip("/")
        door = DirectDoor(self.fake(name), self.clock)
        self.doors.setdefault(name, []).append(door)
        return WriteApi(door)

    async def configure(self, *names: str) -> None:
        """Open these stores, or go on with them."""
        config = configured(self._tmp_path, *names)
        token: Any = object()
        if self.stores.names:
            await self.stores.exchange(config, token)
        else:
            await self.stores.open(config, token)

    async def collect(self, ticker: str) -> None:
        """A poll of one ticker."""
        slot_ns = START_NS + self._slot * NS_PER_S
        self._slot += 1
        text = f"{snapshot_line(ticker, stamp_ns=slot_ns)}\n"
        await self.journal.append([Entry("bybit", slot_ns, text.encode(), 1)])

    def has(self, name: str) -> set[str]:
        """The tickers a store holds."""
        return stored_tickers(self.fake(name))

    async def settled(self, name: str) -> None:
        """Until the journal knows that nothing waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.journal.backlog(name)).bytes:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0)

    async def counts(self, name: str) -> tuple[int, int, int]:
        """Stored, evicted, pending; the ledger law holds."""
        ledger = await self.journal.ledger(name)
        assert ledger.holds
        return ledger.stored, ledger.evicted, ledger.pending

    @asynccontextmanager
    async def shipping(self) -> AsyncIterator[None]:
        """All loops turn within the block, and none has ended by itself."""
        task = asyncio.create_task(self.stores.run())
        await asyncio.sleep(0)
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Nothing is configured yet."""
    clock = FakeClock()
    journal = await Journal.open(
        tmp_path / "perpflux.db", bytes_max=2**20, age_max_s=AGE_MAX_S, clock=clock
    )
    made = Bench(journal, clock, tmp_path)
    monkeypatch.setattr(stores_module, "destination", made.destination)
    yield made
    await journal.close()


async def test_a_dead_store_delays_no_other_and_loses_nothing(bench: Bench) -> None:
    """One gets everything while the other is away; that one gets everything when it is back."""
    await bench.configure("influxdb", "cloud")
    bench.fake("cloud").poison["snapshot"] = DOWN
    async with bench.shipping():
        for ticker in "ABC":
            await bench.collect(ticker)
            await until(lambda t=ticker: t in bench.has("influxdb"))  # type: ignore[misc]
        await until(lambda: bench.stores.status("cloud").state == "backing_off")  # type: ignore[union-attr]
        main = bench.stores.status("influxdb")
        assert main is not None
        assert (main.attempts, main.last_error) == (0, None)
        assert bench.has("cloud") == set()
        bench.fake("cloud").poison.clear()
        await until(lambda: bench.has("cloud") == {"A", "B", "C"})
        await bench.settled("influxdb")
        await bench.settled("cloud")
    assert await bench.counts("influxdb") == await bench.counts("cloud") == (3, 0, 0)


async def test_a_store_that_hangs_delays_no_other(bench: Bench) -> None:
    """A request that is never answered is one store's affair."""
    await bench.configure("influxdb", "cloud")
    bench.fake("cloud").faults = [Fault(hangs=True)]
    async with bench.shipping():
        await bench.collect("A")
        await bench.doors["cloud"][0].busy.wait()
        for ticker in "BC":
            await bench.collect(ticker)
        await until(lambda: bench.has("influxdb") == {"A", "B", "C"})
    assert await bench.counts("cloud") == (0, 0, 3)


async def test_a_parked_store_is_parked_alone(bench: Bench) -> None:
    """A wrong token of one is no other's; each has its last error."""
    await bench.configure("influxdb", "cloud")
    bench.doors["cloud"][0].token = "wrong"
    async with bench.shipping():
        await bench.collect("A")
        await until(lambda: bench.stores.status("cloud").state == "parked")  # type: ignore[union-attr]
        await until(lambda: bench.has("influxdb") == {"A"})
    status = bench.stores.status("cloud")
    assert status is not None
    assert "401" in str(status.last_error)


async def test_a_store_that_is_added_gets_the_history(bench: Bench) -> None:
    """While the agent runs, and the other store is not disturbed by it."""
    await bench.configure("influxdb")
    async with bench.shipping():
        for ticker in "AB":
            await bench.collect(ticker)
        await until(lambda: bench.has("influxdb") == {"A", "B"})
        await bench.configure("influxdb", "cloud")
        await until(lambda: bench.has("cloud") == {"A", "B"})
        await bench.collect("C")
        await until(lambda: "C" in bench.has("cloud") and "C" in bench.has("influxdb"))
        await bench.settled("cloud")
    assert len(bench.doors["influxdb"]) == 1
    assert await bench.counts("cloud") == (3, 0, 0)


async def test_a_store_that_is_removed_keeps_its_place_and_that_is_said(bench: Bench) -> None:
    """What waits for it is told with what to do; configured again it goes on where it was."""
    await bench.configure("influxdb", "cloud")
    async with bench.shipping():
        await bench.collect("A")
        await until(lambda: bench.has("cloud") == {"A"})
        with capture_logs() as logs:
            await bench.configure("influxdb")
        (said,) = [each for each in logs if each["event"] == "sink_not_configured"]
        assert (said["sink"], said["log_level"]) == ("cloud", "warning")
        assert "perpflux backlog --forget cloud" in said["hint"]
        assert bench.stores.status("cloud") is None
        await bench.collect("B")
        await until(lambda: bench.has("influxdb") == {"A", "B"})
        writes = len(bench.fake("cloud").writes)
        assert await bench.counts("cloud") == (1, 0, 1)
        await bench.configure("influxdb", "cloud")
        await until(lambda: bench.has("cloud") == {"A", "B"})
        assert [line.count("ticker=A") for line in bench.fake("cloud").writes[writes].lines] == [0]
        await bench.settled("cloud")
    assert await bench.counts("cloud") == (2, 0, 0)


async def test_what_is_no_longer_configured_is_told_at_the_start(bench: Bench) -> None:
    """A restart without the section says how many points wait."""
    await bench.journal.add_sink("cloud")
    await bench.collect("A")
    with capture_logs() as logs:
        await bench.configure("influxdb")
    (said,) = [each for each in logs if each["event"] == "sink_not_configured"]
    assert (said["sink"], said["points"]) == ("cloud", 1)


async def test_the_bounds_evict_from_the_slow_store_alone(bench: Bench) -> None:
    """Age counts from the past: what one has not got is evicted for it; the other has it stored."""
    await bench.journal.add_sink("cloud")
    await bench.configure("influxdb")
    async with bench.shipping():
        await bench.collect("A")
        await until(lambda: bench.has("influxdb") == {"A"})
        bench.clock.advance(AGE_MAX_S + 1)
        await bench.collect("B")
        await until(lambda: bench.has("influxdb") == {"A", "B"})
        await bench.settled("influxdb")
        await bench.journal.enforce_bounds()
        await bench.configure("influxdb", "cloud")
        await until(lambda: bench.has("cloud") == {"B"})
        await bench.settled("cloud")
    assert await bench.counts("influxdb") == (2, 0, 0)
    assert await bench.counts("cloud") == (1, 1, 0)


async def test_another_store_is_exchanged_while_one_hangs(bench: Bench) -> None:
    """A reload that changes one store waits for that one's batch, for no other's."""
    await bench.configure("influxdb", "cloud")
    bench.fake("cloud").faults = [Fault(hangs=True)]
    async with bench.shipping():
        await bench.collect("A")
        await bench.doors["cloud"][0].busy.wait()
        async with asyncio.timeout(PATIENCE_S):
            await bench.configure("influxdb", "cloud", "third")
        await until(lambda: bench.has("third") == {"A"})
    assert len(bench.doors["cloud"]) == 1


async def test_a_store_is_taken_up_when_the_journal_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at the start costs the new store nothing but time."""
    add_sink, refusals = bench.journal.add_sink, 3

    async def refuse(name: str) -> None:
        nonlocal refusals
        if name == "cloud" and refusals:
            refusals -= 1
            raise JournalError("add sink", "no space left")
        await add_sink(name)

    monkeypatch.setattr(bench.journal, "add_sink", refuse)
    await bench.configure("influxdb", "cloud")
    async with bench.shipping():
        await bench.collect("A")
        await until(lambda: bench.has("cloud") == {"A"})


async def test_a_loop_that_ends_by_itself_ends_the_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never by design; should it happen, it is raised and not passed over in silence."""

    async def broken(_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(Shipper, "run", broken)
    await bench.configure("influxdb", "cloud")
    with pytest.raises(KeyError):
        await asyncio.wait_for(bench.stores.run(), PATIENCE_S)


async def test_each_store_has_its_token_file_and_its_part_of_the_status(tmp_path: Path) -> None:
    """No store gets another's token; `/status` shows each with ledger and state."""
    clock = FakeClock()
    fakes = {name: FakeInfluxDB(now_ns=clock.now_ns) for name in ("influxdb", "cloud", "open")}
    for name in ("influxdb", "cloud"):
        fakes[name].tokens = {f"{name}-token": "write"}
        (tmp_path / name).write_text(f"{name}-token\n", encoding="utf-8")
    async with (
        fakes["influxdb"].serve() as main,
        fakes["cloud"].serve() as cloud,
        fakes["open"].serve() as other,
    ):
        settings = {
            "STATE_DIRECTORY": str(tmp_path),
            "PERPFLUX_CONFIG": "/dev/null",
            "PERPFLUX_HTTP__LISTEN": "",
            "PERPFLUX_INFLUXDB__URL": main,
            "PERPFLUX_INFLUXDB__TOKEN_FILE": str(tmp_path / "influxdb"),
            "PERPFLUX_SINKS__CLOUD__URL": cloud,
            "PERPFLUX_SINKS__CLOUD__TOKEN_FILE": str(tmp_path / "cloud"),
            "PERPFLUX_SINKS__OPEN__URL": other,
        }
        async with App(load(environ=settings), clock=clock) as app:
            line = f"{snapshot_line('A')}\n".encode()
            await app.journal.append([Entry("bybit", START_NS, line, 1)])
            await app.ship(PATIENCE_S)
            status = await app.status()
            said = await app.line()
    assert stored_tickers(fakes["influxdb"]) == stored_tickers(fakes["cloud"]) == {"A"}
    for store in (status, *status["sinks"].values()):
        assert store["shipping"]["preflight"]["state"] == "pending"
    assert status["ledger"]["stored"] == status["sinks"]["cloud"]["ledger"]["stored"] == 1
    # Without a token_file none is sent, not that of another: this one wants one.
    refused = status["sinks"]["open"]
    assert refused["shipping"]["state"] == "parked"
    assert "401" in refused["shipping"]["last_error"]
    assert {request.headers.get("Authorization") for request in fakes["open"].requests} == {None}
    assert said.endswith("; cloud shipping, 0 points wait; open parked, 1 points wait")


async def test_a_loss_of_a_further_store_is_seen_from_afar(tmp_path: Path) -> None:
    """The state is "degraded" when any store will not have every point."""
    clock = FakeClock()
    settings = {
        "STATE_DIRECTORY": str(tmp_path),
        "PERPFLUX_CONFIG": "/dev/null",
        "PERPFLUX_HTTP__LISTEN": "",
        "PERPFLUX_SINKS__CLOUD__URL": "http://127.0.0.1:1",
    }
    async with App(load(environ=settings), clock=clock) as app:
        assert (await app.status())["state"] == "ok"
        line = snapshot_line("A")
        await app.journal.append([Entry("bybit", START_NS, f"{line}\n".encode(), 1)])
        records = await app.journal.next_batch(
            "cloud", lane="oldest", points_max=10, bytes_max=2**20
        )
        refused = [Rejected(line, "bad", 1, records[0].seq)]
        await app.journal.settle("cloud", records, refused)
        assert (await app.status())["state"] == "degraded"


async def test_each_store_is_told_by_a_point_of_its_own(tmp_path: Path) -> None:
    """Beside the agent's point: its own counts, no duration before a write, down while parked.

    `[influxdb]` is not configured and has none; nor has a store that the journal does not know yet,
    which keeps nobody from being told of.
    """
    clock = FakeClock()
    fakes = [FakeInfluxDB(now_ns=clock.now_ns, tokens={token: "write"}) for token in ("", "other")]
    async with fakes[0].serve() as cloud, fakes[1].serve() as closed:
        settings = {
            "STATE_DIRECTORY": str(tmp_path),
            "PERPFLUX_CONFIG": "/dev/null",
            "PERPFLUX_HTTP__LISTEN": "",
            "PERPFLUX_SINKS__CLOUD__URL": cloud,
            "PERPFLUX_SINKS__CLOSED__URL": closed,
            "PERPFLUX_SINKS__LATE__URL": cloud,
        }
        async with App(load(environ=settings), clock=clock) as app:
            line = f"{snapshot_line('A')}\n".encode()
            await app.journal.append([Entry("bybit", START_NS, line, 1)])
            await app.ship(PATIENCE_S)
            await app.journal.drop_sink("late")
            await app._heartbeat.beat(START_NS)
            (*_, newest) = await app.journal.next_batch(
                "influxdb", lane="oldest", points_max=10, bytes_max=2**20
            )
            ledger = await app.journal.ledger("influxdb")
    lines = decompress(newest.fragment, newest.crc32, newest.size).decode()
    agent, *points = parse_lines(lines)
    assert (agent.measurement, newest.points, ledger.collected) == ("agent", 0, 1)
    assert {(point.measurement, point.stamp_ns) for point in points} == {("sink", START_NS)}
    told = {point.tags["sink"]: point.fields for point in points}
    assert {point.tags["host"] for point in points} == {agent.tags["host"]}
    assert set(told) == {"cloud", "closed"}
    assert set(told["cloud"]) == set(schema.SINK.field_names)
    assert set(told["closed"]) == set(schema.SINK.field_names) - {"write_ms"}
    kinds = ("collected", "stored", "pending", "up")
    assert [told["cloud"][kind] for kind in kinds] == ["1", "1", "0", "1"]
    assert [told["closed"][kind] for kind in kinds] == ["1", "0", "1", "0"]
