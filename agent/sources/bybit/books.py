"""Asking for order books: side by side, each as deep as it must be, in turns when too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from agent.errors import SourceError, SourceFailure
from agent.poll import EndpointReport
from agent.sources.bybit import depth, refusals
from agent.sources.bybit.door import HISTORIES_SHARE, TICKERS_SHARE, BudgetSpentError, Door
from agent.sources.fetch import Reply

PATH: Final = "/v5/market/orderbook"
ENDPOINT: Final = "orderbook"


@dataclass(slots=True, kw_only=True)
class Books:
    """What the order books of one slot came to.

    Args:
        depths: symbol to what its book says; symbols without a usable book are not there.
        replies: every answer.
        problems: requests that failed.
        refused: books that were answered but are none to price from.
        left_out: requests for which the budget had no room.
        notices: what is worth saying once.
    """

    depths: dict[str, depth.Depth] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    problems: list[SourceError] = field(default_factory=list)
    refused: int = 0
    left_out: int = 0
    notices: list[str] = field(default_factory=list)

    @property
    def report(self) -> EndpointReport:
        """The endpoint's part in the poll."""
        return EndpointReport(
            endpoint=ENDPOINT,
            ok=not self.problems,
            latency_ms=max((reply.latency_ms for reply in self.replies), default=None),
            bytes=sum(len(reply.body) for reply in self.replies),
            rows=len(self.depths),
            bad_rows=self.refused,
            left_out=self.left_out,
        )


class BookReader:
    """Reads order books and remembers how deep each has to be.

    Args:
        door: the way to the venue.
        category: "linear".
        deadline_s: after so long a slot goes on without the books that are not there.
        pause_s: the silence that a rate limit asks for now.
    """

    def __init__(
        self, door: Door, category: str, deadline_s: float, pause_s: Callable[[], int]
    ) -> None:
        self._door = door
        self._category = category
        self._deadline_s = deadline_s
        self._pause_s = pause_s
        self._reaches: dict[str, depth.Reach] = {}
        self._unknown: set[str] = set()
        self._turns: dict[str, int] = {}
        """Symbol to the slot it was asked for last, slots counted from 1."""
        self._turn = 0

    async def read(self, symbols: Sequence[str]) -> Books:
        """The books of these symbols, but of those that the venue does not know."""
        books = Books()
        wanted = [symbol for symbol in symbols if symbol not in self._unknown]
        wanted.sort(key=lambda symbol: self._turns.get(symbol, 0))  # longest not asked comes first
        self._turn += 1
        await asyncio.gather(*(self._read_one(symbol, books) for symbol in wanted))
        if books.left_out:
            books.notices.append(
                "bybit.depth_tickers are more order books than the venue's limit allows: some are "
                "left out of each slot, in turns"
            )
        return books

    async def _read_one(self, symbol: str, books: Books) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ask(symbol, books)
        except BudgetSpentError:
            books.left_out += 1
        except TimeoutError:
            books.problems.append(
                SourceError(
                    "poll bybit",
                    f"no order book of {symbol} within {self._deadline_s:g} s",
                    "check the network; the ticker is stored without it",
                    kind=SourceFailure.TIMED_OUT,
                )
            )
        except SourceError as problem:
            books.problems.append(problem)

    async def _ask(self, symbol: str, books: Books) -> None:
        reach = self._reaches.setdefault(symbol, depth.Reach())
        limit = reach.limit
        query = f"category={self._category}&limit={limit}&symbol={quote(symbol, '')}"
        spare = TICKERS_SHARE + HISTORIES_SHARE
        reply = await self._door.get(f"{PATH}?{query}", spare=spare)
        self._turns[symbol] = self._turn
        books.replies.append(reply)
        refusals.check_status(reply, self._pause_s())
        answer = depth.read(reply, symbol)
        if answer.code == refusals.SYMBOL_INVALID:
            self._unknown.add(symbol)
            books.notices.append(
                f"bybit has no order book of {symbol!r}; check bybit.depth_tickers"
            )
            return
        refusals.check_code(answer.code, answer.message, self._pause_s())
        found = depth.depth_of(answer.book) if answer.book else None
        if answer.book is None or found is None:
            books.refused += 1
            return
        reach.learn(answer.book, found, limit)
        books.depths[symbol] = found
