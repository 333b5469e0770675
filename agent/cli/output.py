"""The one place that prints. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from agent.errors import PerpfluxError

ANSWER_CHARS_MAX: Final = 65_536


class OutputError(PerpfluxError):
    """Standard output takes nothing more: its disk is full, say."""


def say(text: str = "") -> None:
    """A line of a result. Raises as `emit`."""
    emit(f"{text}\n")


def emit(text: str) -> None:
    """Part of a result, as it is (it brings its own line ends).

    Raises:
        BrokenPipeError: the reader went away.
        OutputError: it cannot be written.
    """
    _written(sys.stdout.write, text)


def flush() -> None:
    """Have written all that was said. Raises as `emit`."""
    _written(sys.stdout.flush)


def _written(write: Callable[..., object], *text: str) -> None:
    try:
        write(*text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            "print", f"standard output: {error.strerror}", "look after the disk it goes to"
        ) from error


def complain(text: str) -> None:
    """A line for the operator."""
    print(text, file=sys.stderr, flush=True)


def ask(prompt: str, *, hidden: bool = False) -> str | None:
    """A line from who sits there, asked on standard error; None = the input has ended.

    `hidden`: a terminal does not show what is typed.
    """
    if hidden and sys.stdin.isatty():
        from getpass import getpass  # noqa: PLC0415  # seldom needed

        return getpass(prompt, sys.stderr)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline(ANSWER_CHARS_MAX)
    return line.rstrip("\n") if line else None


def is_terminal() -> bool:
    """Whether results are read by a person."""
    return sys.stdout.isatty()


def is_dialogue() -> bool:
    """Whether somebody reads results and presses keys."""
    return sys.stdout.isatty() and sys.stdin.isatty()


def width_for_progress() -> int | None:
    """Columns of the terminal that the operator watches; None = there is none."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else None
    except (OSError, ValueError):
        return None


def redraw(text: str) -> None:
    """Put this where the line was that the operator watches; "" = nothing."""
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()


def give_up_stdout() -> None:
    """Nobody takes it (`| head`, a full disk): let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
