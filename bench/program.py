"""The real program as a process: what it takes of the machine, how soon it stores and starts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.counterparts import count
from bench.timing import Spread, spread

NS_PER_S: Final = 1_000_000_000
KIB: Final = 1024
SETTLE_S: Final = 120
"""After the start, before anything is counted: imports, first batch, caches, settled funding."""
SAMPLE_S: Final = 1
FIRST_WRITE_TIMEOUT_S: Final = 20
STOP_TIMEOUT_S: Final = 10
HELP_RUNS: Final = 15
START_RUNS: Final = 5
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // KIB

_CONFIG: Final = """\
tickers = "all"
[variational]
api_base = "{url}"
poll_interval_s = 1
[bybit]
api_base = "{url}"
[journal]
path = "{folder}/journal.db"
[http]
listen = "127.0.0.1:0"
[log]
format = "json"
"""
_SHIPPING: Final = """\
[influxdb]
url = "{url}"
org = "bench"
bucket = "bench"
token_file = "{folder}/token"
"""


class Sample(NamedTuple):
    """The process at an instant."""

    at_s: float
    cpu_s: float
    rss_mib: float


class Footprint(NamedTuple):
    """What it takes while it runs.

    Attributes:
        core_percent: of one core.
        rss_mib: at the end.
        slope_kib_per_min: of a line through the resident memory of the second half.
        minutes: how long it was watched.
        writes: requests that the sink got.
    """

    core_percent: float
    rss_mib: float
    slope_kib_per_min: float
    minutes: float
    writes: int


def command(*arguments: str) -> list[str]:
    """The program with this interpreter."""
    return [sys.executable, "-m", "agent", *arguments]


@contextmanager
def running(url: str, folder: Path, *, ship: bool) -> Iterator[subprocess.Popen[bytes]]:
    """`perpflux run` on both venues' whole universe, each second, while the block runs."""
    folder.mkdir()
    text = _CONFIG + (_SHIPPING if ship else "")
    (folder / "perpflux.toml").write_text(text.format(url=url, folder=folder), encoding="utf-8")
    (folder / "token").write_text("bench-token\n", encoding="utf-8")
    (folder / "token").chmod(0o600)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command("run", "--config", str(folder / "perpflux.toml")),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield child
            assert child.poll() is None, (folder / "log").read_text(encoding="utf-8")
        finally:
            child.terminate()
            child.wait(STOP_TIMEOUT_S)


def footprint(url: str, folder: Path, *, ship: bool, minutes: float) -> Footprint:
    """Watch it for so long."""
    before = count(url)["writes"] or 0
    with running(url, folder, ship=ship) as child:
        time.sleep(SETTLE_S)
        samples = [_sample(child.pid)]
        while samples[-1].at_s - samples[0].at_s < minutes * 60:
            time.sleep(SAMPLE_S)
            samples.append(_sample(child.pid))
    first, last = samples[0], samples[-1]
    late = samples[len(samples) // 2 :]
    slope, _ = statistics.linear_regression(
        [each.at_s for each in late], [each.rss_mib for each in late]
    )
    return Footprint(
        core_percent=100 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s),
        rss_mib=last.rss_mib,
        slope_kib_per_min=slope * KIB * 60,
        minutes=minutes,
        writes=(count(url)["writes"] or 0) - before,
    )


def _sample(pid: int) -> Sample:
    # After the name, which is in brackets: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    numbers = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    user, system, rss_pages = int(numbers[11]), int(numbers[12]), int(numbers[21])
    return Sample(time.monotonic(), (user + system) * _TICK_S, rss_pages * _PAGE_KIB / KIB)


def seconds_to_first_write(fresh_url: Iterator[str], folder: Path) -> Spread:
    """From starting the process to the sink's first non-empty write."""
    seconds = []
    for number in range(START_RUNS):
        url = next(fresh_url)
        started_ns = time.monotonic_ns()
        with running(url, folder / str(number), ship=True):
            seconds.append((_first_write_ns(url) - started_ns) / NS_PER_S)
    return spread(seconds)


def _first_write_ns(url: str) -> int:
    deadline = time.monotonic() + FIRST_WRITE_TIMEOUT_S
    while time.monotonic() < deadline:
        first_ns = count(url)["first_write_ns"]
        if first_ns is not None:
            return first_ns
        time.sleep(0.05)
    raise AssertionError(f"nothing was written within {FIRST_WRITE_TIMEOUT_S} s")


def help_milliseconds() -> Spread:
    """Wall time of `perpflux --help`, the process's start included."""
    milliseconds = []
    for _ in range(HELP_RUNS):
        started_ns = time.monotonic_ns()
        subprocess.run(command("--help"), stdout=subprocess.DEVNULL, check=True)
        milliseconds.append((time.monotonic_ns() - started_ns) / 1_000_000)
    return spread(milliseconds)
