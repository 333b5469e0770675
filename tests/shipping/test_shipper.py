"""The shipping loop, with a real journal and a server that keeps what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from structlog.testing import capture_logs

from agent import delivery
from agent import shipper as shipper_module
from agent.clock import NS_PER_S
from agent.delivery import WriteApi
from agent.errors import JournalError
from agent.fates import Answer
from agent.journal import Journal
from agent.journal.records import Backlog, Entry, Lane, Record, Rejected
from agent.shipper import Shipper
from tests.shipping.bench import DirectDoor, poll_line, snapshot_line
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.support.clock import START_NS, FakeClock

SINK: Final = "influxdb"
PATIENCE_S: Final = 10
BUSY: Final = Fault(503, "later")
LATE_CONFLICT: Final = "unexpected error writing points to database: engine: field type conflict"


async def until(condition: Callable[[], bool]) -> None:
    """Let all others run until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the condition is the code's own state, no event
            await asyncio.sleep(0)


async def append(journal: Journal, *tickers: str, value: str = "1.5", slot: int = 0) -> None:
    """One record with a line a ticker."""
    slot_ns = START_NS + slot * NS_PER_S
    text = "".join(f"{snapshot_line(ticker, value, slot_ns)}\n" for ticker in tickers)
    await journal.append([Entry("bybit", slot_ns, text.encode(), len(tickers))])


def shipper_of(journal: shipper_module.Journal, door: DirectDoor, clock: FakeClock) -> Shipper:
    """A shipper without jitter."""
    return Shipper(SINK, journal, WriteApi(door), clock=clock, rand=lambda: 1.0)


@asynccontextmanager
async def running(shipper: Shipper) -> AsyncIterator[asyncio.Task[None]]:
    """The loop turns within the block; afterwards it has not ended by itself."""
    task = asyncio.create_task(shipper.run())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def check_settled(journal: Journal, *, stored: int, rejected: int = 0) -> None:
    """Everything is accounted for and nothing waits."""
    ledger = await journal.ledger(SINK)
    assert ledger.holds
    assert (ledger.stored, ledger.rejected, ledger.pending) == (stored, rejected, 0)
    assert (await journal.backlog(SINK)).bytes == 0


async def test_what_is_appended_is_shipped(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """The loop waits for the bell, ships, settles, and is idle again."""
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    assert shipper.status.state == "idle"
    async with running(shipper):
        await append(journal, "A", "B")
        await until(lambda: shipper.status.last_write_ns is not None)
        await append(journal, "C", slot=1)
        await until(lambda: len(fake.writes) == 2)
        await until(lambda: shipper.status.state == "idle")
        status = shipper.status
    assert (status.last_error, status.next_try_ns, status.attempts) == (None, None, 0)
    assert status.write_ms == 7
    await check_settled(journal, stored=3)


async def test_what_was_left_by_an_earlier_run_is_shipped(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A backlog needs no bell."""
    await append(journal, "A")
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: shipper.status.last_write_ns is not None)
    await check_settled(journal, stored=1)


async def test_uncounted_lines_are_shipped_as_well(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A record that holds nothing but the agent's own measurements waits like any other."""
    await journal.append([Entry("agent", START_NS, f"{poll_line()}\n".encode(), 0)])
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: shipper.status.last_write_ns is not None)
    assert len(fake.bucket.points) == 1


async def test_half_a_second_gathers_what_comes(journal: Journal, fake: FakeInfluxDB) -> None:
    """Both venues' polls of a second go in one request, half a second after the first of them."""
    clock = FakeClock(sleep_advances=False)
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await append(journal, "A")
        await until(lambda: clock.slept_s == [0.5])
        await append(journal, "B", slot=1)
        clock.advance(0.4)
        await append(journal, "C", slot=2)
        assert fake.requests == []
        clock.advance(0.1)
        await until(lambda: shipper.status.last_write_ns is not None)
    assert [len(request.lines) for request in fake.writes] == [3]


async def test_a_full_batch_goes_at_once(
    journal: Journal, fake: FakeInfluxDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a batch is full nobody waits for the half second to pass."""
    monkeypatch.setattr(shipper_module, "BATCH_POINTS_MAX", 4)
    clock = FakeClock(sleep_advances=False)
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await append(journal, "A", "B")
        await until(lambda: clock.slept_s == [0.5])
        await append(journal, "C", "D", slot=1)
        await until(lambda: shipper.status.last_write_ns is not None)
    assert clock.monotonic_ns() == 0
    assert [len(request.lines) for request in fake.writes] == [4]


async def test_new_data_does_not_wait_behind_a_backlog(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest and the oldest take turns: neither starves."""
    monkeypatch.setattr(shipper_module, "BATCH_POINTS_MAX", 10)
    for slot in range(20):
        await append(journal, *(f"OLD{i}" for i in range(10)), slot=slot)
    door = DirectDoor(fake)
    shipper = shipper_of(journal, door, clock)
    fake.faults += [None, None, Fault(hangs=True)]
    async with running(shipper):
        await door.busy.wait()
    await append(journal, "NEW", slot=20)
    async with running(shipper):
        await until(lambda: shipper.status.state == "idle")
    places = [i for i, request in enumerate(fake.writes) if "ticker=NEW" in (request.text or "")]
    assert 3 <= places[0] <= 5
    assert sum("OLD" in (request.text or "") for request in fake.writes[3:6]) >= 1
    await check_settled(journal, stored=201)


async def test_a_busy_server_is_backed_off_from(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """The wait doubles; going down and coming back are logged once each, with counts."""
    await append(journal, "A", "B")
    fake.faults += [BUSY] * 8
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: len(fake.writes) == 5)
            while_down = shipper.status
            await until(lambda: shipper.status.last_write_ns is not None)
    assert clock.slept_s == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("shipping_down", "warning"),
        ("shipping_up", "info"),
    ]
    assert (logs[0]["error"], logs[0]["sink"]) == ("503 later", SINK)
    assert (logs[1]["attempts"], logs[1]["down_s"], logs[1]["points"]) == (8, 183, 2)
    assert while_down.state in {"backing_off", "shipping"}
    assert (while_down.last_error, shipper.status.last_error) == ("503 later", None)
    await check_settled(journal, stored=2)


async def test_the_next_try_is_told(journal: Journal, fake: FakeInfluxDB) -> None:
    """While it waits, the status says until when."""
    clock = FakeClock(sleep_advances=False)
    await append(journal, "A")
    fake.faults.append(Fault(429, "slow down", headers={"Retry-After": "120"}))
    shipper = shipper_of(journal, DirectDoor(fake, clock), clock)
    async with running(shipper):
        await until(lambda: bool(clock.slept_s))
        clock.advance(1)
        await until(lambda: shipper.status.next_try_ns is not None)
        assert shipper.status.next_try_ns == START_NS + 121 * NS_PER_S
        assert shipper.status.state == "backing_off"
        clock.advance(119)
        await asyncio.sleep(0)
        assert len(fake.requests) == 1
        clock.advance(1)
        await until(lambda: shipper.status.last_write_ns is not None)
    assert shipper.status.next_try_ns is None


async def test_parked_means_probes_and_nothing_else(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A wrong token: everything is kept, an empty body asks at least every 30 s, then all ships."""
    await append(journal, "A", "B")
    door = DirectDoor(fake)
    door.token = "wrong"
    shipper = shipper_of(journal, door, clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: len(fake.probes) >= 9)
            assert len(fake.writes) == 1
            assert shipper.status.state == "parked"
            assert shipper.status.last_error == "401 unauthorized access"
            assert (await journal.ledger(SINK)).pending == 2
            door.token = "secret"
            await until(lambda: shipper.status.last_write_ns is not None)
    assert clock.slept_s[:9] == [0.5, 0, 1, 2, 4, 8, 16, 30, 30]
    assert max(clock.slept_s) == 30
    assert [log["event"] for log in logs] == ["shipping_down", "shipping_up"]
    assert "read again at each probe" in logs[0]["hint"]
    await check_settled(journal, stored=2)


async def test_a_second_outage_is_a_new_one(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """After a recovery the first probe goes at once again, and going down is logged again."""
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    denied = Fault(403, "insufficient permissions for write")
    with capture_logs() as logs:
        async with running(shipper):
            for slot in range(2):
                fake.faults += [BUSY, denied]
                await append(journal, "A", slot=slot)
                await until(lambda: shipper.status.state == "idle" and not fake.faults)
    assert clock.slept_s == [0.5, 1, 0, 0.5, 1, 0]
    events = ["shipping_down", "shipping_down", "shipping_up"]
    assert [log["event"] for log in logs] == events * 2
    assert [log.get("state") for log in logs[:3]] == ["backing_off", "parked", None]


async def test_probes_go_on_whatever_they_are_answered(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """Parked ends with a probe that succeeds, not with another sort of failure."""
    await append(journal, "A")
    fake.faults.append(Fault(404, 'bucket "perps" not found'))
    fake.poison[""] = Fault(503, "starting", headers={"Retry-After": "3000"})
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: len(fake.probes) >= 8)
        assert len(fake.writes) == 1
        assert shipper.status.state == "parked"
        fake.poison.clear()
        await until(lambda: shipper.status.last_write_ns is not None)
    assert max(clock.slept_s) == 30


async def test_a_probe_that_succeeds_does_not_make_the_loop_spin(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """Somebody who lets empty bodies pass and nothing else is asked no more often."""
    await append(journal, "A")
    fake.poison["snapshot"] = Fault(403, page="blocked by policy")
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: len(fake.writes) >= 8)
    assert clock.slept_s[:8] == [0.5, 0, 1, 2, 4, 8, 16, 30]
    assert [log["event"] for log in logs] == ["shipping_down"]


async def test_rejected_lines_are_logged_once_a_batch(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """How many, and the first reason; the lines themselves are in the journal."""
    await append(journal, "A", "B", value="NaN")
    await append(journal, "C", slot=1)
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: shipper.status.last_write_ns is not None)
    (log,) = logs
    assert (log["event"], log["lines"], log["points"]) == ("lines_rejected", 2, 2)
    assert log["reason"] == "invalid number"
    rows = await journal.rejected(SINK, 10)
    assert {row.rejected.line for row in rows} == {snapshot_line(t, "NaN") for t in "AB"}
    await check_settled(journal, stored=1, rejected=2)


async def test_a_cancelled_write_gives_its_records_back(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A stop in the middle of a write leaves nothing leased and nothing lost."""
    await append(journal, "A")
    fake.faults.append(Fault(hangs=True))
    door = DirectDoor(fake)
    shipper = shipper_of(journal, door, clock)
    async with running(shipper):
        await door.busy.wait()
    assert await journal.next_batch(SINK, lane="oldest", points_max=9, bytes_max=9)
    await journal.release(SINK)
    assert await shipper.drain(PATIENCE_S)
    await check_settled(journal, stored=1)


class Flaky:
    """A journal that fails when it is told to."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.failures: dict[str, int] = {}

    def _maybe(self, name: str) -> None:
        if self.failures.get(name):
            self.failures[name] -= 1
            raise JournalError(name, "disk full", "make room")

    def subscribe(self) -> asyncio.Event:
        """As the journal."""
        return self._journal.subscribe()

    async def backlog(self, sink: str) -> Backlog:
        """As the journal, or fail."""
        self._maybe("backlog")
        return await self._journal.backlog(sink)

    async def next_batch(
        self, sink: str, *, lane: Lane, points_max: int, bytes_max: int
    ) -> list[Record]:
        """As the journal, or fail, or give nothing."""
        self._maybe("next_batch")
        if self.failures.get("nothing"):
            self.failures["nothing"] -= 1
            return []
        return await self._journal.next_batch(
            sink, lane=lane, points_max=points_max, bytes_max=bytes_max
        )

    async def settle(
        self, sink: str, records: Sequence[Record], rejected: Sequence[Rejected]
    ) -> None:
        """As the journal, or fail."""
        self._maybe("settle")
        await self._journal.settle(sink, records, rejected)

    async def release(self, sink: str, records: Sequence[Record] | None = None) -> None:
        """As the journal, or fail after it."""
        await self._journal.release(sink, records)
        self._maybe("release")


@pytest.mark.parametrize("operation", ["backlog", "next_batch", "settle"])
async def test_a_journal_that_fails_does_not_end_the_loop(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, operation: str
) -> None:
    """It backs off and goes on; what was sent twice is stored once."""
    await append(journal, "A", "B", value="1.5")
    await append(journal, "C", value="NaN", slot=1)
    flaky = Flaky(journal)
    flaky.failures = {operation: 3, "release": 2}
    shipper = shipper_of(flaky, DirectDoor(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: shipper.status.last_write_ns is not None)
    events = [log["event"] for log in logs]
    assert events == ["shipping_down", "lines_rejected", "shipping_up"]
    assert logs[0]["error"] == f"{operation}: disk full (make room)"
    await check_settled(journal, stored=2, rejected=1)


async def test_what_can_be_read_is_shipped_while_nothing_can_be_noted(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a full disk the backlog goes out all the same, each batch once; it is settled later."""
    monkeypatch.setattr(shipper_module, "BATCH_POINTS_MAX", 1)
    for slot in range(5):
        await append(journal, f"T{slot}", slot=slot)
    flaky = Flaky(journal)
    flaky.failures = {"settle": 1000}
    shipper = shipper_of(flaky, DirectDoor(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: shipper.status.state == "backing_off")
            assert len(fake.writes) == 5
            assert shipper.status.last_error == "settle: disk full (make room)"
            assert (await journal.ledger(SINK)).pending == 5
            flaky.failures = {}
            await until(lambda: shipper.status.state == "idle")
    assert len(fake.writes) == 5
    assert [log["event"] for log in logs] == ["shipping_down", "shipping_up"]
    await check_settled(journal, stored=5)


async def test_what_is_not_noted_is_bounded(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many batches that the journal cannot note, shipping waits for it."""
    monkeypatch.setattr(shipper_module, "BATCH_POINTS_MAX", 1)
    monkeypatch.setattr(shipper_module, "UNSETTLED_MAX", 2)
    for slot in range(5):
        await append(journal, f"T{slot}", slot=slot)
    flaky = Flaky(journal)
    flaky.failures = {"settle": 20}
    shipper = shipper_of(flaky, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: flaky.failures["settle"] <= 5)
        assert len(fake.writes) == 2
        await until(lambda: len(fake.writes) == 5)
        await until(lambda: shipper.status.state == "idle")
    assert flaky.failures["settle"] == 0
    await check_settled(journal, stored=5)


async def test_what_is_settled_is_not_given_back(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A batch that went well costs the journal one transaction."""
    await append(journal, "A")
    flaky = Flaky(journal)
    flaky.failures = {"release": 1}
    assert await shipper_of(flaky, DirectDoor(fake), clock).drain(PATIENCE_S)
    assert flaky.failures == {"release": 1}


async def test_a_backlog_that_gives_nothing_is_no_reason_to_spin(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """What was evicted between two looks is looked for again, half a second later."""
    await append(journal, "A")
    flaky = Flaky(journal)
    flaky.failures = {"nothing": 4}
    shipper = shipper_of(flaky, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: shipper.status.last_write_ns is not None)
    assert clock.slept_s == [0.5] * 5


class Broken(DirectDoor):
    """A door with a bug."""

    async def write(self, body: bytes, *, gzip: bool) -> Answer:
        """Fail the first time."""
        if not self.busy.is_set():
            self.busy.set()
            raise RuntimeError("a bug")
        return await super().write(body, gzip=gzip)


async def test_a_bug_does_not_end_the_loop(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """What nobody thought of is logged with its traceback, and shipping goes on."""
    await append(journal, "A")
    shipper = shipper_of(journal, Broken(fake), clock)
    with capture_logs() as logs:
        async with running(shipper):
            await until(lambda: shipper.status.last_write_ns is not None)
    assert [log["event"] for log in logs] == ["shipping_crashed", "shipping_down", "shipping_up"]
    assert logs[1]["error"] == "RuntimeError: a bug"
    await check_settled(journal, stored=1)


async def test_drain_ships_what_waits(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for a second to pass, over as many batches as it takes."""
    monkeypatch.setattr(shipper_module, "BATCH_POINTS_MAX", 10)
    for slot in range(5):
        await append(journal, *(f"T{i}" for i in range(10)), slot=slot)
    fake.faults += [None, BUSY]
    assert await shipper_of(journal, DirectDoor(fake), clock).drain(PATIENCE_S)
    assert clock.slept_s == [1]
    await check_settled(journal, stored=50)


async def test_drain_of_nothing_asks_nothing(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """Nothing waits: done."""
    assert await shipper_of(journal, DirectDoor(fake), clock).drain(0.1)
    assert fake.requests == []


async def test_drain_does_not_wait_for_an_operator(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A wrong token ends it at once; so does the probe, when it is parked already."""
    await append(journal, "A")
    door = DirectDoor(fake)
    door.token = "wrong"
    shipper = shipper_of(journal, door, clock)
    assert not await shipper.drain(PATIENCE_S)
    assert (shipper.status.state, len(fake.writes), len(fake.probes)) == ("parked", 1, 0)
    assert not await shipper.drain(PATIENCE_S)
    assert (len(fake.writes), len(fake.probes)) == (1, 1)
    door.token = "secret"
    assert await shipper.drain(PATIENCE_S)
    await check_settled(journal, stored=1)


async def test_drain_tries_once_where_shipping_failed_before(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A stop does not wait for a server that is known to be down."""
    await append(journal, "A")
    fake.poison[""] = BUSY
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    async with running(shipper):
        await until(lambda: shipper.status.attempts >= 1)
    before = len(fake.writes)
    assert not await shipper.drain(PATIENCE_S)
    assert len(fake.writes) == before + 1


async def test_drain_ends_at_its_deadline(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A server that does not answer holds up a stop no longer than that."""
    await append(journal, "A")
    fake.faults.append(Fault(hangs=True))
    shipper = shipper_of(journal, DirectDoor(fake), clock)
    assert not await shipper.drain(0.02)
    assert await shipper.drain(PATIENCE_S)
    await check_settled(journal, stored=1)


async def test_what_is_remembered_of_lines_is_bounded(
    journal: Journal, fake: FakeInfluxDB, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound all is forgotten and sent again: memory is bounded, points are not lost."""
    monkeypatch.setattr(delivery, "KNOWN_LINES_MAX", 0)
    await append(journal, *"ABCDEFGH")
    fake.poison["ticker=C "] = Fault(500, LATE_CONFLICT)
    fake.faults += [None, None, None, BUSY]
    assert await shipper_of(journal, DirectDoor(fake), clock).drain(PATIENCE_S)
    assert len(fake.writes[4].lines) == 8
    await check_settled(journal, stored=7, rejected=1)
