"""Derived numbers against straightforward fractions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import derive
from agent.derive import PUBLISHED_DIGITS_MAX
from agent.snapshot import is_plain_column
from tests.support.batches import plain_numbers

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
published = st.one_of(st.just(""), plain_numbers(PUBLISHED_DIGITS_MAX))
"""Any text that a venue may publish."""
prices = st.one_of(
    st.just(""),
    st.decimals("0.00000001", "2000000", places=8, allow_nan=False).map("{:f}".format),
    st.decimals(90_000, 90_001, places=3, allow_nan=False).map("{:f}".format),
)
"""Prices as venues have them, those close together often."""

RELATIVE_ERROR_MAX = Fraction(1, 10**9)
"""Nine significant digits and better."""
STORED_MIN, STORED_MAX = Fraction(1, 10**27), Fraction(10**39)
"""Within these bounds a ratio is always stored."""


def exact(text: str) -> Fraction | None:
    """The number of a text; None for ""."""
    return Fraction(text) if text else None


def ratio(upper: Fraction, lower: Fraction) -> Fraction | None:
    """Their quotient, where the lower is above 0."""
    return upper / lower if lower > 0 else None


def assert_close(text: str, expected: Fraction | None) -> None:
    """The text is plain and right to nine digits; missing only where there is no value."""
    if not text:
        assert expected is None or expected == 0 or not STORED_MIN < abs(expected) < STORED_MAX
        return
    assert NUMBER.fullmatch(text)
    assert expected is not None
    assert abs(Fraction(text) - expected) <= abs(expected) * RELATIVE_ERROR_MAX


def columns_of(rows: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, list[str]]:
    """Columns from rows."""
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


NAMES = "bid_1k ask_1k bid_100k ask_100k bid_1m ask_1m mark_price index_price".split()


@given(st.lists(st.one_of(*[st.tuples(*[each] * len(NAMES)) for each in (prices, published)])))
@settings(max_examples=80, deadline=None)
def test_the_formulas_of_the_contract(rows: list[tuple[str, ...]]) -> None:
    """Mid, spreads, impacts and basis are those of the contract, wherever they can be known."""
    given_columns = columns_of(rows, NAMES)
    columns = derive.complete(given_columns)
    assert all(is_plain_column(column) for column in columns.values())
    assert {name: columns[name] for name in NAMES} == given_columns
    for row in range(len(rows)):
        known = {name: exact(column[row]) for name, column in given_columns.items()}
        found = {name: column[row] for name, column in columns.items()}
        mids: dict[str, Fraction | None] = {}
        for size, spread in (
            ("1k", "spread_bps"),
            ("100k", "spread_100k_bps"),
            ("1m", "spread_1m_bps"),
        ):
            bid, ask = known[f"bid_{size}"], known[f"ask_{size}"]
            mids[size] = None if bid is None or ask is None else (bid + ask) / 2
            mid = mids[size]
            assert_close(
                found[spread],
                None
                if mid is None or bid is None or ask is None
                else ratio((ask - bid) * 10**4, mid),
            )
        mid = mids["1k"]
        assert exact(found["mid"]) == mid
        bid, ask = known["bid_100k"], known["ask_100k"]
        buy = None if mid is None or ask is None else ratio((ask - mid) * 10**4, mid)
        sell = None if mid is None or bid is None else ratio((mid - bid) * 10**4, mid)
        assert_close(found["impact_buy_bps"], buy)
        assert_close(found["impact_sell_bps"], sell)
        mark, index = known["mark_price"], known["index_price"]
        basis = None if mark is None or index is None else ratio((mark - index) * 10**4, index)
        assert_close(found["basis_bps"], basis)


@pytest.mark.parametrize(
    ("given_names", "derived"),
    [
        ("mark_price", ""),
        ("mark_price index_price", "basis_bps"),
        ("bid_1k", ""),
        ("bid_1k ask_1k", "mid spread_bps"),
        ("bid_100k ask_100k", "spread_100k_bps"),
        (
            "bid_1k ask_1k bid_100k ask_100k",
            "mid spread_bps spread_100k_bps impact_buy_bps impact_sell_bps",
        ),
        ("bid_1m ask_1m", "spread_1m_bps"),
    ],
)
def test_what_a_source_does_not_publish_is_not_derived(given_names: str, derived: str) -> None:
    """A source without a tier has no columns that need it."""
    columns = derive.complete({name: ["1", ""] for name in given_names.split()})
    assert set(columns) == {*given_names.split(), *derived.split()}


@example([("9" * 36 + "." + "9" * 36, "0." + "0" * 35 + "2")])
@given(st.lists(st.tuples(published, published)))
@settings(max_examples=80, deadline=None)
def test_sums_and_halves_are_exact(rows: list[tuple[str, str]]) -> None:
    """No digit of a sum or half is lost, however long the numbers; missing stays missing."""
    first, second = (columns_of(rows, "ab")[name] for name in "ab")
    sums, halves = derive.added(first, second), derive.halved(first)
    assert is_plain_column(sums)
    assert is_plain_column(halves)
    for one, other, total, half in zip(first, second, sums, halves, strict=True):
        assert exact(total) == (Fraction(one) + Fraction(other) if one and other else None)
        assert exact(half) == (Fraction(one) / 2 if one else None)


@given(
    st.lists(
        st.tuples(
            st.one_of(published, st.decimals(-1, 1, places=8).map("{:f}".format)),
            st.one_of(published, st.sampled_from(["3600", "7200", "14400", "28800", "0", "-3600"])),
        )
    )
)
@settings(max_examples=80, deadline=None)
def test_annualised_is_rate_times_intervals_per_year(rows: list[tuple[str, str]]) -> None:
    """A year has 365 days; without an interval above 0 there is no annual rate."""
    rates, intervals = (columns_of(rows, "ab")[name] for name in "ab")
    texts = derive.annualised(rates, intervals)
    assert is_plain_column(texts)
    for rate, interval_s, text in zip(rates, intervals, texts, strict=True):
        expected = None
        if rate and interval_s:
            expected = ratio(Fraction(rate) * 31_536_000, Fraction(interval_s))
        assert_close(text, expected)


def test_rates_of_real_length_are_annualised_exactly() -> None:
    """Rates with up to 8 digits and intervals of 1 to 8 hours lose nothing."""
    texts = derive.annualised(
        ["0.00001938", "-0.00375000", "0", "0.99999999"], ["28800", "3600", "14400", "7200"]
    )
    assert texts == ["0.02122110", "-32.85000000", "0", "4379.99995620"]


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("5453073976.80", "2726536988.400"),
        ("0", "0.0"),
        ("0.00", "0.000"),
        ("0.00000000", "0.000000000"),
        ("-1", "-0.5"),
        ("0.0000001", "0.00000005"),
        ("", ""),
    ],
)
def test_no_exponent_ever(text: str, half: str) -> None:
    """Very small numbers and zeros with many decimals are written out too."""
    assert derive.halved([text]) == [half]


def test_a_ratio_that_cannot_be_stored_is_missing() -> None:
    """A ratio with more than 40 digits on a side says nothing; it costs no row."""
    tiny, huge = f"0.{'0' * 35}1", "9" * 36
    columns = derive.complete({"mark_price": [huge, tiny], "index_price": [tiny, huge]})
    assert columns["basis_bps"] == ["", "-10000.0000000"]


@pytest.mark.parametrize(
    ("bid", "ask", "mid", "spread"),
    [
        ("0", "0", "0.0", ""),
        ("-1", "1", "0.0", ""),
        ("-2", "-1", "-1.5", ""),
        ("0", "2", "1.0", "20000"),
        ("2", "1", "1.5", "-6666.66666667"),
        ("1", "1", "1.0", "0"),
        ("", "1", "", ""),
        ("1", "", "", ""),
    ],
)
def test_a_spread_needs_a_mid_above_zero(bid: str, ask: str, mid: str, spread: str) -> None:
    """Where the mid is 0 or below there is no ratio to it; a crossed quote has a negative one."""
    columns = derive.complete({"bid_1k": [bid], "ask_1k": [ask]})
    assert columns["mid"] == [mid]
    assert (Fraction(columns["spread_bps"][0]) if spread else columns["spread_bps"][0]) == (
        Fraction(spread) if spread else ""
    )


def test_the_quote_age_is_never_negative() -> None:
    """Receipt minus stamp in whole ms, cut down; 0 for a stamp ahead; missing without one."""
    stamps_ns = [0, 999_999, 1_000_000, 5_000_000, 5_000_001, None]
    assert derive.age_ms(5_000_000, stamps_ns) == ["5", "4", "4", "0", "0", ""]


@given(st.lists(st.tuples(published, published)))
@settings(max_examples=50, deadline=None)
def test_first_known(rows: list[tuple[str, str]]) -> None:
    """The second is only taken where the first is missing; a "0" is known."""
    first, second = (columns_of(rows, "ab")[name] for name in "ab")
    assert derive.first_known(first, second) == [other if one == "" else one for one, other in rows]


def test_each_works_a_value_out_once() -> None:
    """What is there often is worked out once, and stands where it belongs."""
    asked: list[str] = []

    def shout(text: str) -> str:
        asked.append(text)
        return text.upper()

    assert derive.each(shout, ["a", "b", "a", "a"]) == ["A", "B", "A", "A"]
    assert sorted(asked) == ["a", "b"]
