"""How many requests may still go out: a sliding window, and what the venue itself says is left.

Pure but for the clock. Whoever asks takes first; what is not granted is not asked.
"""

from __future__ import annotations

from collections import deque

from agent.clock import NS_PER_S, Clock


class RateBudget:
    """At most `requests_max` requests in any `window_s` seconds.

    Args:
        clock: its monotonic side counts.
        requests_max: requests in a window, 1 or more.
        window_s: its length, 1 or more.
    """

    def __init__(self, clock: Clock, requests_max: int, window_s: int) -> None:
        self._clock = clock
        self._requests_max = requests_max
        self._window_ns = window_s * NS_PER_S
        self._taken: deque[tuple[int, int]] = deque()
        """When (monotonic ns) how many were taken; none older than a window."""
        self._in_window = 0
        self.taken = 0
        """How many were ever taken."""
        self._told = requests_max
        """What the venue said is left, less what was taken since."""
        self._told_until_ns = 0
        self._told_at = 0
        """How many were taken when the venue said so."""

    def left(self) -> int:
        """How many may go out now."""
        now_ns = self._clock.monotonic_ns()
        while self._taken and now_ns - self._taken[0][0] >= self._window_ns:
            self._in_window -= self._taken.popleft()[1]
        if now_ns >= self._told_until_ns:
            self._told = self._requests_max
        return max(0, min(self._requests_max - self._in_window, self._told))

    def take(self, wanted: int = 1, *, spare: int = 0) -> int:
        """Take up to `wanted` requests, leaving `spare` for others; how many were granted."""
        granted = max(0, min(wanted, self.left() - spare))
        if granted:
            self._taken.append((self._clock.monotonic_ns(), granted))
            self._in_window += granted
            self._told -= granted
            self.taken += granted
        return granted

    def heed(self, told: int, duration_ns: int, asked: int) -> None:
        """Take no more than the venue says is left, for that long (bounded by the window).

        Answers come out of order: of requests that were under way together the strictest counts,
        and what was taken since is held not to be in the venue's count yet.

        Args:
            told: what is left; below 0 is 0.
            duration_ns: until the venue counts anew.
            asked: `taken` when the request of this answer went out, with it.
        """
        now_ns = self._clock.monotonic_ns()
        until_ns = now_ns + max(0, min(duration_ns, self._window_ns))
        told = max(0, told - (self.taken - asked))
        if now_ns < self._told_until_ns and asked <= self._told_at:
            told = min(told, self._told)
            until_ns = max(until_ns, self._told_until_ns)
        self._told, self._told_until_ns, self._told_at = told, until_ns, self.taken
