"""Asking Variational Omni: one public document answers for every market.

The origin refreshes it about once a minute; asking faster returns the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import aiohttp

from agent.clock import SYSTEM_CLOCK, Clock
from agent.errors import SourceError, SourceFailure
from agent.poll import EndpointReport, Poll
from agent.retry_after import retry_after_s
from agent.sources.base import HttpSource, Tickers
from agent.sources.conduct import doubled_s
from agent.sources.fetch import Reply
from agent.sources.rows import build_batch
from agent.sources.variational import wire
from agent.sources.variational.ledger import PredictedLedger

API_BASE: Final = "https://omni-client-api.prod.ap-northeast-1.variational.io"
PATH: Final = "/metadata/stats"
ENDPOINT: Final = "stats"
REFUSED_SILENCE_S: Final = 60
"""First pause after 429 or 403; doubles up to an hour."""


class VariationalClient(HttpSource):
    """Variational Omni's public statistics. Arguments as in `HttpSource`."""

    _known_keys = wire.KNOWN_KEYS

    def __init__(
        self,
        *,
        api_base: str = API_BASE,
        poll_interval_s: int = 20,
        timeout_s: float = 5,
        session: aiohttp.ClientSession | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            api_base=api_base,
            timeout_s=timeout_s,
            poll_interval_s=poll_interval_s,
            session=session,
            clock=clock,
        )
        self._ledger = PredictedLedger()

    @property
    def source_name(self) -> str:
        """The source tag."""
        return "variational"

    async def poll(self, tickers: Tickers, slot_ns: int) -> Poll:
        """One request answers for all tickers."""
        return await self._poll_one(
            PATH, ENDPOINT, slot_ns, lambda reply: self._read(reply, tickers, slot_ns)
        )

    def _read(self, reply: Reply, tickers: Tickers, slot_ns: int) -> Poll:
        self._check_answer(reply)
        document, bad_listings = wire.read(reply)
        listings = document.listings
        if tickers != "all":
            asked = set(tickers)
            listings = [listing for listing in listings if listing.ticker in asked]
        batch, dropped = build_batch(
            wire.rows_of(listings),
            source=self.source_name,
            slot_ns=slot_ns,
            received_ns=reply.received_ns,
            derive=lambda rows: wire.columns_of(rows, reply.received_ns),
            refuse=wire.implausible_rows,
        )
        problems = () if document.listings else (self._no_listing(bad_listings),)
        report = EndpointReport(
            endpoint=ENDPOINT,
            ok=not problems,
            latency_ms=reply.latency_ms,
            bytes=len(reply.body),
            rows=len(batch),
            bad_rows=bad_listings + dropped,
        )
        unlisted = [] if problems or tickers == "all" else self._unlisted(tickers, document)
        return Poll(
            source=self.source_name,
            slot_ns=slot_ns,
            batch=batch if len(batch) else None,
            platform={} if problems else wire.platform_of(document),
            reports=(report,),
            problems=problems,
            notices=self._once([*unlisted, *self._drift(reply.body)]),
            settlements=self._ledger.crossed(batch) if len(batch) else (),
        )

    def _unlisted(self, tickers: Sequence[str], document: wire.Document) -> list[str]:
        listed = {listing.ticker for listing in document.listings}
        return [
            f"variational has no readable listing of {ticker!r}; check tickers"
            for ticker in sorted(set(tickers) - listed)
        ]

    def _no_listing(self, bad_listings: int) -> SourceError:
        return self._error(
            SourceFailure.UNREADABLE,
            f"the answer has no readable listing ({bad_listings} unreadable)",
            "the venue may be in maintenance; a changed format needs a newer perpflux",
        )

    def _refused(self, reply: Reply) -> SourceError:
        """Status 429 or 403: silence, twice as long with each in a row."""
        self.conduct.refusals += 1
        pause_s = doubled_s(REFUSED_SILENCE_S, self.conduct.refusals)
        asked_s = retry_after_s(reply.headers.get("Retry-After"), reply.received_ns)
        pause_s = max(pause_s, asked_s or 0)
        limited = reply.status == HTTPStatus.TOO_MANY_REQUESTS
        return self._error(
            SourceFailure.RATE_LIMITED if limited else SourceFailure.REFUSED,
            f"HTTP {reply.status} from the statistics endpoint",
            "the limit is shared by the whole world; the agent asks again by itself"
            if limited
            else "the venue's gatekeeper refuses this address; the agent asks again by itself",
            pause_s,
        )

    def _check_answer(self, reply: Reply) -> None:
        """Raise for anything but a JSON answer with status 200."""
        if reply.status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
            raise self._refused(reply)
        if reply.status != HTTPStatus.OK:
            raise self._error(
                SourceFailure.REFUSED,
                f"HTTP {reply.status} from the statistics endpoint",
                "check variational.api_base, or wait: the venue may be down",
            )
        if reply.media_type != "application/json":
            raise self._error(
                SourceFailure.UNREADABLE,
                f"the answer is {reply.media_type or 'of no type'}, not application/json",
                "a challenge page or a proxy stands between",
            )
