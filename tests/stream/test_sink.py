"""Filling a store from a stream: acknowledged after the store's answer, refused lines kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
import pytest
from structlog.testing import capture_logs

from agent.clock import SYSTEM_CLOCK
from agent.config import JournalConfig, NatsSink
from agent.delivery import Delivered, WriteApi
from agent.journal import Desk
from agent.journal.records import Ledger
from agent.sink import Sink
from agent.stream.messages import ID_HEADER
from agent.stream.publisher import Publisher
from agent.stream.setup import make_stream
from tests.natsd.server import open_nats
from tests.shipping.bench import DirectDoor, stored_tickers
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.stream.conftest import STREAM, SUBJECT
from tests.stream.make import SLOT_NS, poll, record, snapshot
from tests.support.program import perpflux

pytestmark = pytest.mark.slow

MakeSink = Callable[..., NatsSink]
WAIT_S: Final = 30
DURABLE: Final = "perpflux-test"


async def until(condition: Callable[[], bool]) -> None:
    """Until it is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # the condition is a real server's state
            await asyncio.sleep(0.01)


class Bench:
    """A stream, and sinks with a fake store each."""

    def __init__(self, config: NatsSink, folder: Path) -> None:
        self.config = config
        self.publisher = Publisher(config)
        self._folder = folder

    async def make(self) -> None:
        """The stream."""
        await make_stream(self.config, replicas=1, bytes_max=2**24, age_max_s=3600)

    async def publish(self, *tickers: str, slot: int = 0) -> None:
        """A poll of these tickers."""
        lines = [snapshot(ticker, slot_ns=SLOT_NS + slot) for ticker in tickers]
        outcome = await self.publisher.deliver([record(lines, slot_ns=SLOT_NS + slot)])
        assert isinstance(outcome, Delivered)

    def box(self, name: str) -> Path:
        """Where a sink keeps its ledger."""
        return self._folder / f"{name}.db"

    @asynccontextmanager
    async def sink(self, name: str, fake: FakeInfluxDB) -> AsyncIterator[Sink]:
        """A sink that fills this store, within the block; it stops in order."""
        stop = asyncio.Event()
        bounds = JournalConfig(path=self.box(name), bytes_max=2**24)
        door = WriteApi(DirectDoor(fake, SYSTEM_CLOCK))
        async with Sink(
            self.config, "fake", door, durable=DURABLE, box=self.box(name), bounds=bounds
        ) as sink:
            running = asyncio.create_task(sink.run(stop))
            await sink.running.wait()
            try:
                yield sink
                assert not running.done()
            finally:
                stop.set()
                await running

    def ledger(self, name: str) -> Ledger:
        """That of a stopped sink."""
        with Desk(self.box(name), bytes_max=2**24) as desk:
            ledger, backlog = desk.accounts("influxdb")
        assert ledger.holds
        assert backlog.points == 0
        return ledger


@pytest.fixture
async def bench(
    jetstream: Any,  # noqa: ARG001  # it empties the server
    sink: MakeSink,
    tmp_path: Path,
) -> AsyncIterator[Bench]:
    """On the session's server, with an empty stream."""
    bench = Bench(sink(), tmp_path)
    await bench.make()
    yield bench
    await bench.publisher.close()


@pytest.fixture
def fake() -> FakeInfluxDB:
    """A store."""
    return FakeInfluxDB(now_ns=SYSTEM_CLOCK.now_ns)


async def left(jetstream: Any) -> int:
    """Messages that are not acknowledged, given out or not."""
    info = await jetstream.consumer_info(STREAM, DURABLE)
    return int(info.num_pending + info.num_ack_pending)


async def test_what_is_in_the_stream_comes_into_the_store(
    bench: Bench, fake: FakeInfluxDB, jetstream: Any
) -> None:
    """Before and after the start; every message is acknowledged, and the ledger counts points."""
    await bench.publish("A", "B")
    async with bench.sink("one", fake) as sink:
        await until(lambda: stored_tickers(fake) == {"A", "B"})
        await bench.publish("C", slot=1)
        await until(lambda: stored_tickers(fake) == {"A", "B", "C"})
        line = await sink.line()
    assert "stream up" in line
    assert (bench.ledger("one").collected, bench.ledger("one").stored) == (3, 3)
    assert await left(jetstream) == 0


async def test_two_sinks_share_a_stream(bench: Bench, fake: FakeInfluxDB, jetstream: Any) -> None:
    """Each message goes to one of them, and both get some."""
    other = FakeInfluxDB(now_ns=SYSTEM_CLOCK.now_ns)
    async with bench.sink("one", fake), bench.sink("two", other):
        slot = 0
        async with asyncio.timeout(WAIT_S):
            while not (fake.writes and other.writes and slot > 20):
                await bench.publish("A", slot=slot)
                slot += 1
        await until(lambda: len(fake.bucket.points) + len(other.bucket.points) >= slot)
    assert bench.ledger("one").stored + bench.ledger("two").stored == slot
    assert not fake.bucket.points.keys() & other.bucket.points.keys()
    assert await left(jetstream) == 0


async def test_what_a_store_does_not_take_is_another_s(
    bench: Bench, fake: FakeInfluxDB, jetstream: Any
) -> None:
    """Nobody sits on messages while his store is away; none is acknowledged before it is stored."""
    fake.faults = [Fault(None)] * 1000
    async with bench.sink("one", fake):
        await bench.publish("A", "B")
        await until(lambda: len(fake.faults) < 1000)
        assert await left(jetstream) == 1
        other = FakeInfluxDB(now_ns=SYSTEM_CLOCK.now_ns)
        async with bench.sink("two", other):
            await until(lambda: stored_tickers(other) == {"A", "B"})
    assert (bench.ledger("one").stored, bench.ledger("two").stored) == (0, 2)
    assert await left(jetstream) == 0


async def test_a_refused_line_is_kept_with_its_reason(
    bench: Bench, fake: FakeInfluxDB, jetstream: Any
) -> None:
    """The others are stored, the message is acknowledged, the line stands in the box."""
    bad = f"snapshot,source=bybit,ticker=X lag_ms=1,mark_price=NaN {SLOT_NS}"
    await bench.publisher.deliver([record([snapshot("A"), bad, snapshot("B")])])
    async with bench.sink("one", fake):
        await until(lambda: stored_tickers(fake) == {"A", "B"})
    ledger = bench.ledger("one")
    assert (ledger.collected, ledger.stored, ledger.rejected) == (3, 2, 1)
    with Desk(bench.box("one"), bytes_max=2**24) as desk:
        (kept,) = desk.rejected("influxdb", 10)
    assert kept.rejected.line == bad
    assert kept.rejected.reason == "invalid number"
    assert await left(jetstream) == 0


async def test_what_is_no_message_of_ours_is_kept_and_said(
    bench: Bench, fake: FakeInfluxDB, jetstream: Any, tmp_path: Path
) -> None:
    """It is acknowledged, so that it comes once; `perpflux rejected` shows it; others pass."""
    await jetstream.publish(f"{SUBJECT}.theirs", b"hello\n")
    with capture_logs() as logs:
        async with bench.sink("one", fake):
            await bench.publish("A")
            await until(lambda: stored_tickers(fake) == {"A"})
            await until(lambda: any(log["event"] == "message_unreadable" for log in logs))
    assert await left(jetstream) == 0
    shown = await perpflux(
        tmp_path, "rejected", "list", PERPFLUX_JOURNAL__PATH=str(bench.box("one"))
    )
    assert "Perpflux-Schema is None" in shown.out
    assert "# base64 aGVsbG8K" in shown.out
    assert bench.ledger("one").collected == 1


async def test_what_is_written_twice_is_there_once(
    bench: Bench, fake: FakeInfluxDB, jetstream: Any
) -> None:
    """A message that was given out before, and came again, changes nothing in the store."""
    await bench.publish("A")
    taker = await jetstream.pull_subscribe(f"{SUBJECT}.>", DURABLE)
    (message,) = await taker.fetch(1)
    await message.nak()
    async with bench.sink("one", fake) as sink:
        await until(lambda: stored_tickers(fake) == {"A"})
        assert (await sink.state())["again"] == 1
    assert len(fake.bucket.points) == 1


async def test_a_stream_that_is_not_there_yet_is_waited_for(
    jetstream: Any, sink: MakeSink, tmp_path: Path, fake: FakeInfluxDB
) -> None:
    """It says what is missing and what to do, once, and goes on when the stream is made."""
    assert await jetstream.streams_info() == []
    bench = Bench(sink(), tmp_path)
    with capture_logs() as logs:
        async with bench.sink("one", fake):
            await until(lambda: any(log["event"] == "stream_down" for log in logs))
            await bench.make()
            await bench.publish("A")
            await until(lambda: stored_tickers(fake) == {"A"})
    (down,) = [log for log in logs if log["event"] == "stream_down"]
    assert "stream not found" in down["error"]
    assert "--make-stream" in down["hint"]
    assert [log["event"] for log in logs].count("stream_up") == 1
    await bench.publisher.close()


async def test_a_server_that_goes_and_comes_is_taken_from_again(
    tmp_path: Path, fake: FakeInfluxDB
) -> None:
    """What was published before and after is in the store."""
    with open_nats(tmp_path / "nats") as server:
        config = NatsSink(nats_url=server.url, stream=STREAM, subject=SUBJECT)
        bench = Bench(config, tmp_path)
        await bench.make()
        async with bench.sink("one", fake):
            await bench.publish("A")
            await until(lambda: stored_tickers(fake) == {"A"})
            server.kill()
            server.start()
            server.wait()
            await bench.publisher.close()
            await bench.publish("B", slot=1)
            await until(lambda: stored_tickers(fake) == {"A", "B"})
        await bench.publisher.close()


async def test_the_stream_that_is_made_loses_nothing_by_itself(
    bench: Bench, jetstream: Any
) -> None:
    """Bounded, refusing what is too much, remembering ids; one that is there stays as it is."""
    config = (await jetstream.stream_info(STREAM)).config
    assert (config.discard, config.max_bytes, config.max_age) == ("new", 2**24, 3600)
    assert config.duplicate_window == 3600
    again = await make_stream(bench.config, replicas=1, bytes_max=2**20, age_max_s=60)
    assert again is False
    assert (await jetstream.stream_info(STREAM)).config.max_bytes == 2**24


async def test_a_foreign_reader_gets_ids_and_plain_lines(bench: Bench, jetstream: Any) -> None:
    """What the document says of a message holds for a subscriber without any of our code."""
    subscription = await jetstream._nc.subscribe(f"{SUBJECT}.bybit.*")
    await bench.publish("A")
    message = await subscription.next_msg(timeout=WAIT_S)
    assert message.headers[ID_HEADER].startswith(f"main/bybit/{SLOT_NS}/")
    await bench.publisher.deliver([record([poll("one")])])
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.next_msg(timeout=0.2)


@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({}, (), "no stream is named (configured: none: add a [sinks.NAME] with nats_url)"),
        ({"stream": "nats"}, ("--stream", "other"), "other is no configured stream"),
        ({"stream": "nats"}, ("--store", "stream"), "stream is a stream"),
        ({"stream": "nats"}, ("--store", "cloud"), "cloud is not configured"),
        ({"one": "nats", "two": "nats"}, (), "configured: one, two"),
    ],
)
async def test_bad_usage_says_what_is_there(
    tmp_path: Path, settings: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    """Exit 2, and the names that could be meant."""
    variables = {}
    for name in settings:
        prefix = f"PERPFLUX_SINKS__{name.upper()}__"
        variables[f"{prefix}NATS_URL"] = "nats://127.0.0.1:1"
        variables[f"{prefix}STREAM"] = STREAM
        variables[f"{prefix}SUBJECT"] = SUBJECT
    outcome = await perpflux(tmp_path, "sink", *arguments, **variables)
    assert outcome.code == 2
    assert words in outcome.err
