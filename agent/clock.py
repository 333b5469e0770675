"""The one door to time: wall clock, monotonic clock and waiting.

Everything that needs time takes a `Clock`, so that tests own it. Instants are integer nanoseconds
since the epoch (UTC); a float would lose 100 ns and more at today's dates.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000
INSTANT_MAX_NS: Final = 2**63 - 2
"""Latest instant that InfluxDB stores (in the year 2262)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Time as the agent sees it."""

    def now_ns(self) -> int:
        """Wall clock: nanoseconds since the epoch, UTC. May step either way."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed point; never steps."""

    async def sleep(self, duration_s: float) -> None:
        """Wait `duration_s` seconds of monotonic time (0 or more)."""


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall clock in nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Monotonic clock in nanoseconds."""
        return time.monotonic_ns()

    async def sleep(self, duration_s: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(duration_s)


SYSTEM_CLOCK: Final = SystemClock()


def slot_at(now_ns: int, interval_s: int) -> int:
    """The slot that `now_ns` lies in: the multiple of the interval at or before it (ns)."""
    interval_ns = interval_s * NS_PER_S
    return now_ns // interval_ns * interval_ns


def to_datetime(instant_ns: int) -> datetime:
    """An aware UTC datetime; what is below a microsecond is cut off (datetime has no more)."""
    return _EPOCH + timedelta(microseconds=instant_ns // NS_PER_US)


def to_rfc3339(instant_ns: int) -> str:
    """RFC 3339 in UTC with `Z`, with as many fractional digits as the instant needs, exact.

    https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    """
    whole_s, rest_ns = divmod(instant_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=whole_s)).isoformat().removesuffix("+00:00")
    return f"{text}.{rest_ns:09d}".rstrip("0") + "Z" if rest_ns else f"{text}Z"


_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9})[0-9]*)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_RFC3339_LENGTH_MAX: Final = 64


def parse_rfc3339_ns(text: str | None) -> int | None:
    """Integer nanoseconds of an RFC 3339 instant; None for anything else.

    Digits of a second beyond the ninth are cut off. None also for what is before 1970 or after
    `INSTANT_MAX_NS`.
    https://www.rfc-editor.org/rfc/rfc3339#section-5.6 ; `datetime` has no nanoseconds.
    """
    return _parsed_ns(text) if text and len(text) <= _RFC3339_LENGTH_MAX else None


@lru_cache(maxsize=4096)  # a venue sends the same instants several times
def _parsed_ns(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, time_of_day, fraction, zone = match.groups(default="")
    zone = "+00:00" if zone in "Zz" else zone
    try:
        since_epoch = datetime.fromisoformat(f"{day}T{time_of_day}{zone}") - _EPOCH
    except ValueError:
        return None
    whole_s = since_epoch.days * 86_400 + since_epoch.seconds
    instant_ns = whole_s * NS_PER_S + int(fraction.ljust(9, "0"))
    return instant_ns if 0 <= instant_ns <= INSTANT_MAX_NS else None
