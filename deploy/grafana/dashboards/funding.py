"""Funding: where carry is to be had, what it costs to get in and out, how it came about."""

from __future__ import annotations

from deploy.grafana.dashboards import panels, variables
from deploy.grafana.dashboards.model import Json, Section, annotation, dashboard
from deploy.grafana.dashboards.panels import (
    AGE,
    AGE_S,
    APR,
    BPS,
    SIDES_APR,
    SOURCE,
    TICKER,
    TICKER_SOURCE,
    USD,
    VENUE,
    Column,
    Lines,
)

_SETTLED_POINTS = panels.override(
    "byFrameRefID",
    "B",
    displayName=f"{TICKER_SOURCE} settled",
    custom__drawStyle="points",
    custom__pointSize=8,
)


def funding() -> Json:
    """The dashboard."""
    return dashboard(
        "perps-funding",
        "Perps: Funding",
        "Funding of perpetuals over venues: carry and its cost, rates now and over time.",
        variables=[
            variables.data_source(),
            variables.rollup(),
            variables.sources(),
            variables.tickers(),
            variables.reference(),
            variables.size("100k"),
            variables.textbox(
                "fees_bps",
                "Fees, bps",
                "Fees of all four trades of a carry (in and out on both legs), in basis points.",
                "11",
            ),
            variables.textbox(
                "oi_min",
                "OI at least, USD",
                "The ranking leaves out tickers whose smaller open interest is below this. "
                "0 = it leaves out none.",
                "0",
            ),
        ],
        sections=[_now(), _ranking(), _rates(), _history(), _settled()],
        annotations=[annotation("annotations/events", "Events", shown=False)],
        # Venues settle every one to eight hours.
        opens_with="24h",
    )


def _now() -> Section:
    return Section(
        "Now",
        5,
        2,
        [
            panels.stat(
                "Best carry",
                "The three widest gaps between the highest and the lowest funding of a ticker, a "
                "year: short where longs pay most, long where they pay least. Before all costs.",
                "funding/best",
                unit=APR,
                decimals=2,
                rows=3,
            ),
            panels.stat(
                "Oldest quote",
                "Time since the venue made the oldest of the newest quotes. Green below 1 minute, "
                "red from 3 minutes. A venue that fell silent keeps ageing here for a day.",
                "shared/age_now",
                unit="s",
                decimals=1,
                name=SOURCE,
                thresholds=AGE_S,
            ),
        ],
    )


def _ranking() -> Section:
    left = ("short", "long", "gap", "break_even_d", "age_s")
    right = ("short_apr", "long_apr", "week_gap", "cost_bps", "oi_usd")
    return Section(
        "Carry, the widest gap first",
        11,
        2,
        [
            panels.table(
                "Carry ranking",
                "Short on the venue with the highest funding, long on the one with the lowest. "
                "Gap = their difference (APR). Break-even = round-trip cost / (gap / 365): days "
                "until funding has paid for spreads and fees. All tickers that two venues list.",
                "funding/carry",
                TICKER,
                Column("short", "Short on"),
                Column("long", "Long on"),
                Column("gap", "Gap", APR, 2),
                Column("break_even_d", "Break-even", "suffix:days", 1),
                AGE,
                hidden=right,
            ),
            panels.table(
                "What the carry is made of",
                "In the same order. 7-day gap = what the same two venues settled over 7 days "
                "(without settlements of both: the mean of what they published): a gap that "
                "lasts. Cost = spread at ${size:text} of both venues + ${fees_bps} bps of fees "
                f"(half a spread in, half out, on each leg); {panels.NOTHING} = a venue gives no "
                "price for this size. OI = the smaller of the two open interests.",
                "funding/carry",
                TICKER,
                Column("short_apr", "Short APR", APR, 2),
                Column("long_apr", "Long APR", APR, 2),
                Column("week_gap", "7-day gap", APR, 2),
                Column("cost_bps", "Cost, ${size:text}", BPS, 1),
                Column("oi_usd", "Smaller OI", USD, 1),
                hidden=left,
            ),
        ],
    )


def _rates() -> Section:
    return Section(
        "Rates now",
        11,
        2,
        [
            panels.table(
                "Funding by venue",
                "Funding a year of each ticker on each venue, largest open interest first. Orange: "
                "longs pay; blue: shorts pay; stronger from 15 and from 40 %. Simple "
                "annualisation: rate x settlements a year.",
                "funding/matrix",
                TICKER,
                Column("oi_usd", "OI, all", USD, 1),
                AGE,
                others={
                    "custom": {"displayMode": "color-background-solid", **panels.CELL},
                    "decimals": 2,
                    "thresholds": panels.steps(SIDES_APR),
                    "unit": APR,
                },
            ),
            panels.table(
                "Next settlement",
                "The rate that is due, how often it is settled, and how long until then, where the "
                "venue says so.",
                "funding/next",
                TICKER,
                VENUE,
                Column("apr", "APR", APR, 2),
                Column("interval_h", "Every", "suffix: h"),
                Column("next_s", "Next in", "dthms"),
                AGE,
            ),
        ],
    )


def _history() -> Section:
    return Section(
        "Rates over time",
        11,
        2,
        [
            panels.chart(
                "Funding",
                "Funding a year: steps = as predicted by the venue, dots = as settled. "
                "Above 0 longs pay shorts.",
                "funding/predicted",
                "funding/settled",
                unit=APR,
                decimals=2,
                name=TICKER_SOURCE,
                look=Lines(stair=True, overrides=[_SETTLED_POINTS]),
            ),
            panels.chart(
                "Funding gap to ${reference}",
                "Funding a year minus that on ${reference}, means of the same window. Above 0: "
                "short here and long on ${reference} earns it.",
                "funding/gap",
                unit=APR,
                decimals=2,
                name=TICKER_SOURCE,
                look=Lines(stair=True),
            ),
        ],
    )


def _settled() -> Section:
    return Section(
        "What was settled",
        8,
        1,
        [
            panels.table(
                "Settled against predicted",
                "Over the time range: settled = sum of settled rates / sum of their intervals, a "
                "year; predicted = mean of what was shown. A large difference: the shown rate is a "
                "poor guide.",
                "funding/realised",
                TICKER,
                VENUE,
                Column("settled_apr", "Settled", APR, 2),
                Column("predicted_apr", "Predicted", APR, 2),
                Column("difference", "Difference", APR, 2),
                Column("settlements", "Settlements", "none", 0),
            ),
        ],
    )
