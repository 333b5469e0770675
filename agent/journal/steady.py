"""Whether the wall clock can be believed: it has run beside the monotonic one for a while.

A clock that is set wrong for a minute must not make a week of records look expired.
"""

from __future__ import annotations

from typing import Final

from agent.clock import NS_PER_S, Clock

STEP_S: Final = 60
"""The clocks may drift apart by so much between two looks; more is a step."""
STEADY_S: Final = 600
"""For so long after the start, or a step, the wall clock is not believed."""


class SteadyClock:
    """Looks at both clocks.

    Args:
        clock: wall and monotonic.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = clock.now_ns() - clock.monotonic_ns()
        self._since_ns = clock.monotonic_ns()

    def look(self) -> bool:
        """Whether the wall clock did not step for `STEADY_S`, as far as anybody looked."""
        monotonic_ns = self._clock.monotonic_ns()
        offset_ns = self._clock.now_ns() - monotonic_ns
        if abs(offset_ns - self._offset_ns) > STEP_S * NS_PER_S:
            self._since_ns = monotonic_ns
        self._offset_ns = offset_ns
        return monotonic_ns - self._since_ns >= STEADY_S * NS_PER_S
