"""Output formats keep every digit."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest

from agent.formats import Sheet, as_csv, as_jsonl, as_lp, as_table, json_number

LINES = [
    (
        "snapshot,source=bybit,ticker=BTC lag_ms=250,mark_price=107084.00,mid=107089.15 "
        "1762220791000000000"
    ),
    'event,host=h,kind=start,source=agent text="it, \\"said\\" = x" 1762220791500000001',
]


def test_jsonl_is_one_object_per_point_with_exact_numbers() -> None:
    """ts, measurement, tags, then fields as JSON numbers with the exact text."""
    first, second = as_jsonl(LINES)
    assert first == (
        '{"ts": "2025-11-04T01:46:31Z", "measurement": "snapshot", "source": "bybit", '
        '"ticker": "BTC", "lag_ms": 250, "mark_price": 107084.00, "mid": 107089.15}\n'
    )
    assert json.loads(first, parse_float=Decimal)["mark_price"] == Decimal("107084.00")
    event = json.loads(second)
    assert (event["ts"], event["text"]) == ("2025-11-04T01:46:31.500000001Z", 'it, "said" = x')


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", "0"), ("-0.10", "-0.10"), ("007", "7"), ("00.5", "0.5"), ("-00", "-0"), ("10", "10")],
)
def test_a_decimal_becomes_a_json_number(text: str, number: str) -> None:
    """JSON forbids leading zeros; every other digit stays."""
    assert json_number(text) == number
    assert json.loads(number, parse_float=Decimal, parse_int=Decimal) == Decimal(text)


def test_csv_has_a_column_for_each_tag_and_field() -> None:
    """A value that is not known is an empty cell, never 0; a reader of CSV gets the texts back."""
    rows = list(csv.DictReader(io.StringIO("".join(as_csv(LINES)))))
    assert rows[0]["mark_price"] == "107084.00"
    assert rows[0]["bid_1k"] == ""
    assert rows[1]["text"] == 'it, "said" = x'
    assert rows[0]["ts"] == "2025-11-04T01:46:31Z"


def test_csv_of_one_measurement_has_only_its_columns() -> None:
    """Who asks for events gets no column of prices."""
    (header, _) = as_csv(LINES[1:], Sheet.of(["event"]))
    assert header == "ts,measurement,host,kind,source,text\n"


def test_lp_is_what_is_stored() -> None:
    """Line protocol comes out as it went in."""
    assert "".join(as_lp(LINES)) == "\n".join(LINES) + "\n"


def test_the_table_shows_snapshots_with_a_dash_for_what_is_missing() -> None:
    """The table is for people: aligned, and a missing value is a dash."""
    header, row = as_table(LINES)
    assert header.split()[:3] == ["source", "ticker", "best_bid"]
    assert row.split()[:5] == ["bybit", "BTC", "-", "-", "107089.15"]
    assert len(header) == len(row)
