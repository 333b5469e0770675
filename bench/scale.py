"""What a point costs from 2 tickers to 5,000, and whether an export streams."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from agent.clock import NS_PER_S
from agent.journal.records import Entry
from bench.payloads import clean
from bench.pipeline import FIRST_SLOT_NS, Pipeline, entries_of, open_store
from bench.timing import rotating, take_turns

TICKERS: Final = (2, 20, 100, 500, 1000, 2000, 5000)
"""Rows of each venue."""
KIB: Final = 1024
LOOK_S: Final = 0.05


class Cost(NamedTuple):
    """What a poll of so many points takes, processor time in µs."""

    points: int
    poll_us: float

    @property
    def point_us(self) -> float:
        """The same by the point."""
        return self.poll_us / self.points


def costs(folder: Path, rounds: int) -> list[Cost]:
    """The whole pipeline for documents of every size, taking turns."""
    pipelines = {rows: Pipeline(folder / f"{rows}.db") for rows in TICKERS}
    variants = {
        str(rows): rotating(pipeline.run, clean(bybit_rows=rows, variational_rows=rows))
        for rows, pipeline in pipelines.items()
    }
    times = take_turns(variants, rounds, rested=True)
    for pipeline in pipelines.values():
        pipeline.close()
    return [
        Cost(pipelines[rows].points, statistics.median(times[str(rows)]) / 1000) for rows in TICKERS
    ]


class Exported(NamedTuple):
    """One export by the real program."""

    points: int
    seconds: float
    peak_mib: float


def exports(folder: Path, polls: Sequence[int]) -> list[Exported]:
    """Journals of so many polls of both venues, each exported whole as CSV."""
    pipeline = Pipeline(folder / "one.db")
    entries = [entries_of(pipeline.polls(documents)) for documents in clean()]
    pipeline.close()
    return [_export(folder / f"{count}.db", entries, count) for count in polls]


def _export(path: Path, versions: list[list[Entry]], polls: int) -> Exported:
    store = open_store(path)
    for number in range(polls):
        slot_ns = FIRST_SLOT_NS + number * NS_PER_S
        store.append(
            [replace(entry, slot_ns=slot_ns) for entry in versions[number % len(versions)]]
        )
    points = store.backlog("influxdb").points
    store.close()
    command = [sys.executable, "-m", "agent", "export", "--format", "csv"]
    environment = {**os.environ, "PERPFLUX_JOURNAL__PATH": str(path)}
    started_ns = time.monotonic_ns()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
        peak_kib = 0
        while child.poll() is None:
            peak_kib = _peak_kib(child.pid) or peak_kib
            time.sleep(LOOK_S)
    assert child.returncode == 0, "the export failed"
    seconds = (time.monotonic_ns() - started_ns) / NS_PER_S
    path.unlink()
    return Exported(points, seconds, peak_kib / KIB)


def _peak_kib(pid: int) -> int:
    """The most that it ever had resident; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    return int(found[1]) if found else 0
