"""What is stored, once: every measurement, tag and field with its unit and meaning.

Encoder, documents, dashboards and tests are checked against this table. All fields are floats in
InfluxDB except `event.text`; a value that is not known is absent, never 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ABOVE_ZERO: Final = "above 0"
ZERO_OR_MORE: Final = "0 or more"
ANY_SIGN: Final = "any sign"
ZERO_OR_ONE: Final = "0 or 1"
ONE: Final = "1"
TEXT: Final = "any text"


class Field(NamedTuple):
    """One field: its name, its unit, and what it means.

    Attributes:
        name: as it is stored.
        unit: of the number.
        meaning: what it says, or its formula.
        range: which values make sense, one of the constants above. A number as published is stored
            as it is, whatever it is.
        absent: when there is no such field in a point; "" = it is always there.
    """

    name: str
    unit: str
    meaning: str
    range: str = ZERO_OR_MORE
    absent: str = ""


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


_AS_PUBLISHED = "as published"
_UNPUBLISHED = "the source publishes none"
_UNKNOWN_INPUT = "an input is absent"


def _price(name: str, meaning: str, absent: str = _UNPUBLISHED) -> Field:
    return Field(name, "quote currency", meaning, ABOVE_ZERO, absent)


def _size_prices(size: str, words: str) -> tuple[Field, Field]:
    absent = "the source has no price for this size, or its book is too thin"
    return (
        _price(f"bid_{size}", f"average price to sell {words} of notional at once", absent),
        _price(f"ask_{size}", f"average price to buy {words} of notional at once", absent),
    )


def _points(name: str, formula: str, range_: str) -> Field:
    return Field(name, "bps", formula, range_, _UNKNOWN_INPUT)


def _published(name: str, unit: str, meaning: str) -> Field:
    return Field(name, unit, meaning, absent=_UNPUBLISHED)


def _funding(name: str, unit: str, meaning: str, range_: str) -> Field:
    return Field(name, unit, meaning, range_, "the contract has no funding")


SNAPSHOT: Final = Measurement(
    name="snapshot",
    meaning="One ticker of one source at one slot.",
    counted=True,
    tags=("source", "ticker"),
    fields=(
        Field("lag_ms", "ms", "receipt minus slot: what a backtest adds to avoid looking ahead"),
        Field(
            "quote_age_ms",
            "ms",
            "receipt minus the time the source gives its quotes, at least 0",
            absent="the source gives no time",
        ),
        _price("mark_price", "mark price; last_price when the source gives none"),
        _price("index_price", "index price"),
        _price("last_price", "price of the last trade"),
        _price("best_bid", "tightest published bid"),
        _price("best_ask", "tightest published ask"),
        *_size_prices("1k", "USD 1,000"),
        *_size_prices("100k", "USD 100,000"),
        *_size_prices("1m", "USD 1,000,000"),
        _price("mid", "(bid_1k + ask_1k) / 2", _UNKNOWN_INPUT),
        _points("spread_bps", "(ask_1k - bid_1k) / their mid * 10^4", ZERO_OR_MORE),
        _points("spread_100k_bps", "(ask_100k - bid_100k) / their mid * 10^4", ZERO_OR_MORE),
        _points("spread_1m_bps", "(ask_1m - bid_1m) / their mid * 10^4", ZERO_OR_MORE),
        _points("impact_buy_bps", "(ask_100k - mid) / mid * 10^4", ANY_SIGN),
        _points("impact_sell_bps", "(mid - bid_100k) / mid * 10^4", ANY_SIGN),
        _points("basis_bps", "(mark_price - index_price) / index_price * 10^4", ANY_SIGN),
        _funding("funding_rate", "fraction", "as the source publishes it (see sources)", ANY_SIGN),
        _funding("funding_interval_s", "s", "settlement interval of this very row", ABOVE_ZERO),
        _funding(
            "funding_apr",
            "fraction per year",
            "simple annualisation; comparable over sources",
            ANY_SIGN,
        ),
        Field(
            "next_funding_s",
            "s",
            "from the slot to the next settlement",
            ABOVE_ZERO,
            "the source does not say, or it has passed",
        ),
        _published(
            "long_oi", _AS_PUBLISHED, "Variational: USD of longs; Bybit: base coin, both sides"
        ),
        _published("short_oi", _AS_PUBLISHED, "Variational: USD of shorts"),
        _published("oi_usd", "USD", "open interest, one-sided notional; comparable over sources"),
        _published("volume_24h", _AS_PUBLISHED, "Variational: USD; Bybit: base coin"),
        _published("volume_24h_usd", "USD", "traded in the last 24 hours; comparable over sources"),
    ),
)

PLATFORM: Final = Measurement(
    name="platform",
    meaning="A venue as a whole (Variational's top level).",
    counted=True,
    tags=("source",),
    fields=(
        _published("oi_usd", "USD", "open interest of the venue, one-sided notional"),
        _published("volume_24h_usd", "USD", "traded in the last 24 hours"),
        _published("cumulative_volume_usd", "USD", "traded since the venue's start"),
        _published("tvl_usd", "USD", "total value locked"),
        _published("markets", "count", "number of markets"),
        _published("refund_pool_usd", "USD", "size of the loss-refund pool"),
        _published("refunded_24h_usd", "USD", "losses refunded in the last 24 hours"),
    ),
)

FUNDING: Final = Measurement(
    name="funding",
    meaning="A settled funding rate, at its settlement time (Variational: the last prediction).",
    counted=True,
    tags=("source", "ticker"),
    fields=(
        Field("rate", "fraction", "what longs paid shorts for the interval", ANY_SIGN),
        Field(
            "interval_s",
            "s",
            "length of the interval that was settled",
            ABOVE_ZERO,
            "nothing tells when it began",
        ),
        Field("apr", "fraction per year", "rate, simply annualised", ANY_SIGN, _UNKNOWN_INPUT),
        Field(
            "predicted",
            "1",
            "it is what was predicted last before the settlement, not what was settled",
            ONE,
            "it is the settled rate",
        ),
    ),
)

POLL: Final = Measurement(
    name="poll",
    meaning="One attempted slot of one endpoint, also when it failed.",
    counted=False,
    tags=("source", "host", "endpoint"),
    fields=(
        Field(
            "ok",
            "1 or 0",
            "1 when every request of the slot was answered and understood",
            ZERO_OR_ONE,
        ),
        Field("latency_ms", "ms", "the slowest request of the slot", absent="nothing was asked"),
        Field("bytes", "bytes", "answers' size as received, decompressed"),
        Field("rows", "count", "snapshots made"),
        Field("bad_rows", "count", "rows that could not be read"),
        Field("missed_slots", "count", "slots skipped since the attempt before"),
        Field("left_out", "count", "requests not made, so that the venue's rate limit is kept"),
    ),
)


def _shipping(store: str) -> tuple[Field, ...]:
    """Where the points of a store are, and how writing to it goes."""
    return (
        Field("collected", "points", "taken into the journal"),
        Field("stored", "points", f"acknowledged by {store}"),
        Field("rejected", "points", f"refused by {store} and set aside"),
        Field("evicted", "points", "removed unsent by the journal's bounds"),
        Field("pending", "points", "waiting to be sent"),
        Field("pending_bytes", "bytes", "size of what waits, compressed"),
        Field("oldest_pending_s", "s", "age of the oldest point that waits"),
        Field(
            "write_ms", "ms", f"duration of the last write to {store}", absent="there was none yet"
        ),
    )


AGENT: Final = Measurement(
    name="agent",
    meaning="The agent itself; counts are cumulative and survive restarts.",
    counted=False,
    tags=("host",),
    fields=(
        *_shipping("InfluxDB"),
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
    fields=(Field("text", "text", "what happened (a string)", TEXT),),
)

SINK: Final = Measurement(
    name="sink",
    meaning="One of the configured stores; counts are cumulative and survive restarts.",
    counted=False,
    tags=("host", "sink"),
    fields=(
        *_shipping("the store"),
        Field("up", "1 or 0", "1 while writes succeed", ZERO_OR_ONE),
    ),
)

MEASUREMENTS: Final = {
    measurement.name: measurement
    for measurement in (SNAPSHOT, PLATFORM, FUNDING, POLL, AGENT, EVENT, SINK)
}
