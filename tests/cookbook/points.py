"""Known points for the cookbook: two venues, missing sizes, an outage, a source that died.

Everything ends at STOP. Numbers are chosen so that the expected ones can be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from agent.clock import NS_PER_S

STOP: Final = "2026-01-06T12:00:00Z"
STOP_S: Final = 1_767_700_800
HOUR_S: Final = 3600

Fields = Mapping[str, float]


def line(measurement: str, tags: str, fields: Fields, before_s: int) -> str:
    """One point, so many seconds before STOP."""
    pairs = ",".join(f"{name}={value!r}" for name, value in fields.items())
    return f"{measurement},{tags} {pairs} {(STOP_S - before_s) * NS_PER_S}"


def raw() -> list[str]:
    """The lines of the bucket of raw points."""
    return [*_btc(), *_eth(), *_sol(), *_xrp(), *_settled(), *_agent()]


def rollup() -> list[str]:
    """The lines of the one-minute bucket: 100 minutes, the newest ends at 11:59."""
    return [
        line("snapshot", f"source={source},ticker=BTC", fields, 60 * minute)
        for minute in range(1, 101)
        for source, fields in _minute(minute).items()
    ]


def _minute(minute: int) -> dict[str, Fields]:
    """Variational's spread was 1 to 100 bps; Bybit's is always the same."""
    omni = {"spread_bps": float(minute), "spread_bps_max": minute + 50.0, "spread_100k_bps": 4.0}
    bybit = {"spread_bps": 0.2, "spread_bps_max": 0.3, "spread_100k_bps": 1.0}
    return {
        "variational": {**omni, "funding_apr": 0.46},
        "bybit": {**bybit, "funding_apr": 0.095},
    }


def _btc() -> Iterator[str]:
    """An hour: Bybit every 10 s, Variational every 20 s but for five minutes of outage.

    Bybit's mid is 100,000 and rises by 1 a slot; Variational's is 5 bps above.
    """
    for before_s in range(HOUR_S, 0, -10):
        mid = 100_000.0 + (HOUR_S - before_s) // 10
        bybit = {
            "lag_ms": 250.0,
            "quote_age_ms": 100.0,
            "mid": mid,
            "ask_100k": 100_100.0,
            "bid_100k": 99_900.0,
            "spread_bps": 0.1,
            "spread_100k_bps": 0.5,
            "spread_1m_bps": 1.5,
            "impact_buy_bps": 0.3,
            "impact_sell_bps": 0.2,
            "basis_bps": 1.0,
            "funding_apr": 0.1095,
            "funding_interval_s": 28_800.0,
            # Settled at 16:00.
            "next_funding_s": 4.0 * HOUR_S + before_s,
            "long_oi": 3000.0,
            "oi_usd": 300e6 if before_s <= HOUR_S // 2 else 200e6,
            "volume_24h_usd": 150e6,
        }
        yield line("snapshot", "source=bybit,ticker=BTC", bybit, before_s)
        if before_s % 20 == 0 and not 2100 <= before_s < 2400:  # the outage
            omni = {
                "lag_ms": 1500.0,
                "quote_age_ms": 30_000.0,
                "mid": mid * 1.0005,
                "ask_100k": 100_000.0,
                "bid_100k": 99_950.0,
                "spread_bps": 2.0,
                "spread_100k_bps": 3.5,
                "impact_buy_bps": 1.9,
                "impact_sell_bps": 1.6,
                "basis_bps": 3.0,
                "funding_apr": 0.5475,
                "funding_interval_s": 28_800.0,
                "long_oi": 60e6,
                "short_oi": 40e6,
                "oi_usd": 100e6,
                "volume_24h_usd": 50e6,
            }
            yield line("snapshot", "source=variational,ticker=BTC", omni, before_s)


def _eth() -> Iterator[str]:
    """Bybit settles more often from 11:30 on; Variational's last slot lacks the 100k spread."""
    for before_s in range(HOUR_S, 0, -20):
        interval_s = 14_400.0 if before_s <= HOUR_S // 2 else 28_800.0
        bybit = {"lag_ms": 250.0, "funding_apr": 0.3, "funding_interval_s": interval_s}
        yield line("snapshot", "source=bybit,ticker=ETH", bybit, before_s)
        omni = {"lag_ms": 1500.0, "mid": 4000.0, "spread_bps": 3.0, "funding_apr": 0.2}
        # Bybit's open interest is not known: nor is the smaller of the two.
        omni["oi_usd"] = 40e6
        if before_s > 20:  # the last slot
            omni["spread_100k_bps"] = 9.0
        yield line("snapshot", "source=variational,ticker=ETH", omni, before_s)


def _sol() -> Iterator[str]:
    """A source that died an hour ago, and longs only."""
    fields = {"lag_ms": 1500.0, "quote_age_ms": 2500.0, "mid": 200.0, "spread_bps": 5.0}
    yield line("snapshot", "source=variational,ticker=SOL", fields, HOUR_S)


def _xrp() -> Iterator[str]:
    """Settled at 08:00: the slot before predicted 10 %, the slot of the settlement 90 %."""
    for before_s, apr in ((4 * HOUR_S + 10, 0.1), (4 * HOUR_S, 0.9)):
        fields = {"lag_ms": 250.0, "funding_apr": apr}
        yield line("snapshot", "source=bybit,ticker=XRP", fields, before_s)
    settled = {"rate": 0.00011, "interval_s": 28_800.0, "apr": 0.12045}
    yield line("funding", "source=bybit,ticker=XRP", settled, 4 * HOUR_S)


def _settled() -> Iterator[str]:
    for before_h, rate in ((20, 0.0001), (12, 0.0002), (4, -0.00006)):
        fields = {"rate": rate, "interval_s": 28_800.0, "apr": rate * 1095}
        yield line("funding", "source=bybit,ticker=BTC", fields, before_h * HOUR_S)


def _agent() -> Iterator[str]:
    tags = "source=variational,host=a,endpoint=stats"
    for number in range(1, 11):
        fields = {
            "ok": 0.0 if number == 4 else 1.0,  # the one that failed
            "latency_ms": 100.0 * number,
            "missed_slots": 2.0 if number == 5 else 0.0,
        }
        yield line("poll", tags, fields, 20 * number)
    ledger = {"collected": 100.0, "stored": 90.0, "rejected": 1.0, "evicted": 2.0, "pending": 7.0}
    yield line("agent", "host=a", {**ledger, "oldest_pending_s": 3.0}, 30)
    event = r'event,host=a,kind=source_down,source=variational text="it is silent, \"why\""'
    yield f"{event} {(STOP_S - 2400) * NS_PER_S}"
    venue = {
        "oi_usd": 1e9,
        "volume_24h_usd": 2e9,
        "cumulative_volume_usd": 3e11,
        "tvl_usd": 5e7,
        "markets": 486.0,
    }
    yield line("platform", "source=variational", venue, 20)
