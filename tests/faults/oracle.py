"""What the venues served, worked out anew, and what must come of it.

It reads the venues' documents by itself, with nothing of the agent's code: published numbers digit
by digit, the middle and the spread by their definition. An answer belongs to the slot of the poll
that got it: it is the newest one served before the instant of receipt (slot + lag_ms).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.documents import answer
from agent.demo.market import Market

PATHS: Final = {"variational": "/metadata/stats", "bybit": "/v5/market/tickers"}
DOCUMENTS_KEPT: Final = 64
PREDICTIONS: Final = 16
"""So many answers before a settlement may have been the last one that was taken."""
SECONDS_PER_YEAR: Final = 365 * 24 * 3600
RATIO_TOLERANCE: Final = Decimal("1e-9")
"""Derived numbers carry at least 9 significant digits."""

Fields = Mapping[str, str]
Row = tuple[str, str]
"""Measurement and ticker ("" where there is none)."""

_BYBIT: Final = {
    "index_price": "indexPrice",
    "last_price": "lastPrice",
    "mark_price": "markPrice",
    "best_bid": "bid1Price",
    "best_ask": "ask1Price",
    "funding_rate": "fundingRate",
    "long_oi": "openInterest",
    "volume_24h": "volume24h",
    "volume_24h_usd": "turnover24h",
}
_TIERS: Final = {"base": "best_{}", "size_1k": "{}_1k", "size_100k": "{}_100k", "size_1m": "{}_1m"}
_PLATFORM: Final = {
    "volume_24h_usd": "total_volume_24h",
    "cumulative_volume_usd": "cumulative_volume",
    "tvl_usd": "tvl",
    "markets": "num_markets",
}


class Oracle:
    """Knows every answer of one pair of simulated venues.

    Args:
        market: what they served.
        served: path and instant (ns) of each answer, in the order they were given.
    """

    def __init__(self, market: Market, served: Iterable[tuple[str, int]]) -> None:
        self._market = market
        self._served = list(served)
        self._instants_ns = {
            source: [at_ns for path, at_ns in self._served if path.split("?")[0] == prefix]
            for source, prefix in PATHS.items()
        }
        self._paths = {path.split("?")[0]: path for path, _ in self._served}
        # `answer` is pure: what it said then it says again.
        self._rows = lru_cache(maxsize=DOCUMENTS_KEPT)(self._rows_at)

    def offered(self) -> int:
        """Points in all that was served."""
        return sum(self.polls(source) * self.points(source) for source in PATHS)

    def polls(self, source: str) -> int:
        """How many answers the source gave."""
        return len(self._instants_ns[source])

    def points(self, source: str) -> int:
        """Points in one answer of the source."""
        instants_ns = self._instants_ns[source]
        return len(self._rows(source, instants_ns[0])) if instants_ns else 0

    def expected(self, source: str, slot_ns: int, lag_ms: int) -> Mapping[Row, Fields] | None:
        """The published numbers of a poll, by row; None = it was never served."""
        received_ns = slot_ns + (lag_ms + 1) * NS_PER_MS
        instants_ns = self._instants_ns[source]
        index = bisect_right(instants_ns, received_ns)
        if not index or instants_ns[index - 1] < slot_ns:
            return None
        return self._rows(source, instants_ns[index - 1])

    def predicted(self, ticker: str, settled_ns: int, fields: Fields) -> bool:
        """Whether Variational's last answers before a settlement say that it will be so."""
        instants_ns = self._instants_ns["variational"]
        # The last of them may be under way while the clock strikes.
        index = bisect_right(instants_ns, settled_ns + NS_PER_S)
        rows = (
            self._rows("variational", at_ns).get(("snapshot", ticker), {})
            for at_ns in instants_ns[max(0, index - PREDICTIONS) : index]
        )
        return any(_settles(row, settled_ns, fields) for row in rows)

    def _rows_at(self, source: str, instant_ns: int) -> Mapping[Row, Fields]:
        document = json.loads(answer(self._market, self._paths[PATHS[source]], instant_ns))
        rows = _of_bybit(document) if source == "bybit" else _of_variational(document)
        return dict(rows)


def _settles(row: Fields, settled_ns: int, fields: Fields) -> bool:
    """Variational publishes a rate a year; what is paid is the interval's share of it."""
    if "funding_rate" not in row:
        return False
    interval_s, apr = int(row["funding_interval_s"]), Decimal(row["funding_rate"])
    paid = apr * interval_s / SECONDS_PER_YEAR
    return (
        settled_ns % (interval_s * NS_PER_S) == 0
        and Decimal(fields["interval_s"]) == interval_s
        and Decimal(fields["apr"]) == apr
        and abs(Decimal(fields["rate"]) - paid) <= RATIO_TOLERANCE * abs(paid)
        and Decimal(fields["predicted"]) == 1
    )


def differences(expected: Fields, fields: Fields) -> list[str]:
    """What of a stored point is not what was published, or does not follow from it."""
    wrong = [
        f"{name}: {fields.get(name)} is not {text}"
        for name, text in expected.items()
        if fields.get(name) != text
    ]
    if "bid_1k" in fields and "ask_1k" in fields:
        bid, ask = Decimal(fields["bid_1k"]), Decimal(fields["ask_1k"])
        mid = (bid + ask) / 2
        spread_bps = (ask - bid) / mid * 10_000
        if Decimal(fields["mid"]) != mid:
            wrong.append(f"mid: {fields['mid']} is not {mid}")
        if abs(Decimal(fields["spread_bps"]) - spread_bps) > RATIO_TOLERANCE * spread_bps:
            wrong.append(f"spread_bps: {fields['spread_bps']} is not {spread_bps}")
    return wrong


def _of_bybit(document: Any) -> Iterator[tuple[Row, Fields]]:
    for row in document["result"]["list"]:
        fields = {name: row[key] for name, key in _BYBIT.items() if row[key]}
        fields["funding_interval_s"] = str(int(row["fundingIntervalHour"]) * 3600)
        yield ("snapshot", row["symbol"].removesuffix("USDT")), fields


def _of_variational(document: Any) -> Iterator[tuple[Row, Fields]]:
    for row in document["listings"]:
        fields = {
            "mark_price": row["mark_price"],
            "volume_24h": row["volume_24h"],
            "long_oi": row["open_interest"]["long_open_interest"],
            "short_oi": row["open_interest"]["short_open_interest"],
        }
        if row["funding_interval_s"]:
            fields["funding_rate"] = row["funding_rate"]
            fields["funding_interval_s"] = str(row["funding_interval_s"])
        for tier, name in _TIERS.items():
            for side, price in row["quotes"].get(tier, {}).items():
                fields[name.format(side)] = price
        yield ("snapshot", row["ticker"]), fields
    refund = document["loss_refund"]
    top = {name: str(document[key]) for name, key in _PLATFORM.items()}
    refunds = {"refund_pool_usd": refund["pool_size"], "refunded_24h_usd": refund["refunded_24h"]}
    yield ("platform", ""), {**top, **refunds}
