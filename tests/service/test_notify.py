"""What systemd hears: the datagrams, and when which one is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.notify import VALUE_CHARS_MAX, Notifier
from agent.supervision import EXTENSION_S, EXTENSIONS_MAX, Supervision
from tests.support.clock import FakeClock

WATCHDOG_S = 30
ABSTRACT = "@perpflux-test-of-sd-notify"


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address.replace("@", "\0", 1))

    def heard(self) -> list[str]:
        """Every message since the last look."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(65_536).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        """No more."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager that listens on a path, and one on an abstract name."""
    made = Manager(str(tmp_path / "notify") if request.param == "path" else ABSTRACT)
    yield made
    made.close()


def notifier_of(manager: Manager) -> Notifier:
    """As the program makes it, with a watchdog."""
    variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000)}
    return Notifier.of(variables, pid=1)


def test_a_message_is_a_datagram_of_assignments(manager: Manager) -> None:
    """sd_notify(3): one datagram, a variable a line; a value can break no line and has a bound."""
    notifier_of(manager).tell(READY=1, STATUS="two\nlines")
    notifier_of(manager).tell(STATUS="x" * 2 * VALUE_CHARS_MAX)
    assert manager.heard() == ["READY=1\nSTATUS=two; lines", "STATUS=" + "x" * VALUE_CHARS_MAX]


def test_without_a_manager_nothing_is_said(tmp_path: Path) -> None:
    """No socket, one of an unknown kind, or one that is gone: never an error."""
    Notifier.of({}, pid=1).tell(READY=1)
    assert Notifier.of({"NOTIFY_SOCKET": "vsock:2:1234"}, pid=1).address == ""
    gone = Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1)
    gone.tell(READY=1)
    assert gone.watchdog_s is None


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_only_a_watchdog_for_this_process_counts(
    variables: dict[str, str], watchdog_s: float | None
) -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID, where given, names whom it is for."""
    assert Notifier.of(variables, pid=7).watchdog_s == watchdog_s


class Agent:
    """The agent as its supervision sees it."""

    def __init__(self) -> None:
        self.clock = FakeClock(sleep_advances=False)
        self.running = asyncio.Event()
        self.stop = asyncio.Event()
        self.names: list[str] = []
        self.answers = True

    async def line(self) -> str:
        """Its status."""
        if not self.answers:
            raise TimeoutError
        return "fine"

    def stalled(self) -> list[str]:
        """Its stalled loops."""
        return self.names


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def supervised(manager: Manager) -> AsyncIterator[Agent]:
    """An agent whose loops just began to run."""
    agent = Agent()
    async with Supervision(notifier_of(manager), clock=agent.clock) as supervision:
        supervision.start(agent.line, agent.stalled, agent.running, agent.stop)
        await settle()
        assert manager.heard() == []
        agent.running.set()
        await settle()
        yield agent


async def test_it_is_ready_when_the_loops_run_and_then_feeds_the_watchdog(
    manager: Manager,
) -> None:
    """READY once; the watchdog is fed, and the status renewed, three times within its limit."""
    async with supervised(manager) as agent:
        assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=fine"]
        for _ in range(3):
            agent.clock.advance(WATCHDOG_S / 3)
            await settle()
            assert manager.heard() == ["WATCHDOG=1", "STATUS=fine"]


async def test_a_loop_that_does_not_turn_starves_the_watchdog(manager: Manager) -> None:
    """Only real progress feeds it; which loop is stuck is logged once."""
    async with supervised(manager) as agent:
        manager.heard()
        agent.names = ["bybit"]
        with capture_logs() as logs:
            for _ in range(3):
                agent.clock.advance(WATCHDOG_S / 3)
                await settle()
        assert manager.heard() == ["STATUS=fine"] * 3
        assert [(log["event"], log["loops"]) for log in logs] == [("loops_stalled", ["bybit"])]
        agent.names = []
        agent.clock.advance(WATCHDOG_S / 3)
        await settle()
        assert "WATCHDOG=1" in manager.heard()


async def test_a_slow_disk_is_said_and_starves_nothing(manager: Manager) -> None:
    """A status that cannot be had in time is told as such; the loops decide about the watchdog."""
    async with supervised(manager) as agent:
        manager.heard()
        agent.answers = False
        agent.clock.advance(WATCHDOG_S / 3)
        await settle()
        assert manager.heard() == ["WATCHDOG=1", "STATUS=the journal did not answer within 1 s"]


async def test_a_long_stop_asks_for_time_within_a_bound(manager: Manager) -> None:
    """STOPPING at once, then EXTEND_TIMEOUT_USEC again and again, but not for ever."""
    async with supervised(manager) as agent:
        manager.heard()
        agent.stop.set()
        await settle()
        more = f"EXTEND_TIMEOUT_USEC={EXTENSION_S}000000"
        stopping, first = manager.heard()
        assert stopping.startswith("STOPPING=1\nSTATUS=")
        assert first == more
        for _ in range(3 * EXTENSIONS_MAX):
            agent.clock.advance(10)
            await settle()
        assert manager.heard() == [more] * (EXTENSIONS_MAX - 1)
