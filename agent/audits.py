"""The loop that looks after the journal's memory and every store that is shipped to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from agent.auditor import Auditor, Target, note
from agent.beside import repeat
from agent.clock import Clock
from agent.journal import Journal
from agent.log import get_logger

TICK_S: Final = 15


class Audits:
    """An auditor for each store.

    Args:
        targets: what is looked at now, by the name of the sink.
        journal: takes events.
        path: the journal's file.
        host: the `host` tag of events.
        clock: where time comes from.
    """

    def __init__(
        self,
        targets: Callable[[], Mapping[str, Target]],
        journal: Journal,
        path: Path,
        *,
        host: str,
        clock: Clock,
    ) -> None:
        self._targets = targets
        self._journal = journal
        self._path = path
        self._host = host
        self._clock = clock
        self._log = get_logger()
        self._auditors: dict[str, Auditor] = {}
        self._lost_points = 0

    def status(self, sink: str) -> dict[str, Any]:
        """What was found: two keys of `/status`, under `shipping`; {} = nobody looks at it."""
        if sink not in self._targets():
            return {}
        return self._auditor(sink).status

    async def run(self) -> None:
        """Until cancelled."""
        await repeat(self.look, lambda: TICK_S, clock=self._clock, crashed="audit_crashed")

    async def look(self) -> None:
        """Do what is due, at all stores side by side: a slow one delays no other."""
        await self._tell_losses()
        targets = self._targets()
        for gone in self._auditors.keys() - targets.keys():
            del self._auditors[gone]
        looks = (self._auditor(sink).look(target) for sink, target in targets.items())
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _auditor(self, sink: str) -> Auditor:
        if sink not in self._auditors:
            self._auditors[sink] = Auditor(
                sink, self._journal, self._path, host=self._host, clock=self._clock
            )
        return self._auditors[sink]

    async def _tell_losses(self) -> None:
        """Say what memory could not hold while the journal took no writes."""
        hold = self._journal.hold
        if len(hold) or hold.lost_points == self._lost_points:
            return
        points = hold.lost_points - self._lost_points
        text = f"{points} points were lost while the journal took no writes"
        self._log.error("points_lost", points=points)
        stamp_ns = self._clock.now_ns()
        await note(self._journal, "points_lost", text, host=self._host, stamp_ns=stamp_ns)
        self._lost_points = hold.lost_points
