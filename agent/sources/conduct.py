"""When a venue demands silence: pure arithmetic on instants, kept over restarts by its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.clock import NS_PER_S

SILENCE_MAX_S: Final = 3600
"""Longest silence; also what is left at most when the wall clock steps back."""
_DOUBLINGS_MAX: Final = 12


def doubled_s(base_s: int, attempt: int, longest_s: int = SILENCE_MAX_S) -> int:
    """Pause (s) after the `attempt`-th refusal in a row (1 = first), at most `longest_s`."""
    return min(longest_s, base_s << min(attempt - 1, _DOUBLINGS_MAX))


@dataclass(slots=True)
class Conduct:
    """Whether a venue may be asked now.

    Args:
        silent_until_ns: wall clock (ns) until which nothing is asked; 0 = free.
        refusals: refusals in a row, for the doubling.
    """

    silent_until_ns: int = 0
    refusals: int = 0

    def silence_left_s(self, now_ns: int) -> int:
        """Whole seconds (rounded up) for which nothing may be asked; 0 = ask."""
        left_s = -((now_ns - self.silent_until_ns) // NS_PER_S)
        return left_s if 0 < left_s <= SILENCE_MAX_S else 0

    def be_silent(self, now_ns: int, duration_s: int) -> None:
        """Ask nothing for `duration_s` seconds (bounded by `SILENCE_MAX_S`)."""
        bounded_s = max(0, min(duration_s, SILENCE_MAX_S))
        self.silent_until_ns = max(self.silent_until_ns, now_ns + bounded_s * NS_PER_S)

    def answered(self) -> None:
        """An answer came: the next refusal starts from the base again."""
        self.refusals = 0
        self.silent_until_ns = 0
