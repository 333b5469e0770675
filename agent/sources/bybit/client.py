"""Asking Bybit: which requests a poll needs, and what to do when one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp

from agent.clock import SYSTEM_CLOCK, Clock
from agent.errors import SourceError, SourceFailure
from agent.poll import Contract, EndpointReport, Poll, Settlement
from agent.sources.base import HttpSource, Tickers
from agent.sources.budget import RateBudget
from agent.sources.bybit import instruments, refusals, wire
from agent.sources.bybit.books import BookReader, Books
from agent.sources.bybit.door import BudgetSpentError, Door
from agent.sources.bybit.funding import FundingReader, settlements_of
from agent.sources.conduct import doubled_s
from agent.sources.fetch import Reply
from agent.sources.names import BYBIT_APART, bybit_symbol, bybit_ticker
from agent.sources.rows import build_batch

API_BASE: Final = "https://api.bybit.com"
PATH: Final = "/v5/market/tickers"
ENDPOINT: Final = "tickers"
SINGLE_REQUESTS_MAX: Final = 8
"""Up to here one small request a symbol is cheaper on the wire than the list of all (363 KB)."""
BOOK_DEADLINE_PERCENT: Final = 80
"""Of a slot: a book that takes longer would cost the ticker of the next."""

_Wanted = Mapping[str, Sequence[str]]
"""Symbol to the tickers it is stored under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What one request came to."""

    reply: Reply | None = None
    answer: wire.Answer | None = None
    problem: SourceError | None = None
    refused: str | None = None
    """The symbol that was asked for, when the venue does not know it."""

    @property
    def left_out(self) -> bool:
        """Whether the rate budget had no room for it."""
        return isinstance(self.problem, BudgetSpentError)


class BybitClient(HttpSource):
    """Bybit's linear perpetuals.

    Args:
        api_base, timeout_s, poll_interval_s, session, clock: as in `HttpSource`.
        category: "linear".
        symbols: ticker to symbol where it is not TICKER + "USDT".
        depth_tickers: of the tickers that are polled, those whose order book is read too.
        funding_backfill_days: how far back `settled` is worth asking for; 0 = not at all.
        budget: how many requests may go out; None = the one of all clients on this clock.
    """

    _known_keys = wire.KNOWN_KEYS

    def __init__(  # noqa: PLR0913  # one for each key of its section, and three for tests
        self,
        *,
        api_base: str = API_BASE,
        category: str = "linear",
        symbols: Mapping[str, str] | None = None,
        poll_interval_s: int = 1,
        timeout_s: float = 5,
        depth_tickers: Sequence[str] = (),
        funding_backfill_days: int = 30,
        session: aiohttp.ClientSession | None = None,
        clock: Clock = SYSTEM_CLOCK,
        budget: RateBudget | None = None,
    ) -> None:
        super().__init__(
            api_base=api_base,
            timeout_s=timeout_s,
            poll_interval_s=poll_interval_s,
            session=session,
            clock=clock,
        )
        self._category = category
        self._symbols = dict(symbols or {})
        self._named = _by_symbol(self._symbols.items())
        self._refused: set[str] = set()
        self._depth_tickers = tuple(depth_tickers)
        self.backfill_days = funding_backfill_days
        self._door = Door(self._get, clock, budget)
        deadline_s = min(timeout_s, poll_interval_s * BOOK_DEADLINE_PERCENT / 100)
        self._books = BookReader(self._door, category, deadline_s, self._pause_s)
        self._funding = FundingReader(self._door, category, self._pause_s)
        self._contracts: Mapping[str, Contract] = {}
        self._settling: dict[str, str] = {}
        """Ticker to symbol of what was polled last and pays funding."""
        self._apart: list[str] = []

    @property
    def source_name(self) -> str:
        """The source tag."""
        return "bybit"

    async def poll(self, tickers: Tickers, slot_ns: int) -> Poll:
        """Up to 8 symbols by a request each, side by side; more by one request for all.

        Order books are asked for beside them; the tickers are stored also when these fail.
        """
        silent = self._silent(slot_ns, ENDPOINT)
        if silent is not None:
            return silent
        wanted = None if tickers == "all" else self._wanted(tickers)
        self._apart = [] if tickers == "all" else self._left_apart(tickers)
        outcomes, books = await asyncio.gather(
            self._ask_all(wanted), self._books.read(self._deep(tickers))
        )
        problems = tuple(outcome.problem for outcome in outcomes if outcome.problem)
        self._behave((*problems, *books.problems))
        if all(outcome.refused for outcome in outcomes):
            problems = (self._nothing_left(),)
        return self._combined(outcomes, problems, wanted, books, slot_ns)

    def settling(self) -> Sequence[str]:
        """The tickers of the last poll that pay funding; none before the first."""
        return list(self._settling)

    async def settled(self, ticker: str, since_ns: int) -> list[Settlement]:
        """What was settled after that instant, oldest first, each once.

        Raises:
            SourceError: the venue gave none, or wants not to be asked now.
        """
        self._check_silence()
        symbol = self._settling.get(ticker) or next(iter(self._wanted((ticker,))), None)
        if symbol is None:
            return []
        try:
            rows = await self._funding.read(symbol, since_ns, self._clock.now_ns())
        except SourceError as problem:
            self._behave((problem,))
            raise
        return settlements_of(ticker, rows, since_ns)

    async def discover(self) -> Mapping[str, Contract]:
        """Every contract that the venue lists, by its symbol; what is a perpetual follows it.

        Raises:
            SourceError: the venue gave no whole list, or wants not to be asked now.
        """
        self._check_silence()
        try:
            self._contracts = await instruments.read_all(self._door, self._category, self._pause_s)
        except SourceError as problem:
            self._behave((problem,))
            raise
        self._refused -= self._contracts.keys()
        return self._contracts

    def _check_silence(self) -> None:
        silent = self._silent(0, ENDPOINT)
        if silent is not None:
            raise silent.problems[0]

    async def _ask_all(self, wanted: _Wanted | None) -> Sequence[_Outcome]:
        if wanted is None or len(wanted) > SINGLE_REQUESTS_MAX:
            return [await self._ask(None)]
        return await asyncio.gather(*(self._ask(symbol) for symbol in wanted))

    def _deep(self, tickers: Tickers) -> list[str]:
        """The symbols whose order book is read, each once."""
        deep = [name for name in self._depth_tickers if tickers == "all" or name in tickers]
        return list(self._wanted(deep))

    def _pause_s(self) -> int:
        """The silence that a rate limit asks for now."""
        return doubled_s(
            refusals.RATE_SILENCE_S, self.conduct.refusals + 1, refusals.RATE_SILENCE_MAX_S
        )

    def _wanted(self, tickers: Sequence[str]) -> _Wanted:
        """What to ask for: no symbol that the venue does not know."""
        pairs = ((name, self._symbols.get(name) or bybit_symbol(name)) for name in tickers)
        return _by_symbol(
            (name, symbol) for name, symbol in pairs if symbol and symbol not in self._refused
        )

    def _left_apart(self, tickers: Sequence[str]) -> list[str]:
        """A notice for each ticker that is joined with nothing here."""
        return [
            f"{name!r} is no ticker of bybit ({BYBIT_APART[name.upper()]}): it is not collected "
            "there unless bybit.symbols names its symbol"
            for name in tickers
            if name.upper() in BYBIT_APART and name not in self._symbols
        ]

    def _behave(self, problems: Sequence[SourceError]) -> None:
        """Fall silent as the answers of a slot demand: longer with each limited slot in a row."""
        if self.conduct.silence_left_s(self._clock.now_ns()):
            # Demanded meanwhile of another request: no answer of the same time undoes it, and of
            # several refusals at once only the first counts for the doubling.
            self._heed(problems)
            return
        if not problems:
            self.conduct.answered()
        self._heed(problems)
        if any(problem.kind is SourceFailure.RATE_LIMITED for problem in problems):
            self.conduct.refusals += 1

    async def _ask(self, symbol: str | None) -> _Outcome:
        """One request: a symbol's row, or (None) those of all."""
        query = f"category={self._category}" + (f"&symbol={quote(symbol, '')}" if symbol else "")
        reply = None
        try:
            reply = await self._door.get(f"{PATH}?{query}")
            refusals.check_status(reply, self._pause_s())
            answer = wire.read(reply)
            if symbol and answer.code == refusals.SYMBOL_INVALID:
                self._refused.add(symbol)
                return _Outcome(reply=reply, refused=symbol)
            refusals.check_code(answer.code, answer.message, self._pause_s())
        except SourceError as problem:
            return _Outcome(reply=reply, problem=problem)
        return _Outcome(
            reply=reply, answer=answer, problem=None if answer.rows else self._no_row(answer)
        )

    def _combined(
        self,
        outcomes: Sequence[_Outcome],
        problems: tuple[SourceError, ...],
        wanted: _Wanted | None,
        books: Books,
        slot_ns: int,
    ) -> Poll:
        """What the requests of one slot come to together."""
        replies = [outcome.reply for outcome in outcomes if outcome.reply]
        answers = [outcome.answer for outcome in outcomes if outcome.answer]
        # What is stored is known when the last answer is there, be it a ticker or a book.
        arrivals = (reply.received_ns for reply in (*replies, *books.replies))
        received_ns = max(arrivals, default=slot_ns)
        rows, tickers, stamps_ns = self._selected(answers, wanted)
        if answers and not problems:
            pairs = zip(tickers, rows, strict=True)
            self._settling = {
                ticker: row.symbol for ticker, row in pairs if row.fundingIntervalHour
            }
        batch, dropped = build_batch(
            wire.rows_of(rows, tickers, stamps_ns, books.depths),
            source=self.source_name,
            slot_ns=slot_ns,
            received_ns=received_ns,
            derive=lambda kept: wire.columns_of(kept, slot_ns, received_ns),
        )
        report = EndpointReport(
            endpoint=ENDPOINT,
            ok=not problems,
            latency_ms=max((reply.latency_ms for reply in replies), default=None),
            bytes=sum(len(reply.body) for reply in replies),
            rows=len(batch),
            bad_rows=dropped + sum(answer.bad_rows for answer in answers),
            left_out=sum(outcome.left_out for outcome in outcomes),
        )
        notices = [
            *self._unlisted(outcomes, wanted),
            *self._drift_of(outcomes),
            *books.notices,
            *self._apart,
        ]
        if report.left_out:
            notices.append("bybit's rate limit is spent: tickers are left out; see who else asks")
        return Poll(
            source=self.source_name,
            slot_ns=slot_ns,
            batch=batch if len(batch) else None,
            reports=(report, books.report) if self._depth_tickers else (report,),
            problems=(*problems, *books.problems),
            notices=self._once(notices),
        )

    def _selected(
        self, answers: Sequence[wire.Answer], wanted: _Wanted | None
    ) -> tuple[list[wire.Row], list[str], list[int | None]]:
        """The rows that were asked for, with their ticker and their answer's server time."""
        rows: list[wire.Row] = []
        tickers: list[str] = []
        stamps_ns: list[int | None] = []
        for answer in answers:
            for row in answer.rows:
                symbol = row.symbol
                for ticker in self._tickers(symbol) if wanted is None else wanted.get(symbol, ()):
                    rows.append(row)
                    tickers.append(ticker)
                    stamps_ns.append(answer.time_ns)
        return rows, tickers, stamps_ns

    def _tickers(self, symbol: str) -> Sequence[str]:
        """Tickers of a perpetual in USDT; none of other contracts (dated ones end in a date)."""
        named = self._named.get(symbol, ())
        contract = self._contracts.get(symbol)
        if named or (contract is not None and not contract.perpetual):
            return named
        ticker = bybit_ticker(symbol, contract.base_coin if contract else None)
        # A ticker that the configuration gives to another symbol is not this one's.
        return () if ticker is None or ticker in self._symbols else (ticker,)

    def _unlisted(self, outcomes: Sequence[_Outcome], wanted: _Wanted | None) -> list[str]:
        """A notice per symbol that was asked for in vain, though all was answered."""
        missing = {outcome.refused for outcome in outcomes if outcome.refused}
        if wanted is not None and not any(outcome.problem for outcome in outcomes):
            answers = [outcome.answer for outcome in outcomes if outcome.answer]
            missing.update(set(wanted) - {row.symbol for answer in answers for row in answer.rows})
        return [
            f"bybit has no readable row for symbol {symbol!r}; check tickers and bybit.symbols"
            for symbol in sorted(missing)
        ]

    def _drift_of(self, outcomes: Sequence[_Outcome]) -> list[str]:
        bodies = [outcome.reply.body for outcome in outcomes if outcome.reply and outcome.answer]
        return self._drift(bodies[0]) if bodies else []

    def _no_row(self, answer: wire.Answer) -> SourceError:
        return self._error(
            SourceFailure.UNREADABLE,
            f"the answer has no readable row ({answer.bad_rows} unreadable)",
            "the venue may be in maintenance; a changed format needs a newer perpflux",
        )

    def _nothing_left(self) -> SourceError:
        return self._error(
            SourceFailure.REFUSED,
            "it knows none of the configured tickers",
            "check tickers and bybit.symbols; restart after a change",
        )


def _by_symbol(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Symbol to tickers, from pairs of ticker and symbol."""
    tickers: dict[str, list[str]] = {}
    for ticker, symbol in pairs:
        tickers.setdefault(symbol, []).append(ticker)
    return tickers
