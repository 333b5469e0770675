"""Every query against a real InfluxDB filled with known points: it answers, and with the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from agent import schema
from deploy.grafana.dashboards import alerts
from tests.dashboards import data
from tests.dashboards.conftest import BY_TITLE, Store, text_of
from tests.dashboards.grafana import ANYTHING, Frame, ask

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

SERIES_MAX = 2000
"""As the data source is provisioned."""
NOT_IN_STORAGE = re.compile(r"annotation |Events|Funding B|alert points_lost")
"""Few points by nature: events, settlements, a quarter of an hour of the agent's own."""
ALERTS = [f"alert {rule.name}" for rule in (*alerts.RULES, alerts.CARRY)]


@pytest.mark.parametrize("title", BY_TITLE)
def test_every_query_answers_as_its_panel_needs_it(store: Store, title: str) -> None:
    """No error, rows, the shape that Grafana draws, and every label that the legend names."""
    frames = store.ask(title)
    assert frames
    assert all(frame.rows for frame in frames)
    assert len(frames) <= SERIES_MAX
    panel = BY_TITLE[title].panel
    if panel is None:
        (frame,) = frames
        assert frame.labels == {}
        wanted = {"_time", "text", "tags"} if "annotation" in title else None
        assert set(frame.fields) == (wanted or set(frame.fields))
    elif panel["type"] == "table":
        assert_table(panel, frames)
    elif panel["options"].get("reduceOptions", {}).get("values"):
        (frame,) = frames
        assert frame.labels == {}
    else:
        assert_series(panel, frames)


def assert_table(panel: dict[str, object], frames: list[Frame]) -> None:
    """One table; no column that is neither shown nor hidden, unless the panel takes any."""
    (frame,) = frames
    assert frame.labels == {}
    text = json.dumps(panel)
    shown = set(re.findall(r'"matcher": {"id": "byName", "options": "(\w+)"}', text))
    hidden = set(json.loads(re.findall(r'"excludeByName": ({.*?})', text)[0]))
    assert shown | hidden <= set(frame.fields) | {"spread_1m_bps"}
    if panel["title"] != "Funding by venue":
        assert set(frame.fields) <= shown | hidden


def assert_series(panel: dict[str, object], frames: list[Frame]) -> None:
    """A time and a number in each frame, and no two lines of the same name."""
    text = json.dumps(panel)
    names = set(re.findall(r"\$\{__field\.labels\.(\w+)\}", text))
    legend = re.search(r'"displayName": "([^"]*)", "(?:links|mappings)', text)
    assert legend
    for frame in frames:
        assert "_time" in frame.fields
        assert len(frame.fields) >= 2
        assert names <= set(frame.labels)


@pytest.mark.parametrize("title", [title for title in BY_TITLE if "variable" not in title])
def test_every_query_answers_over_a_week(store: Store, title: str) -> None:
    """A long range is no error, whether it finds anything in the rollup or not."""
    frames = store.ask(title, store.week())
    if "perps-agent" not in title and "annotation" not in title and "Funding B" not in title:
        assert frames


@pytest.mark.parametrize("title", BY_TITLE)
def test_every_query_answers_where_nothing_is_stored(store: Store, title: str) -> None:
    """An empty store is no error: a panel without data, not one with a red corner."""
    before = data.rfc3339(data.WEEK - timedelta(days=30))
    view = replace(store.view(), start=before, stop=data.rfc3339(data.WEEK - timedelta(days=29)))
    assert all("variable rollup" in title or not frame.rows for frame in store.ask(title, view))


@pytest.fixture(scope="module")
def partial_stores(make_store: Callable[[str, str], Store]) -> dict[str, Store]:
    """Stores in which something is missing altogether."""
    raw = data.raw().splitlines(keepends=True)
    kept = {
        "the first minutes: no rollup yet": raw,
        "Bybit alone": [line for line in raw if "=variational" not in line],
        "Variational alone": [line for line in raw if "=bybit" not in line],
    }
    return {name: make_store("".join(lines), "") for name, lines in kept.items()}


@pytest.mark.parametrize("title", [*BY_TITLE, *ALERTS])
def test_every_query_answers_where_something_is_missing(
    partial_stores: dict[str, Store], title: str
) -> None:
    """A venue that is not collected, or a rollup that is not there yet, is no error."""
    for store in partial_stores.values():
        for view in (store.view(), store.view(ticker=ANYTHING), store.week()):
            ask(store.server, view.fill(text_of(title)))


def test_carry_is_ranked_on_the_first_day(partial_stores: dict[str, Store]) -> None:
    """Without a rollup there is no 7-day gap yet, and everything else."""
    rows = partial_stores["the first minutes: no rollup yet"].rows("perps-funding: Carry ranking A")
    assert [(row["ticker"], row.get("week_gap")) for row in rows] == [
        ("DOGE", None),
        ("ETH", None),
        ("BTC", None),
    ]
    assert rows[2]["cost_bps"] == 14.5


@pytest.mark.parametrize("title", [*BY_TITLE, *ALERTS])
def test_every_query_reads_in_storage(store: Store, title: str) -> None:
    """InfluxDB aggregates where the points lie; none is carried out to be thrown away."""
    if "variable rollup" in title or NOT_IN_STORAGE.search(title):
        return
    flux = store.view().fill(text_of(title))
    profiled = f'import "profiler"\n{flux}\noption profiler.enabledProfilers = ["operator"]\n'
    operators = {row.get("Type", "") for row in store.server.query(profiled)}
    reads = {operator for operator in operators if operator.startswith("*influxdb.read")}
    assert reads
    assert reads <= {"*influxdb.readWindowAggregateSource", "*influxdb.readGroupSource"}


def test_carry_ranks_what_is_alive_and_counts_every_cost(store: Store) -> None:
    """Gap, 7-day gap, cost, days to break even, smaller OI and age are those of the known points.

    The dead venue's rate (990 % a year) and the ticker that one venue alone lists are not there;
    without a price for 100k there is no cost and no break-even, rather than a wrong one.
    """
    doge, eth, btc = store.rows("perps-funding: Carry ranking A")
    assert btc == {
        "ticker": "BTC",
        "short": "bybit",
        "long": "variational",
        "short_apr": 0.1095,
        "long_apr": 0.05,
        "gap": pytest.approx(0.0595),
        "week_gap": pytest.approx(0.08 - 0.06),
        "cost_bps": pytest.approx(0.5 + 3 + 11),
        "break_even_d": pytest.approx(14.5 / 1e4 / 0.0595 * 365),
        "oi_usd": 8e8,
        "age_s": pytest.approx(20 + 30 - 0.4),
    }
    assert (eth["short"], eth["long"]) == ("variational", "bybit")
    assert eth["gap"] == pytest.approx(0.2)
    assert eth["week_gap"] == pytest.approx(0.11 - 0.01)
    assert eth["break_even_d"] == pytest.approx((0.75 + 4 + 11) / 1e4 / 0.2 * 365)
    assert doge["ticker"] == "DOGE"
    assert doge["gap"] == pytest.approx(0.3)
    assert (doge["cost_bps"], doge["break_even_d"], doge["week_gap"]) == (None, None, None)
    assert doge["oi_usd"] == 5e7
    assert store.rows("perps-funding: What the carry is made of A") == [doge, eth, btc]


def test_carry_heeds_fees_and_the_least_open_interest(store: Store) -> None:
    """What is typed in above the dashboard counts."""
    view = store.view(fees_bps="2.5", oi_min="100000000")
    rows = store.rows("perps-funding: Carry ranking A", view)
    assert [(row["ticker"], row["cost_bps"]) for row in rows] == [("ETH", 7.25), ("BTC", 6.0)]
    best = store.rows("perps-funding: Best carry A", view)
    assert [row["trade"] for row in best] == [
        "ETH: short variational, long bybit",
        "BTC: short bybit, long variational",
    ]


def test_carry_works_without_a_rollup(store: Store) -> None:
    """Where there is no rollup the 7-day gap comes from the raw points."""
    rows = store.rows("perps-funding: Carry ranking A", store.view(rollup=store.bucket))
    assert [row["week_gap"] for row in rows] == [pytest.approx(row["gap"]) for row in rows]


def test_the_gap_of_the_week_is_what_was_settled(make_store: Callable[[str, str], Store]) -> None:
    """Where both venues have settlements they count: 0.0002 in 8 h less 0.00001 in 1 h, a year."""
    head = "funding,source=variational,ticker=BTC rate=0.00001,interval_s=3600,predicted=1"
    stamps = [data.ns(data.END - timedelta(days=days)) for days in (1, 6, 8)]
    settled = [f"{head} {stamp_ns}\n" for stamp_ns in stamps]
    store = make_store("".join([data.raw(), *settled]), data.rollup())
    rows = store.rows("perps-funding: Carry ranking A")
    gaps = {row["ticker"]: row["week_gap"] for row in rows}
    assert gaps["BTC"] == pytest.approx(0.0002 * 1095 - 0.00001 * 8760)
    assert gaps["ETH"] == pytest.approx(0.11 - 0.01)


def test_the_matrix_has_a_column_a_venue(store: Store) -> None:
    """Rates by ticker, the largest open interest first; a venue that does not list it is empty."""
    rows = store.rows("perps-funding: Funding by venue A")
    assert rows[0] == {
        "ticker": "BTC",
        "bybit": 0.1095,
        "variational": 0.05,
        "oi_usd": 5.8e9,
        "age_s": pytest.approx(49.6),
    }
    assert [row["ticker"] for row in rows] == ["BTC", "ETH", "DOGE", "SOL"]
    assert (rows[3]["bybit"], rows[3]["variational"]) == (None, 0.25)


def test_settlements_are_counted_and_weighed_by_their_intervals(store: Store) -> None:
    """Settled APR = sum of rates / sum of intervals; a venue that settles none has none."""
    rows = store.rows("perps-funding: Settled against predicted A")
    btc = next(row for row in rows if (row["ticker"], row["source"]) == ("BTC", "bybit"))
    settled = (0.0001 + 0.0003) / (2 * 28800) * 31_536_000
    assert btc["settled_apr"] == pytest.approx(settled)
    assert btc["predicted_apr"] == pytest.approx(0.1095)
    assert btc["difference"] == pytest.approx(settled - 0.1095)
    assert btc["settlements"] == 2
    other = next(row for row in rows if (row["ticker"], row["source"]) == ("BTC", "variational"))
    assert (other["settled_apr"], other["difference"]) == (None, None)
    dots = store.series("perps-funding: Funding B")
    assert dots["apr", "BTC", "bybit"].numbers() == [pytest.approx(0.1095), pytest.approx(0.3285)]


def test_the_next_settlement_counts_from_now(store: Store) -> None:
    """What has passed since the slot is taken off; a venue that does not say has none."""
    rows = store.rows("perps-funding: Next settlement A")
    (btc, other) = [row for row in rows if row["ticker"] == "BTC"]
    assert (btc["source"], btc["next_s"], btc["interval_h"]) == ("bybit", 14_390, 8)
    assert (other["source"], other["next_s"]) == ("variational", None)


def test_the_ladder_leaves_out_what_is_not_known(store: Store) -> None:
    """A missing tier is empty, never 0; a venue silent for ten minutes has no row."""
    rows = store.rows("perps-market: Cost ladder A", store.view(ticker=["BTC", "ETH", "DOGE"]))
    found = {
        (row["ticker"], row["source"]): (
            row["spread_bps"],
            row["spread_100k_bps"],
            row["spread_1m_bps"],
        )
        for row in rows
    }
    assert found == {
        ("BTC", "bybit"): (0.6, 0.5, 2),
        ("BTC", "variational"): (1, 3, 8),
        ("DOGE", "bybit"): (2, None, None),
        ("DOGE", "variational"): (6, 20, None),
        ("ETH", "bybit"): (0.25, 0.75, 3),
        ("ETH", "variational"): (1.5, 4, None),
    }


def test_a_number_is_never_older_than_its_row(store: Store) -> None:
    """A field that the newest slot lacks is empty, though an earlier slot had it."""
    later = data.END + timedelta(seconds=5)
    line = f"snapshot,source=bybit,ticker=ETH lag_ms=9,spread_bps=0.3 {data.ns(later)}"
    stop = data.rfc3339(later + timedelta(seconds=5))
    assert store.server.write(store.bucket, line).status == 204
    rows = store.rows("perps-market: Cost ladder A", replace(store.view(), stop=stop))
    (eth,) = [row for row in rows if (row["ticker"], row["source"]) == ("ETH", "bybit")]
    assert (eth["spread_bps"], eth["spread_100k_bps"]) == (0.3, None)


def test_price_gaps_are_measured_from_the_reference(store: Store) -> None:
    """(mid - reference) / reference in basis points, now and window by window."""
    expected = {("BTC", "variational"): pytest.approx(5), ("ETH", "variational"): pytest.approx(-5)}
    assert store.newest("perps-market: Price gap to ${reference} A") == expected
    lines = store.newest("perps-market: Price gap to ${reference} over time A")
    assert {key: value for key, value in lines.items() if value is not None} == expected
    turned = store.newest(
        "perps-market: Price gap to ${reference} A", store.view(reference="variational")
    )
    assert turned["BTC", "bybit"] == pytest.approx(-50 / 100_050 * 1e4)
    gap = store.newest("perps-funding: Funding gap to ${reference} A")
    assert gap["ETH", "variational"] == pytest.approx(0.2)


def test_a_dead_venue_ages_where_ages_are_judged_and_nowhere_else(store: Store) -> None:
    """Its age goes on growing in the verdicts; its last numbers are shown as present nowhere."""
    ages = {
        ("bybit",): pytest.approx(10 + 0.15 - 0.2),
        ("drift",): pytest.approx(40 * 60 + 30 - 0.4),
        ("variational",): pytest.approx(20 + 30 - 0.4),
    }
    for title in ("market: Oldest quote", "funding: Oldest quote", "ticker: Quote age"):
        assert store.newest(f"perps-{title} A") == ages
    for title in ("ticker: Mid", "ticker: Spread at 1k", "ticker: Funding (APR)"):
        assert set(store.newest(f"perps-{title} A")) == {("bybit",), ("variational",)}


def test_an_outage_is_a_gap(store: Store) -> None:
    """While no agent ran, every line has empty windows there, and points on both sides."""
    frame = store.series("perps-market: Spread at ${size:text} A")[
        "spread_100k_bps", "BTC", "variational"
    ]
    empty = {
        row["_time"]
        for row, value in zip(frame.rows, frame.numbers(), strict=True)
        if value is None
    }
    windows = [data.OUTAGE[0] + timedelta(minutes=5 * number) for number in (1, 2, 3)]
    assert empty == {data.rfc3339(window) for window in windows}
    assert len(frame.rows) == 24


def test_the_tightest_spread_names_its_venue(store: Store) -> None:
    """Per ticker the venue with the smallest spread of the chosen size."""
    title = "perps-market: Tightest spread at ${size:text} A"
    assert store.newest(title) == {("BTC", "bybit"): 0.5, ("ETH", "bybit"): 0.75}
    alone = store.newest(title, store.view(ticker="SOL", size="spread_bps"))
    assert alone == {("SOL", "variational"): 2}


def test_a_verdict_has_three_rows_at_most(store: Store) -> None:
    """With every ticker chosen the tightest spreads and the widest gaps are shown, no heap."""
    every = store.view(ticker=ANYTHING, size="spread_bps")
    spreads = store.newest("perps-market: Tightest spread at ${size:text} A", every)
    assert len(spreads) == 3
    assert {("BTC", "bybit"), ("ETH", "bybit")} < set(spreads)
    gaps = store.newest("perps-market: Price gap to ${reference} A", every)
    assert len(gaps) <= 3
    assert gaps["DOGE", "variational"] == pytest.approx(20)


def test_a_ticker_that_the_reference_does_not_list_has_no_gap(store: Store) -> None:
    """No line at all: one of nothing but nulls would be an error to Grafana."""
    view = store.view(asset="SOL", ticker="SOL")
    for title in (
        "perps-market: Price gap to ${reference} over time A",
        "perps-ticker: Price gap to ${reference} A",
        "perps-funding: Funding gap to ${reference} A",
    ):
        assert store.ask(title, view) == []


def test_skew_is_that_of_venues_that_publish_both_sides(store: Store) -> None:
    """(long - short) / (long + short); Bybit's open interest has no sides and no line."""
    assert store.newest("perps-ticker: Skew A") == {("variational",): pytest.approx(0.25)}
    sides = store.series("perps-ticker: Open interest by side A")
    assert list(sides) == [("variational",)]
    assert sides["variational",].numbers("long")[-1] == 5e8
    assert sides["variational",].numbers("short")[-1] == 3e8


def test_long_ranges_read_the_rollup(store: Store) -> None:
    """Over more than three days the one-minute points are read, and the widest spread from them."""
    view = replace(store.week(), variables={**store.week().variables, "size": "spread_bps"})
    spread = store.newest("perps-market: Spread at ${size:text} A", view)
    assert spread["spread_bps", "BTC", "bybit"] == pytest.approx(float(data.WEEK_SPREAD_BPS))
    widest = store.newest("perps-ticker: Widest spread at 1k A", store.week())
    assert widest["spread_bps_max", "BTC", "bybit"] == float(data.WEEK_SPREAD_MAX_BPS)
    short = store.newest("perps-ticker: Widest spread at 1k A")
    assert short["spread_bps", "BTC", "bybit"] == 0.6


def test_variables_are_ordered_by_open_interest(store: Store) -> None:
    """The largest comes first; the rollup is found, or the raw bucket stands in for it."""
    tickers = [row["ticker"] for row in store.rows("perps-market: variable ticker")]
    assert tickers == ["BTC", "ETH", "DOGE", "SOL"]
    sources = [row["source"] for row in store.rows("perps-market: variable source")]
    assert sources == ["bybit", "variational", "drift"]
    found = [row["name"] for row in store.rows("perps-market: variable rollup")]
    assert found == [f"{store.bucket}_1m", store.bucket]


def test_choices_are_whole_names(store: Store) -> None:
    """A chosen ticker is not part of another's name, and its special characters mean themselves."""
    for ticker in ("TC", "BT", "B.C"):
        assert store.ask("perps-market: Basis A", store.view(ticker=[ticker])) == []


def test_the_agent_is_judged_by_what_it_lost(store: Store) -> None:
    """Lost = rejected and evicted within the range; silence, backlog and rates as written."""
    assert store.newest("perps-agent: Points lost A") == {(data.HOST,): 5}
    assert store.newest("perps-agent: Last heard of A") == {(data.HOST,): 10}
    assert store.newest("perps-agent: Oldest point not sent A") == {(data.HOST,): 7.5}
    rate = store.newest("perps-agent: Points a second A")
    assert rate["collected", data.HOST] == pytest.approx(5)
    assert store.newest("perps-agent: Processor A")["cpu_s", data.HOST] == pytest.approx(0.05)
    bars = store.series("perps-agent: Points lost over time A")
    assert sum(value or 0 for value in bars["rejected", data.HOST].numbers()) == 3
    dropped = store.series("perps-agent: Lost before the journal A")
    missed = dropped["missed_slots", "bybit", "tickers", data.HOST].numbers()
    assert sum(value or 0 for value in missed) == 90
    polls = store.series("perps-agent: Polls that succeeded A")
    shares = [
        value for value in polls["ok", "tickers", data.HOST, "variational"].numbers() if value
    ]
    assert sum(shares) / len(shares) == pytest.approx(0.75, abs=0.02)


def test_each_store_is_told_by_itself(store: Store) -> None:
    """A row and a line per store; no write yet is empty, never 0; one that is gone has no row."""
    cloud, main = store.rows("perps-agent: Stores now A")
    assert main == {
        "store": f"{data.HOST} influxdb",
        "pending": 10,
        "oldest_pending_s": 7.5,
        "stored": 35_990,
        "lost": 0,
        "write_ms": 12,
    }
    assert cloud == {
        "store": f"{data.HOST} cloud",
        "pending": 719 * 50,
        "oldest_pending_s": 7190,
        "stored": 0,
        "lost": 5,
        "write_ms": None,
    }
    pending = store.newest("perps-agent: Points waiting by store A")
    assert pending["pending", "influxdb", data.HOST] == 10
    assert pending["pending", "cloud", data.HOST] == 719 * 50
    assert pending["pending", "former", data.HOST] is None
    ages = store.newest("perps-agent: Age of what waits by store A")
    assert ages["oldest_pending_s", "cloud", data.HOST] == 7190


def test_what_is_filled_in_is_what_the_schema_has() -> None:
    """The known points use no field that is not stored, and most of those that are shown."""
    stored = {each for listing in data.LISTINGS for each in listing.fields(0)}
    assert stored <= set(schema.SNAPSHOT.field_names)
