"""Long runs in little time: the whole agent by a clock that runs fast, watched for what grows.

python -m bench.endurance                  ten hours in forty minutes
python -m bench.endurance --hours 1 --speed 10

Both venues' whole universe each second of that clock, shipped to a sink that takes it. Slots,
hourly looks, retention and pauses come as often as in so many hours; network and disk are real. A
speed at which a poll takes longer than its slot skips slots, as it would in a real second.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from agent.app import App
from agent.config import load
from agent.log import set_up
from bench.counterparts import counterparts

HOURS: Final = 10
SPEED: Final = 15
LOOKS: Final = 40
MINUTE_S: Final = 60
HOUR_S: Final = 3600
KIB: Final = 1024
JOURNAL_BYTES_MAX: Final = 512 * 2**20
"""Full after three quarters of an hour: what comes then pushes out what is oldest."""

_CONFIG: Final = """\
tickers = "all"
[variational]
api_base = "{url}"
poll_interval_s = 1
[bybit]
api_base = "{url}"
[influxdb]
url = "{url}"
org = "bench"
bucket = "bench"
token_file = "{folder}/token"
[journal]
path = "{folder}/journal.db"
bytes_max = {bytes_max}
[http]
listen = "127.0.0.1:0"
"""


class FastClock:
    """An `agent.clock.Clock` that begins now and runs `speed` times as fast."""

    def __init__(self, speed: int) -> None:
        self._speed = speed
        self._wall_ns = time.time_ns()
        self._monotonic_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """The wall clock, ns since the epoch."""
        return self._wall_ns + self._passed_ns()

    def monotonic_ns(self) -> int:
        """The monotonic clock, ns."""
        return self._monotonic_ns + self._passed_ns()

    async def sleep(self, duration_s: float) -> None:
        """Wait for so many of its own seconds."""
        await asyncio.sleep(duration_s / self._speed)

    def _passed_ns(self) -> int:
        return (time.monotonic_ns() - self._monotonic_ns) * self._speed


class Look(NamedTuple):
    """The agent at an instant of its clock."""

    minutes: float
    rss_kib: int
    open_files: int
    threads: int
    tasks: int
    stored: int
    lost: int


async def watch(config: Path, hours: float, speed: int) -> list[Look]:
    """Run the agent for so many hours of its clock; what it was at each look."""
    clock, stop = FastClock(speed), asyncio.Event()
    looks: list[Look] = []
    async with App(load(config), clock=clock) as app:
        await app.listen()
        gc.collect()  # both as `perpflux run` does
        gc.freeze()
        running = asyncio.create_task(app.run(stop))
        began_ns = clock.monotonic_ns()
        for _ in range(LOOKS):
            await clock.sleep(hours * HOUR_S / LOOKS)
            ledger = (await app.status())["ledger"]
            minutes = (clock.monotonic_ns() - began_ns) / 1e9 / MINUTE_S
            looks.append(_look(minutes, ledger["stored"], ledger["rejected"] + ledger["evicted"]))
            _say(looks[-1])
        stop.set()
        await running
    return looks


def _look(minutes: float, stored: int, lost: int) -> Look:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Look(
        minutes=minutes,
        rss_kib=pages * os.sysconf("SC_PAGE_SIZE") // KIB,
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
        stored=stored,
        lost=lost,
    )


def _say(look: Look) -> None:
    sys.stdout.write(
        f"{look.minutes:6.0f} min {look.rss_kib / KIB:6.1f} MiB {look.open_files:3} files "
        f"{look.threads} threads {look.tasks} tasks, stored {look.stored:,}, lost {look.lost}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Watch, then say how fast the memory grew in the second half."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=__doc__)
    parser.add_argument("--hours", type=float, default=HOURS, help="of the agent's clock")
    parser.add_argument("--speed", type=int, default=SPEED, help="its seconds in one of ours")
    options = parser.parse_args()
    set_up("error", "json")
    with tempfile.TemporaryDirectory(prefix="perpflux-endurance-") as name, counterparts() as url:
        folder = Path(name)
        (folder / "token").write_text("bench-token\n", encoding="utf-8")
        (folder / "token").chmod(0o600)
        config = folder / "perpflux.toml"
        config.write_text(
            _CONFIG.format(url=url, folder=folder, bytes_max=JOURNAL_BYTES_MAX), encoding="utf-8"
        )
        looks = asyncio.run(watch(config, options.hours, options.speed))
    late = looks[len(looks) // 2 :]
    slope, _ = statistics.linear_regression(
        [look.minutes for look in late], [look.rss_kib for look in late]
    )
    sys.stdout.write(f"in the second half {slope:+.1f} KiB a minute of its clock\n")


if __name__ == "__main__":
    main()
