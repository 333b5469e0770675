"""Looks whether what is shipped to a store will be taken, and whether it is there.

It only looks and tells; shipping never waits for it. Both looks need a token that may read; with
one that may only write this is said once, and the shipping itself is all there is to go by.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.clock import NS_PER_S, Clock, slot_at, to_rfc3339
from agent.config import StoreSink
from agent.entries import AGENT, event_entry
from agent.errors import ConfigError, InfluxDBError, JournalError, PerpfluxError
from agent.influx import TokenSource
from agent.influx_api import InfluxApi
from agent.journal import Journal
from agent.log import get_logger
from agent.preflight import Conflict, conflicts
from agent.readback import Readback, read_back
from agent.shipper import ShipperStatus

HOUR_S: Final = 3600
SETTLE_S: Final = 300
"""An hour is read back when it has been over for so long."""
HOURS_MAX: Final = 24
"""After a longer outage the hours before are not looked at."""
GAPS_SHOWN_MAX: Final = 20


class Target(NamedTuple):
    """A store that is shipped to, and how that goes."""

    store: StoreSink
    token: TokenSource
    shipping: ShipperStatus


class Auditor:
    """Looks after one store.

    Args:
        sink: its name in the journal.
        journal: takes events.
        path: the journal's file.
        host: the `host` tag of events.
        clock: where time comes from.
    """

    def __init__(
        self,
        sink: str,
        journal: Journal,
        path: Path,
        *,
        host: str,
        clock: Clock,
    ) -> None:
        self._sink = sink
        self._journal = journal
        self._path = path
        self._host = host
        self._clock = clock
        self._log = get_logger()
        self._checked: tuple[StoreSink, int] | None = None
        """The store that was checked last, and its outages by then."""
        self._checked_ns: int | None = None
        self._conflicts: list[Conflict] = []
        self._unreadable: str | None = None
        self._readback: Readback | None = None
        self._hour_ns = slot_at(clock.now_ns(), HOUR_S)
        """The hour under way, or the last one: all before it are read back, or never will be."""

    @property
    def status(self) -> dict[str, Any]:
        """What was found: two keys of `/status`, under `shipping`."""
        state = "pending"
        if self._checked_ns is not None:
            state = "unchecked" if self._unreadable else "conflict" if self._conflicts else "ok"
        readback = self._readback
        return {
            "preflight": {
                "state": state,
                "checked": None if self._checked_ns is None else to_rfc3339(self._checked_ns),
                "conflicts": [str(conflict) for conflict in self._conflicts],
                "last_error": self._unreadable,
            },
            "readback": None
            if readback is None
            else {
                "since": to_rfc3339(readback.since_ns),
                "until": to_rfc3339(readback.until_ns),
                "points": readback.points,
                "missing": readback.missing,
                "gaps": [str(gap) for gap in readback.gaps[:GAPS_SHOWN_MAX]],
            },
        }

    async def look(self, target: Target) -> None:
        """Do what is due."""
        if self._checked != self._due(target):
            await self._check_types(target)
        now_ns = self._clock.now_ns()
        hour_ns = slot_at(now_ns, HOUR_S)
        over = hour_ns > self._hour_ns and now_ns >= hour_ns + SETTLE_S * NS_PER_S
        if over and not target.shipping.attempts:
            since_ns = max(self._hour_ns, hour_ns - HOURS_MAX * HOUR_S * NS_PER_S)
            self._hour_ns = hour_ns
            await self._check_types(target)
            await self._read_back(target, since_ns, hour_ns)
        self._hour_ns = min(self._hour_ns, hour_ns)  # the clock may have been ahead

    def _due(self, target: Target) -> tuple[StoreSink, int]:
        """A check is good for a store until it was away and is back."""
        return target.store, target.shipping.outages - (target.shipping.attempts > 0)

    async def _check_types(self, target: Target) -> None:
        self._checked = self._due(target)
        self._checked_ns = self._clock.now_ns()
        try:
            async with self._api(target) as api:
                found = await conflicts(api, target.store.org, target.store.bucket)
        except (InfluxDBError, ConfigError) as error:
            if self._unreadable is None:
                self._log.info(
                    "schema_unchecked", sink=self._sink, error=error.subject, hint=error.hint
                )
            self._unreadable = str(error)
            return
        self._unreadable = None
        if found and found != self._conflicts:
            text = "; ".join(map(str, found))
            self._log.warning(
                "schema_conflict",
                sink=self._sink,
                conflicts=text,
                hint="InfluxDB will refuse such points: use another bucket, or delete what is of "
                f"the other type; `perpflux rejected replay --sink {self._sink} --all` sends them "
                "again then",
            )
            await self._event("schema_conflict", text)
        self._conflicts = found

    async def _read_back(self, target: Target, since_ns: int, until_ns: int) -> None:
        if self._unreadable is not None:
            return
        try:
            async with self._api(target) as api:
                self._readback = await read_back(
                    api,
                    target.store.org,
                    target.store.bucket,
                    journal=self._path,
                    sink=self._sink,
                    since_ns=since_ns,
                    until_ns=until_ns,
                )
        except PerpfluxError as error:
            self._log.info("readback_failed", sink=self._sink, error=str(error))
            return
        if self._readback.missing:
            text = "; ".join(map(str, self._readback.gaps[:GAPS_SHOWN_MAX]))
            self._log.error(
                "points_missing",
                sink=self._sink,
                points=self._readback.missing,
                where=text,
                hint="InfluxDB acknowledged them and has them no longer; `perpflux replay --sink "
                f"{self._sink}` over these windows sends them again",
            )
            await self._event("points_missing", text)

    def _api(self, target: Target) -> InfluxApi:
        return InfluxApi(str(target.store.url), target.token.read())

    async def _event(self, kind: str, text: str) -> None:
        text = f"{self._sink}: {text}"
        await note(self._journal, kind, text, host=self._host, stamp_ns=self._clock.now_ns())


async def note(journal: Journal, kind: str, text: str, *, host: str, stamp_ns: int) -> None:
    """Keep an event of the agent's own; a journal that refuses is the scheduler's news."""
    event = event_entry(kind, text, source=AGENT, host=host, stamp_ns=stamp_ns)
    with suppress(JournalError):
        await journal.append([event])
