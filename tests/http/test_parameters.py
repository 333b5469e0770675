"""What the `/api` may be asked for, and how it says that it may not."""

from __future__ import annotations

import pytest

from agent.clock import NS_PER_S
from agent.http.parameters import (
    FIELDS,
    POINTS_MAX,
    RANGE_MAX_S,
    TICKERS_MAX,
    BadRequestError,
    Selection,
    selection,
    span,
)
from tests.support.clock import START_NS

SOURCES = ["bybit", "variational"]


def test_without_parameters_everything_is_chosen() -> None:
    """No parameter, and an empty one, mean all."""
    for query in ({}, {"source": [""], "ticker": [""], "fields": [""]}):
        chosen = selection(query, SOURCES)
        assert chosen == Selection(None, None, FIELDS)
        assert chosen.takes("bybit", "BTC")


def test_rows_and_fields_are_chosen_by_name() -> None:
    """Commas stand between several; fields come in the order they were asked for, each once."""
    query = {"source": ["bybit"], "ticker": ["BTC,1000PEPE"], "fields": ["mid,gap_bps,mid"]}
    chosen = selection(query, SOURCES)
    assert chosen.fields == ("mid", "gap_bps")
    assert chosen.takes("bybit", "1000PEPE")
    assert not chosen.takes("variational", "BTC")
    assert not chosen.takes("bybit", "ETH")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"source": ["binance"]}, r"source: 'binance' is none.*bybit, variational"),
        ({"source": ["bybit", "bybit"]}, r"source: there more than once"),
        ({"ticker": ["BTC,,ETH"]}, r"ticker: '' is none.*such as BTC"),
        ({"ticker": ["A" * 500]}, r"ticker: 'A{60}' is none"),
        ({"ticker": ["B\nTC"]}, r"ticker: 'B\\nTC' is none"),
        ({"ticker": [",".join(["A"] * (TICKERS_MAX + 1))]}, rf"ticker: 101.*at most {TICKERS_MAX}"),
        ({"fields": ["mid,midd"]}, r"fields: 'midd' is none.*mid"),
        ({"tickers": ["BTC"]}, r"'tickers': no such parameter.*source, ticker, fields"),
    ],
)
def test_a_bad_selection_names_what_and_what_is_allowed(
    query: dict[str, list[str]], said: str
) -> None:
    """The error has the parameter, what was sent (cut short) and what can be sent."""
    with pytest.raises(BadRequestError, match=said):
        selection(query, SOURCES)


def test_the_past_is_the_last_hour_unless_asked_otherwise() -> None:
    """Since and until are instants; an offset's plus may have become a space on the way."""
    last_hour = span({}, START_NS)
    assert (last_hour.since_ns, last_hour.until_ns) == (START_NS - 3600 * NS_PER_S, START_NS)
    query = {"since": ["2026-09-21T16:00:00 02:00"], "until": ["2026-09-21T14:30:00Z"]}
    asked = span({**query, "points": ["2000"]}, START_NS)
    assert (asked.until_ns - asked.since_ns, asked.points) == (1800 * NS_PER_S, POINTS_MAX)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": ["yesterday"]}, r"since: 'yesterday' is none.*such as 2026"),
        ({"until": ["0"]}, r"until: '0' is none"),
        ({"since": ["2026-09-21T15:00:00Z"]}, r"since: 2026-09-21T15:00:00Z is not before"),
        ({"since": ["2026-09-01T00:00:00Z"]}, rf"since: .*at most {RANGE_MAX_S} s"),
        ({"points": ["0"]}, r"points: 0 is out of range.*2 to 2000"),
        ({"points": ["2001"]}, r"points: 2001 is out of range"),
        ({"points": ["1e3"]}, r"points: '1e3' is none"),
        ({"points": ["٣"]}, r"points: '٣' is none"),
    ],
)
def test_a_bad_range_names_what_and_what_is_allowed(query: dict[str, list[str]], said: str) -> None:
    """Range and points are bounded, and the bounds are told."""
    with pytest.raises(BadRequestError, match=said):
        span(query, START_NS)
