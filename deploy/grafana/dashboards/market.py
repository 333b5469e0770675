"""Market: what trading costs on each venue, how far their prices are apart, how large they are."""

from __future__ import annotations

from deploy.grafana.dashboards import panels, variables
from deploy.grafana.dashboards.model import Json, Section, annotation, dashboard
from deploy.grafana.dashboards.panels import (
    AGE,
    AGE_S,
    BPS,
    SOURCE,
    TICKER,
    TICKER_SOURCE,
    USD,
    VENUE,
    Column,
    Lines,
)


def market() -> Json:
    """The dashboard."""
    return dashboard(
        "perps-market",
        "Perps: Market",
        "Spreads by size, price gaps between venues, open interest and volume of perpetuals.",
        variables=[
            variables.data_source(),
            variables.rollup(),
            variables.sources(),
            variables.tickers(),
            variables.size(),
            variables.reference(),
        ],
        sections=[_now(), _tables(), _costs(), _sizes()],
        annotations=[annotation("annotations/events", "Events", shown=False)],
    )


def _now() -> Section:
    return Section(
        "Now",
        4,
        4,
        [
            panels.stat(
                "Tightest spread at ${size:text}",
                "The venue where buying and selling ${size:text} USD at once costs least, for the "
                "three cheapest of the chosen tickers: "
                "(ask - bid) / mid of that size, in basis points. Smaller is better.",
                "market/spread_now",
                unit=BPS,
                decimals=2,
                name="${__field.labels.ticker} on ${__field.labels.source}",
            ),
            panels.stat(
                "Price gap to ${reference}",
                "(mid - mid on ${reference}) / mid on ${reference}, in basis points. Above 0: "
                "dearer than ${reference}. The three widest of what is chosen. Compare it with the "
                "two spreads before trading it.",
                "market/gap_now",
                unit=BPS,
                decimals=2,
                name=TICKER_SOURCE,
            ),
            panels.stat(
                "Open interest",
                "One-sided notional of the chosen tickers, summed, in USD.",
                "market/oi_now",
                unit=USD,
                decimals=2,
                name=SOURCE,
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


def _tables() -> Section:
    return Section(
        "Cost and size by venue",
        8,
        2,
        [
            panels.table(
                "Cost ladder",
                "Spread of 1,000, 100,000 and 1,000,000 USD traded at once: (ask - bid) / mid of "
                f"that size, in basis points. {panels.NOTHING} = the venue gives no such price, or "
                "its book is too thin. Venues silent for 10 minutes are left out.",
                "market/ladder",
                TICKER,
                VENUE,
                Column("spread_bps", "1k", BPS, 2),
                Column("spread_100k_bps", "100k", BPS, 2),
                Column("spread_1m_bps", "1m", BPS, 2),
                AGE,
            ),
            panels.table(
                "Size and basis",
                "Open interest (one-sided) and what was traded in the last 24 hours, in USD; basis "
                "= (mark - index) / index, in basis points.",
                "market/sizes",
                TICKER,
                VENUE,
                Column("oi_usd", "OI", USD, 1),
                Column("volume_24h_usd", "Volume 24h", USD, 1),
                Column("basis_bps", "Basis", BPS, 1),
                AGE,
            ),
        ],
    )


def _costs() -> Section:
    return Section(
        "Spreads and prices over time",
        10,
        2,
        [
            panels.chart(
                "Spread at ${size:text}",
                "(ask - bid) / mid for ${size:text} USD traded at once, mean of each window, in "
                "basis points. Half of it is paid going in, half going out.",
                "market/spread",
                unit=BPS,
                decimals=2,
                name=TICKER_SOURCE,
                look=Lines(low=0),
            ),
            panels.chart(
                "Price gap to ${reference} over time",
                "(mid - mid on ${reference}) / mid on ${reference}, means of the same window, in "
                "basis points. 0 = the venues agree. Where a venue was silent for a part of a "
                "window, the price's way meanwhile is in it.",
                "market/gap",
                unit=BPS,
                decimals=2,
                name=TICKER_SOURCE,
            ),
            panels.chart(
                "Impact of 100k",
                "Buying: (ask for 100k USD - mid) / mid; selling: (mid - bid for 100k USD) / mid; "
                "in basis points. Smaller is deeper. Selling is dashed.",
                "market/impact",
                unit=BPS,
                decimals=2,
                name=TICKER_SOURCE,
                look=Lines(
                    low=0,
                    overrides=[
                        panels.named("impact_buy_bps", f"{TICKER_SOURCE} buy"),
                        panels.named(
                            "impact_sell_bps",
                            f"{TICKER_SOURCE} sell",
                            custom__lineStyle=panels.DASHED,
                        ),
                    ],
                ),
            ),
            panels.chart(
                "Basis",
                "(mark - index) / index in basis points. Above 0: the perpetual is dearer than "
                "its index.",
                "market/basis",
                unit=BPS,
                decimals=1,
                name=TICKER_SOURCE,
            ),
        ],
    )


def _sizes() -> Section:
    return Section(
        "Open interest, volume, freshness",
        10,
        3,
        [
            panels.chart(
                "Open interest over time",
                "One-sided notional in USD, comparable over venues.",
                "market/oi",
                unit=USD,
                decimals=2,
                name=TICKER_SOURCE,
            ),
            panels.chart(
                "Volume 24h",
                "Traded in the 24 hours before each point, in USD. A rolling sum: it does not "
                "add up.",
                "market/volume",
                unit=USD,
                decimals=2,
                name=TICKER_SOURCE,
            ),
            panels.chart(
                "Quote age at receipt",
                "How old a quote was when it came in: receipt minus the venue's own time, the "
                "largest of each window.",
                "market/age",
                unit="ms",
                decimals=1,
                name=TICKER_SOURCE,
                look=Lines(low=0),
            ),
        ],
    )
