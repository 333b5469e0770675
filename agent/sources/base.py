"""What every source offers, and what sources over HTTP have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, Literal, Self

import aiohttp
import msgspec

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock, slot_at
from agent.derive import plain_number
from agent.errors import SourceError, SourceFailure
from agent.poll import EndpointReport, Poll
from agent.snapshot import Snapshot
from agent.sources.conduct import Conduct
from agent.sources.fetch import Fetcher, Reply, open_session
from agent.sources.rows import UNREADABLE, unknown_keys

Tickers = Sequence[str] | Literal["all"]

NOTICES_MAX: Final = 1000
"""Different notices said in the life of a client; more are dropped."""
DRIFT_CHECK_INTERVAL_S: Final = 3600
"""How often an answer is searched for unknown keys (it costs as much as reading it)."""
KEYS_NAMED_MAX: Final = 8
KEY_LENGTH_MAX: Final = 80
UNKNOWN_KEYS_MAX: Final = 1000
"""Unknown keys that are remembered from one check, so as to be said once."""


class DataSourceClient(ABC):
    """A venue that can be polled. Use as an async context manager, or call `close`."""

    @property
    @abstractmethod
    def source_name(self) -> str:
        """The `source` tag, e.g. "bybit"."""

    @property
    @abstractmethod
    def poll_interval_s(self) -> int:
        """Seconds between two slots, 1 to 3600."""

    @abstractmethod
    async def poll(self, tickers: Tickers, slot_ns: int) -> Poll:
        """One poll of these tickers for a slot (ns since the epoch, a multiple of the interval).

        What the venue does wrong is in the result; nothing is raised for it.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release connections; the client cannot be used afterwards."""

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        return SYSTEM_CLOCK

    silent_until_ns: int = 0
    """Wall clock (ns) until which the venue wants not to be asked; 0 = free. Kept over restarts."""

    async def fetch_all(self, tickers: Tickers) -> list[Snapshot]:
        """The snapshots of one poll in the current slot; empty when the source gave none."""
        slot_ns = slot_at(self.clock.now_ns(), self.poll_interval_s)
        poll = await self.poll(tickers, slot_ns)
        return list(poll.batch or ())

    async def fetch_stats(self, ticker: str) -> dict[str, Any] | None:
        """The unified snapshot of one ticker (`Snapshot.as_dict`); None when there is none."""
        snapshots = await self.fetch_all((ticker,))
        return snapshots[0].as_dict() if snapshots else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @staticmethod
    def _to_decimal(value: object) -> Decimal | None:
        """Exact decimal of a published value; None for "", null, NaN, infinity and other things.

        A float is read by its shortest text, so 0.1 is 0.1.
        """
        text = "" if isinstance(value, bool) else plain_number(str(value))
        return Decimal(text) if text else None


class HttpSource(DataSourceClient):
    """A source over HTTP: session, silence a venue demands, things said once.

    Args:
        api_base: scheme and host, without a trailing slash.
        timeout_s: deadline over each whole answer.
        poll_interval_s: seconds between slots, 1 to 3600.
        session: shared with other sources; None = one of its own.
        clock: where time comes from.
    """

    _known_keys: frozenset[str]
    """Dotted paths of all keys known in the source's documents."""

    def __init__(
        self,
        *,
        api_base: str,
        timeout_s: float,
        poll_interval_s: int,
        session: aiohttp.ClientSession | None,
        clock: Clock,
    ) -> None:
        self.conduct = Conduct()
        self._api_base = api_base.rstrip("/")
        self._timeout_s = timeout_s
        self._interval_s = poll_interval_s
        self._session = session
        self._owns_session = session is None
        self._clock = clock
        self._fetcher: Fetcher | None = None
        self._said: set[str] = set()
        self._unknown_keys: set[str] = set()
        self._drift_checked_ns: int | None = None

    @property
    def poll_interval_s(self) -> int:
        """Seconds between two slots."""
        return self._interval_s

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        return self._clock

    @property
    def silent_until_ns(self) -> int:
        """Wall clock (ns) until which nothing is asked."""
        return self.conduct.silent_until_ns

    @silent_until_ns.setter
    def silent_until_ns(self, instant_ns: int) -> None:
        self.conduct.silent_until_ns = instant_ns

    async def close(self) -> None:
        """End requests in flight; close the session when it is our own."""
        if self._fetcher is not None:
            await self._fetcher.close()
        if self._session is not None and self._owns_session:
            await self._session.close()

    async def _get(self, path: str) -> Reply:
        if self._session is None:
            self._session = open_session(self._interval_s)
        if self._fetcher is None:
            self._fetcher = Fetcher(self.source_name, self._session, self._timeout_s, self._clock)
        return await self._fetcher.get(f"{self._api_base}{path}")

    async def _poll_one(
        self, path: str, endpoint: str, slot_ns: int, read: Callable[[Reply], Poll]
    ) -> Poll:
        """A poll that is one request: not in a demanded silence, and failures become problems.

        Args:
            path: what to ask for.
            endpoint: its short name, for the report.
            slot_ns: the slot, ns since the epoch.
            read: what the answer comes to; may raise SourceError.
        """
        silent = self._silent(slot_ns, endpoint)
        if silent is not None:
            return silent
        reply = None
        try:
            reply = await self._get(path)
            poll = read(reply)
        except SourceError as problem:
            self._heed((problem,))
            report = EndpointReport(
                endpoint=endpoint,
                ok=False,
                latency_ms=reply.latency_ms if reply else None,
                bytes=len(reply.body) if reply else 0,
            )
            return Poll(
                source=self.source_name, slot_ns=slot_ns, reports=(report,), problems=(problem,)
            )
        if poll.ok:
            self.conduct.answered()
        return poll

    def _silent(self, slot_ns: int, endpoint: str) -> Poll | None:
        """The poll of a slot in which nothing may be asked; None when the venue may be."""
        left_s = self.conduct.silence_left_s(self._clock.now_ns())
        if not left_s:
            return None
        problem = self._error(
            SourceFailure.SILENT,
            f"nothing is asked for another {left_s} s, as the venue demanded",
            "it goes on by itself",
        )
        return Poll(
            source=self.source_name,
            slot_ns=slot_ns,
            reports=(EndpointReport(endpoint=endpoint, ok=False),),
            problems=(problem,),
        )

    def _heed(self, problems: Iterable[SourceError]) -> None:
        """Be silent as long as the answers demand."""
        for problem in problems:
            if problem.silence_s:
                self.conduct.be_silent(self._clock.now_ns(), problem.silence_s)

    def _error(
        self, kind: SourceFailure, subject: str, hint: str = "", silence_s: int = 0
    ) -> SourceError:
        operation = f"poll {self.source_name}"
        return SourceError(operation, subject, hint, kind=kind, silence_s=silence_s)

    def _once(self, notices: Iterable[str]) -> tuple[str, ...]:
        """Those of the notices that were not said before."""
        fresh = [text for text in notices if text not in self._said]
        fresh = fresh[: max(0, NOTICES_MAX - len(self._said))]
        self._said.update(fresh)
        return tuple(fresh)

    def _drift(self, body: bytes) -> list[str]:
        """What is said of unknown keys; looked for in the first answer and once an hour."""
        now_ns = self._clock.monotonic_ns()
        checked_ns = self._drift_checked_ns
        if checked_ns is not None and now_ns - checked_ns < DRIFT_CHECK_INTERVAL_S * NS_PER_S:
            return []
        self._drift_checked_ns = now_ns
        try:
            document = msgspec.json.decode(body)
        except UNREADABLE:  # under a key that nobody reads
            return []
        fresh = sorted(unknown_keys(document, self._known_keys) - self._unknown_keys)
        if not fresh:
            return []
        self._unknown_keys.update(fresh[:UNKNOWN_KEYS_MAX])
        named = ", ".join(repr(key[:KEY_LENGTH_MAX]) for key in fresh[:KEYS_NAMED_MAX])
        return [f"{self.source_name} sends {len(fresh)} unknown key(s), which are ignored: {named}"]
