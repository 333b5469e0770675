"""The scheduler: every slot one poll and one entry; nobody delays anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from structlog.testing import capture_logs

from agent.clock import NS_PER_S
from agent.errors import SourceFailure
from agent.scheduler import DataCollectorScheduler
from agent.snapshot import Snapshot
from tests.support.clock import START_NS, FakeClock
from tests.support.sources import FakeSource, FakeStore, Given, refusal


@asynccontextmanager
async def running(scheduler: DataCollectorScheduler) -> AsyncIterator[None]:
    """The scheduler in the background, ended afterwards."""
    task = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_each_slot_is_one_entry_with_snapshots_and_a_poll_point() -> None:
    """A poll is one commit: its snapshots and its `poll` point share the slot."""
    clock, store, source = FakeClock(sleep_advances=False), FakeStore(), FakeSource()
    async with running(
        DataCollectorScheduler([source], ["BTC"], store=store, host="h", clock=clock)
    ):
        await settle()
        clock.advance(1)
        await settle()
    assert [entry.slot_ns for entry in store.entries] == [START_NS, START_NS + NS_PER_S]
    assert [entry.points for entry in store.entries] == [1, 1]
    assert store.lines[:2] == [
        f"snapshot,source=fake,ticker=BTC lag_ms=250,mark_price=1.5 {START_NS}",
        (
            "poll,source=fake,host=h,endpoint=fake "
            f"ok=1,latency_ms=3,bytes=0,rows=1,bad_rows=0,missed_slots=0,left_out=0 {START_NS}"
        ),
    ]


async def test_a_failed_poll_leaves_a_poll_point_too() -> None:
    """A hole is data: a failed slot has ok=0 and no snapshot, and counts no point."""
    store = FakeStore()
    source = FakeSource(answer=lambda _: refusal())
    scheduler = DataCollectorScheduler([source], ["BTC"], store=store, host="h", clock=FakeClock())
    await scheduler.run_once()
    assert store.lines[0].startswith("poll,source=fake,host=h,endpoint=fake ok=0,")
    assert sum(entry.points for entry in store.entries) == 0


async def test_missed_slots_are_written_with_the_next_poll() -> None:
    """The poll after an overrun says how many slots are missing."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    slow = iter([4.5, 0, 0])

    def answer(_: int) -> dict[str, str]:
        clock.advance(next(slow))
        return {"BTC": "1"}

    source = FakeSource(answer=answer)
    async with running(DataCollectorScheduler([source], ["BTC"], store=store, clock=clock)):
        await settle()
    assert source.slots_ns == [START_NS, START_NS + 4 * NS_PER_S]
    assert "missed_slots=3," in store.lines[3]


async def test_a_hanging_source_does_not_delay_another() -> None:
    """One source that never answers costs the other no slot."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    dead, alive = FakeSource("dead"), FakeSource("alive")
    dead.hang = True
    async with running(DataCollectorScheduler([dead, alive], ["BTC"], store=store, clock=clock)):
        for _ in range(3):
            await settle()
            clock.advance(1)
        await settle()
    assert len(alive.slots_ns) == 4
    assert len(dead.slots_ns) == 1


async def test_a_source_that_raises_is_a_failed_poll_and_goes_on() -> None:
    """A defect in one source is a failed slot, said once; the next slot is tried."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    source = FakeSource(answer=lambda _: RuntimeError("bug"))
    with capture_logs() as logs:
        async with running(DataCollectorScheduler([source], ["BTC"], store=store, clock=clock)):
            await settle()
            clock.advance(1)
            await settle()
    assert len(source.slots_ns) == 2
    assert [entry["event"] for entry in logs].count("source_crashed") == 1
    assert sum(line.startswith("poll,source=fake") for line in store.lines) == 2


async def test_a_failure_is_said_once_going_down_and_once_on_recovery() -> None:
    """Between down and up there are counts, not lines; both are events in the journal."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    answers: Iterator[Given] = iter([*[refusal()] * 3, *[{"BTC": "1"}] * 2])
    source = FakeSource(answer=lambda _: next(answers))
    with capture_logs() as logs:
        async with running(DataCollectorScheduler([source], ["BTC"], store=store, clock=clock)):
            for _ in range(4):
                await settle()
                clock.advance(1)
            await settle()
    said = [(entry["event"], entry.get("failures")) for entry in logs]
    assert said == [("source_down", None), ("source_up", 3), ("source_ready", None)]
    kinds = [line.split("kind=")[1].split(",")[0] for line in store.lines if "event," in line]
    assert kinds == ["source_down", "source_up"]


async def test_status_counts_failures_in_a_row() -> None:
    """The status names state, failures in a row and the last error."""
    answers: Iterator[Given] = iter([refusal(), refusal(), {"BTC": "1"}])
    source = FakeSource(answer=lambda _: next(answers))
    scheduler = DataCollectorScheduler([source], ["BTC"], clock=FakeClock())
    await scheduler.run_once()
    await scheduler.run_once()
    status = scheduler.status["fake"]
    assert (status.state, status.failures) == ("failing", 2)
    assert "it says no" in str(status.last_error)
    await scheduler.run_once()
    assert (status.state, status.failures, status.last_error) == ("ok", 0, None)


async def test_callbacks_get_each_snapshot_and_fail_alone() -> None:
    """A failing, plain or async, callback stops neither the others nor the polls."""
    seen: list[Snapshot] = []
    also: list[str] = []

    def broken(_: Snapshot) -> None:
        raise ValueError("mine")

    async def collect(snapshot: Snapshot) -> None:
        seen.append(snapshot)

    source = FakeSource(answer=lambda _: {"BTC": "1.50", "ETH": "2"})
    scheduler = DataCollectorScheduler([source], ["BTC", "ETH"], clock=FakeClock())
    for callback in (broken, collect, lambda snapshot: also.append(snapshot.ticker)):
        scheduler.add_callback(callback)
    with capture_logs() as logs:
        await scheduler.run_once()
        await scheduler.run_once()
    assert [str(snapshot.mark_price) for snapshot in seen] == ["1.50", "2"] * 2
    assert also == ["BTC", "ETH"] * 2
    assert [entry["event"] for entry in logs].count("callback_failed") == 1


async def test_a_journal_that_refuses_is_said_once_and_recovers() -> None:
    """Disk full: polling goes on, readiness says no, and the end of it is said."""
    clock, store, source = FakeClock(), FakeStore(), FakeSource()
    scheduler = DataCollectorScheduler([source], ["BTC"], store=store, clock=clock)
    store.refuses = True
    with capture_logs() as logs:
        await scheduler.run_once()
        await scheduler.run_once()
        assert (scheduler.store_failures, len(store.entries)) == (2, 0)
        store.refuses = False
        await scheduler.run_once()
    assert scheduler.store_failures == 0
    said = [entry["event"] for entry in logs if entry["event"].startswith("journal")]
    assert said == ["journal_down", "journal_up"]


async def test_a_silence_that_a_venue_demands_survives_a_restart() -> None:
    """A ban of ten minutes is kept in the journal and taken up by the next run."""
    clock, store, source = FakeClock(sleep_advances=False), FakeStore(), FakeSource()
    source.silent_until_ns = START_NS + 600 * NS_PER_S
    scheduler = DataCollectorScheduler([source], ["BTC"], store=store, clock=clock)
    await scheduler.run_once()
    restarted = FakeSource()
    async with running(DataCollectorScheduler([restarted], ["BTC"], store=store, clock=clock)):
        await settle()
    assert restarted.silent_until_ns == START_NS + 600 * NS_PER_S


async def test_a_poll_by_hand_respects_a_silence_too() -> None:
    """`once` during a ban does not ask the venue either."""
    store, source = FakeStore(), FakeSource()
    store.state["silent_until_ns:fake"] = str(START_NS + 600 * NS_PER_S)
    await DataCollectorScheduler([source], ["BTC"], store=store, clock=FakeClock()).run_once()
    assert source.silent_until_ns == START_NS + 600 * NS_PER_S


async def test_a_clock_step_is_an_event() -> None:
    """A step of the wall clock is logged and annotated; it is never silent."""
    clock, store = FakeClock(sleep_advances=False), FakeStore()
    async with running(DataCollectorScheduler([FakeSource()], ["BTC"], store=store, clock=clock)):
        await settle()
        clock.step_wall(3600)
        clock.advance(1)
        await settle()
    assert any("kind=clock_step" in line and "+3600.000 s" in line for line in store.lines)


async def test_silence_is_not_news() -> None:
    """While a venue demands silence each slot has a poll point, but nothing is said again."""
    store = FakeStore()
    source = FakeSource(answer=lambda _: refusal(SourceFailure.SILENT))
    scheduler = DataCollectorScheduler([source], ["BTC"], store=store, clock=FakeClock())
    with capture_logs() as logs:
        await scheduler.run_once()
    assert logs == []
    assert len(store.lines) == 1
