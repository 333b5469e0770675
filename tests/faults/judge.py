"""Holds what the venues served, what the journal took and what InfluxDB has against each other.

Every line that the journal took must be in InfluxDB, value by value, or among the rejected ones
with a reason; InfluxDB must hold nothing else; and what the journal took must be what was served.
It reads a few slots at a time, so that a long run needs no more memory than a short one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.clock import parse_rfc3339_ns, to_rfc3339
from agent.journal import History
from agent.journal.reader import HistoryRecord
from agent.journal.records import FUNDING_SUFFIX, Ledger, RejectedRow
from agent.line_protocol import Point, parse_line
from tests.faults.oracle import PATHS, Oracle, Row, differences
from tests.influxd.server import InfluxServer

LINES_PER_LOOK: Final = 16_000
"""About so many lines are compared at a time."""
SAID_MAX: Final = 10
LATEST: Final = "2200-01-01T00:00:00Z"
COUNTED: Final = frozenset({"snapshot", "platform", "funding"})
TAGS: Final = frozenset({"source", "ticker", "host", "endpoint", "kind", "sink"})
OTHERS: Final = TAGS | {"_measurement", "_time", "result", "table"}
"""Columns of an answer that are no fields."""

Taken = tuple[str, Point]
"""A line and what it says."""
Identity = tuple[str, tuple[tuple[str, str], ...], int]
"""Measurement, tags in order, stamp (ns): what InfluxDB tells points apart by."""


@dataclass
class Verdict:
    """What came of a run, in points; `said` names the first of what is wrong.

    Args:
        offered: in what the venues served.
        collected: in the journal.
        untaken: offered, but the agent died, or had no disk, before the poll was in the journal.
        stored: in InfluxDB.
        rejected: refused, each with a reason.
        lost: lines (of any kind) that the journal took, InfluxDB lacks and nobody accounts for.
        altered: points with a value that is not the one that was served or taken.
        invented: points in InfluxDB that nobody took, or in the journal that nobody served.
        twice: points that the journal took more than once.
    """

    offered: int = 0
    collected: int = 0
    untaken: int = 0
    stored: int = 0
    rejected: int = 0
    lost: int = 0
    altered: int = 0
    invented: int = 0
    twice: int = 0
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Keep what is wrong, the first of it."""
        if len(self.said) < SAID_MAX:
            self.said.append(text)


@dataclass(frozen=True)
class Evidence:
    """What there is to judge.

    Args:
        journal: the journal's file; nobody writes to it any more.
        server: the real InfluxDB.
        bucket: where the points went.
        oracle: what was served.
        ledger: the account at the end.
        rejected: the refused lines.
        refusable: tells lines that were spoilt or refused on purpose: no others may be rejected.
        planted: lines that the run itself put into journal or bucket, served by nobody.
        forgets: the journal may have let go of what was shipped (its disk was short).
        may_resend: a 204 may have been lost, and what it was for was sent again.
    """

    journal: Path
    server: InfluxServer
    bucket: str
    oracle: Oracle
    ledger: Ledger
    rejected: Sequence[RejectedRow]
    refusable: Callable[[str], bool] = lambda _: False
    planted: frozenset[str] = frozenset()
    forgets: bool = False
    may_resend: bool = False


def judge(evidence: Evidence) -> Verdict:
    """Compare everything with everything."""
    verdict = Verdict(offered=evidence.oracle.offered())
    refused = {row.rejected.line for row in evidence.rejected}
    planted = {identity_of(parse_line(line)) for line in evidence.planted}
    with History(evidence.journal) as history:
        since_ns = own = 0
        for until_ns in [*_seams(history), None]:
            records = history.records(since_ns=since_ns, until_ns=until_ns)
            taken = _taken(records, evidence, verdict)
            own += sum(line in evidence.planted for lines in taken.values() for line, _ in lines)
            found = read_back(evidence.server, evidence.bucket, since_ns, until_ns)
            compare(taken, found, refused, verdict, may_resend=evidence.may_resend)
            left = {key: values for key, values in found.items() if key not in planted}
            if evidence.forgets:
                left = _not_served(left, evidence.oracle, verdict)
            for identity in left:
                verdict.invented += 1
                verdict.say(f"in InfluxDB, but nobody took it: {identity}")
            since_ns = until_ns or since_ns
        if history.damaged:
            verdict.say(f"{history.damaged} damaged records")
    _check_books(evidence, verdict)
    verdict.untaken = verdict.offered - verdict.collected + own
    return verdict


def _seams(history: History) -> Iterator[int]:
    """Where to cut the journal's time, so that about as many lines lie between two cuts."""
    lines: Counter[int] = Counter()
    for record in history.records():
        lines[record.slot_ns] += record.lines.count("\n")
    held = 0
    for slot_ns in sorted(lines):
        held += lines[slot_ns]
        if held >= LINES_PER_LOOK:
            yield slot_ns + 1
            held = 0


def _taken(
    records: Iterator[HistoryRecord], evidence: Evidence, verdict: Verdict
) -> dict[Identity, list[Taken]]:
    """The lines of these records, each held against what was served."""
    taken: dict[Identity, list[Taken]] = {}
    for record in records:
        verdict.collected += record.points
        points: list[Point] = []
        for line in record.lines.splitlines():
            point = parse_line(line)
            taken.setdefault(identity_of(point), []).append((line, point))
            if point.measurement in COUNTED and line not in evidence.planted:
                points.append(point)
        if points:
            _check_served(record, points, evidence.oracle, verdict)
    return taken


def _check_served(
    record: HistoryRecord, points: Sequence[Point], oracle: Oracle, verdict: Verdict
) -> None:
    """A poll's points are those that were served for it: all of them, nothing but them."""
    if record.source.endswith(FUNDING_SUFFIX):
        _check_predicted(points, oracle, verdict)
        return
    assert record.source in PATHS, f"who is {record.source}?"
    lag_ms = max(int(point.fields.get("lag_ms", "0")) for point in points)
    expected = oracle.expected(record.source, record.slot_ns, lag_ms)
    where = f"{record.source} {to_rfc3339(record.slot_ns)}"
    if expected is None:
        verdict.invented += len(points)
        verdict.say(f"{where}: nothing was served")
        return
    rows: dict[Row, Point] = {(p.measurement, p.tags.get("ticker", "")): p for p in points}
    if missing := expected.keys() - rows.keys():
        verdict.lost += len(missing)
        verdict.say(f"{where}: served, but not taken: {sorted(missing)}")
    for row, point in rows.items():
        if row not in expected:
            verdict.invented += 1
            verdict.say(f"{where}: never served: {row}")
        elif wrong := differences(expected[row], point.fields):
            verdict.altered += 1
            verdict.say(f"{where} {row}: {'; '.join(wrong)}")


def _check_predicted(points: Sequence[Point], oracle: Oracle, verdict: Verdict) -> None:
    """Settlements are not served but follow from what was: nobody else can offer them."""
    verdict.offered += len(points)
    for point in points:
        if not oracle.predicted(point.tags["ticker"], point.stamp_ns, point.fields):
            verdict.invented += 1
            verdict.say(f"nobody predicted it: {point}")


def _not_served(
    left: Mapping[Identity, Mapping[str, str]], oracle: Oracle, verdict: Verdict
) -> dict[Identity, Mapping[str, str]]:
    """What is in InfluxDB, but no longer in the journal: all but what was served just so."""
    lags_ms = {
        (dict(tags)["source"], stamp_ns): int(values["lag_ms"])
        for (_, tags, stamp_ns), values in left.items()
        if "lag_ms" in values
    }
    found: dict[Identity, Mapping[str, str]] = {}
    for identity, values in left.items():
        (measurement, tags, stamp_ns), source = identity, dict(identity[1]).get("source", "")
        if measurement not in COUNTED:
            continue
        if measurement == "funding":
            _check_predicted([Point(measurement, dict(tags), values, stamp_ns)], oracle, verdict)
            verdict.collected += 1
            verdict.stored += 1
            continue
        served = oracle.expected(source, stamp_ns, lags_ms.get((source, stamp_ns), 0)) or {}
        published = served.get((measurement, dict(tags).get("ticker", "")))
        if published is None or any(
            float(values[name]) != float(text) for name, text in published.items()
        ):
            found[identity] = values
            continue
        verdict.collected += 1
        verdict.stored += 1
    return found


def compare(
    taken: Mapping[Identity, Sequence[Taken]],
    found: dict[Identity, Mapping[str, str]],
    refused: set[str],
    verdict: Verdict,
    *,
    may_resend: bool = False,
) -> None:
    """The journal's lines against InfluxDB's points of the same slots.

    What belongs together goes out of `found`; what is left nobody took. With `may_resend` a line
    that was refused may be there all the same: an agent that never heard of the 204, or was killed
    before it could note it, sends again, and is told no. The ledger has it as rejected.
    """
    for identity, lines in taken.items():
        values = found.pop(identity, None)
        counted = identity[0] in COUNTED
        first = lines[0][0]
        was_refused = any(line in refused for line, _ in lines)
        if counted and len(lines) > 1:
            verdict.twice += 1
            verdict.say(f"taken twice: {first}")
        if values is None:
            if not was_refused:
                verdict.lost += 1
                verdict.say(f"lost: {first}")
            continue
        verdict.stored += counted and not (was_refused and may_resend)
        if counted and was_refused and not may_resend:
            verdict.say(f"rejected, and yet stored: {first}")
        if not any(same_values(point, values) for _, point in lines):
            verdict.altered += 1
            verdict.say(f"altered: {first} is {values} in InfluxDB")


def same_values(point: Point, values: Mapping[str, str]) -> bool:
    """Whether InfluxDB's 64-bit floats are the numbers that were sent, and it has no others."""
    if point.measurement == "event":
        return dict(point.fields) == dict(values)
    return point.fields.keys() == values.keys() and all(
        float(text) == float(values[name]) for name, text in point.fields.items()
    )


def _check_books(evidence: Evidence, verdict: Verdict) -> None:
    """The ledger counts what is really there, and every refused line was to be refused."""
    ledger, rejected = evidence.ledger, [row.rejected for row in evidence.rejected]
    verdict.rejected = sum(row.points for row in rejected)
    really = (verdict.collected, verdict.stored, verdict.rejected, 0, 0)
    said = (ledger.collected, ledger.stored, ledger.rejected, ledger.evicted, ledger.pending)
    if said != really:
        verdict.say(f"the ledger says {ledger}, but there are {really}")
    for row in rejected:
        if not evidence.refusable(row.line):
            verdict.lost += 1
            verdict.say(f"nothing was wrong with what was rejected: {row}")
        if not row.reason:
            verdict.say(f"rejected without a reason: {row.line}")


def identity_of(point: Point) -> Identity:
    """What InfluxDB tells it apart by."""
    return point.measurement, tuple(sorted(point.tags.items())), point.stamp_ns


def read_back(
    server: InfluxServer, bucket: str, since_ns: int, until_ns: int | None
) -> dict[Identity, Mapping[str, str]]:
    """What InfluxDB gives back of since_ns <= stamp < until_ns (None = for ever)."""
    stop = LATEST if until_ns is None else to_rfc3339(until_ns)
    rows = server.query(
        f'from(bucket: "{bucket}") |> range(start: {to_rfc3339(since_ns)}, stop: {stop})'
        ' |> drop(columns: ["_start", "_stop"])'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    points: dict[Identity, Mapping[str, str]] = {}
    for row in rows:
        tags = sorted((key, row[key]) for key in TAGS & row.keys() if row[key])
        stamp_ns = parse_rfc3339_ns(row["_time"])
        assert stamp_ns is not None
        identity = (row["_measurement"], tuple(tags), stamp_ns)
        assert identity not in points, f"two rows of one point: {identity}"
        points[identity] = {key: text for key, text in row.items() if text and key not in OTHERS}
    return points
