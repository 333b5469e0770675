"""The real program as a process that is killed, started again and watched all the while.

Every status it gives is read under the law: `collected = stored + rejected + evicted + pending`,
and what was once collected, stored or rejected stays so, over kills as well.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from agent.clock import SYSTEM_CLOCK
from agent.journal import Journal
from agent.journal.records import Ledger, RejectedRow
from tests.support.program import COMMAND, environment

START_S_MAX: Final = 60
STOP_S_MAX: Final = 15
WATCH_EVERY_S: Final = 0.1
STATUS_S_MAX: Final = 10
ROUNDS_MAX: Final = 5
REJECTED_MAX: Final = 100_000
LOG_TAIL_CHARS: Final = 3000

Status = dict[str, Any]


class Agent:
    """`perpflux run` with a state folder of its own.

    Args:
        folder: its state.
        settings: its environment.
        sink: the store whose ledger counts here.
        host: the machine it believes to run on; None = this one.

    Attributes:
        folder: its state.
        journal: its journal, in that folder.
        status: the newest status it gave; {} before the first.
        kills: SIGKILLs so far.
        stops: SIGTERMs so far.
        reads: statuses read, each of them lawful.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        sink: str = "influxdb",
        host: str | None = None,
    ) -> None:
        self.sink = sink
        self._command = COMMAND if host is None else _on_host(host)
        self.folder = folder
        self.journal = folder / "journal.db"
        self.status: Status = {}
        self.kills = self.stops = self.reads = 0
        self._settings = {**settings, "PERPFLUX_JOURNAL__PATH": str(self.journal)}
        self._log = folder.parent / f"{folder.name}.log"
        self._child: asyncio.subprocess.Process | None = None
        self._url = ""
        self._watch: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs at the beginning of the block and is ended with it."""
        timeout = aiohttp.ClientTimeout(total=STATUS_S_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                await self.up()
                yield
            finally:
                await self._unwatch()
                if self._child is not None:
                    self._child.kill()
                    await self._child.wait()

    async def up(self) -> None:
        """Start it and wait until it says that it runs."""
        seen = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self._command,
                "run",
                cwd=self.folder,
                env=environment(self.folder, self._settings),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        deadline_s = time.monotonic() + START_S_MAX
        while True:
            said = self._log.read_bytes()[seen:].decode()
            started = [line for line in said.splitlines(keepends=True) if '"started"' in line]
            if started and started[0].endswith("\n"):
                break
            assert self._child.returncode is None, f"it did not start:\n{said}"
            assert time.monotonic() < deadline_s, f"it does not start:\n{said}"
            await asyncio.sleep(WATCH_EVERY_S)
        self._url = json.loads(started[0])["http"]
        self._watch = asyncio.create_task(self._watched())

    async def kill(self) -> None:
        """SIGKILL: it has no last word."""
        assert self._child is not None, "it does not run"
        self.kills += 1
        self._child.kill()
        await self._down(-signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM: it stops in order, with exit code 0."""
        assert self._child is not None, "it does not run"
        self.stops += 1
        self._child.terminate()
        await self._down(0)

    async def stop_empty(self) -> None:
        """Stop it with nothing left to ship.

        What a stop has no time for ships with the next start, as it would at any other.
        """
        await self.stop()
        for _ in range(ROUNDS_MAX):
            ledger, _ = await self.account()
            if not ledger.pending:
                return
            await self.up()
            await self.until(
                self.stored_above(ledger.stored), START_S_MAX, "it ships what was left"
            )
            await self.stop()

    async def _down(self, expected_code: int) -> None:
        assert self._child is not None
        code = await asyncio.wait_for(self._child.wait(), STOP_S_MAX)
        self._child = None
        await self._unwatch()
        assert code == expected_code, f"it ended with {code}:\n{self.log_tail()}"

    async def until(self, reached: Callable[[Status], bool], wait_s: float, what: str) -> None:
        """Until a status is as wanted; AssertionError after `wait_s` or when it broke the law."""
        deadline_s = time.monotonic() + wait_s
        while not (self.status and reached(self.status)):
            self._check_watch()
            late = time.monotonic() > deadline_s
            assert not late, f"not within {wait_s:.0f} s: {what}\n{self.status}\n{self.log_tail()}"
            await asyncio.sleep(WATCH_EVERY_S)

    async def ready(self) -> bool:
        """What /readyz says."""
        assert self._session is not None
        async with self._session.get(f"{self._url}/readyz") as answer:
            return answer.status == 200

    async def account(self) -> tuple[Ledger, list[RejectedRow]]:
        """The ledger and the rejected lines, from the journal of the stopped agent."""
        assert self._child is None, "it still runs"
        journal = await Journal.open(
            self.journal, bytes_max=2**31, age_max_s=604_800, clock=SYSTEM_CLOCK
        )
        try:
            rejected = await journal.rejected(self.sink, REJECTED_MAX)
            ledger = await journal.ledger(self.sink)
        finally:
            await journal.close()
        self._check_law(vars_of(ledger))
        return ledger, rejected

    def ledger(self, status: Status) -> Mapping[str, int]:
        """That of the store that counts here."""
        found: Mapping[str, int] = (
            status["ledger"] if self.sink == "influxdb" else status["sinks"][self.sink]["ledger"]
        )
        return found

    def stored_above(self, points: int) -> Callable[[Status], bool]:
        """Whether the store that counts has more."""
        return lambda status: self.ledger(status)["stored"] > points

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(encoding="utf-8")[-LOG_TAIL_CHARS:]

    async def _watched(self) -> None:
        """Read the status again and again; what it must not say ends this with an error."""
        assert self._session is not None
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.get(f"{self._url}/status") as answer:
                    status = await answer.json()
                self._check_law(self.ledger(status))
                self.status = status
                self.reads += 1
            await asyncio.sleep(WATCH_EVERY_S)

    def _check_law(self, ledger: Mapping[str, int]) -> None:
        counts = dict(ledger)
        collected = counts.pop("collected")
        assert collected == sum(counts.values()), f"the law is broken: {ledger}"
        before = self.ledger(self.status) if self.status else {}
        for name in ("collected", "stored", "rejected", "evicted"):
            assert ledger[name] >= before.get(name, 0), f"{name} fell: {before} -> {ledger}"

    def _check_watch(self) -> None:
        if self._watch is not None and self._watch.done():
            self._watch.result()
        child = self._child
        assert child is None or child.returncode is None, f"it ended:\n{self.log_tail()}"

    async def _unwatch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch


def _on_host(name: str) -> Sequence[str]:
    """The program, with another name of the machine."""
    words = (
        f"import socket, agent.cli; socket.gethostname = lambda: {name!r}; agent.cli.entry_point()"
    )
    return (sys.executable, "-c", words)


def vars_of(ledger: Ledger) -> dict[str, int]:
    """A ledger as /status shows it."""
    return {name: getattr(ledger, name) for name in ledger.__dataclass_fields__}
