"""What a venue lists: looked at once an hour; what changed becomes events.

Needed where every ticker is collected. What was listed last is kept in the journal, so that what
changed during an outage is told too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from agent.beside import Outages, Store, repeat
from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.entries import event_entry
from agent.errors import SourceError
from agent.log import get_logger
from agent.poll import Contract

INTERVAL_S: Final = 3600
ROUND_S: Final = 60
"""Between two rounds; a look that failed is repeated in the next."""
NAMED_MAX: Final = 30
"""Symbols named in one event; of more only the number is told."""

Known = dict[str, tuple[int, bool]]
"""Symbol of a perpetual to funding interval (s) and whether it leaves."""


class ListingSource(Protocol):
    """A venue that says what it lists."""

    @property
    def source_name(self) -> str:
        """The `source` tag."""

    async def discover(self) -> Mapping[str, Contract]:
        """Every contract by its symbol. Raises SourceError."""


class DiscoveryLoop:
    """Looks at listings until cancelled.

    Args:
        sources: gives the venues whose list is needed now.
        store: takes the events, and keeps what was listed last.
        host: the `host` tag of events.
        clock: where time comes from.
    """

    def __init__(
        self,
        sources: Callable[[], Sequence[ListingSource]],
        *,
        store: Store,
        host: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sources = sources
        self._store = store
        self._host = host
        self._clock = clock
        self._looked_ns: WeakKeyDictionary[ListingSource, int] = WeakKeyDictionary()
        """When (monotonic ns) each last told its list."""
        self._outages = Outages(down="discovery_down", up="discovery_up")
        self._log = get_logger()

    async def run(self) -> None:
        """Rounds until cancelled."""
        await repeat(self.round, lambda: ROUND_S, clock=self._clock, crashed="discovery_crashed")

    async def round(self) -> None:
        """Look where an hour is over, and at once where one is new. Raises JournalError."""
        for source in self._sources():
            now_ns = self._clock.monotonic_ns()
            looked_ns = self._looked_ns.get(source)
            if looked_ns is not None and now_ns - looked_ns < INTERVAL_S * NS_PER_S:
                continue
            if await self.look(source):
                self._looked_ns[source] = now_ns

    async def look(self, source: ListingSource) -> bool:
        """One look: events for what changed; False when the venue gave no answer.

        Raises:
            JournalError: it takes no writes; the next look tells what changed.
        """
        name = source.source_name
        try:
            contracts = await source.discover()
        except SourceError as problem:
            self._outages.note(name, problem)
            return False
        self._outages.note(name, None)
        listed = {
            symbol: (contract.interval_s, contract.leaves)
            for symbol, contract in contracts.items()
            if contract.perpetual
        }
        if not listed:  # maintenance, not the end of every market
            return False
        key = f"listed:{name}"
        kept = await self._store.get_state(key)
        before: Known | None = (
            None if kept is None else {each: (row[0], bool(row[1])) for each, row in _rows(kept)}
        )
        if before == listed:
            return True
        texts = {} if before is None else changes(before, listed)
        # The state goes first: what the journal refuses to append it holds in memory, and that must
        # not be given again.
        await self._store.put_state(key, json.dumps(listed))
        if before is None:
            self._log.info("listings_read", source=name, perpetuals=len(listed))
        if texts:
            stamp_ns = self._clock.now_ns()
            await self._store.append(
                [
                    event_entry(kind, text, source=name, host=self._host, stamp_ns=stamp_ns)
                    for kind, text in texts.items()
                ]
            )
        for kind, text in texts.items():
            self._log.info(f"listing_{kind}", source=name, text=text)
        return True


def _rows(kept: str) -> list[tuple[str, list[int]]]:
    return list(json.loads(kept).items())


def changes(before: Known, after: Known) -> dict[str, str]:
    """Kind of event to its text, one for all symbols (events of one kind share their instant)."""
    both = before.keys() & after.keys()
    found = {
        "listed": sorted(after.keys() - before.keys()),
        "delisted": sorted(before.keys() - after.keys()),
        "delisting": sorted(each for each in both if after[each][1] and not before[each][1]),
        "funding_interval": [
            f"{each} {before[each][0]} s to {after[each][0]} s"
            for each in sorted(both)
            if before[each][0] != after[each][0]
        ],
    }
    return {kind: _text(names) for kind, names in found.items() if names}


def _text(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
