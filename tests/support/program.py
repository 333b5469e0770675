"""The real program as a child process, with an environment of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT_S = 10
REPOSITORY = Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-m", "agent")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    code: int
    out: str
    err: str


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """What the child sees: nothing of ours but the path, its state in `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "STATE_DIRECTORY": str(folder),
        "PERPFLUX_HTTP__LISTEN": "127.0.0.1:0",
        **settings,
    }


async def perpflux(folder: Path, *arguments: str, **settings: str) -> Outcome:
    """Run a command to its end; `settings` are environment variables."""
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=folder,
        env=environment(folder, settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return Outcome(child.returncode or 0, out.decode(), err.decode())


class Running:
    """`perpflux run` (or demo) while it runs."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.lines: list[str] = []

    async def wait_for(self, text: str) -> str:
        """The next line of its log that holds `text`; AssertionError when it ends before."""
        assert self.child.stderr is not None
        while True:
            line = (await self.child.stderr.readline()).decode()
            assert line, f"it ended without {text!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
            if text in line:
                return line

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; the exit code. Killed (and the test fails) when it takes too long."""
        if self.child.returncode is None:
            self.child.send_signal(number)
        try:
            _, err = await asyncio.wait_for(self.child.communicate(), STOP_TIMEOUT_S)
        except TimeoutError:
            self.child.kill()
            await self.child.wait()
            raise
        self.lines.append(err.decode())
        return self.child.returncode or 0


@asynccontextmanager
async def running(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Running]:
    """The program in the background; ended when the block ends."""
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        *(arguments or ("run",)),
        cwd=folder,
        env=environment(folder, settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    program = Running(child)
    try:
        yield program
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()
