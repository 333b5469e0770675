"""The live table: what is drawn, what keys do, and a terminal that is left as it was."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from agent.cli.watch.live import HELP, Screen, split_keys
from agent.cli.watch.view import View
from tests.support.program import COMMAND, environment, running
from tests.watch.frames import BTC, BTC_OMNI, frame, row

SIZE = (80, 24)
MANY = [row(f"T{number:03}", mid=str(number)) for number in range(100)]


def drawn(screen: Screen, width: int = 80, height: int = 24, *, colours: bool = False) -> list[str]:
    """The lines of the screen."""
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(),
        force_terminal=colours, color_system="standard" if colours else None, legacy_windows=False,
    )  # fmt: skip
    console.print(screen.render(width, height), end="")
    return console.export_text(styles=colours).splitlines()


@pytest.fixture
def screen() -> Screen:
    """With two rows."""
    screen = Screen(View())
    screen.frame = frame(BTC, BTC_OMNI)
    return screen


@pytest.mark.parametrize("size", [(80, 24), (60, 12), (40, 8), (200, 60), (20, 3)])
def test_it_fills_the_terminal_and_no_more(screen: Screen, size: tuple[int, int]) -> None:
    """No line is wrapped and none is too many, whatever the size."""
    lines = drawn(screen, *size)
    assert len(lines) == size[1]
    assert all(len(line) <= size[0] for line in lines)


def test_all_of_it_is_there_in_80_by_24(screen: Screen) -> None:
    """Title, heads, rows, ledger, shipping and keys."""
    lines = drawn(screen)
    assert lines[0].rstrip() == "perpflux  1-2 of 2  ↑ ticker: of the market"
    assert lines[2].rstrip().endswith("settl age") or lines[1].rstrip().endswith("settl age")
    assert lines[2].startswith("BTC    bybit")
    assert lines[-3].startswith("collected 12")
    assert "InfluxDB shipping" in lines[-2]
    assert lines[-1].rstrip() == HELP


def test_ages_are_coloured(screen: Screen) -> None:
    """Green, yellow, red; nothing else of a row is."""
    screen.frame = frame(row("A"), row("B", age_s=6), row("C", age_s=60))
    lines = drawn(screen, colours=True)[2:5]
    codes = ["\x1b[32m", "\x1b[33m", "\x1b[1;31m"]
    assert [line.count(code) for line, code in zip(lines, codes, strict=True)] == [1, 1, 1]
    assert "\x1b" not in "".join(drawn(screen))


def test_before_the_first_frame_it_says_so() -> None:
    """Or why there is none."""
    screen = Screen(View())
    assert drawn(screen)[0].startswith("reading ...")
    screen.problem = "read journal: x does not exist"
    assert drawn(screen)[0].startswith("read journal: x")
    screen.press("f")
    assert screen.press("s")


def test_a_problem_stands_beside_what_was_read_before(screen: Screen) -> None:
    """The rows stay; the line of shipping says what is wrong."""
    screen.problem = "no answer"
    lines = drawn(screen)
    assert lines[2].startswith("BTC")
    assert lines[-2].rstrip() == "no answer"


def test_keys_sort_and_reverse(screen: Screen) -> None:
    """The title says by what, and what it means; S goes back; it goes round."""
    screen.frame = frame(*MANY)
    screen.press("s")
    screen.press("s")
    screen.press("r")
    assert "↓ mid: between bid and ask" in drawn(screen)[0]
    assert drawn(screen)[2].startswith("T099")
    for _ in range(3):
        screen.press("S")
    assert screen.view.sort == "age"
    screen.press("s")
    assert screen.view.sort == "ticker"


def test_keys_filter(screen: Screen) -> None:
    """While it is typed; letters are no commands then; Enter keeps it, Escape takes it back."""
    screen.frame = frame(*MANY, BTC, BTC_OMNI)
    for key in "/qt\x7f\x7fbt":
        assert screen.press(key)
    assert drawn(screen)[-1].rstrip() == "/bt_"
    assert "1-2 of 2" in drawn(screen)[0]
    screen.press("\r")
    assert drawn(screen)[-1].rstrip() == HELP
    screen.press("f")
    assert "1-1 of 1" in drawn(screen)[0]
    assert "filter: bt  source: bybit" in drawn(screen)[0]
    screen.press("\x1b")
    assert "1-19 of 102" in drawn(screen)[0]
    for key in ("/", "x", "\x1b"):
        screen.press(key)
    assert screen.view.filter == ""
    assert not screen.press("q")


def test_keys_scroll_within_bounds(screen: Screen) -> None:
    """By lines and pages, to either end, never beyond; columns keep their widths."""
    screen.frame = frame(*MANY)
    heads = drawn(screen)[1]
    for keys, first in [
        (["\x1b[B", "j"], 3),
        (["\x1b[6~"], 22),
        (["k", "\x1b[A", "\x1b[5~"], 1),
        (["\x1b[5~"], 1),
        (["G", "j", "\x1b[6~"], 82),
        (["g"], 1),
        (["\x1b[F", "\x1b[H", " "], 20),
        (["?", "\x1b[Z"], 20),
    ]:
        for key in keys:
            screen.press(key)
            lines = drawn(screen)
        assert lines[0].startswith(f"perpflux  {first}-{first + 18} of 100"), keys
        assert lines[1] == heads


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("sr", ["s", "r"]),
        ("\x1b[A\x1b[5~j", ["\x1b[A", "\x1b[5~", "j"]),
        ("\x1b", ["\x1b"]),
        ("\x1b[1;5Aq", ["\x1b[1;5A", "q"]),
        ("\x1b[", ["\x1b["]),
        ("", []),
    ],
)
def test_keys_are_told_apart(text: str, keys: list[str]) -> None:
    """Special keys send several characters, also ones that are not known here."""
    assert split_keys(text) == keys


@contextmanager
def on_terminal(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`perpflux watch` on a terminal of its own, and that terminal."""
    ours, theirs = pty.openpty()
    resize(theirs, *SIZE)
    before = termios.tcgetattr(theirs)
    variables = environment(folder, settings) | {"TERM": "xterm-256color"}
    del variables["PYTHONWARNINGS"]
    child = subprocess.Popen(
        [*COMMAND, "watch"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=variables,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one system call
    )  # fmt: skip
    try:
        yield child, ours
        assert termios.tcgetattr(theirs) == before
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        os.close(theirs)


def resize(terminal: int, columns: int, lines: int) -> None:
    """Give the terminal another size, as a window manager does."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def read_until(terminal: int, *texts: str) -> str:
    """What is written, up to where all these texts were."""
    seen = ""
    deadline = time.monotonic() + 30
    while not all(text in seen for text in texts):
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"{texts} did not come: {seen[-2000:]!r}"
        if select.select([terminal], [], [], left_s)[0]:
            seen += os.read(terminal, 1 << 16).decode("utf-8", "replace")
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["q", "\x03", signal.SIGTERM])
async def test_a_terminal_is_left_clean(tmp_path: Path, leave: str | signal.Signals) -> None:
    """Beside an agent: rows, a key, another size; then the screen of before, cursor and echo."""
    async with running(tmp_path, "demo", PERPFLUX_TICKERS="BTC,ETH") as agent:
        for _ in range(2):
            await agent.wait_for("source_ready")
        journal = tmp_path / "perpflux.db.demo"
        with on_terminal(tmp_path, PERPFLUX_JOURNAL__PATH=str(journal)) as (child, terminal):
            seen = read_until(terminal, "\x1b[?1049h", "BTC", "ETH", "collected", "q quit")
            os.write(terminal, b"r")
            read_until(terminal, "↓ ticker")
            resize(terminal, 60, 12)
            os.write(terminal, b"/eth\r")
            read_until(terminal, "filter: eth")
            if isinstance(leave, signal.Signals):
                child.send_signal(leave)
            else:
                os.write(terminal, leave.encode())
            seen = read_until(terminal, "\x1b[?1049l", "\x1b[?25h")
            assert child.wait(10) == 0
            assert "Traceback" not in seen
