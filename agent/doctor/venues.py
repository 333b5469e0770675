"""The checks of one source: one poll through the very client the agent uses, looked at closely."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from agent.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock, slot_at
from agent.config import Config
from agent.doctor.finding import Check, Finding, fail, ok, skip, warn
from agent.errors import JournalError, SourceFailure
from agent.journal import Desk
from agent.poll import Poll
from agent.scheduler import silence_key
from agent.sources import SOURCES

POLL_INTERVAL_S: Final = 10
"""More patient than an agent that polls each second: here every connection is a new one."""
MARGIN_S: Final = 3.0
"""Beyond the source's own time-out."""
SKEW_WARN_MS: Final = 1_500
SKEW_FAIL_MS: Final = 10_000
"""Slots and ages are told by this machine's clock: so far off, they are another slot's."""
LEFT_PARTS_MIN: Final = 10
"""Less than a tenth of the allowed requests left is worth a warning."""
STAMPED_BY_SERVER: Final = frozenset({"bybit"})
"""Sources whose quotes carry the server's own time, to the millisecond."""
LIMIT_HEADERS: Final = (
    ("X-Bapi-Limit-Status", "X-Bapi-Limit"),
    ("X-RateLimit-Remaining", "X-RateLimit-Limit"),
    ("RateLimit-Remaining", "RateLimit-Limit"),
)
"""How many requests are left, and of how many. https://bybit-exchange.github.io/docs/v5/rate-limit"""
_HALF_SECOND_MS: Final = 500


class Venue:
    """One source. `reached` asks; the other checks look at the answer.

    Args:
        name: of the source.
        config: the whole configuration.
        clock: the machine's.
    """

    def __init__(self, name: str, config: Config, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = name
        self._config = config
        self._settings = getattr(config, name)
        self._clock = clock
        self._stage = "the connection"
        self._dns_ms: int | None = None
        self._connect_ms: int | None = None
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._server_ahead_ms: int | None = None
        self._poll: Poll | None = None

    def checks(self) -> list[Check]:
        """What is looked at, in the order of the report."""
        reached = f"{self._name}.reached"
        return [
            Check(reached, self.reached, timeout_s=self._settings.timeout_s + MARGIN_S),
            Check(f"{self._name}.answer", self.answer, (reached,)),
            Check(f"{self._name}.limits", self.limits, (reached,)),
            Check(f"{self._name}.clock", self.clock, (reached,)),
        ]

    async def reached(self) -> Finding:
        """Name, connection, TLS and HTTP: whether there is an answer at all."""
        silence_s = await asyncio.to_thread(self._silence_s)
        if silence_s:
            return skip(
                f"the venue asked for silence, for another {silence_s} s; nothing was sent",
                "the agent goes on by itself",
            )
        slot_ns = slot_at(self._clock.now_ns(), POLL_INTERVAL_S)
        settings = {**dict(self._settings), "poll_interval_s": POLL_INTERVAL_S}
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[self._trace()]
            ) as session,
            SOURCES[self._name](**settings, session=session, clock=self._clock) as client,
        ):
            self._poll = await client.poll(self._config.tickers, slot_ns)
        if self._status is None:
            problem = self._poll.problems[0]
            late = problem.kind is SourceFailure.TIMED_OUT
            stage = f" (it hung at {self._stage})" if late else ""
            return fail(f"{problem.subject}{stage}", problem.hint)
        return ok(self._way())

    async def answer(self) -> Finding:
        """Whether the answer is what is expected: rows, no drift of its schema."""
        assert self._poll is not None, "reached before"
        poll = self._poll
        if poll.problems:
            return fail(poll.problems[0].subject, poll.problems[0].hint)
        rows = len(poll.batch or ())
        size = sum(report.bytes for report in poll.reports)
        bad = sum(report.bad_rows for report in poll.reports)
        text = f"{rows} rows in {size:,} bytes"
        if bad:
            return warn(f"{text}, {bad} unreadable", "a newer perpflux may know the new format")
        if poll.notices:
            return warn(
                f"{text}; {'; '.join(poll.notices)}",
                "put tickers right; of unknown keys a newer perpflux may know more",
            )
        return ok(f"{text}, no unknown keys")

    async def limits(self) -> Finding:
        """How many requests the venue still allows."""
        for left_name, all_name in LIMIT_HEADERS:
            left, allowed = self._headers.get(left_name, ""), self._headers.get(all_name, "")
            if left.isdecimal() and allowed.isdecimal():
                text = f"{left} of {allowed} requests left"
                if int(left) * LEFT_PARTS_MIN < int(allowed):
                    return warn(
                        text, f"raise {self._name}.poll_interval_s; other programs here count too"
                    )
                return ok(text)
        return skip("the venue does not say how many requests are left")

    async def clock(self) -> Finding:
        """How far this machine's clock is from the server's."""
        told = {
            "its own time": self._stamped_ahead_ms(),
            "its Date header, to the second": self._server_ahead_ms,
        }
        known = [(abs(ms), ms, by) for by, ms in told.items() if ms is not None]
        if not known:
            return skip("the answer has no time to compare with")
        # A quiet book's stamp or a cached answer is old: the nearer of the two is the truer.
        _, ahead_ms, by = min(known)
        off_ms = abs(ahead_ms)
        text = f"{off_ms} ms {'behind' if ahead_ms > 0 else 'ahead of'} the server's, by {by}"
        if off_ms < SKEW_WARN_MS:
            return ok(text)
        advice = "set this machine's clock: `timedatectl set-ntp true`, or see chronyc tracking"
        return fail(text, advice) if off_ms >= SKEW_FAIL_MS else warn(text, advice)

    def _silence_s(self) -> int:
        """How long a running or earlier agent was told to be silent, s; 0 = ask."""
        path = Path(self._config.journal.path)
        with (
            suppress(JournalError, ValueError, OSError),
            Desk(path, bytes_max=self._config.journal.bytes_max) as desk,
        ):
            until_ns = int(desk.state(silence_key(self._name)) or 0)
            return max(0, -((self._clock.now_ns() - until_ns) // NS_PER_S))
        return 0

    def _way(self) -> str:
        """The way to the answer, with times where they are known."""
        url = urlsplit(str(self._settings.api_base))
        steps = [f"DNS {self._dns_ms} ms"] if self._dns_ms is not None else []
        if self._connect_ms is not None:
            tls = " with TLS" if url.scheme == "https" else ""
            steps.append(f"connected{tls} in {self._connect_ms} ms")
        latencies = [each.latency_ms for each in self._poll.reports] if self._poll else []
        whole_ms = max((each for each in latencies if each is not None), default=None)
        took = "" if whole_ms is None else f" in {whole_ms} ms"
        return f"{url.netloc}: {', '.join([*steps, f'HTTP {self._status}{took}'])}"

    def _stamped_ahead_ms(self) -> int | None:
        """The server's clock minus ours by the stamps of its quotes; None = they say nothing."""
        batch = self._poll.batch if self._poll else None
        if batch is None or self._name not in STAMPED_BY_SERVER:
            return None
        stamps_ns = [each for each in batch.quotes_updated_ns if each is not None]
        return (max(stamps_ns) - batch.received_ns) // NS_PER_MS if stamps_ns else None

    def _trace(self) -> aiohttp.TraceConfig:
        """Notes down when which part of the way was done."""
        trace = aiohttp.TraceConfig()
        begun: dict[str, int] = {}

        def now_ms() -> int:
            return self._clock.monotonic_ns() // NS_PER_MS

        async def connecting(*_: object) -> None:
            begun["connect"] = now_ms()
            self._stage = f"connecting to {urlsplit(str(self._settings.api_base)).netloc}"

        async def resolving(*_: object) -> None:
            begun["dns"] = now_ms()
            self._stage = "DNS"

        async def resolved(*_: object) -> None:
            self._dns_ms = now_ms() - begun["dns"]
            self._stage = "connecting"

        async def connected(*_: object) -> None:
            self._connect_ms = now_ms() - begun["connect"] - (self._dns_ms or 0)
            self._stage = "the answer"

        async def answered(
            _: aiohttp.ClientSession, __: SimpleNamespace, done: aiohttp.TraceRequestEndParams
        ) -> None:
            self._status, self._headers = done.response.status, done.response.headers
            self._server_ahead_ms = self._date_ahead_ms(done.response.headers)

        trace.on_connection_create_start.append(connecting)
        trace.on_dns_resolvehost_start.append(resolving)
        trace.on_dns_resolvehost_end.append(resolved)
        trace.on_connection_create_end.append(connected)
        trace.on_request_end.append(answered)
        return trace

    def _date_ahead_ms(self, headers: Mapping[str, Any]) -> int | None:
        """The server's clock minus ours by `Date`, whose second it stands in the middle of.

        A cache adds the age of what it gives: https://www.rfc-editor.org/rfc/rfc9111#section-5.1
        """
        try:
            date = parsedate_to_datetime(headers.get("Date", ""))
        except ValueError:
            return None
        age = str(headers.get("Age", "0"))
        age_s = int(age) if age.isdecimal() else 0
        server_ms = (int(date.timestamp()) + age_s) * 1000 + _HALF_SECOND_MS
        return server_ms - self._clock.now_ns() // NS_PER_MS
