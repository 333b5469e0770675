"""What the loops beside polling share: rounds, the journal they need, failures told once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agent.clock import Clock
from agent.errors import JournalError, SourceError
from agent.journal.records import Entry
from agent.log import get_logger


class Store(Protocol):
    """What is needed of the journal."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Take these durably. Raises JournalError."""

    async def get_state(self, key: str) -> str | None:
        """A small fact kept over restarts. Raises JournalError."""

    async def put_state(self, key: str, value: str | None) -> None:
        """Keep a small fact. Raises JournalError."""


class Outages:
    """Logs when a source stops answering, and when it answers again: once each.

    Args:
        down, up: the names of the two events.
    """

    def __init__(self, *, down: str, up: str) -> None:
        self._down, self._up = down, up
        self._failing: set[str] = set()
        self._log = get_logger()

    def note(self, source: str, problem: SourceError | None) -> None:
        """How it went just now; None = well."""
        if problem is not None and source not in self._failing:
            self._failing.add(source)
            self._log.warning(self._down, source=source, error=problem.subject, hint=problem.hint)
        elif problem is None and source in self._failing:
            self._failing.discard(source)
            self._log.info(self._up, source=source)


async def repeat(
    one_round: Callable[[], Awaitable[object]],
    pause_s: Callable[[], float],
    *,
    clock: Clock,
    crashed: str,
) -> None:
    """Rounds until cancelled. A journal that refuses is the scheduler's news, not ours.

    Args:
        one_round: what to do each time.
        pause_s: how long to wait then, s.
        clock: where time comes from.
        crashed: the event when a round raised what it should not: no bug ends the other loops.
    """
    while True:
        try:
            await one_round()
        except JournalError:
            pass
        except Exception:  # noqa: BLE001  # see `crashed`
            get_logger().exception(crashed)
        await clock.sleep(pause_s())
