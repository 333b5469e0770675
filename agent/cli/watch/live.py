"""The live table: drawn with rich on the terminal's other screen, steered by keys."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from agent.board import Freshness
from agent.cli.watch.feed import Feed, Frame
from agent.cli.watch.view import COLUMNS, View, aligned, footer, table
from agent.errors import PerpfluxError

REFRESH_S: Final = 1.0
LOOK_S: Final = 0.2
"""How long a key, or a new size of the terminal, waits at most."""
KEYS_MAX: Final = 64
FILTER_MAX: Final = 40
STOP_S: Final = 1.0
"""Longest wait, at the end, for a question to the agent that is under way."""
FRAME_LINES: Final = 5
"""Lines beside the rows: title, heads, and three at the bottom."""

_COLOURS: Final[dict[Freshness, str]] = {"fresh": "green", "late": "yellow", "old": "bold red"}
HELP: Final = "q quit  s/S sort  r reverse  f source  / filter  ↑↓ PgUp PgDn scroll"

_KEYS: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "k": "up",
    "j": "down",
    " ": "page down",
    "g": "home",
    "G": "end",
}


class Screen:
    """What is shown, and what a key does to it. For one thread.

    Args:
        view: as it begins.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.frame: Frame | None = None
        self.problem = ""
        """Why there is no newer frame; "" = there is."""
        self._typed: str | None = None
        """The filter while it is typed; None = it is not."""
        self._top = 0
        self._page = 1

    def press(self, key: str) -> bool:
        """Take a key; False = somebody wants to leave."""
        if self._typed is not None:
            self._type(key)
        elif key == "q":
            return False
        elif key in "sS":
            names = list(COLUMNS)
            step = 1 if key == "s" else -1
            self.view.sort = names[(names.index(self.view.sort) + step) % len(names)]
        elif key == "r":
            self.view.reverse = not self.view.reverse
        elif key == "f":
            self._next_source()
        elif key == "/":
            self._typed = self.view.filter
        elif key == "\x1b":
            self.view.filter, self.view.source = "", None
        else:
            self._scroll(_KEYS.get(key, ""))
        return True

    def _type(self, key: str) -> None:
        assert self._typed is not None
        typed: str | None = self._typed
        if key in {"\r", "\n"}:
            typed = None
        elif key == "\x1b":
            self.view.filter, typed = "", None
        elif key in {"\x7f", "\b"}:
            typed = self._typed[:-1]
        elif key.isprintable() and len(self._typed) < FILTER_MAX:
            typed = self._typed + key
        if typed is not None:
            self.view.filter = typed
        self._typed = typed

    def _next_source(self) -> None:
        sources = sorted({row.source for row in self.frame.rows}) if self.frame else []
        choices: list[str | None] = [None, *sources]
        at = choices.index(self.view.source) if self.view.source in choices else 0
        self.view.source = choices[(at + 1) % len(choices)]

    def _scroll(self, way: str) -> None:
        steps = {"up": -1, "down": 1, "page up": -self._page, "page down": self._page}
        self._top = {"home": 0, "end": sys.maxsize}.get(way, self._top + steps.get(way, 0))

    def render(self, width: int, height: int) -> RenderableType:
        """As many lines as the terminal has."""
        if self.frame is None:
            return Text(self.problem or "reading ...", no_wrap=True, overflow="crop")
        rows = self.view.rows(self.frame)
        self._page = max(1, height - FRAME_LINES)
        self._top = max(0, min(self._top, len(rows) - self._page))
        # Widths are those of all rows: the columns stand still while somebody scrolls.
        shown = table(self.view, rows, self.frame, width)
        lines = [self._title(len(rows)), Text(aligned(shown.heads, shown), style="bold underline")]
        for line in shown.lines[self._top : self._top + self._page]:
            text = Text(aligned(line.cells, shown))
            if "age" in shown.names:
                text.stylize(
                    _COLOURS[line.freshness], sum(shown.widths[:-1]) + len(shown.names) - 1
                )
            lines.append(text)
        lines += [Text("")] * (height - len(lines) - 3)
        counts, state = footer(self.frame)
        lines += [Text(counts), Text(self.problem or state, style="red" if self.problem else "")]
        lines.append(Text(HELP, style="dim") if self._typed is None else Text(f"/{self._typed}_"))
        for text in lines:
            text.no_wrap, text.overflow = True, "crop"
        return Group(*lines[:height])

    def _title(self, rows: int) -> Text:
        column = COLUMNS[self.view.sort]
        order = f"{'↓' if self.view.reverse else '↑'} {column.head.strip()}: {column.help}"
        chosen = "".join(
            f"  {name}: {value}"
            for name, value in (("filter", self.view.filter), ("source", self.view.source))
            if value
        )
        last = min(self._top + self._page, rows)
        return Text(f"perpflux  {min(self._top + 1, rows)}-{last} of {rows}  {order}{chosen}")


class _Reader(threading.Thread):
    """Reads frames beside the keys, so that these never wait."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(daemon=True, name="watch")
        self.frame: Frame | None = None
        self.problem = ""
        self.stop = threading.Event()
        self._feed = feed

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.frame, self.problem = self._feed.read(), ""
            except PerpfluxError as error:
                self.problem = str(error)
            self.stop.wait(REFRESH_S)


def watch(feed: Feed, view: View, console: Console | None = None) -> None:
    """Show it until somebody leaves: q, Ctrl-C, SIGTERM, or the terminal goes."""
    console = console or Console()
    screen, reader = Screen(view), _Reader(feed)
    shown: tuple[object, ...] = ()
    reader.start()
    try:
        with suppress(KeyboardInterrupt), _keys() as keys, _live(console) as live:
            leaving = False
            while not leaving:
                screen.frame, screen.problem = reader.frame, reader.problem
                size, pressed = console.size, keys()
                leaving = any(not screen.press(key) for key in pressed)
                now = (screen.frame, screen.problem, size)
                if pressed or now != shown:
                    shown = now
                    live.update(screen.render(size.width, size.height), refresh=True)
    finally:
        reader.stop.set()
        reader.join(STOP_S)


def _live(console: Console) -> Live:
    return Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )


_LEAVE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Keys:
    """Keys as they are pressed; waits a moment for the first. Raises KeyboardInterrupt to leave."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._leaving = False

    def __call__(self) -> list[str]:
        readable, _, _ = select.select([self._file], [], [], LOOK_S)
        data = os.read(self._file, KEYS_MAX) if readable else None
        if self._leaving or data == b"":  # b"": the terminal is gone
            raise KeyboardInterrupt
        return split_keys(data.decode("utf-8", "ignore")) if data else []

    def leave(self, _number: int, _frame: FrameType | None) -> None:
        """A signal: noted only. An exception out of a handler may come where it is swallowed."""
        self._leaving = True


def split_keys(text: str) -> list[str]:
    """What was typed, key by key; an unknown sequence of a special key is one key."""
    keys = []
    while text:
        size = 1
        if text.startswith("\x1b["):
            ends = (at for at, each in enumerate(text[2:], 3) if "@" <= each <= "~")
            size = next(ends, len(text))
        keys.append(text[:size])
        text = text[size:]
    return keys


@contextmanager
def _keys() -> Iterator[_Keys]:
    """The terminal gives each key at once and shows none; as it was, in the end."""
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    keys = _Keys(file)
    handlers = {each: signal.signal(each, keys.leave) for each in _LEAVE}
    try:
        tty.setcbreak(file)
        yield keys
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
