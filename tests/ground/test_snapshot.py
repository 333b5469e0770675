"""The one type that flows, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import INSTANT_MAX_NS
from agent.errors import LineProtocolError
from agent.snapshot import (
    DIGITS_MAX,
    PLAIN_NUMBER,
    Batch,
    PlainColumn,
    Snapshot,
    each_fits,
    is_plain_column,
    number_lines,
)
from tests.support.batches import batches, cells

GOOD: dict[str, Any] = {
    "source": "s",
    "slot_ns": 1_762_220_791_000_000_000,
    "received_ns": 1_762_220_791_908_000_000,
    "tickers": ["A", "B"],
    "columns": {"mark_price": ["1.50", ""], "mid": ["", "-0.10"]},
    "quotes_updated_ns": [1_762_220_790_476_166_127, None],
}
NASTY = [
    "1\n2",
    "\n",
    "1\n",
    "NaN",
    "1e5",
    "+1",
    " 1",
    "1 ",
    "1.",
    ".5",
    "-",
    "--1",
    "1.2.3",
    "\u0661",
]


@given(st.lists(st.one_of(cells, st.sampled_from(NASTY), st.text("0123.-\n", max_size=4))))
@settings(max_examples=200, deadline=None)
def test_a_column_is_plain_if_every_value_is(values: list[str]) -> None:
    """The check over the joined text agrees with one per value, newlines in values included."""
    each = all(not value or PLAIN_NUMBER.fullmatch(value) for value in values)
    assert is_plain_column(values) == each


@pytest.mark.parametrize("digits_max", [1, 2, DIGITS_MAX])
def test_how_many_digits_a_number_may_have(digits_max: int) -> None:
    """So many on either side of the point, and not one more."""
    digits = "7" * digits_max
    lines = number_lines(digits_max)
    for good in (digits, f"-{digits}", f"{digits}.{digits}", f"-{digits}.{digits}", ""):
        assert each_fits([good], lines)
    for bad in (f"7{digits}", f"{digits}.7{digits}", f"7{digits}.7"):
        assert not each_fits([bad], lines)


def test_a_long_bad_value_costs_no_time() -> None:
    """The patterns never go back over what they have read: no input is slow (linear time)."""
    assert not is_plain_column(["1" * 5_000_000 + "x", "1.1" * 1_000_000])


@given(batches())
@settings(max_examples=50, deadline=None)
def test_rows_are_views_of_the_columns(batch: Batch) -> None:
    """Each row is a Snapshot with the exact decimals of its column; "" is None."""
    assert len(list(batch)) == len(batch)
    for index, snapshot in enumerate(batch):
        assert snapshot == batch[index - len(batch)]
        assert (snapshot.source, snapshot.ticker) == (batch.source, batch.tickers[index])
        assert snapshot.quotes_updated_ns == batch.quotes_updated_ns[index]
        for name, column in batch.columns.items():
            known = getattr(snapshot, name)
            assert (known is None) == (column[index] == "")
            assert known is None or f"{known:f}" == f"{Decimal(column[index]):f}"


def test_a_slice_is_a_list_of_rows() -> None:
    """Slices and indices work as for any sequence."""
    batch = Batch(**GOOD)
    assert [row.ticker for row in batch[::-1]] == ["B", "A"]
    assert batch[1:][0].ticker == "B"
    with pytest.raises(IndexError):
        batch[2]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"source": ""}, "cannot be a tag"),
        ({"source": "a\\b"}, "cannot be a tag"),
        ({"tickers": ["A", ""]}, "cannot be a tag"),
        ({"tickers": ["A", "B\nC"]}, "cannot be a tag"),
        ({"tickers": ["A", "\ud800"]}, "cannot be a tag"),
        ({"tickers": ["A", "x" * 257]}, "cannot be a tag"),
        ({"tickers": ["A", "A"]}, "there twice"),
        ({"tickers": ["A"]}, "quotes_updated_ns has another length"),
        ({"quotes_updated_ns": [None]}, "quotes_updated_ns has another length"),
        ({"quotes_updated_ns": [None, -1]}, "instant -1 ns"),
        ({"quotes_updated_ns": [None, INSTANT_MAX_NS + 1]}, "instant 9223372036854775807 ns"),
        ({"slot_ns": -1}, "instant -1 ns"),
        ({"received_ns": INSTANT_MAX_NS + 1}, "instant"),
        ({"columns": {"mark_prices": ["1", "2"]}}, "'mark_prices' is not a field"),
        ({"columns": {"lag_ms": ["1", "2"]}}, "'lag_ms' is not a field"),
        ({"columns": {"mid": ["1"]}}, "mid has another length"),
        ({"columns": {"mid": PlainColumn(["1"])}}, "mid has another length"),
        ({"columns": {"mid": ["1", "2", "3"]}}, "mid has another length"),
        ({"columns": {"mid": ["1", "NaN"]}}, "a value that is no number"),
        ({"columns": {"mid": ["1", "2\n3"]}}, "a value that is no number"),
    ],
)
def test_what_cannot_be_encoded_cannot_be_built(change: dict[str, Any], problem: str) -> None:
    """If a batch exists it can be encoded: everything else is refused by name."""
    with pytest.raises(LineProtocolError, match=re.escape(problem)):
        Batch(**(GOOD | change))


def test_the_unified_snapshot() -> None:
    """`as_dict` has ts, source, ticker, every field; ages as int, instants as aware UTC."""
    first, second = (snapshot.as_dict() for snapshot in Batch(**GOOD))
    assert first["ts"] == second["ts"] == datetime(2025, 11, 4, 1, 46, 31, tzinfo=UTC)
    assert first["ts"].utcoffset() == timedelta(0)
    assert first["quotes_updated_at"] == datetime(2025, 11, 4, 1, 46, 30, 476166, tzinfo=UTC)
    assert (first["source"], first["ticker"], first["mark_price"]) == ("s", "A", Decimal("1.50"))
    assert (second["mark_price"], second["mid"]) == (None, Decimal("-0.10"))
    assert second["quotes_updated_at"] is None
    assert type(first["lag_ms"]) is int
    assert (first["lag_ms"], first["quote_age_ms"]) == (908, None)


def test_the_quote_age_is_an_int() -> None:
    """Ages are whole milliseconds in the unified snapshot."""
    columns = {"quote_age_ms": ["48023", "0"]}
    ages = [
        snapshot.as_dict()["quote_age_ms"] for snapshot in Batch(**(GOOD | {"columns": columns}))
    ]
    assert ages == [48023, 0]
    assert {type(age) for age in ages} == {int}


def test_nothing_that_flows_can_be_changed() -> None:
    """Snapshots and batches are frozen; a changed one is a new one."""
    batch = Batch(**GOOD)
    snapshot: Snapshot = batch[0]
    for thing, name in ((batch, "slot_ns"), (snapshot, "mid")):
        with pytest.raises(AttributeError):
            setattr(thing, name, 1)
    assert replace(snapshot, mid=Decimal(1)) != snapshot
