"""The agent's own measurements: every ten seconds points about itself, through the journal."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, Clock, slot_at
from agent.entries import agent_entry
from agent.errors import JournalError
from agent.journal.records import Entry

INTERVAL_S: Final = 10


class Heartbeat:
    """A loop that stores a point about the agent, and one per store, in every slot of ten seconds.

    Args:
        append: the journal's.
        figures: the fields that others know, as exact texts ("" = unknown).
        sinks: all fields of each store, likewise.
        host: the `host` tag.
        clock: where time comes from.
    """

    def __init__(
        self,
        append: Callable[[Sequence[Entry]], Awaitable[None]],
        figures: Callable[[], Awaitable[Mapping[str, str]]],
        sinks: Callable[[], Awaitable[Mapping[str, Mapping[str, str]]]],
        *,
        host: str,
        clock: Clock,
    ) -> None:
        self._append = append
        self._figures = figures
        self._sinks = sinks
        self._host = host
        self._clock = clock
        self.started_ns = clock.monotonic_ns()

    async def run(self) -> None:
        """Until cancelled. A journal that refuses is the scheduler's news, not ours."""
        while True:
            now_ns = self._clock.now_ns()
            next_ns = slot_at(now_ns, INTERVAL_S) + INTERVAL_S * NS_PER_S
            await self._clock.sleep((next_ns - now_ns) / NS_PER_S)
            try:
                await self.beat(next_ns)
            except JournalError:
                continue

    async def beat(self, stamp_ns: int) -> None:
        """Store the points of one slot. Raises JournalError."""
        uptime_s = (self._clock.monotonic_ns() - self.started_ns) // NS_PER_S
        fields = {**await self._figures(), **process_figures(), "uptime_s": str(uptime_s)}
        sinks = await self._sinks()
        await self._append([agent_entry(fields, sinks, host=self._host, stamp_ns=stamp_ns)])


def process_figures() -> dict[str, str]:
    """Processor time (s, three decimals) and resident memory (bytes) of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_ms = round((usage.ru_utime + usage.ru_stime) * 1000)
    return {
        "cpu_s": f"{cpu_ms // 1000}.{cpu_ms % 1000:03d}",
        "rss_bytes": str(_rss_bytes() or usage.ru_maxrss * 1024),
    }


def _rss_bytes() -> int:
    """Resident memory now; 0 where /proc does not tell (then the peak stands in)."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()
