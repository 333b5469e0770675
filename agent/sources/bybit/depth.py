"""Bybit's order books: what a size costs, and how deep one has to look. Pure.

https://bybit-exchange.github.io/docs/v5/market/orderbook : `b` bids falling, `a` asks rising, each
a list of [price, size] with the size in base coin; `cts` is the matching engine's time in ms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Final

import msgspec

from agent.derive import EXACT, plain_number, text_of
from agent.errors import SourceError, SourceFailure
from agent.snapshot import is_plain_column
from agent.sources.bybit.envelope import Verdict, instant_ns
from agent.sources.fetch import Reply
from agent.sources.rows import UNREADABLE

NOTIONALS: Final = {"1k": Decimal(1_000), "100k": Decimal(100_000), "1m": Decimal(1_000_000)}
"""Sizes in quote currency, rising."""
LIMITS: Final = (50, 200, 500, 1000)
"""Levels a side that may be asked for; the venue gives no more than the last."""
HEADROOM: Final = Decimal("1.5")
"""So many times the levels that were needed are asked for: books thin out from slot to slot."""
BOOKS_REMEMBERED: Final = 32
"""How many slots a deeper look is kept up after it was last needed."""
_AVERAGE: Final = Context(prec=18)

Level = tuple[str, str]
"""Price (quote currency) and size (base coin), as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """An order book as published; `matched_ns` None = it says no time."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    matched_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read: `code` 0 = there is a book; see `refusals` for others."""

    code: int
    message: str
    book: Book | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What a book comes to.

    Args:
        prices: `bid_1k` … `ask_1m` to the average price; "" = the book is too thin for it.
        levels: how many levels a side the largest size took; None = too thin for it.
        matched_ns: the book's time, ns since the epoch; None when it has none.
    """

    prices: dict[str, str]
    levels: int | None
    matched_ns: int | None


class _Result(msgspec.Struct):
    s: str
    b: list[Level]
    a: list[Level]
    cts: int | None = None


READ_KEYS: Final = frozenset(_Result.__struct_fields__)
"""Keys of an order book that are read."""


class _Envelope(msgspec.Struct):
    result: _Result


_decode_verdict: Final = msgspec.json.Decoder(Verdict).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode


class _UnfitError(ValueError):
    """A level that no book can have."""


def read(reply: Reply, symbol: str) -> Answer:
    """The code, and only if it is 0 the book.

    Raises:
        SourceError: no JSON, not Bybit's envelope, or the book of another symbol.
    """
    try:
        verdict = _decode_verdict(reply.body)
        if verdict.retCode:
            return Answer(code=verdict.retCode, message=verdict.retMsg or "")
        result = _decode_envelope(reply.body).result
    except UNREADABLE as error:
        raise _unreadable(f"the answer ({reply.description}) is no order book: {error}") from error
    if result.s != symbol:
        raise _unreadable(f"the order book is that of {result.s[:40]!r}, not of {symbol}")
    book = Book(bids=result.b, asks=result.a, matched_ns=instant_ns(result.cts))
    return Answer(code=0, message="", book=book)


def _unreadable(subject: str) -> SourceError:
    hint = "a cut-off answer heals by itself; otherwise check bybit.api_base"
    return SourceError("poll bybit", subject, hint, kind=SourceFailure.UNREADABLE)


def depth_of(book: Book) -> Depth | None:
    """Average prices of each size; None when the book is refused.

    Refused is a book with an empty side, with its best bid at or above its best ask (prices are
    compared as decimals), with levels out of order, or with a price that is not above 0.
    """
    try:
        bids, bid_levels = average_prices(book.bids, falling=True)
        asks, ask_levels = average_prices(book.asks, falling=False)
        if Decimal(book.bids[0][0]) >= Decimal(book.asks[0][0]):
            return None
    except (_UnfitError, InvalidOperation):
        return None
    prices = {f"bid_{size}": text for size, text in zip(NOTIONALS, bids, strict=True)}
    prices.update({f"ask_{size}": text for size, text in zip(NOTIONALS, asks, strict=True)})
    enough = bid_levels is not None and ask_levels is not None
    levels = max(bid_levels or 0, ask_levels or 0) if enough else None
    return Depth(prices=prices, levels=levels, matched_ns=book.matched_ns)


def average_prices(
    levels: Sequence[Level], *, falling: bool, notionals: Sequence[Decimal] = (*NOTIONALS.values(),)
) -> tuple[list[str], int | None]:
    """Notional ÷ quantity for each notional, the last level taken in part.

    Args:
        levels: one side of a book, best first; only as many are looked at as are needed.
        falling: whether its prices fall (bids) or rise (asks).
        notionals: rising, in quote currency.

    Returns:
        A price each ("" = too thin), exact where one level is enough, else rounded to 18
        significant digits; and how many levels the last took (None = too thin for it).

    Raises:
        ValueError: the side is empty, or a level on the way is none.
        InvalidOperation: likewise.
    """
    if not levels:
        raise _UnfitError("an empty side")
    found: list[str] = []
    best = last = Decimal(levels[0][0])
    quantity = spent = Decimal(0)
    with localcontext(EXACT):
        for taken, level in enumerate(levels, start=1):
            price, size = _checked(level)
            if (price > last) if falling else (price < last):
                raise _UnfitError("out of order")
            last = price
            while spent + price * size >= notionals[len(found)]:
                notional = notionals[len(found)]
                average = _AVERAGE.divide(notional, quantity + (notional - spent) / price)
                # Rounding must not carry it past the levels it is made of.
                average = min(max(average, min(best, price)), max(best, price))
                text = level[0] if price == best else text_of(average)
                found.append(plain_number(text) or "")
                if len(found) == len(notionals):
                    return found, taken
            quantity += size
            spent += price * size
    return found + [""] * (len(notionals) - len(found)), None


def _checked(level: Level) -> tuple[Decimal, Decimal]:
    """Price and size as numbers. Raises _UnfitError, InvalidOperation."""
    if not is_plain_column(level):
        raise _UnfitError("no plain numbers")
    price, size = map(Decimal, level)
    if price <= 0 or size < 0:
        raise _UnfitError("not above 0")
    return price, size


@dataclass(slots=True)
class Reach:
    """How deep a symbol's book has to be asked for: learned from its books, newest last.

    Nothing is known at first: then the deepest. A book that was too thin is asked for at its
    deepest again; one that was more than deep enough soon at less.
    """

    _needed: deque[int] = field(default_factory=lambda: deque(maxlen=BOOKS_REMEMBERED))

    @property
    def limit(self) -> int:
        """Levels a side to ask for, one of `LIMITS`."""
        wanted = max(self._needed, default=LIMITS[-1]) * HEADROOM
        return next((limit for limit in LIMITS if limit >= wanted), LIMITS[-1])

    def learn(self, book: Book, depth: Depth, limit: int) -> None:
        """What a book that was asked for with `limit` shows."""
        whole = max(len(book.bids), len(book.asks))
        if depth.levels is not None:
            self._needed.append(depth.levels)
        elif whole < limit:  # there is no more of it
            self._needed.append(whole)
        else:
            self._needed.clear()
