"""When to poll: slots are multiples of the interval, and the wall clock may step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.clock import NS_PER_S, Clock, slot_at

NAP_MAX_S: Final = 5
"""Longest uninterrupted wait, so that a step of the wall clock is soon seen."""
STEP_MIN_NS: Final = NS_PER_S
"""The wall clock stepped when it moved this much more or less than the monotonic one."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot to take now.

    Args:
        slot_ns: its stamp.
        missed: slots skipped since the one before (overrun, or the agent was down).
        step_ns: how far the wall clock stepped since the one before; 0 = not.
    """

    slot_ns: int
    missed: int
    step_ns: int


class SlotTimer:
    """Gives one slot after another, without a burst after an overrun or a stall after a step.

    Args:
        clock: where time comes from.
        interval_s: seconds between slots.
        last_slot_ns: the slot taken last, perhaps by an earlier run; None = none. The first slot
            is the current one, unless it was taken already.
    """

    def __init__(self, clock: Clock, interval_s: int, last_slot_ns: int | None = None) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._interval_ns = interval_s * NS_PER_S
        self._last_ns = last_slot_ns
        self._offset_ns = clock.now_ns() - clock.monotonic_ns()
        now_ns = clock.now_ns()
        if last_slot_ns is not None and last_slot_ns > now_ns:
            self._last_ns = None  # written by a clock that was ahead

    async def next(self) -> Slot:
        """Wait for the next slot and take it."""
        stepped_ns = self._stepped()
        target_ns = self._target()
        while (left_ns := target_ns - self._clock.now_ns()) > 0:
            await self._clock.sleep(min(left_ns / NS_PER_S, NAP_MAX_S))
            step_ns = self._stepped()
            if step_ns:
                stepped_ns += step_ns
                target_ns = self._target()
        slot_ns = slot_at(self._clock.now_ns(), self._interval_s)
        missed = 0
        if self._last_ns is not None and not stepped_ns:
            missed = max(0, (slot_ns - self._last_ns) // self._interval_ns - 1)
        self._last_ns = slot_ns
        return Slot(slot_ns, missed, stepped_ns)

    def _target(self) -> int:
        """The current slot if it was not taken yet, else the next."""
        current_ns = slot_at(self._clock.now_ns(), self._interval_s)
        return current_ns + self._interval_ns if self._last_ns == current_ns else current_ns

    def _stepped(self) -> int:
        """How far the wall clock stepped since the last look; forgets an older anchor then."""
        offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        step_ns = offset_ns - self._offset_ns
        if abs(step_ns) < STEP_MIN_NS:
            return 0
        self._offset_ns = offset_ns
        return step_ns
