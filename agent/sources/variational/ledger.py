"""Variational's funding as it was predicted at each settlement: it publishes no history. Pure.

A settlement is at every multiple of a listing's interval since the epoch (UTC). What was published
last before it is taken as what was paid; these points are marked `predicted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

from agent import derive
from agent.clock import NS_PER_S
from agent.poll import Settlement
from agent.snapshot import Batch

PREDICTION_AGE_MAX_S: Final = 900
"""A prediction older than this at its settlement is not taken: then there is no point."""


class _Predictions(NamedTuple):
    """What one poll said of funding, a row per ticker. The rest of it need not be kept."""

    slot_ns: int
    tickers: Sequence[str]
    intervals_s: Sequence[str]
    aprs: Sequence[str]


def _predictions_of(batch: Batch) -> _Predictions:
    columns = batch.columns
    return _Predictions(
        slot_ns=batch.slot_ns,
        tickers=batch.tickers,
        intervals_s=columns["funding_interval_s"],
        aprs=columns["funding_apr"],
    )


class PredictedLedger:
    """Remembers the poll before, and says which settlements lie between it and the next."""

    def __init__(self) -> None:
        self._before: _Predictions | None = None

    def crossed(self, batch: Batch) -> tuple[Settlement, ...]:
        """The settlements after the poll before, up to this one's slot; from what that one said."""
        before, self._before = self._before, _predictions_of(batch)
        if before is None or batch.slot_ns <= before.slot_ns:
            return ()
        settled_ns = {
            interval: stamp_ns
            for interval in set(before.intervals_s)
            if (stamp_ns := _last_multiple(interval, batch.slot_ns)) is not None
            and 0 < stamp_ns - before.slot_ns <= PREDICTION_AGE_MAX_S * NS_PER_S
        }
        return tuple(_settlements(before, settled_ns)) if settled_ns else ()


def _last_multiple(interval_s: str, slot_ns: int) -> int | None:
    """The settlement at or before the slot; None without an interval."""
    interval_ns = int(interval_s or 0) * NS_PER_S
    return slot_ns // interval_ns * interval_ns if interval_ns else None


def _settlements(before: _Predictions, settled_ns: dict[str, int]) -> list[Settlement]:
    rows = zip(before.tickers, before.intervals_s, before.aprs, strict=True)
    found = [row for row in rows if row[1] in settled_ns and row[2]]
    with localcontext(derive.RATIO):
        rates = derive.texts(
            [
                Decimal(apr) * int(interval_s) / derive.SECONDS_PER_YEAR
                for _, interval_s, apr in found
            ]
        )
    return [
        Settlement(
            ticker=ticker,
            stamp_ns=settled_ns[interval_s],
            rate=rate,
            interval_s=interval_s,
            apr=apr,
            predicted=True,
        )
        for (ticker, interval_s, apr), rate in zip(found, rates, strict=True)
        if rate
    ]
