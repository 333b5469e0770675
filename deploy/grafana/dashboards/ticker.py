"""Ticker: one asset, everything about it."""

from __future__ import annotations

from deploy.grafana.dashboards import panels, variables
from deploy.grafana.dashboards.model import Json, Section, annotation, dashboard
from deploy.grafana.dashboards.panels import (
    AGE_S,
    APR,
    BPS,
    PRICE,
    PRICE_DECIMALS,
    SOURCE,
    USD,
    Lines,
)


def ticker() -> Json:
    """The dashboard."""
    return dashboard(
        "perps-ticker",
        "Perps: Ticker",
        "One perpetual on every venue: price, spread, depth, funding, open interest, volume.",
        variables=[
            variables.data_source(),
            variables.rollup(),
            variables.asset(),
            variables.reference(),
        ],
        sections=[_now(), _prices(), _costs(), _positions(), _more()],
        annotations=[annotation("annotations/all_events", "Events", shown=False)],
    )


def _now() -> Section:
    return Section(
        "${asset} now",
        4,
        6,
        [
            panels.stat(
                "Mid",
                "(bid + ask) / 2 for 1,000 USD, in the quote currency.",
                "ticker/mid_now",
                unit=PRICE,
                decimals=PRICE_DECIMALS,
                name=SOURCE,
            ),
            panels.stat(
                "Gap to ${reference}",
                "(mid - mid on ${reference}) / mid on ${reference}, in basis points.",
                "ticker/gap_now",
                unit=BPS,
                decimals=2,
                name=SOURCE,
            ),
            panels.stat(
                "Spread at 1k",
                "(ask - bid) / mid for 1,000 USD, in basis points. Smaller is better.",
                "ticker/spread_now",
                unit=BPS,
                decimals=2,
                name=SOURCE,
            ),
            panels.stat(
                "Funding (APR)",
                "Funding a year, simply annualised. Above 0 longs pay shorts.",
                "ticker/funding_now",
                unit=APR,
                decimals=2,
                name=SOURCE,
            ),
            panels.stat(
                "Open interest",
                "One-sided notional in USD.",
                "ticker/oi_now",
                unit=USD,
                decimals=2,
                name=SOURCE,
            ),
            panels.stat(
                "Quote age",
                "Time since the venue made the newest quote. Green below 1 minute, red from 3 "
                "minutes. A venue that fell silent keeps ageing here for a day.",
                "ticker/age_now",
                unit="s",
                decimals=1,
                name=SOURCE,
                thresholds=AGE_S,
            ),
        ],
    )


def _prices() -> Section:
    return Section(
        "Price",
        10,
        2,
        [
            panels.chart(
                "Mid and mark",
                "Mid of 1,000 USD and the venue's mark price, in the quote currency.",
                "ticker/price",
                unit=PRICE,
                decimals=PRICE_DECIMALS,
                name=SOURCE,
                look=Lines(
                    overrides=[
                        panels.named("mid", f"{SOURCE} mid"),
                        panels.named(
                            "mark_price", f"{SOURCE} mark", custom__lineStyle=panels.DASHED
                        ),
                    ]
                ),
            ),
            panels.chart(
                "Price gap to ${reference}",
                "(mid - mid on ${reference}) / mid on ${reference}, means of the same window, in "
                "basis points. 0 = the venues agree. Where a venue was silent for a part of a "
                "window, the price's way meanwhile is in it.",
                "ticker/gap",
                unit=BPS,
                decimals=2,
                name=SOURCE,
            ),
        ],
    )


def _costs() -> Section:
    return Section(
        "Spread and depth",
        10,
        3,
        [
            panels.chart(
                "Spread by size",
                "(ask - bid) / mid for 1,000, 100,000 and 1,000,000 USD traded at once, mean of "
                "each window, in basis points.",
                "ticker/spread",
                unit=BPS,
                decimals=2,
                name=SOURCE,
                look=Lines(
                    low=0,
                    overrides=[
                        panels.named("spread_bps", f"{SOURCE} 1k", custom__lineWidth=2),
                        panels.named("spread_100k_bps", f"{SOURCE} 100k"),
                        panels.named(
                            "spread_1m_bps", f"{SOURCE} 1m", custom__lineStyle=panels.DASHED
                        ),
                    ],
                ),
            ),
            panels.chart(
                "Widest spread at 1k",
                "The largest spread of each window: what the mean hides.",
                "ticker/spread_max",
                unit=BPS,
                decimals=2,
                name=SOURCE,
                look=Lines(low=0),
            ),
            panels.chart(
                "Impact of 100k",
                "Buying: (ask for 100k USD - mid) / mid; selling: (mid - bid for 100k USD) / mid; "
                "in basis points. Unequal sides: the book leans.",
                "ticker/impact",
                unit=BPS,
                decimals=2,
                name=SOURCE,
                look=Lines(
                    low=0,
                    overrides=[
                        panels.named("impact_buy_bps", f"{SOURCE} buy"),
                        panels.named(
                            "impact_sell_bps", f"{SOURCE} sell", custom__lineStyle=panels.DASHED
                        ),
                    ],
                ),
            ),
        ],
    )


def _positions() -> Section:
    settled = panels.override(
        "byFrameRefID",
        "B",
        displayName=f"{SOURCE} settled",
        custom__drawStyle="points",
        custom__pointSize=8,
    )
    return Section(
        "Funding and positions",
        9,
        2,
        [
            panels.chart(
                "Funding",
                "Funding a year: steps = as predicted by the venue, dots = as settled. "
                "Above 0 longs pay shorts.",
                "ticker/funding",
                "ticker/settled",
                unit=APR,
                decimals=2,
                name=SOURCE,
                look=Lines(stair=True, overrides=[settled]),
            ),
            panels.chart(
                "Open interest by venue",
                "One-sided notional in USD, comparable over venues.",
                "ticker/oi",
                unit=USD,
                decimals=2,
                name=SOURCE,
            ),
            panels.chart(
                "Open interest by side",
                "USD of longs and of shorts, where a venue publishes both.",
                "ticker/sides",
                unit=USD,
                decimals=2,
                name=SOURCE,
                look=Lines(
                    overrides=[
                        panels.named("long", f"{SOURCE} long"),
                        panels.named("short", f"{SOURCE} short", custom__lineStyle=panels.DASHED),
                    ]
                ),
            ),
            panels.chart(
                "Skew",
                "(long - short) / (long + short) of the open interest, where a venue publishes "
                "both sides. Above 0 traders are long, and the venue is short against them.",
                "ticker/skew",
                unit="percentunit",
                decimals=1,
                name=SOURCE,
            ),
        ],
    )


def _more() -> Section:
    return Section(
        "Basis, volume, freshness",
        9,
        3,
        [
            panels.chart(
                "Basis",
                "(mark - index) / index in basis points. Above 0: dearer than its index.",
                "ticker/basis",
                unit=BPS,
                decimals=1,
                name=SOURCE,
            ),
            panels.chart(
                "Volume 24h",
                "Traded in the 24 hours before each point, in USD. A rolling sum: it does not "
                "add up.",
                "ticker/volume",
                unit=USD,
                decimals=2,
                name=SOURCE,
            ),
            panels.chart(
                "Quote age at receipt",
                "How old a quote was when it came in, the largest of each window.",
                "ticker/age",
                unit="ms",
                decimals=1,
                name=SOURCE,
                look=Lines(low=0),
            ),
        ],
    )
