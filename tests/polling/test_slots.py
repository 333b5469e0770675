"""Slots: multiples of the interval, whatever clocks and polls do."""

from __future__ import annotations

import pytest

from agent.clock import NS_PER_S
from agent.slots import SlotTimer
from tests.support.clock import START_NS, FakeClock


async def test_the_first_slot_is_the_current_one() -> None:
    """A start in the middle of a slot takes that slot at once: nobody waits for the next."""
    clock = FakeClock(START_NS + 7 * NS_PER_S)
    slot = await SlotTimer(clock, 20).next()
    assert (slot.slot_ns, slot.missed, clock.slept_s) == (START_NS, 0, [])


async def test_slots_follow_each_other_without_a_gap() -> None:
    """With nothing in the way every slot is taken, on its exact multiple."""
    clock = FakeClock(START_NS + 123)
    timer = SlotTimer(clock, 1)
    slots = [await timer.next() for _ in range(5)]
    assert [slot.slot_ns for slot in slots] == [START_NS + n * NS_PER_S for n in range(5)]
    assert [slot.missed for slot in slots] == [0] * 5


async def test_a_slot_taken_by_an_earlier_run_is_not_taken_again() -> None:
    """After a quick restart the current slot stays as it was stored."""
    clock = FakeClock(START_NS + 7 * NS_PER_S)
    slot = await SlotTimer(clock, 20, last_slot_ns=START_NS).next()
    assert (slot.slot_ns, slot.missed) == (START_NS + 20 * NS_PER_S, 0)


async def test_slots_lost_while_the_agent_was_down_are_counted() -> None:
    """A hole is data: the first poll after a restart says how many slots are missing."""
    clock = FakeClock(START_NS)
    slot = await SlotTimer(clock, 1, last_slot_ns=START_NS - 60 * NS_PER_S).next()
    assert slot.missed == 59


async def test_a_last_slot_from_the_future_is_no_reason_to_wait() -> None:
    """A run whose clock was a day ahead does not silence the next one."""
    clock = FakeClock(START_NS)
    slot = await SlotTimer(clock, 1, last_slot_ns=START_NS + 86_400 * NS_PER_S).next()
    assert (slot.slot_ns, slot.missed, clock.slept_s) == (START_NS, 0, [])


async def test_an_overrun_skips_slots_and_counts_them() -> None:
    """A poll of 3.4 slots is followed by one poll, at once, not by three."""
    clock = FakeClock(START_NS)
    timer = SlotTimer(clock, 1)
    await timer.next()
    clock.advance(3.4)
    slot = await timer.next()
    assert (slot.slot_ns, slot.missed) == (START_NS + 3 * NS_PER_S, 2)
    assert clock.slept_s == []
    assert (await timer.next()).slot_ns == START_NS + 4 * NS_PER_S


@pytest.mark.parametrize("step_s", [3600, -3600, 5, -5])
async def test_a_step_of_the_wall_clock_makes_neither_burst_nor_stall(step_s: int) -> None:
    """After a step the very next slots are those of the new time; none counts as missed."""
    clock = FakeClock(START_NS)
    timer = SlotTimer(clock, 1)
    await timer.next()
    clock.step_wall(step_s)
    before_s = clock.monotonic_ns() / NS_PER_S
    slots = [await timer.next() for _ in range(3)]
    assert slots[0].step_ns == step_s * NS_PER_S
    assert [slot.step_ns for slot in slots[1:]] == [0, 0]
    assert [slot.missed for slot in slots] == [0, 0, 0]
    assert slots[2].slot_ns - slots[0].slot_ns == 2 * NS_PER_S
    assert clock.monotonic_ns() / NS_PER_S - before_s <= 3


async def test_a_step_during_a_long_wait_is_seen_within_seconds() -> None:
    """A slot of an hour is not awaited for a day because the clock went back while it slept."""
    clock = FakeClock(START_NS)
    timer = SlotTimer(clock, 3600)
    await timer.next()
    clock.step_wall(-86_400)
    slot = await timer.next()
    assert slot.slot_ns == START_NS - 86_400 * NS_PER_S
    assert clock.monotonic_ns() <= 5 * NS_PER_S


async def test_a_slow_clock_is_no_step() -> None:
    """NTP slewing by less than a second in a wait is no step."""
    clock = FakeClock(START_NS)
    timer = SlotTimer(clock, 20)
    await timer.next()
    clock.step_wall(0.9)
    slot = await timer.next()
    assert (slot.slot_ns, slot.step_ns) == (START_NS + 20 * NS_PER_S, 0)
