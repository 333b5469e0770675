"""The judge finds what it is there for: a run that lost something cannot pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.documents import answer
from agent.demo.market import Market
from agent.line_protocol import parse_line
from tests.faults.judge import Identity, Verdict, compare, identity_of, same_values
from tests.faults.oracle import PATHS, Oracle, differences
from tests.support.clock import START_NS

LINE = f"snapshot,source=bybit,ticker=BTC lag_ms=31,mark_price=80430.10 {START_NS}"
POINT = parse_line(LINE)
IDENTITY = identity_of(POINT)
TICKERS = f"{PATHS['bybit']}?category=linear"


def verdict_on(found: dict[str, str] | None, *, lines: int = 1, refused: bool = False) -> Verdict:
    """What the judge says of one collected line, by what InfluxDB has in its place."""
    verdict = Verdict()
    refused_lines = {LINE} if refused else set()
    stored: dict[Identity, Mapping[str, str]] = {} if found is None else {IDENTITY: found}
    compare({IDENTITY: [(LINE, POINT)] * lines}, stored, refused_lines, verdict)
    return verdict


def test_a_stored_point_is_good() -> None:
    """Same identity, same numbers: 80430.10 and 80430.1 are one float."""
    verdict = verdict_on({"lag_ms": "31", "mark_price": "80430.1"})
    assert (verdict.stored, verdict.lost, verdict.altered, verdict.said) == (1, 0, 0, [])


def test_a_missing_point_is_lost_unless_it_was_rejected() -> None:
    """What InfluxDB lacks must be among the rejected lines."""
    assert verdict_on(None).lost == 1
    assert verdict_on(None, refused=True).lost == 0


@pytest.mark.parametrize(
    "found",
    [
        {"lag_ms": "31", "mark_price": "80430.2"},
        {"lag_ms": "31"},
        {"lag_ms": "31", "mark_price": "80430.1", "mid": "1"},
    ],
    ids=["another number", "a field less", "a field more"],
)
def test_another_value_is_an_altered_point(found: dict[str, str]) -> None:
    """A point is its fields: all of them and no others."""
    assert verdict_on(found).altered == 1


def test_a_point_that_nobody_took_is_left_over() -> None:
    """What InfluxDB has more stays in `found`, where it counts as invented."""
    found: dict[Identity, Mapping[str, str]] = {IDENTITY: {"lag_ms": "1"}}
    compare({}, found, set(), Verdict())
    assert found


def test_a_point_that_was_taken_twice_is_found() -> None:
    """The journal has each point once."""
    assert verdict_on({"lag_ms": "31", "mark_price": "80430.1"}, lines=2).twice == 1


def test_a_rejected_point_must_not_be_stored() -> None:
    """Either the one or the other, or the ledger counts what is not so."""
    assert verdict_on({"lag_ms": "31", "mark_price": "80430.1"}, refused=True).said


def test_a_rejected_point_may_be_stored_if_it_was_sent_twice() -> None:
    """Who is killed before noting the 204 sends again; refused then, it counts as rejected."""
    verdict = Verdict()
    found: dict[Identity, Mapping[str, str]] = {IDENTITY: dict(POINT.fields)}
    compare({IDENTITY: [(LINE, POINT)]}, found, {LINE}, verdict, may_resend=True)
    assert (verdict.stored, verdict.said, found) == (0, [], {})


def test_a_settlement_must_follow_from_the_last_predictions() -> None:
    """Variational's rate a year, the share of its interval, at a multiple of that, and marked."""
    market = Market(7, count=3)
    path, at_ns = PATHS["variational"], START_NS - NS_PER_S
    oracle = Oracle(market, [(path, at_ns)])
    row = json.loads(answer(market, path, at_ns))["listings"][0]
    interval_s = row["funding_interval_s"]
    settled_ns = -(-at_ns // (interval_s * NS_PER_S)) * interval_s * NS_PER_S
    rate = Decimal(row["funding_rate"]) * interval_s / (365 * 24 * 3600)
    fields = {
        "apr": row["funding_rate"],
        "interval_s": str(interval_s),
        "rate": f"{rate:f}",
        "predicted": "1",
    }
    assert oracle.predicted(row["ticker"], settled_ns, fields)
    assert not oracle.predicted(row["ticker"], settled_ns + NS_PER_S, fields)
    assert not oracle.predicted(row["ticker"], settled_ns, {**fields, "apr": "9"})
    assert not oracle.predicted(row["ticker"], settled_ns, {**fields, "predicted": "0"})


def test_texts_are_compared_as_they_are() -> None:
    """An event's text is no number."""
    event = parse_line(f'event,host=h,kind=k,source=bybit text="down" {START_NS}')
    assert same_values(event, {"text": "down"})
    assert not same_values(event, {"text": "up"})


def test_the_oracle_knows_the_newest_answer_before_the_receipt() -> None:
    """Two answers in one slot (an agent was killed in between): the later one counts."""
    market = Market(7, count=3)
    early_ns, late_ns = START_NS + 10 * NS_PER_MS, START_NS + 600 * NS_PER_MS
    oracle = Oracle(market, [(TICKERS, early_ns), (TICKERS, late_ns)])
    rows = json.loads(answer(market, TICKERS, late_ns))["result"]["list"]
    expected = oracle.expected("bybit", START_NS, 700)
    assert expected is not None
    assert {ticker: fields["last_price"] for (_, ticker), fields in expected.items()} == {
        row["symbol"].removesuffix("USDT"): row["lastPrice"] for row in rows
    }
    assert oracle.expected("bybit", START_NS, 20) != expected
    assert oracle.expected("bybit", START_NS + NS_PER_S, 20) is None
    assert (oracle.polls("bybit"), oracle.offered()) == (2, 6)


def test_the_oracle_sees_a_changed_digit_and_a_wrong_spread() -> None:
    """Published numbers are compared digit by digit, derived ones with their definition."""
    fields = {"bid_1k": "99.0", "ask_1k": "101.0", "mid": "100.0", "spread_bps": "200"}
    assert differences({"bid_1k": "99.0"}, fields) == []
    assert differences({"bid_1k": "99.00"}, fields)
    assert differences({}, {**fields, "mid": "100.1"})
    assert differences({}, {**fields, "spread_bps": "200.00001"})
    assert differences({"mark_price": "1"}, fields)
