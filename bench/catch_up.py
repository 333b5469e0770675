"""How a backlog drains: the real program with ten million points that wait, polls coming in.

python -m bench.catch_up                        into a sink that only takes them: our own speed
python -m bench.catch_up --points 500000 --real into a real InfluxDB
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.clock import NS_PER_S, SYSTEM_CLOCK
from agent.journal.spans import OPEN_END
from agent.journal.store import Store
from bench.counterparts import counterparts
from bench.payloads import clean
from bench.pipeline import Pipeline, entries_of
from tests.influxd.server import open_server

POINTS: Final = 10_000_000
JOURNAL_BYTES_MAX: Final = 64 * 2**30
LOOK_S: Final = 0.5
PATIENCE_S: Final = 1800
POLLS_PER_APPEND: Final = 16
_MIB: Final = 2**20

_CONFIG: Final = """\
tickers = "all"
[variational]
api_base = "{venues}"
poll_interval_s = 1
[bybit]
api_base = "{venues}"
[influxdb]
url = "{store}"
org = "{org}"
bucket = "bench"
token_file = "{folder}/token"
[journal]
path = "{folder}/journal.db"
bytes_max = {bytes_max}
[http]
listen = "127.0.0.1:0"
[log]
format = "json"
"""


class Look(NamedTuple):
    """The program at an instant; what waits in points, the newest's age in s."""

    at_s: float
    waiting: int
    newest_waits_s: float
    rss_mib: float


def main() -> None:
    """Build a backlog, drain it, print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m bench.catch_up", description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--real", action="store_true", help="into a real InfluxDB")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perpflux-bench-")))
        venues = stack.enter_context(counterparts())
        store, org, token = venues, "bench", "bench-token"
        if options.real:
            server = stack.enter_context(open_server(folder / "influxd"))
            server.create_bucket("bench")
            store, org, token = server.url, server.org, server.token
        built_s = -time.monotonic()
        points = build(folder, options.points)
        built_s += time.monotonic()
        size_mib = sum(file.stat().st_size for file in folder.glob("journal.db*")) / _MIB
        print(f"backlog: {points:,} points in {size_mib:,.0f} MiB, built in {built_s:.0f} s")
        text = _CONFIG.format(
            venues=venues, store=store, org=org, folder=folder, bytes_max=JOURNAL_BYTES_MAX
        )
        (folder / "perpflux.toml").write_text(text, encoding="utf-8")
        (folder / "token").write_text(f"{token}\n", encoding="utf-8")
        (folder / "token").chmod(0o600)
        with running(folder) as (child, url):
            tell(points, list(watch(child, url, folder / "journal.db")))


def build(folder: Path, points: int) -> int:
    """A journal of so many points, a poll of both venues a second up to now; none is lost."""
    pipeline = Pipeline(folder / "one.db")
    versions = [entries_of(pipeline.polls(documents)) for documents in clean()]
    pipeline.close()
    per_poll = sum(entry.points for entry in versions[0])
    polls = -(-points // per_poll)
    first_ns = (SYSTEM_CLOCK.now_ns() // NS_PER_S - polls) * NS_PER_S
    store = Store(
        folder / "journal.db",
        bytes_max=JOURNAL_BYTES_MAX,
        age_max_s=604_800,
        clock=SYSTEM_CLOCK,
    )
    store._connect().execute("PRAGMA synchronous = OFF").close()  # noqa: SLF001  # only here
    for start in range(0, polls, POLLS_PER_APPEND):
        store.append(
            [
                replace(
                    entry,
                    slot_ns=first_ns + number * NS_PER_S,
                    lines=entry.lines.replace(
                        b" %d\n" % entry.slot_ns, b" %d\n" % (first_ns + number * NS_PER_S)
                    ),
                )
                for number in range(start, min(polls, start + POLLS_PER_APPEND))
                for entry in versions[number % len(versions)]
            ]
        )
    total = store.backlog("influxdb").points
    store.close()
    return total


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`perpflux run`; the process and where it answers."""
    command = [sys.executable, "-m", "agent", "run", "--config", str(folder / "perpflux.toml")]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield child, _url(folder / "log", child)
        assert child.poll() is None, (folder / "log").read_text(encoding="utf-8")
    finally:
        child.terminate()
        child.wait(30)


def _url(log: Path, child: subprocess.Popen[bytes]) -> str:
    while child.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"started"' in line:
                return str(json.loads(line)["http"])
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))


def watch(child: subprocess.Popen[bytes], url: str, journal: Path) -> Iterator[Look]:
    """Until nothing but the newest polls waits."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"{url}/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
        ledger = status["ledger"]
        assert ledger["collected"] == sum(ledger.values()) - ledger["collected"]
        assert ledger["rejected"] == ledger["evicted"] == 0, ledger
        yield Look(time.monotonic(), ledger["pending"], newest_waits_s(journal), rss_mib(child.pid))
        if ledger["pending"] < 10_000:
            return
        time.sleep(LOOK_S)
    raise AssertionError(f"not drained within {PATIENCE_S} s")


def newest_waits_s(journal: Path) -> float:
    """How long the first record of the newest lane has waited; 0 = none waits there."""
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        row = connection.execute(
            "SELECT appended_ns FROM record WHERE seq >="
            " (SELECT first_seq FROM span WHERE sink = 'influxdb' AND last_seq = ?)"
            " ORDER BY seq LIMIT 1",
            (OPEN_END,),
        ).fetchone()
    return 0.0 if row is None else max(0.0, (SYSTEM_CLOCK.now_ns() - row[0]) / NS_PER_S)


def rss_mib(pid: int) -> float:
    """Resident memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def tell(points: int, looks: list[Look]) -> None:
    """Speed by quarters of the backlog, memory, and how long the newest waited meanwhile."""
    seconds = looks[-1].at_s - looks[0].at_s
    print(f"drained in {seconds:.1f} s: {points / seconds:,.0f} points a second, polls not counted")
    seams = [nearest(looks, points * left // 4) for left in (4, 3, 2, 1, 0)]
    speeds = [
        (a.waiting - b.waiting) / (b.at_s - a.at_s) for a, b in pairwise(seams) if b.at_s > a.at_s
    ]
    print("by quarters: " + ", ".join(f"{speed:,.0f}" for speed in speeds) + " points a second")
    memory = [look.rss_mib for look in looks]
    print(f"resident memory: {memory[0]:.0f} MiB at first, {max(memory):.0f} MiB at most")
    waits = sorted(look.newest_waits_s for look in looks[2:])
    print(
        f"the newest waited {statistics.median(waits):.1f} s (median), "
        f"{waits[int(len(waits) * 0.95)]:.1f} s (95 %), {waits[-1]:.1f} s at most"
    )


def nearest(looks: list[Look], waiting: int) -> Look:
    """The look when about so many points waited."""
    return min(looks, key=lambda look: abs(look.waiting - waiting))


if __name__ == "__main__":
    main()
