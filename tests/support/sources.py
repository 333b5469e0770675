"""Sources and stores in the hands of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agent.errors import JournalError, SourceError, SourceFailure
from agent.journal.records import Entry
from agent.poll import EndpointReport, Poll
from agent.snapshot import Batch
from agent.sources import DataSourceClient
from agent.sources.base import Tickers

Given = dict[str, str] | Exception
"""What a fake venue gives: prices by ticker, or what goes wrong."""


def batch_of(source: str, slot_ns: int, prices: dict[str, str]) -> Batch:
    """A batch with a mark price per ticker."""
    return Batch(
        source=source,
        slot_ns=slot_ns,
        received_ns=slot_ns + 250_000_000,
        tickers=list(prices),
        columns={"mark_price": list(prices.values())},
        quotes_updated_ns=[None] * len(prices),
    )


class FakeSource(DataSourceClient):
    """Answers every poll by `answer(slot_ns)`: prices, an error to report, or one to raise."""

    def __init__(
        self,
        name: str = "fake",
        interval_s: int = 1,
        answer: Callable[[int], Given] = lambda _: {"BTC": "1.5"},
    ) -> None:
        self._name = name
        self._interval_s = interval_s
        self._answer = answer
        self.slots_ns: list[int] = []
        self.hang = False
        self.polled = asyncio.Event()

    @property
    def source_name(self) -> str:
        """Its name."""
        return self._name

    @property
    def poll_interval_s(self) -> int:
        """Its interval."""
        return self._interval_s

    async def poll(self, tickers: Tickers, slot_ns: int) -> Poll:
        """What `answer` says."""
        del tickers
        self.slots_ns.append(slot_ns)
        self.polled.set()
        if self.hang:
            await asyncio.Event().wait()
        given = self._answer(slot_ns)
        if isinstance(given, SourceError):
            report = EndpointReport(endpoint="fake", ok=False)
            return Poll(source=self._name, slot_ns=slot_ns, reports=(report,), problems=(given,))
        if isinstance(given, Exception):
            raise given
        report = EndpointReport(endpoint="fake", ok=True, latency_ms=3, rows=len(given))
        batch = batch_of(self._name, slot_ns, given)
        return Poll(source=self._name, slot_ns=slot_ns, batch=batch, reports=(report,))

    async def close(self) -> None:
        """Nothing to release."""


def refusal(kind: SourceFailure = SourceFailure.REFUSED) -> SourceError:
    """A problem that a venue reports."""
    return SourceError("poll fake", "it says no", "wait", kind=kind)


class FakeStore:
    """The journal as the scheduler sees it, in memory; refuses while `refuses` is set."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.state: dict[str, str | None] = {}
        self.last_slots_ns: dict[str, int] = {}
        self.refuses = False
        self.appended = asyncio.Event()

    async def append(self, entries: Sequence[Entry]) -> None:
        """Keep them."""
        if self.refuses:
            raise JournalError("append", "no space left", "free some")
        self.entries.extend(entries)
        self.appended.set()

    async def last_slot_ns(self, source: str) -> int | None:
        """What the test said."""
        return self.last_slots_ns.get(source)

    async def get_state(self, key: str) -> str | None:
        """What was put."""
        return self.state.get(key)

    async def put_state(self, key: str, value: str | None) -> None:
        """Put it."""
        if self.refuses:
            raise JournalError("put state", "no space left", "free some")
        self.state[key] = value

    @property
    def lines(self) -> list[str]:
        """All lines taken, in order."""
        return [line for entry in self.entries for line in entry.lines.decode().splitlines()]
