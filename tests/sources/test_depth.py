"""Order books: what a size costs, and how deep one has to look."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.bybit.depth import (
    LIMITS,
    NOTIONALS,
    Book,
    Depth,
    Level,
    Reach,
    average_prices,
    depth_of,
    read,
)
from agent.sources.fetch import Reply
from tests.support.venue import recorded


@st.composite
def sides(draw: st.DrawFn, *, falling: bool = False) -> list[Level]:
    """One side of a book, of 1 to 12 levels, best first."""
    cents = draw(st.lists(st.integers(1, 10**8), min_size=1, max_size=12, unique=True))
    sizes = st.decimals("0.001", "5000", places=3)
    return [
        (f"{Decimal(price).scaleb(-2)}", str(draw(sizes)))
        for price in sorted(cents, reverse=falling)
    ]


notionals = st.lists(
    st.decimals("0.01", "2000000", places=2), min_size=1, max_size=4, unique=True
).map(sorted)


def exact(levels: list[Level], notional: Decimal) -> Fraction | None:
    """The average price by the definition, in fractions; None = too thin."""
    left, quantity = Fraction(notional), Fraction(0)
    for price, size in levels:
        part = min(left, Fraction(price) * Fraction(size))
        quantity += part / Fraction(price)
        left -= part
    return None if left else Fraction(notional) / quantity


@given(levels=sides(), sizes=notionals)
def test_a_price_is_notional_by_quantity(levels: list[Level], sizes: list[Decimal]) -> None:
    """To 17 digits the definition; absent just where the side holds less than the size."""
    found, _ = average_prices(levels, falling=False, notionals=sizes)
    for text, size in zip(found, sizes, strict=True):
        wanted = exact(levels, size)
        assert (text == "") == (wanted is None)
        if wanted is not None:
            assert abs(Fraction(text) / wanted - 1) < Fraction(1, 10**17)
            assert "E" not in text


@given(falling=st.booleans(), data=st.data(), sizes=notionals)
def test_prices_are_monotone_and_bounded(
    data: st.DataObject, sizes: list[Decimal], *, falling: bool
) -> None:
    """A larger size is never cheaper; no price lies outside the best and the worst level used."""
    levels = data.draw(sides(falling=falling))
    texts, taken = average_prices(levels, falling=falling, notionals=sizes)
    found = [Decimal(text) for text in texts if text]
    assert texts[: len(found)] == [text for text in texts if text]  # the larger ones are missing
    assert found == sorted(found, reverse=falling)
    best, worst = Decimal(levels[0][0]), Decimal(levels[(taken or len(levels)) - 1][0])
    assert all(min(best, worst) <= price <= max(best, worst) for price in found)


@given(levels=sides(), sizes=notionals)
def test_no_more_levels_are_taken_than_needed(levels: list[Level], sizes: list[Decimal]) -> None:
    """The count of levels is the least that holds the largest size."""
    texts, taken = average_prices(levels, falling=False, notionals=sizes)
    if taken is not None:
        assert average_prices(levels[:taken], falling=False, notionals=sizes) == (texts, taken)
        assert exact(levels[: taken - 1], sizes[-1]) is None


def test_the_recorded_book_by_hand() -> None:
    """The book of 20 September 2026: 112,921.77 USDT at the best ask, the rest dearer."""
    reply = Reply(200, {}, recorded("bybit", "order-book", "book.json"), 0, 0)
    book = read(reply, "BTCUSDT").book
    assert book is not None
    assert book.matched_ns == 1_789_898_084_001_000_000
    # 80427.90 * 1.404 = 112920.7716; 79.2284 of 113000 are left, 0.000985084796339583... BTC at
    # 80428.00; 113000 / 1.404985084796339583 = 80427.9000701143...
    (price,), taken = average_prices(book.asks, falling=False, notionals=[Decimal(113_000)])
    assert taken == 2
    assert price.startswith("80427.90007011")
    # 80427.90 * 1.404 + 80428.00 * 0.012 + 80428.10 * 0.002 = 114046.7638: the whole side
    whole = [Decimal("114046.7638")]
    assert average_prices(book.asks, falling=False, notionals=whole)[1] == 3
    more = [Decimal("114046.7639")]
    assert average_prices(book.asks, falling=False, notionals=more) == ([""], None)


def test_prices_by_hand() -> None:
    """100 for 1000, then 110 for 99,000: 1k at 100, 100k at 109.8901…, 1m down to 125."""
    asks = [("100", "10"), ("110", "900"), ("125", "20000")]
    found, taken = average_prices(asks, falling=False)
    # 100k: 10 + 99000 / 110 = 910; 1m: 10 + 900 + 900000 / 125 = 8110
    assert found == ["100", "109.890109890109890", "123.304562268803946"]
    assert taken == 3


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], [("2", "1")]),
        ([("1", "1")], []),
        ([("2.0", "1")], [("2.00", "1")]),
        ([("3", "1")], [("2", "1")]),
        ([("1", "1"), ("1.5", "1")], [("2", "1")]),
        ([("1", "1")], [("2", "1"), ("1.9", "1")]),
        ([("0", "1")], [("2", "1")]),
        ([("1", "-1")], [("2", "1")]),
        ([("", "1")], [("2", "1")]),
        ([("1", "1e5")], [("2", "1")]),
        ([("1", "NaN")], [("2", "1")]),
    ],
)
def test_a_book_that_cannot_be_is_refused(bids: list[Level], asks: list[Level]) -> None:
    """Empty, locked or crossed as decimals, out of order, or not of numbers: no prices."""
    assert depth_of(Book(bids=bids, asks=asks)) is None


def learned(reach: Reach, levels: int | None, *, whole: int = 1000) -> int:
    """The limit after a book that took so many levels."""
    book = Book(bids=[("1", "1")] * whole, asks=[("2", "1")] * whole)
    depth = Depth(prices=dict.fromkeys(NOTIONALS, ""), levels=levels, matched_ns=None)
    reach.learn(book, depth, reach.limit)
    return reach.limit


def test_the_limit_is_learned() -> None:
    """First the deepest, then as deep as the size took and half as much again."""
    reach = Reach()
    assert reach.limit == LIMITS[-1]
    assert learned(reach, 3) == 50
    assert learned(reach, 33) == 50
    assert learned(reach, 34) == 200
    assert learned(reach, 300) == 500


def test_the_limit_falls_when_depth_was_long_not_needed() -> None:
    """A deep look is kept up for 32 books, so that a limit does not swing."""
    reach = Reach()
    learned(reach, 120)
    assert [learned(reach, 3) for _ in range(32)] == [200] * 31 + [50]


def test_too_thin_a_book_is_asked_for_at_its_deepest() -> None:
    """A book too thin at its limit is asked for at 1000; one with no more levels is not."""
    reach = Reach()
    assert learned(reach, 3) == 50
    assert learned(reach, None) == LIMITS[-1]
    assert learned(reach, None, whole=30) == 50
