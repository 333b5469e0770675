"""A progress bar for an operator who watches a terminal; for anybody else nothing."""

from __future__ import annotations

from typing import Final, Self

from agent.cli.output import redraw, width_for_progress
from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock

REDRAW_NS: Final = NS_PER_S // 10
BAR_CELLS: Final = 24


class Progress:
    """A line on standard error that is drawn anew at most ten times a second, and goes at the end.

    A context manager.

    Args:
        what: is being done, one word.
        total: how much there is of it.
        clock: its monotonic part only.
        width: columns of the terminal; None = nobody watches.
    """

    def __init__(
        self, what: str, total: int, *, clock: Clock = SYSTEM_CLOCK, width: int | None = None
    ) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._width = width
        self._began_ns = clock.monotonic_ns()
        self._drawn_ns: int | None = None
        self._done = 0

    @classmethod
    def on_terminal(cls, what: str, total: int) -> Self:
        """One for whoever watches standard error."""
        return cls(what, total, width=cls.terminal_width())

    @staticmethod
    def terminal_width() -> int | None:
        """Columns, for whoever watches standard error; None = nobody does."""
        return width_for_progress()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn_ns is not None:
            redraw("")

    def add(self, amount: int) -> None:
        """So much more is done."""
        self._done += amount
        if self._width is None:
            return
        now_ns = self._clock.monotonic_ns()
        if self._drawn_ns is None or now_ns - self._drawn_ns >= REDRAW_NS:
            self._drawn_ns = now_ns
            redraw(self.line(now_ns - self._began_ns)[: self._width - 1])

    def line(self, passed_ns: int) -> str:
        """What is drawn after so long, ns."""
        total = max(self._total, self._done, 1)
        filled = BAR_CELLS * self._done // total
        percent = 100 * self._done // total
        words = (
            f"{self._what} [{'#' * filled}{'.' * (BAR_CELLS - filled)}] {percent} %"
            f"  {self._done:,} of {total:,}"
        )
        if not self._done or passed_ns < NS_PER_S:
            return words
        minutes, seconds = divmod(passed_ns * (total - self._done) // self._done // NS_PER_S, 60)
        speed = self._done * NS_PER_S // passed_ns
        return f"{words}  {speed:,}/s  {minutes}:{seconds:02} left"
