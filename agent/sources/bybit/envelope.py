"""What every answer of Bybit's has in common. Pure.

https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

import msgspec

from agent.clock import INSTANT_MAX_NS, NS_PER_MS


class Verdict(msgspec.Struct):
    """What any answer begins with; says whether there is a result to look at."""

    retCode: int
    retMsg: str | None = None


def instant_ns(instant_ms: int | None) -> int | None:
    """An instant in ms as ns; None also for what is no time of ours (before 1970, after 2262)."""
    if instant_ms is None or not 0 <= instant_ms <= INSTANT_MAX_NS // NS_PER_MS:
        return None
    return instant_ms * NS_PER_MS
