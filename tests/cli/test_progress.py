"""The progress bar: for whoever watches a terminal, and for nobody else."""

from __future__ import annotations

import pytest

from agent.cli.progress import BAR_CELLS, Progress
from agent.clock import NS_PER_S
from tests.support.clock import FakeClock


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """A log or a pipe gets no bar."""
    with Progress.on_terminal("import", 2) as progress:
        progress.add(2)
    assert capsys.readouterr().err == ""


def test_it_is_drawn_at_most_ten_times_a_second_and_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However fast the work; cut to the terminal's width; at the end the line is empty."""
    clock = FakeClock()
    with Progress("import", 100, clock=clock, width=40) as progress:
        for _ in range(100):
            progress.add(1)
            clock.advance(0.01)
    drawn = capsys.readouterr().err.split("\r\x1b[K")[1:]
    assert len(drawn) == 11
    assert drawn[0] == f"import [{'.' * BAR_CELLS}] 1 %  1 of 100"[:39]
    assert drawn[-1] == ""
    assert all(len(line) < 40 for line in drawn)


def test_the_line_says_how_much_how_fast_and_how_long() -> None:
    """Whole numbers; no speed in the first second; more than was expected is no more than all."""
    progress = Progress("import", 1000, clock=FakeClock())
    progress.add(250)
    assert progress.line(NS_PER_S // 2).endswith("25 %  250 of 1,000")
    assert progress.line(25 * NS_PER_S).endswith("25 %  250 of 1,000  10/s  1:15 left")
    progress.add(1000)
    assert f"[{'#' * BAR_CELLS}] 100 %  1,250 of 1,250" in progress.line(NS_PER_S)
