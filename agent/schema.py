"""What is stored, once: every measurement, tag and field with its unit and meaning.

Encoder, documents, dashboards and tests are checked against this table. All fields are floats in
InfluxDB except `event.text`; a value that is not known is absent, never 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """One field: its name, its unit, and what it means."""

    name: str
    unit: str
    meaning: str


class Measurement(NamedTuple):
    """One measurement: its tags in the order they are written, and its fields likewise.

    `counted` says whether its points are part of the ledger (contract, section 4).
    """

    name: str
    meaning: str
    counted: bool
    tags: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields, in the order they are written."""
        return tuple(field.name for field in self.fields)


_QUOTE = "quote currency"
_AS_PUBLISHED = "as published"


def _size_prices(size: str, words: str) -> tuple[Field, Field]:
    return (
        Field(f"bid_{size}", _QUOTE, f"average price to sell {words} of notional at once"),
        Field(f"ask_{size}", _QUOTE, f"average price to buy {words} of notional at once"),
    )


SNAPSHOT: Final = Measurement(
    name="snapshot",
    meaning="One ticker of one source at one slot.",
    counted=True,
    tags=("source", "ticker"),
    fields=(
        Field("lag_ms", "ms", "receipt minus slot: what a backtest adds to avoid looking ahead"),
        Field(
            "quote_age_ms", "ms", "receipt minus the time the source gives its quotes, at least 0"
        ),
        Field("mark_price", _QUOTE, "mark price; last_price when the source gives none"),
        Field("index_price", _QUOTE, "index price"),
        Field("last_price", _QUOTE, "price of the last trade"),
        Field("best_bid", _QUOTE, "tightest published bid"),
        Field("best_ask", _QUOTE, "tightest published ask"),
        *_size_prices("1k", "USD 1,000"),
        *_size_prices("100k", "USD 100,000"),
        *_size_prices("1m", "USD 1,000,000"),
        Field("mid", _QUOTE, "(bid_1k + ask_1k) / 2"),
        Field("spread_bps", "bps", "(ask_1k - bid_1k) / their mid * 10^4"),
        Field("spread_100k_bps", "bps", "(ask_100k - bid_100k) / their mid * 10^4"),
        Field("spread_1m_bps", "bps", "(ask_1m - bid_1m) / their mid * 10^4"),
        Field("impact_buy_bps", "bps", "(ask_100k - mid) / mid * 10^4"),
        Field("impact_sell_bps", "bps", "(mid - bid_100k) / mid * 10^4"),
        Field("basis_bps", "bps", "(mark_price - index_price) / index_price * 10^4"),
        Field("funding_rate", "fraction", "as the source publishes it (see sources)"),
        Field("funding_interval_s", "s", "settlement interval of this very row"),
        Field("funding_apr", "fraction per year", "simple annualisation; comparable over sources"),
        Field("next_funding_s", "s", "from the slot to the next settlement"),
        Field("long_oi", _AS_PUBLISHED, "Variational: USD of longs; Bybit: base coin, both sides"),
        Field("short_oi", _AS_PUBLISHED, "Variational: USD of shorts"),
        Field("oi_usd", "USD", "open interest, one-sided notional; comparable over sources"),
        Field("volume_24h", _AS_PUBLISHED, "Variational: USD; Bybit: base coin"),
        Field("volume_24h_usd", "USD", "traded in the last 24 hours; comparable over sources"),
    ),
)

PLATFORM: Final = Measurement(
    name="platform",
    meaning="A venue as a whole (Variational's top level).",
    counted=True,
    tags=("source",),
    fields=(
        Field("oi_usd", "USD", "open interest of the venue, one-sided notional"),
        Field("volume_24h_usd", "USD", "traded in the last 24 hours"),
        Field("cumulative_volume_usd", "USD", "traded since the venue's start"),
        Field("tvl_usd", "USD", "total value locked"),
        Field("markets", "count", "number of markets"),
        Field("refund_pool_usd", "USD", "size of the loss-refund pool"),
        Field("refunded_24h_usd", "USD", "losses refunded in the last 24 hours"),
    ),
)

FUNDING: Final = Measurement(
    name="funding",
    meaning="A settled funding rate, at its settlement time.",
    counted=True,
    tags=("source", "ticker"),
    fields=(
        Field("rate", "fraction", "what longs paid shorts for the interval"),
        Field("interval_s", "s", "length of the interval that was settled"),
        Field("apr", "fraction per year", "rate, simply annualised"),
    ),
)

POLL: Final = Measurement(
    name="poll",
    meaning="One attempted slot of one endpoint, also when it failed.",
    counted=False,
    tags=("source", "host", "endpoint"),
    fields=(
        Field("ok", "1 or 0", "1 when every request of the slot was answered and understood"),
        Field("latency_ms", "ms", "the slowest request of the slot"),
        Field("bytes", "bytes", "answers' size as received, decompressed"),
        Field("rows", "count", "snapshots made"),
        Field("bad_rows", "count", "rows that could not be read"),
        Field("missed_slots", "count", "slots skipped since the attempt before"),
    ),
)

AGENT: Final = Measurement(
    name="agent",
    meaning="The agent itself; counts are cumulative and survive restarts.",
    counted=False,
    tags=("host",),
    fields=(
        Field("collected", "points", "taken into the journal"),
        Field("stored", "points", "acknowledged by InfluxDB"),
        Field("rejected", "points", "refused by InfluxDB and set aside"),
        Field("evicted", "points", "removed unsent by the journal's bounds"),
        Field("pending", "points", "waiting to be sent"),
        Field("pending_bytes", "bytes", "size of what waits, compressed"),
        Field("oldest_pending_s", "s", "age of the oldest point that waits"),
        Field("write_ms", "ms", "duration of the last write to InfluxDB"),
        Field("cpu_s", "s", "processor time used since start"),
        Field("rss_bytes", "bytes", "resident memory"),
        Field("uptime_s", "s", "time since start"),
    ),
)

EVENT: Final = Measurement(
    name="event",
    meaning="Something worth an annotation.",
    counted=False,
    tags=("host", "kind", "source"),
    fields=(Field("text", "text", "what happened (a string)"),),
)

MEASUREMENTS: Final = {
    measurement.name: measurement
    for measurement in (SNAPSHOT, PLATFORM, FUNDING, POLL, AGENT, EVENT)
}
