"""Records for the tests of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.journal.fragment import compress, crc32
from agent.journal.records import Record

SLOT_NS: Final = 1_790_002_800_000_000_000


def snapshot(
    ticker: str, mark: str = "1.5", *, source: str = "bybit", slot_ns: int = SLOT_NS
) -> str:
    """A snapshot's line."""
    return f"snapshot,source={source},ticker={ticker} lag_ms=20,mark_price={mark} {slot_ns}"


def poll(host: str, *, source: str = "bybit", slot_ns: int = SLOT_NS) -> str:
    """A poll's own line."""
    return f"poll,source={source},host={host},endpoint=tickers ok=1,latency_ms=9 {slot_ns}"


def record(
    lines: Sequence[str], *, seq: int = 1, source: str = "bybit", slot_ns: int = SLOT_NS
) -> Record:
    """These lines as a record of the journal."""
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    points = sum(line.startswith(("snapshot,", "platform,", "funding,")) for line in lines)
    return Record(seq, source, slot_ns, slot_ns, points, len(data), crc32(data), compress(data))
