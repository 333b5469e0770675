"""What one poll of one source came to: flows from a source to the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.errors import SourceError
from agent.snapshot import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    """One endpoint's part in a poll: becomes a `poll` point.

    Args:
        endpoint: short name, e.g. "tickers".
        ok: every request was answered and understood.
        latency_ms: the slowest request; None when nothing was asked.
        bytes: size of the answers, decompressed.
        rows: snapshots made.
        bad_rows: rows that could not be read.
        left_out: requests not made, so that the venue's rate limit is kept.
    """

    endpoint: str
    ok: bool
    latency_ms: int | None = None
    bytes: int = 0
    rows: int = 0
    bad_rows: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A settled funding rate: becomes a `funding` point. Numbers are exact texts.

    Args:
        ticker: whose.
        stamp_ns: when it was settled, ns since the epoch.
        rate: what longs paid shorts for the interval, a fraction.
        interval_s: length of the interval; "" = not known.
        apr: the rate, simply annualised; "" = not known.
        predicted: the last prediction before the settlement, not what was settled.
    """

    ticker: str
    stamp_ns: int
    rate: str
    interval_s: str
    apr: str
    predicted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract as its venue lists it.

    Args:
        symbol: the venue's name for it.
        base_coin: what its quantities count, with a multiplier where it has one ("1000PEPE").
        perpetual: a perpetual in the quote coin that is collected, not a dated future.
        interval_s: funding interval; 0 = none.
        leaves: its delisting is announced.
    """

    symbol: str
    base_coin: str
    perpetual: bool
    interval_s: int
    leaves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """All that one poll gave.

    Args:
        source: the source's name.
        slot_ns: the slot it was made for, ns since the epoch.
        batch: the snapshots; None when there is none.
        platform: fields of a `platform` point, exact texts; empty when the source has none.
        reports: one per endpoint that belongs to the slot.
        problems: what failed; empty when all went well.
        notices: things worth saying once (an unknown key, a ticker that is not listed).
        settlements: funding that was settled since the poll before, where the source tells.
    """

    source: str
    slot_ns: int
    batch: Batch | None = None
    platform: Mapping[str, str] = field(default_factory=dict)
    reports: tuple[EndpointReport, ...] = ()
    problems: tuple[SourceError, ...] = ()
    notices: tuple[str, ...] = ()
    settlements: tuple[Settlement, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.problems
