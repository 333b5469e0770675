"""The one way to Bybit: every request is paid for from one budget.

https://bybit-exchange.github.io/docs/v5/rate-limit : 600 requests in 5 s for an address, over all
endpoints; headers, when they come, say what is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from agent.clock import NS_PER_MS, NS_PER_S, Clock
from agent.errors import SourceError, SourceFailure
from agent.sources.budget import RateBudget
from agent.sources.fetch import Reply

REQUESTS_MAX: Final = 540
WINDOW_S: Final = 6
"""Tighter than the venue's 600 in 5 s: requests do not travel equally fast, others may ask too."""
TICKERS_SHARE: Final = 60
"""What everything else leaves for the tickers: more than these ever ask in a window."""
HISTORIES_SHARE: Final = 30
"""What order books leave for histories and lists besides, so that these get on."""
TOLD_MARGIN: Final = 10
"""A tenth of the limit that the venue tells is left to others on the same address."""

_NUMBER_LENGTH_MAX: Final = 15
_budgets: WeakKeyDictionary[Clock, RateBudget] = WeakKeyDictionary()


def shared_budget(clock: Clock) -> RateBudget:
    """The one budget of all clients on this clock: the venue counts by address, not by client.

    A client that takes another's place (a reload) goes on with what that one has left.
    """
    return _budgets.setdefault(clock, RateBudget(clock, REQUESTS_MAX, WINDOW_S))


class BudgetSpentError(SourceError):
    """A request was left out, so that the venue's limit is kept."""


class Door:
    """GETs within the budget.

    Args:
        get: the request itself: path with query to answer.
        clock: where time comes from.
        budget: what is left; None = that of all clients on this clock.
    """

    def __init__(
        self,
        get: Callable[[str], Awaitable[Reply]],
        clock: Clock,
        budget: RateBudget | None = None,
    ) -> None:
        self._get = get
        self._clock = clock
        self._budget = budget or shared_budget(clock)

    async def get(self, path: str, *, spare: int = 0) -> Reply:
        """The answer to a GET.

        Args:
            path: behind the host, with its query.
            spare: how much of the budget must be left for others.

        Raises:
            BudgetSpentError: nothing was asked: it would be more than the venue allows.
            SourceError: as `Fetcher.get`.
        """
        if not self._budget.take(spare=spare):
            raise BudgetSpentError(
                "poll bybit",
                f"a request was left out: {REQUESTS_MAX} in {WINDOW_S} s are the most",
                "see what else uses this address, or ask less: bybit.depth_tickers",
                kind=SourceFailure.SILENT,
            )
        asked = self._budget.taken
        reply = await self._get(path)
        told = left_of(reply.headers, self._clock.now_ns())
        if told is not None:
            self._budget.heed(*told, asked)
        return reply


def left_of(headers: Mapping[str, str], now_ns: int) -> tuple[int, int] | None:
    """How many requests the venue leaves us, and for how long (ns); None when it does not say."""
    left = _number(headers.get("X-Bapi-Limit-Status"))
    if left is None:
        return None
    limit = _number(headers.get("X-Bapi-Limit")) or 0
    reset_ms = _number(headers.get("X-Bapi-Limit-Reset-Timestamp"))
    duration_ns = WINDOW_S * NS_PER_S if reset_ms is None else reset_ms * NS_PER_MS - now_ns
    return left - limit // TOLD_MARGIN, duration_ns


def _number(text: str | None) -> int | None:
    fits = text is not None and len(text) <= _NUMBER_LENGTH_MAX and text.isascii()
    return int(text) if text is not None and fits and text.isdecimal() else None
