"""What the agent says of itself: one document, from which health and metrics are read too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from agent import __version__
from agent.clock import NS_PER_S, Clock, parse_rfc3339_ns, to_rfc3339
from agent.journal.hold import Hold
from agent.journal.records import Backlog, Ledger
from agent.scheduler import DataCollectorScheduler, SourceStatus
from agent.shipper import ShipperStatus

STALL_MARGIN_S: Final = 120
"""A loop stalls when it did not turn for its interval and this much more."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SinkReport:
    """What is known of one sink; `shipper` None = it is not configured, nothing is sent.

    `audit` is what `agent.auditor` found; {} = it does not look at this sink.
    """

    ledger: Ledger
    backlog: Backlog
    shipper: ShipperStatus | None
    audit: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What is known of the journal; `unreadable` = why it cannot be read, None = it can."""

    path: str
    unreadable: str | None
    hold: Hold


def document(
    scheduler: DataCollectorScheduler,
    sinks: Mapping[str, SinkReport],
    *,
    host: str,
    journal: JournalReport,
    uptime_s: int,
    clock: Clock,
) -> Document:
    """The `/status` document (contract, section 4). Instants are RFC 3339, null = not yet."""
    now_ns = clock.now_ns()
    reports = {name: _sink(report, now_ns) for name, report in sinks.items()}
    main = reports.pop("influxdb")
    sources = {name: _source(each, now_ns) for name, each in scheduler.status.items()}
    return {
        "version": __version__,
        "host": host,
        "state": _state(scheduler, sources, [main, *reports.values()], journal),
        "uptime_s": uptime_s,
        "sources": sources,
        **main,
        "sinks": reports,
        "journal": {
            "path": journal.path,
            "takes_writes": not (scheduler.store_failures or journal.unreadable),
            "last_error": scheduler.store_error or journal.unreadable,
            "held_points": journal.hold.points,
            "lost_points": journal.hold.lost_points,
        },
    }


def stalled(scheduler: DataCollectorScheduler, clock: Clock) -> list[str]:
    """The sources whose loop does not turn."""
    now_ns = clock.monotonic_ns()
    return [
        name
        for name, each in scheduler.status.items()
        if now_ns - each.beat_ns > (each.interval_s + STALL_MARGIN_S) * NS_PER_S
    ]


def line(document: Document, clock: Clock) -> str:
    """The status in one line: state, age of each source, backlog and age of the last write."""
    sources = ", ".join(
        f"{name} {_seconds(each['age_s'], 'not yet')}" for name, each in document["sources"].items()
    )
    shipping, pending = document["shipping"], document["ledger"]["pending"]
    others = "".join(
        f"; {name} {sink['shipping']['state']}, {sink['ledger']['pending']} points wait"
        for name, sink in document["sinks"].items()
    )
    if shipping["state"] == "off":
        local = f"no InfluxDB, {pending} points stored locally"
        return f"{document['state']}; {sources}; {local}{others}"
    written_ns = parse_rfc3339_ns(shipping["last_write"])
    age_s = None if written_ns is None else max(0, (clock.now_ns() - written_ns) // NS_PER_S)
    oldest_s = shipping["oldest_pending_s"]
    backlog = f"{pending} points wait" + (f", the oldest {oldest_s} s" if pending else "")
    error = f": {shipping['last_error']}" if shipping["last_error"] else ""
    return (
        f"{document['state']}; {sources}; {backlog}; last write {_seconds(age_s, 'never')}; "
        f"InfluxDB {shipping['state']}{error}{others}"
    )


def _seconds(age_s: int | None, none: str) -> str:
    return none if age_s is None else f"{age_s} s ago"


def _state(
    scheduler: DataCollectorScheduler,
    sources: Mapping[str, Any],
    sinks: Sequence[Mapping[str, Any]],
    journal: JournalReport,
) -> str:
    """Say "failing" when nothing can be taken, "degraded" when something was or may be lost."""
    states = {source["state"] for source in sources.values()}
    if scheduler.store_failures or journal.unreadable or (states and states <= {"failing"}):
        return "failing"
    lost = journal.hold.lost_points or any(map(_lacks, sinks))
    return "degraded" if "failing" in states or lost else "ok"


def _lacks(sink: Mapping[str, Any]) -> bool:
    """Whether the store has not, or will not have, every point that is no longer on its way."""
    ledger, shipping = sink["ledger"], sink["shipping"]
    conflict = (shipping.get("preflight") or {}).get("conflicts")
    missing = (shipping.get("readback") or {}).get("missing")
    return bool(ledger["rejected"] or ledger["evicted"] or conflict or missing)


def _source(each: SourceStatus, now_ns: int) -> Document:
    success_ns = each.last_success_ns
    return {
        "state": each.state,
        "last_slot": _instant(each.last_slot_ns),
        "last_success": _instant(success_ns),
        "age_s": None if success_ns is None else (now_ns - success_ns) // NS_PER_S,
        "failures": each.failures,
        "last_error": each.last_error,
    }


def _sink(report: SinkReport, now_ns: int) -> Document:
    oldest_ns = report.backlog.oldest_ns
    shipping: Document = {"state": "off", "last_error": None, "next_try": None}
    if report.shipper is not None:
        shipping = {
            "state": report.shipper.state,
            "last_error": report.shipper.last_error,
            "next_try": _instant(report.shipper.next_try_ns),
            "last_write": _instant(report.shipper.last_write_ns),
            "write_ms": report.shipper.write_ms,
        }
    shipping["pending_bytes"] = report.backlog.bytes
    shipping["oldest_pending_s"] = (
        None if oldest_ns is None else max(0, (now_ns - oldest_ns) // NS_PER_S)
    )
    return {"ledger": asdict(report.ledger), "shipping": {**shipping, **report.audit}}


def _instant(instant_ns: int | None) -> str | None:
    return None if instant_ns is None else to_rfc3339(instant_ns)
