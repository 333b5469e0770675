"""Agent: does it run, is anything lost; then the pipeline from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.grafana.dashboards import panels, variables
from deploy.grafana.dashboards.model import Json, Section, annotation, dashboard
from deploy.grafana.dashboards.panels import (
    AGE_S,
    HOST,
    HOST_SINK,
    SOME_IS_BAD,
    SOURCE,
    SOURCE_ENDPOINT,
    Column,
    Lines,
    Step,
)

UP_S: Final[Sequence[Step]] = ((None, "green"), (30, "dark-yellow"), (90, "red"))
"""The agent speaks every 10 s."""
BACKLOG_S: Final[Sequence[Step]] = ((None, "green"), (60, "dark-yellow"), (300, "red"))


def agent() -> Json:
    """The dashboard."""
    return dashboard(
        "perps-agent",
        "Perps: Agent",
        "perpflux itself: polls, points on their way, points lost, what it uses.",
        variables=[
            variables.data_source(),
            variables.rollup(),
            variables.hosts(),
            variables.sources(),
        ],
        sections=[
            _verdicts(),
            _poll(),
            _journal(),
            _write(),
            _stores(),
            _events(),
            _process(),
        ],
        annotations=[annotation("annotations/host_events", "Events", shown=True)],
    )


def _verdicts() -> Section:
    return Section(
        "Verdict",
        4,
        4,
        [
            panels.stat(
                "Last heard of",
                "Time since the agent's last sign of life, which comes every 10 seconds. Red from "
                "90 seconds: it is down, or its points do not arrive.",
                "agent/up",
                unit="s",
                decimals=1,
                name=HOST,
                thresholds=UP_S,
            ),
            panels.stat(
                "Oldest quote",
                "Time since the venue made the oldest of the newest quotes. Green below 1 minute, "
                "red from 3 minutes. A venue that fell silent keeps ageing here for a day.",
                "agent/age_now",
                unit="s",
                decimals=1,
                name=SOURCE,
                thresholds=AGE_S,
            ),
            panels.stat(
                "Points lost",
                "Points rejected by InfluxDB or removed unsent by the journal's bounds, within the "
                "time range. Good is 0.",
                "agent/lost",
                unit="none",
                decimals=0,
                name=HOST,
                thresholds=SOME_IS_BAD,
            ),
            panels.stat(
                "Oldest point not sent",
                "Age of the oldest point that waits in the journal. Good is a few seconds; red "
                "from 5 minutes: InfluxDB is away, refuses, or is slower than what comes in.",
                "agent/backlog",
                unit="s",
                decimals=1,
                name=HOST,
                thresholds=BACKLOG_S,
            ),
        ],
    )


def _poll() -> Section:
    return Section(
        "Poll and parse",
        9,
        2,
        [
            panels.chart(
                "Polls that succeeded",
                "Share of slots in which every request was answered and understood. Good is 100 %.",
                "agent/polls",
                unit="percentunit",
                decimals=1,
                name=SOURCE_ENDPOINT,
                look=Lines(low=0, high=1),
            ),
            panels.chart(
                "Slowest answer",
                "Duration of the slowest request of each window. Good is well below the poll "
                "interval.",
                "agent/latency",
                unit="ms",
                decimals=1,
                name=SOURCE_ENDPOINT,
                look=Lines(low=0),
            ),
            panels.chart(
                "Snapshots a poll",
                "Rows read from one poll, mean of each window. A drop: listings went, or rows "
                "became unreadable.",
                "agent/rows",
                unit="none",
                decimals=1,
                name=SOURCE_ENDPOINT,
                look=Lines(low=0),
            ),
            panels.chart(
                "Lost before the journal",
                "Bad rows could not be read; missed slots were skipped, because a poll took too "
                "long or the agent was down; left out are requests for which the venue's rate "
                "limit had no room. Counts in each window; good is 0.",
                "agent/dropped",
                unit="none",
                decimals=0,
                name=SOURCE_ENDPOINT,
                look=Lines(
                    bars=True,
                    low=0,
                    overrides=[
                        panels.named("bad_rows", f"{SOURCE_ENDPOINT} bad rows"),
                        panels.named("missed_slots", f"{SOURCE_ENDPOINT} missed slots"),
                        panels.named("left_out", f"{SOURCE_ENDPOINT} left out"),
                    ],
                ),
            ),
        ],
    )


def _journal() -> Section:
    collected = panels.named("collected", f"{HOST} collected")
    stored = panels.named("stored", f"{HOST} stored")
    return Section(
        "Journal",
        9,
        3,
        [
            panels.chart(
                "Points a second",
                "Collected = taken into the journal; stored = acknowledged by InfluxDB. The two "
                "lie on one another; stored above collected drains a backlog.",
                "agent/flow",
                unit="suffix:pts/s",
                decimals=1,
                name=HOST,
                look=Lines(low=0, overrides=[collected, stored]),
            ),
            panels.chart(
                "Points waiting",
                "Points in the journal that InfluxDB has not taken yet.",
                "agent/pending",
                unit="short",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
            panels.chart(
                "Bytes waiting",
                "Size of what waits, compressed. At the journal's bound the oldest goes.",
                "agent/pending_bytes",
                unit="bytes",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
        ],
    )


def _write() -> Section:
    return Section(
        "Write",
        9,
        3,
        [
            panels.chart(
                "Age of what waits",
                "Age of the oldest point that waits, the largest of each window.",
                "agent/oldest",
                unit="s",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
            panels.chart(
                "Write duration",
                "How long InfluxDB took for a write, the largest of each window.",
                "agent/write",
                unit="ms",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
            panels.chart(
                "Points lost over time",
                "Rejected = refused by InfluxDB and set aside; evicted = removed unsent by the "
                "journal's bounds. Counts in each window; good is 0.",
                "agent/losses",
                unit="none",
                decimals=0,
                name=HOST,
                look=Lines(
                    bars=True,
                    low=0,
                    overrides=[
                        panels.named("rejected", f"{HOST} rejected"),
                        panels.named("evicted", f"{HOST} evicted"),
                    ],
                ),
            ),
        ],
    )


def _stores() -> Section:
    return Section(
        "Stores",
        9,
        2,
        [
            panels.table(
                "Stores now",
                "The newest word on each store of each machine. Waiting: points not sent yet. "
                "Oldest: age of the oldest of them; red from 5 minutes: the store is away, "
                "refuses, or is slow. Stored and lost (refused, or removed unsent by the journal's "
                "bounds) count from the store's first day. Write: duration of the last one.",
                "agent/stores",
                Column("store", "Store"),
                Column("pending", "Waiting", "short"),
                Column("oldest_pending_s", "Oldest", "s", 1, thresholds=BACKLOG_S),
                Column("stored", "Stored", "short"),
                Column("lost", "Lost", "short", thresholds=SOME_IS_BAD),
                Column("write_ms", "Write", "ms", 1),
            ),
            panels.chart(
                "Points waiting by store",
                "Points in the journal that a store has not taken yet, the most of each window. "
                "None waits for another: one that rises alone is away or slow.",
                "agent/stores_pending",
                unit="short",
                decimals=1,
                name=HOST_SINK,
                look=Lines(low=0),
            ),
            panels.chart(
                "Age of what waits by store",
                "Age of the oldest point that waits for a store, the largest of each window.",
                "agent/stores_oldest",
                unit="s",
                decimals=1,
                name=HOST_SINK,
                look=Lines(low=0),
            ),
        ],
    )


def _events() -> Section:
    return Section(
        "What happened",
        8,
        1,
        [
            panels.table(
                "Events",
                "The newest 100 of the time range: sources down and up again, clock steps.",
                "agent/events",
                Column("_time", "Time", "time:YYYY-MM-DD HH:mm:ss", width_px=160),
                Column("source", "Source", width_px=100),
                Column("kind", "Kind", width_px=140),
                Column("_value", "What"),
                hidden=["host"],
            ),
        ],
    )


def _process() -> Section:
    return Section(
        "Process",
        9,
        2,
        [
            panels.chart(
                "Processor",
                "Processor time used, as a share of one core.",
                "agent/cpu",
                unit="percentunit",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
            panels.chart(
                "Memory",
                "Resident memory of the process.",
                "agent/memory",
                unit="bytes",
                decimals=1,
                name=HOST,
                look=Lines(low=0),
            ),
        ],
    )
