"""Is what InfluxDB acknowledged really there? Counted in both, window by window.

A count tells that points are missing, not which; another writer of the same series with further
tickers can hide what is missing. What is found: `perpflux replay` over the window sends it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, parse_rfc3339_ns, to_rfc3339
from agent.influx_api import InfluxApi
from agent.journal.census import Cell, census, extent
from agent.queries.recipe import literal_of

WINDOW_S: Final = 300
"""What is missing is named to five minutes."""
STEP_S: Final = 3600
"""Asked of InfluxDB at a time."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Fewer points in InfluxDB than it acknowledged: measurement, source, from when to when (ns).

    `unsure`: some of its rejected lines were forgotten, so that it may be those.
    """

    measurement: str
    source: str
    since_ns: int
    until_ns: int
    expected: int
    found: int
    unsure: bool

    def __str__(self) -> str:
        return (
            f"{self.measurement} of {self.source} from {to_rfc3339(self.since_ns)} to "
            f"{to_rfc3339(self.until_ns)}: {self.found} of {self.expected} points are there"
        )


@dataclass(frozen=True, slots=True)
class Readback:
    """What came of a comparison.

    Args:
        since_ns: from this instant,
        until_ns: to this one (ns); both are seams of windows.
        points: how many InfluxDB acknowledged.
        gaps: where some are not there; () = all are.
    """

    since_ns: int
    until_ns: int
    points: int
    gaps: tuple[Gap, ...]

    @property
    def missing(self) -> int:
        """Points that were acknowledged and are not there, as far as that is sure."""
        return sum(gap.expected - gap.found for gap in self.gaps if not gap.unsure)


async def read_back(
    api: InfluxApi, org: str, bucket: str, *, journal: Path, sink: str, since_ns: int, until_ns: int
) -> Readback:
    """Compare a closed time: the windows that lie wholly between these instants.

    Raises:
        InfluxDBError: there is no answer, or the token may not read.
        JournalError: the journal cannot be read.
    """
    window_ns = WINDOW_S * NS_PER_S
    slots = await asyncio.to_thread(extent, journal)
    oldest_ns, newest_ns = slots if slots is not None else (until_ns, until_ns)
    first_ns = max(-(-since_ns // window_ns), oldest_ns // window_ns) * window_ns
    end_ns = max(first_ns, min(until_ns // window_ns, newest_ns // window_ns + 1) * window_ns)
    points = 0
    gaps: list[Gap] = []
    for start_ns in range(first_ns, end_ns, STEP_S * NS_PER_S):
        stop_ns = min(end_ns, start_ns + STEP_S * NS_PER_S)
        # First here: what is acknowledged now must be found then.
        expected = await asyncio.to_thread(census, journal, sink, start_ns, stop_ns, window_ns)
        found = await _counts(api, org, bucket, start_ns, stop_ns) if expected.points else {}
        points += expected.points.total()
        gaps += [
            Gap(
                cell.measurement,
                cell.source,
                cell.window_ns,
                cell.window_ns + window_ns,
                number,
                found.get(cell, 0),
                (cell.source, cell.window_ns) in expected.unsure,
            )
            for cell, number in sorted(expected.points.items())
            if found.get(cell, 0) < number
        ]
    return Readback(first_ns, end_ns, points, tuple(gaps))


async def _counts(
    api: InfluxApi, org: str, bucket: str, since_ns: int, until_ns: int
) -> Counter[Cell]:
    counts: Counter[Cell] = Counter()
    async for row in api.rows(org, flux(bucket, since_ns, until_ns)):
        cells = row.as_dict()
        window_ns = parse_rfc3339_ns(cells["_time"])
        assert window_ns is not None, "InfluxDB gives RFC 3339"
        cell = Cell(cells["_measurement"] or "", cells["source"] or "", window_ns)
        counts[cell] += int(cells["points"] or 0)
    return counts


def flux(bucket: str, since_ns: int, until_ns: int) -> str:
    """Counts points by measurement, source and window.

    Every snapshot has `lag_ms`, so these are counted where they lie. The others have no field that
    is always there; they are few, and different stamps are counted.
    """
    source = (
        f"from(bucket: {literal_of('text', bucket)})\n"
        f"  |> range(start: time(v: {since_ns}), stop: time(v: {until_ns}))\n"
    )
    by_window = '  |> group(columns: ["_measurement", "source", "_time"])\n'
    return (
        f"{source}"
        '  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "lag_ms")\n'
        f"  |> aggregateWindow(every: {WINDOW_S}s, fn: count, createEmpty: false,"
        ' timeSrc: "_start")\n'
        f"{by_window}"
        "  |> sum()\n"
        '  |> rename(columns: {_value: "points"})\n'
        '  |> yield(name: "snapshots")\n\n'
        f"{source}"
        '  |> filter(fn: (r) => r._measurement == "platform" or r._measurement == "funding")\n'
        '  |> keep(columns: ["_time", "_measurement", "source", "ticker"])\n'
        '  |> group(columns: ["_measurement", "source", "ticker"])\n'
        '  |> unique(column: "_time")\n'
        '  |> set(key: "points", value: "")\n'
        f"  |> truncateTimeColumn(unit: {WINDOW_S}s)\n"
        f"{by_window}"
        '  |> count(column: "points")\n'
        '  |> yield(name: "others")\n'
    )
