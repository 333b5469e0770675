"""What the agent writes into its journal, as line protocol. Pure.

Every entry has one stamp: the slot of the poll it came from, or the instant of an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent import schema
from agent.journal.records import FUNDING_SUFFIX, Entry
from agent.line_protocol import encode_batch, encode_point
from agent.poll import EndpointReport, Poll, Settlement

AGENT = "agent"
"""The source of entries that no venue made."""
EVENT_TEXT_MAX = 500


def poll_entry(poll: Poll, *, host: str, missed_slots: int) -> Entry:
    """One poll as one entry: snapshots, platform and a `poll` point per endpoint."""
    tags = {"source": poll.source}
    lines = [] if poll.batch is None else [encode_batch(poll.batch)]
    if poll.platform:
        lines.append(encode_point(schema.PLATFORM, tags, poll.platform, poll.slot_ns))
    for report in poll.reports:
        tags = {"source": poll.source, "host": host, "endpoint": report.endpoint}
        fields = _report_fields(report, missed_slots)
        lines.append(encode_point(schema.POLL, tags, fields, poll.slot_ns))
    points = (0 if poll.batch is None else len(poll.batch)) + bool(poll.platform)
    return Entry(poll.source, poll.slot_ns, "".join(lines).encode(), points)


def settlement_entries(source: str, settlements: Iterable[Settlement]) -> list[Entry]:
    """An entry for each instant of settlement, oldest first.

    They go under a name of their own: their stamps are not slots that the source took.
    """
    lines: dict[int, list[str]] = {}
    for each in settlements:
        fields = {
            "rate": each.rate,
            "interval_s": each.interval_s,
            "apr": each.apr,
            "predicted": "1" if each.predicted else "",
        }
        tags = {"source": source, "ticker": each.ticker}
        line = encode_point(schema.FUNDING, tags, fields, each.stamp_ns)
        lines.setdefault(each.stamp_ns, []).append(line)
    return [
        Entry(f"{source}{FUNDING_SUFFIX}", stamp_ns, "".join(found).encode(), len(found))
        for stamp_ns, found in sorted(lines.items())
    ]


def _report_fields(report: EndpointReport, missed_slots: int) -> dict[str, str]:
    return {
        "ok": "1" if report.ok else "0",
        "latency_ms": "" if report.latency_ms is None else str(report.latency_ms),
        "bytes": str(report.bytes),
        "rows": str(report.rows),
        "bad_rows": str(report.bad_rows),
        "missed_slots": str(missed_slots),
        "left_out": str(report.left_out),
    }


def agent_entry(
    fields: Mapping[str, str],
    sinks: Mapping[str, Mapping[str, str]],
    *,
    host: str,
    stamp_ns: int,
) -> Entry:
    """The agent's own state, and that of each store it ships to, as one entry.

    `fields` are exact texts of `schema.AGENT`, `sinks` those of `schema.SINK` by the store's name.
    """
    lines = [encode_point(schema.AGENT, {"host": host}, fields, stamp_ns)]
    for name, own in sinks.items():
        lines.append(encode_point(schema.SINK, {"host": host, "sink": name}, own, stamp_ns))
    return Entry(AGENT, stamp_ns, "".join(lines).encode(), 0)


def event_entry(kind: str, text: str, *, source: str, host: str, stamp_ns: int) -> Entry:
    """Something worth an annotation; `text` is cut at 500 characters."""
    tags = {"host": host, "kind": kind, "source": source}
    line = encode_point(schema.EVENT, tags, {"text": text[:EVENT_TEXT_MAX]}, stamp_ns)
    return Entry(source, stamp_ns, line.encode(), 0)
