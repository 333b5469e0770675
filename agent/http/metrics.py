"""The status document as Prometheus text. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.shipper import UP

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAIN_SINK: Final = "influxdb"


def metrics_text(status: Mapping[str, Any], process: Mapping[str, str]) -> bytes:
    """What `/metrics` answers. `process` holds cpu_s and rss_bytes as texts."""
    registry = CollectorRegistry()
    registry.register(_Status(status, process))
    return generate_latest(registry)


class _Status(Collector):
    def __init__(self, status: Mapping[str, Any], process: Mapping[str, str]) -> None:
        self._status = status
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Every metric, from one document."""
        status = self._status
        info = GaugeMetricFamily("perpflux_info", "Version", labels=["version"])
        info.add_metric([status["version"]], 1)
        yield info
        yield GaugeMetricFamily(
            "perpflux_uptime_seconds", "Time since start", value=status["uptime_s"]
        )
        yield CounterMetricFamily(
            "perpflux_cpu_seconds", "Processor time used", value=float(self._process["cpu_s"])
        )
        yield GaugeMetricFamily(
            "perpflux_resident_memory_bytes",
            "Resident memory",
            value=float(self._process["rss_bytes"]),
        )
        yield GaugeMetricFamily(
            "perpflux_journal_takes_writes",
            "1 while the journal takes writes",
            value=float(status["journal"]["takes_writes"]),
        )
        yield GaugeMetricFamily(
            "perpflux_journal_held_points",
            "Points in memory that the journal has refused so far",
            value=status["journal"]["held_points"],
        )
        yield CounterMetricFamily(
            "perpflux_journal_lost_points",
            "Points that neither journal nor memory could hold",
            value=status["journal"]["lost_points"],
        )
        yield from _sources(status["sources"])
        main = {"ledger": status["ledger"], "shipping": status["shipping"]}
        yield from _sinks({MAIN_SINK: main, **status["sinks"]})


def _sources(sources: Mapping[str, Any]) -> Iterator[Metric]:
    up = GaugeMetricFamily("perpflux_source_up", "1 while polls succeed", labels=["source"])
    failures = GaugeMetricFamily(
        "perpflux_source_failures", "Failed polls in a row", labels=["source"]
    )
    age = GaugeMetricFamily(
        "perpflux_source_age_seconds", "Since the last good poll", labels=["source"]
    )
    for name, source in sources.items():
        up.add_metric([name], float(source["state"] == "ok"))
        failures.add_metric([name], source["failures"])
        if source["age_s"] is not None:
            age.add_metric([name], source["age_s"])
    yield from (up, failures, age)


def _sinks(sinks: Mapping[str, Any]) -> Iterator[Metric]:
    points = {
        name: CounterMetricFamily(f"perpflux_points_{name}", f"Points {name}", labels=["sink"])
        for name in ("collected", "stored", "rejected", "evicted")
    }
    pending = GaugeMetricFamily("perpflux_points_pending", "Points that wait", labels=["sink"])
    size = GaugeMetricFamily("perpflux_pending_bytes", "Size of what waits", labels=["sink"])
    oldest = GaugeMetricFamily(
        "perpflux_oldest_pending_seconds", "Age of the oldest point that waits", labels=["sink"]
    )
    up = GaugeMetricFamily("perpflux_sink_up", "1 while writes succeed", labels=["sink"])
    conflicts = GaugeMetricFamily(
        "perpflux_schema_conflicts", "Fields of another type in the bucket", labels=["sink"]
    )
    missing = GaugeMetricFamily(
        "perpflux_readback_missing_points",
        "Acknowledged points of the last hour read back that are not there",
        labels=["sink"],
    )
    for name, sink in sinks.items():
        if sink["shipping"].get("preflight"):
            conflicts.add_metric([name], len(sink["shipping"]["preflight"]["conflicts"]))
        if sink["shipping"].get("readback"):
            missing.add_metric([name], sink["shipping"]["readback"]["missing"])
        for kind, counter in points.items():
            counter.add_metric([name], sink["ledger"][kind])
        pending.add_metric([name], sink["ledger"]["pending"])
        size.add_metric([name], sink["shipping"]["pending_bytes"])
        oldest.add_metric([name], sink["shipping"]["oldest_pending_s"] or 0)
        if sink["shipping"]["state"] != "off":
            up.add_metric([name], float(sink["shipping"]["state"] in UP))
    yield from (*points.values(), pending, size, oldest, up, conflicts, missing)
