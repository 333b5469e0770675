"""Settled funding: a loop that fetches what was settled since it last looked, each rate once.

After an hour has turned every ticker is asked for; what failed is asked for again in the next
round. What was collected last is kept in the journal, so that an outage or a restart leaves no
hole and brings nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from agent.beside import Outages, Store, repeat
from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.entries import settlement_entries
from agent.errors import SourceError
from agent.log import get_logger
from agent.poll import Settlement

ROUND_S: Final = 20
"""Between two looks at what is due."""
FIRST_PAUSE_S: Final = 1
"""The same as long as no poll has told which tickers there are."""
DELAY_S: Final = 30
"""How long after an hour has turned its settlements are asked for: they are published by then."""
SIDE_BY_SIDE: Final = 8
"""Tickers that are asked for at once."""
PAUSE_S: Final = 1
"""Between these."""

_HOUR_NS: Final = 3600 * NS_PER_S
_DAY_NS: Final = 24 * _HOUR_NS


class SettlingSource(Protocol):
    """A venue with a history of settled rates."""

    @property
    def source_name(self) -> str:
        """The `source` tag."""

    @property
    def backfill_days(self) -> int:
        """How far back a first look or one after an outage goes; 0 = none is collected."""

    def settling(self) -> Sequence[str]:
        """The tickers that have settlements, as far as they are known by now."""

    async def settled(self, ticker: str, since_ns: int) -> list[Settlement]:
        """Settlements after that instant, oldest first. Raises SourceError."""


class SettlementLoop:
    """Collects settled rates until cancelled.

    Args:
        sources: gives the venues with a history that are polled now.
        store: takes the points, and keeps what was collected last.
        clock: where time comes from.
    """

    def __init__(
        self,
        sources: Callable[[], Sequence[SettlingSource]],
        *,
        store: Store,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sources = sources
        self._store = store
        self._clock = clock
        self._asked_hour: dict[tuple[str, str], int] = {}
        """Source and ticker to the hour (since the epoch) after which it was asked for."""
        self._reached: dict[tuple[str, str], int] = {}
        """Source and ticker to the settlement collected last, as far as this run knows."""
        self._outages = Outages(down="settlements_down", up="settlements_up")
        self._log = get_logger()

    async def run(self) -> None:
        """Rounds until cancelled."""
        await repeat(self.round, self._pause_s, clock=self._clock, crashed="settlements_crashed")

    def _pause_s(self) -> int:
        known = all(source.settling() for source in self._sources())
        return ROUND_S if known else FIRST_PAUSE_S

    async def round(self) -> int:
        """Collect what is due; how many settlements came. Raises JournalError."""
        return sum([await self._round_of(source) for source in self._sources()])

    async def _round_of(self, source: SettlingSource) -> int:
        name = source.source_name
        if not source.backfill_days:
            return 0
        hour = (self._clock.now_ns() - DELAY_S * NS_PER_S) // _HOUR_NS
        due = [
            ticker
            for ticker in source.settling()
            if self._asked_hour.get((name, ticker), -1) < hour
        ]
        collected = 0
        for first in range(0, len(due), SIDE_BY_SIDE):
            if first:
                await self._clock.sleep(PAUSE_S)
            group = due[first : first + SIDE_BY_SIDE]
            # A journal that takes no writes now keeps polls in memory: it is not given what can
            # be fetched later.
            await self._store.put_state(f"settlements_hour:{name}", str(hour))
            answers = await asyncio.gather(*(self._ask(source, ticker) for ticker in group))
            good = {
                ticker: answer
                for ticker, answer in zip(group, answers, strict=True)
                if not isinstance(answer, SourceError)
            }
            collected += await self._keep(name, good)
            self._asked_hour.update({(name, ticker): hour for ticker in good})
            problems = [answer for answer in answers if isinstance(answer, SourceError)]
            self._outages.note(name, problems[0] if problems else None)
            if problems:  # the others would fail too; all that is due is asked in the next round
                break
        return collected

    async def _ask(self, source: SettlingSource, ticker: str) -> list[Settlement] | SourceError:
        floor_ns = self._clock.now_ns() - source.backfill_days * _DAY_NS
        reached_ns = self._reached.get((source.source_name, ticker))
        if reached_ns is None:
            kept = await self._store.get_state(_key(source.source_name, ticker))
            reached_ns = int(kept or 0)
        try:
            return await source.settled(ticker, max(floor_ns, reached_ns))
        except SourceError as problem:
            return problem

    async def _keep(self, source: str, answers: dict[str, list[Settlement]]) -> int:
        """Store the points, then how far each ticker got: a crash between repeats, never loses."""
        settlements = [each for found in answers.values() for each in found]
        reached = {
            (source, ticker): found[-1].stamp_ns for ticker, found in answers.items() if found
        }
        # What the journal refuses it holds in memory: that must not be given again.
        self._reached.update(reached)
        if settlements:
            await self._store.append(settlement_entries(source, settlements))
        for (_, ticker), stamp_ns in reached.items():
            await self._store.put_state(_key(source, ticker), str(stamp_ns))
        return len(settlements)


def _key(source: str, ticker: str) -> str:
    return f"settled_ns:{source}:{ticker}"
