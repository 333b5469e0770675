"""What each source makes a snapshot's fields of, in the venue's own key names.

A field that is not here is absent from that source's snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FORMULA: Final = "formula"
_FORMULAS: Final = dict.fromkeys(
    "mid spread_bps spread_100k_bps spread_1m_bps impact_buy_bps impact_sell_bps".split(), _FORMULA
)

ORIGINS: Final[Mapping[str, Mapping[str, str]]] = {
    "variational": {
        "lag_ms": "slot to last byte of the answer",
        "quote_age_ms": "`quotes.updated_at`, one time for all sizes",
        "mark_price": "`mark_price`",
        "best_bid": "`quotes.base.bid`",
        "best_ask": "`quotes.base.ask`",
        "bid_1k": "`quotes.size_1k.bid`",
        "ask_1k": "`quotes.size_1k.ask`",
        "bid_100k": "`quotes.size_100k.bid`",
        "ask_100k": "`quotes.size_100k.ask`",
        "bid_1m": "`quotes.size_1m.bid`",
        "ask_1m": "`quotes.size_1m.ask`",
        **_FORMULAS,
        "funding_rate": "`funding_rate`, a fraction per **year**",
        "funding_interval_s": "`funding_interval_s`; 0 (a swap) = absent",
        "funding_apr": "`funding_rate`",
        "long_oi": "`open_interest.long_open_interest`, USD",
        "short_oi": "`open_interest.short_open_interest`, USD",
        "oi_usd": "long_oi + short_oi",
        "volume_24h": "`volume_24h`, USD",
        "volume_24h_usd": "`volume_24h`",
    },
    "bybit": {
        "lag_ms": "slot to last byte of the last answer",
        "quote_age_ms": "`cts` of the order book, else `time` of the answer",
        "mark_price": "`markPrice`, else `lastPrice`",
        "index_price": "`indexPrice`",
        "last_price": "`lastPrice`",
        "best_bid": "`bid1Price`",
        "best_ask": "`ask1Price`",
        "bid_1k": "the order book's `b`, else `bid1Price`",
        "ask_1k": "the order book's `a`, else `ask1Price`",
        "bid_100k": "the order book's `b`",
        "ask_100k": "the order book's `a`",
        "bid_1m": "the order book's `b`",
        "ask_1m": "the order book's `a`",
        **_FORMULAS,
        "basis_bps": _FORMULA,
        "funding_rate": "`fundingRate`, a fraction per **interval**",
        "funding_interval_s": "`fundingIntervalHour` * 3600",
        "funding_apr": "`fundingRate` * intervals per year",
        "next_funding_s": "`nextFundingTime` - slot",
        "long_oi": "`openInterest`, base coin, both sides",
        "oi_usd": "`singleOpenInterestValue`, else `openInterestValue` / 2",
        "volume_24h": "`volume24h`, base coin",
        "volume_24h_usd": "`turnover24h`",
    },
}
"""Source, field, and what it is made of."""
