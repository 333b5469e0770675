"""The numbers of the venues' documentation, to the digit, through the public interface."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agent.clock import NS_PER_MS
from agent.sources import BybitClient, VariationalClient
from tests.support.clock import FakeClock
from tests.support.venue import recorded, venue

BYBIT_TIME_MS = 1_762_220_791_908
VARIATIONAL_RECEIVED_MS = 1_767_681_580_500


def rounded(number: Decimal, digits: int) -> Decimal:
    """The number with so many decimals."""
    return round(number, digits)


async def test_bybit() -> None:
    """The recorded ticker of 4 November 2025: published texts as they are, derived to the digit."""
    with venue() as mocked:
        mocked.answer(body=recorded("bybit", "golden"))
        async with BybitClient(clock=FakeClock(BYBIT_TIME_MS * NS_PER_MS)) as client:
            stats = await client.fetch_stats("BTC")
    assert stats is not None
    assert {key: str(value) for key, value in stats.items() if value is not None} == {
        "ts": "2025-11-04 01:46:31+00:00",
        "source": "bybit",
        "ticker": "BTC",
        "lag_ms": "908",
        "quote_age_ms": "0",
        "quotes_updated_at": "2025-11-04 01:46:31.908000+00:00",
        "mark_price": "107084.00",
        "index_price": "107135.27",
        "last_price": "107089.20",
        "best_bid": "107089.10",
        "best_ask": "107089.20",
        "bid_1k": "107089.10",
        "ask_1k": "107089.20",
        "mid": "107089.150",
        "spread_bps": "0.00933801416857",
        "basis_bps": "-4.78553887996",
        "funding_rate": "0.00001938",
        "funding_interval_s": "28800",
        "funding_apr": "0.02122110",
        "next_funding_s": "22409.000",
        "long_oi": "50923.331",
        "oi_usd": "2726536988.400",
        "volume_24h": "102583.4090",
        "volume_24h_usd": "10983940889.6900",
    }
    assert rounded(stats["spread_bps"], 7) == Decimal("0.0093380")
    assert rounded(stats["funding_apr"], 7) == Decimal("0.0212211")
    assert stats["oi_usd"] == Decimal("2726536988.40")
    assert stats["volume_24h_usd"] == Decimal("10983940889.69")
    # From the slot; from the reply's own time it is what the lag takes off.
    assert stats["next_funding_s"] - Decimal(stats["lag_ms"]) / 1000 == Decimal("22408.092")


async def test_variational() -> None:
    """The recorded document of 6 January 2026: exact sums, widths over their own mid."""
    with venue() as mocked:
        mocked.answer(body=recorded("variational", "golden"))
        clock = FakeClock(VARIATIONAL_RECEIVED_MS * NS_PER_MS)
        async with VariationalClient(clock=clock) as client:
            stats = await client.fetch_stats("BTC")
    assert stats is not None
    assert rounded(stats["spread_bps"], 6) == Decimal("0.430920")
    assert rounded(stats["spread_100k_bps"], 6) == Decimal("1.463420")
    assert rounded(stats["spread_1m_bps"], 6) == Decimal("6.492843")
    assert stats["mid"] == Decimal("93752.99")
    assert stats["impact_buy_bps"] == stats["impact_sell_bps"] == Decimal("0.731709996663")
    assert (stats["funding_rate"], stats["funding_interval_s"]) == (Decimal("0.037347"), 28800)
    assert stats["funding_apr"] == Decimal("0.037347")
    per_interval = stats["funding_apr"] * stats["funding_interval_s"] / 31_536_000
    assert rounded(per_interval, 10) == Decimal("0.0000341068")
    assert stats["oi_usd"] == Decimal("196286089.53353347842220980000")
    assert (stats["long_oi"], stats["short_oi"]) == (
        Decimal("113883049.01452301878687056000"),
        Decimal("82403040.51901045963533924000"),
    )
    assert stats["volume_24h_usd"] == stats["volume_24h"] == Decimal("1058107020.462713")
    assert stats["quotes_updated_at"] == datetime(2026, 1, 6, 6, 38, 52, 476166, tzinfo=UTC)
    assert (stats["quote_age_ms"], stats["lag_ms"]) == (48023, 500)
    absent = {name for name, value in stats.items() if value is None}
    assert absent == {"index_price", "last_price", "basis_bps", "next_funding_s"}


@pytest.mark.parametrize("interval_s", [1, 20, 3600])
async def test_the_slot_is_a_multiple_of_the_interval(interval_s: int) -> None:
    """The stamp does not tell when the answer came, but the slot it belongs to; the lag does."""
    with venue() as mocked:
        mocked.answer(body=recorded("bybit", "golden"))
        clock = FakeClock(BYBIT_TIME_MS * NS_PER_MS)
        async with BybitClient(poll_interval_s=interval_s, clock=clock) as client:
            stats = await client.fetch_stats("BTC")
    assert stats is not None
    slot_s = int(stats["ts"].timestamp())
    assert slot_s % interval_s == 0
    assert stats["lag_ms"] == BYBIT_TIME_MS - slot_s * 1000 < interval_s * 1000
