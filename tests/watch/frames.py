"""Frames made by hand, at the time of the fake clock."""

from __future__ import annotations

from collections.abc import Mapping

from agent.board import Row
from agent.cli.watch.feed import Frame
from agent.clock import NS_PER_S
from tests.support.clock import START_NS

INTERVALS_S = {"bybit": 1, "variational": 20}
LEDGER = {"collected": 12, "stored": 9, "rejected": 1, "evicted": 0, "pending": 2}


def row(
    ticker: str,
    source: str = "bybit",
    *,
    age_s: int = 0,
    settles_s: int | None = None,
    **texts: str,
) -> Row:
    """A row of some age."""
    slot_ns = START_NS - age_s * NS_PER_S
    settles_ns = None if settles_s is None else START_NS + settles_s * NS_PER_S
    return Row(source, ticker, slot_ns, None, texts, None, settles_ns)


def frame(*rows: Row, intervals_s: Mapping[str, int] = INTERVALS_S) -> Frame:
    """A frame with these rows."""
    return Frame(START_NS, [*rows], intervals_s, LEDGER, "InfluxDB shipping", "agent at x, ok")


BTC = row(
    "BTC", mid="80614.850", spread_bps="0.01234", spread_100k_bps="0.25", gap_bps="-0.0124",
    funding_apr="0.10949999", carry_apr="-0.0158", settles_s=2775,
)  # fmt: skip
BTC_OMNI = row(
    "BTC", "variational", age_s=4, mid="80614.950", spread_bps="0.43", spread_100k_bps="1.46",
    gap_bps="0.0124", funding_apr="0.1253", carry_apr="0.0158",
)  # fmt: skip
