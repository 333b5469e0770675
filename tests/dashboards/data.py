"""Known points: what each venue showed, an outage, a venue that died, settled rates, the agent.

Two hours of raw points end at `END`; the rollup holds a week of hourly points with other values,
so that an answer tells which of the two was read. Everything is written as line protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent import schema
from agent.line_protocol import encode_point

END = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
START = END - timedelta(hours=2)
WEEK = END - timedelta(days=7)
OUTAGE = (END - timedelta(minutes=90), END - timedelta(minutes=75))
"""No agent ran: nothing at all was stored."""
DRIFT_DIED = END - timedelta(minutes=40)
HOST = "trader-1"
INTERVAL_S = {"bybit": 10, "variational": 20, "drift": 20}

WAVE_BPS = ("0.1", "0.2", "0.6")
"""The spread of BTC on Bybit goes round these, slot by slot."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A ticker of a source: what its points hold; spreads by size, "" = not known."""

    source: str
    ticker: str
    mid: str
    spreads_bps: tuple[str, str, str]
    apr: str
    oi_usd: str
    more: Mapping[str, str]

    def fields(self, index: int) -> dict[str, str]:
        """The fields of the slot with this number; those with "" are not known."""
        wavy = (self.source, self.ticker) == ("bybit", "BTC")
        small = WAVE_BPS[index % len(WAVE_BPS)] if wavy else self.spreads_bps[0]
        deep = self.spreads_bps[1]
        return {
            "lag_ms": "200" if self.source == "bybit" else "400",
            "quote_age_ms": "150" if self.source == "bybit" else "30000",
            "mark_price": self.mid,
            "index_price": self.mid,
            "mid": self.mid,
            "spread_bps": small,
            "spread_100k_bps": deep,
            "spread_1m_bps": self.spreads_bps[2],
            "impact_buy_bps": deep and "1.5",
            "impact_sell_bps": deep and "2.5",
            "basis_bps": "-0.5",
            "funding_rate": "0.0001",
            "funding_interval_s": "28800",
            "funding_apr": self.apr,
            "oi_usd": self.oi_usd,
            "volume_24h_usd": "1000000",
            **self.more,
        }


_BYBIT = {"long_oi": "100000", "next_funding_s": "14400"}


def _sides(long_usd: str, short_usd: str) -> dict[str, str]:
    return {"long_oi": long_usd, "short_oi": short_usd}


LISTINGS = (
    Listing("bybit", "BTC", "100000", (WAVE_BPS[0], "0.5", "2"), "0.1095", "5000000000", _BYBIT),
    Listing("bybit", "ETH", "4000", ("0.25", "0.75", "3"), "-0.02", "2000000000", _BYBIT),
    # No order book is read for it: no large sizes.
    Listing("bybit", "DOGE", "0.15", ("2", "", ""), "0.4", "300000000", _BYBIT),
    Listing(
        "variational",
        "BTC",
        "100050",
        ("1", "3", "8"),
        "0.05",
        "800000000",
        _sides("500000000", "300000000"),
    ),
    # No tier for a million.
    Listing(
        "variational",
        "ETH",
        "3998",
        ("1.5", "4", ""),
        "0.18",
        "400000000",
        _sides("100000000", "300000000"),
    ),
    Listing(
        "variational",
        "DOGE",
        "0.1503",
        ("6", "20", ""),
        "0.1",
        "50000000",
        _sides("30000000", "20000000"),
    ),
    # One venue alone lists it: no carry.
    Listing(
        "variational",
        "SOL",
        "200",
        ("2", "5", "12"),
        "0.25",
        "100000000",
        _sides("60000000", "40000000"),
    ),
    # It died: its rate would be the best carry by far.
    Listing("drift", "BTC", "101000", ("5", "9", ""), "9.9", "1000000", {}),
)

WEEK_APR = {
    ("bybit", "BTC"): "0.08",
    ("variational", "BTC"): "0.06",
    ("bybit", "ETH"): "0.01",
    ("variational", "ETH"): "0.11",
}
"""Funding in the rollup; DOGE and SOL are too new to be there."""
WEEK_SPREAD_BPS, WEEK_SPREAD_MAX_BPS = "0.3", "9.9"

SETTLED = {
    ("bybit", "BTC"): ("0.0001", "0.0003"),
    ("bybit", "ETH"): ("-0.0002",),
}
"""Rates settled within the two hours, the last one 30 minutes before the end, each for 8 hours."""


def ns(instant: datetime) -> int:
    """Nanoseconds since the epoch."""
    return int(instant.timestamp()) * 10**9


def rfc3339(instant: datetime) -> str:
    """As Grafana writes it."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def slots(source: str) -> Iterator[tuple[int, int]]:
    """Number and stamp (ns) of each slot that a source answered."""
    interval_s = INTERVAL_S[source]
    last = DRIFT_DIED if source == "drift" else END - timedelta(seconds=1)
    for index in range(int((END - START).total_seconds()) // interval_s):
        instant = START + timedelta(seconds=index * interval_s)
        if instant <= last and not OUTAGE[0] <= instant < OUTAGE[1]:
            yield index, ns(instant)


def raw() -> str:
    """Two hours of everything, 10:00 to 12:00."""
    return "".join([*_snapshots(), *_settled(), *_polls(), *_agent(), *_sinks(), *_events()])


def _snapshots() -> Iterator[str]:
    for listing in LISTINGS:
        tags = {"source": listing.source, "ticker": listing.ticker}
        for index, stamp_ns in slots(listing.source):
            yield encode_point(schema.SNAPSHOT, tags, listing.fields(index), stamp_ns)
    fields = {"oi_usd": "1450000000", "tvl_usd": "90000000"}
    yield encode_point(schema.PLATFORM, {"source": "variational"}, fields, ns(END) - 20 * 10**9)


def _settled() -> Iterator[str]:
    for (source, ticker), rates in SETTLED.items():
        for back, rate in enumerate(reversed(rates)):
            stamp_ns = ns(END - timedelta(minutes=30 * (back + 1)))
            fields = {"rate": rate, "interval_s": "28800", "apr": _apr(rate)}
            tags = {"source": source, "ticker": ticker}
            yield encode_point(schema.FUNDING, tags, fields, stamp_ns)


def _apr(rate: str) -> str:
    return f"{float(rate) * 1095:.6f}"


def _polls() -> Iterator[str]:
    """Variational fails every fourth time; the first poll after the outage counts the gap."""
    for source, interval_s in INTERVAL_S.items():
        tags = {"source": source, "host": HOST, "endpoint": "tickers"}
        before_ns = 0
        for index, stamp_ns in slots(source):
            interval_ns = interval_s * 10**9
            missed = (stamp_ns - before_ns) // interval_ns - 1 if before_ns else 0
            before_ns = stamp_ns
            failed = source == "variational" and index % 4 == 0
            fields = {
                "ok": "0" if failed else "1",
                "latency_ms": "250" if index % 2 else "150",
                "bytes": "1000",
                "rows": "3",
                "bad_rows": "1" if index == 700 else "0",
                "missed_slots": str(missed),
            }
            yield encode_point(schema.POLL, tags, fields, stamp_ns)


def _agent() -> Iterator[str]:
    """5 points a second; three rejected and two evicted 20 minutes before the end."""
    for number, (index, stamp_ns) in enumerate(slots("bybit")):
        lost = stamp_ns >= ns(END - timedelta(minutes=20))
        fields = {
            "collected": str(50 * number),
            "stored": str(50 * number - 10 if number else 0),
            "rejected": "3" if lost else "0",
            "evicted": "2" if lost else "0",
            "pending": "10",
            "pending_bytes": "4096",
            "oldest_pending_s": "7.5",
            "write_ms": "12",
            "cpu_s": f"{index * 0.5:.1f}",
            "rss_bytes": "60000000",
            "uptime_s": str(index * 10),
        }
        yield encode_point(schema.AGENT, {"host": HOST}, fields, stamp_ns)


def _sinks() -> Iterator[str]:
    """One store that is well; one that began to lag and never took a write; one long gone."""
    well = {
        "collected": "36000",
        "stored": "35990",
        "rejected": "0",
        "evicted": "0",
        "pending": "10",
        "pending_bytes": "4096",
        "oldest_pending_s": "7.5",
        "write_ms": "12",
        "up": "1",
    }
    for index, stamp_ns in slots("bybit"):
        yield _sink("influxdb", well, stamp_ns)
        late = well | {
            "stored": "0",
            "rejected": "3",
            "evicted": "2",
            "pending": str(50 * index),
            "oldest_pending_s": str(10 * index),
            "write_ms": "",
            "up": "0",
        }
        yield _sink("cloud", late, stamp_ns)
        if stamp_ns < ns(DRIFT_DIED):
            yield _sink("former", well, stamp_ns)


def _sink(name: str, fields: Mapping[str, str], stamp_ns: int) -> str:
    return encode_point(schema.SINK, {"host": HOST, "sink": name}, fields, stamp_ns)


def _events() -> Iterator[str]:
    for source, kind, text, instant in (
        ("drift", "source_down", "no answer within 5 s", DRIFT_DIED),
        ("bybit", "clock_step", "the wall clock stepped by +2.000 s", END - timedelta(minutes=50)),
    ):
        tags = {"host": HOST, "kind": kind, "source": source}
        yield encode_point(schema.EVENT, tags, {"text": text}, ns(instant))


def rollup() -> str:
    """A week of hourly points as the rollup would hold them, with values of their own."""
    lines = []
    for hour in range(1, 7 * 24):
        stamp_ns = ns(WEEK + timedelta(hours=hour))
        for listing in LISTINGS:
            key = (listing.source, listing.ticker)
            fields = listing.fields(0) | {"spread_bps": WEEK_SPREAD_BPS}
            fields["funding_apr"] = WEEK_APR.get(key, "")
            tags = {"source": listing.source, "ticker": listing.ticker}
            line = encode_point(schema.SNAPSHOT, tags, fields, stamp_ns)
            # The one field that only the rollup has.
            head, _, stamp = line.rstrip("\n").rpartition(" ")
            lines.append(f"{head},spread_bps_max={WEEK_SPREAD_MAX_BPS} {stamp}\n")
    return "".join(lines)
