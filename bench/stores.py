"""What the stores take of what we send: points a second, and bytes on the disk.

`.venv/bin/python -m bench.stores --tickers 100 --minutes 20` writes polls of the simulated venues,
Bybit each second and Variational every 20, into a real InfluxDB 2.8 and a real VictoriaMetrics, one
after the other, and prints rows for docs/scaling.md. Disks are measured when each has put its
data into its final files.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import SecretStr

from agent.clock import NS_PER_S, slot_at
from agent.config import NoToken
from agent.demo.documents import answer
from agent.demo.market import Market
from agent.influx import InfluxDoor
from agent.journal.fragment import compress, crc32, join
from bench.payloads import Documents
from bench.pipeline import Pipeline, entries_of
from tests.influxd.server import InfluxServer, build_influxd
from tests.stores.victoria import victoria

HTTP_NO_CONTENT: Final = 204
VARIATIONAL_EVERY: Final = 20
POLLS_PER_BODY: Final = 10
BUCKET: Final = "bench"
COLD: Final = (
    "--storage-cache-snapshot-write-cold-duration=1s",
    "--storage-compact-full-write-cold-duration=5s",
)
"""An idle shard goes into its final files at once."""
SETTLE_S_MAX: Final = 300
STILL_S: Final = 20
"""A disk that did not change for so long has been put in order."""


class Load(NamedTuple):
    """What is written: gzip bodies, their points, the values in them, and the journal's bytes."""

    bodies: list[bytes]
    points: int
    values: int
    journal_bytes: int


class Taken(NamedTuple):
    """What a store made of it."""

    points_per_s: float
    disk_bytes: int


class _Token(NamedTuple):
    token: str

    def read(self) -> SecretStr:
        """The server's own."""
        return SecretStr(self.token)


def load(folder: Path, tickers: int, seconds: int) -> Load:
    """The polls of so many seconds that end now, as the program makes them."""
    market = Market(1, count=tickers, refresh_s=60)
    pipeline = Pipeline(folder / "pipeline.db")
    first_ns = slot_at(time.time_ns(), VARIATIONAL_EVERY) - seconds * NS_PER_S
    pipeline.begin(first_ns - NS_PER_S)
    bodies, records, points, values, journal_bytes = [], [], 0, 0, 0
    for second in range(seconds):
        instant_ns = first_ns + second * NS_PER_S
        path = "/v5/market/tickers?category=linear"
        documents = Documents(
            answer(market, path, instant_ns), answer(market, "/metadata/stats", instant_ns)
        )
        entries = entries_of(pipeline.polls(documents))
        for entry in entries if second % VARIATIONAL_EVERY == 0 else entries[:1]:
            fragment = compress(entry.lines)
            records.append((fragment, crc32(entry.lines), len(entry.lines)))
            points += entry.points
            values += entry.lines.count(b"=") - 2 * entry.lines.count(b"\n")
            journal_bytes += len(fragment)
        if len(records) >= POLLS_PER_BODY:
            bodies.append(join(records))
            records = []
    pipeline.close()
    bodies.append(join(records))
    return Load(bodies, points, values, journal_bytes)


async def write(door: InfluxDoor, given: Load) -> float:
    """One request after the other; points a second by the wall clock."""
    await door.probe()
    started_ns = time.monotonic_ns()
    for body in given.bodies:
        reply = await door.write(body, gzip=True)
        assert reply.status == HTTP_NO_CONTENT, reply
    elapsed_ns = time.monotonic_ns() - started_ns
    await door.close()
    return given.points * NS_PER_S / elapsed_ns


def into_influxdb(folder: Path, given: Load) -> Taken:
    """Into InfluxDB 2.8; its disk is the bucket's final files."""
    with InfluxServer.start(build_influxd(), folder, COLD) as server:
        server.create_bucket(BUCKET)
        door = InfluxDoor(server.url, server.org, BUCKET, _Token(server.token))
        rate = asyncio.run(write(door, given))
        return Taken(rate, still(folder / "engine" / "data", ".tsm"))


def into_victoria(folder: Path, given: Load) -> Taken:
    """Into one VictoriaMetrics."""
    with victoria(folder) as server:
        rate = asyncio.run(write(InfluxDoor(server.url, "", BUCKET, NoToken()), given))
        server.flush()
        size = still(folder / "data" / "data")
    return Taken(rate, size)


def still(folder: Path, ending: str = "") -> int:
    """The bytes of a folder's files with this ending, once they stay."""
    seen, since_s = -1, time.monotonic()
    deadline_s = since_s + SETTLE_S_MAX
    while time.monotonic() < deadline_s and time.monotonic() - since_s < STILL_S:
        size = sum(sizes(folder, ending))
        if size != seen:
            seen, since_s = size, time.monotonic()
        time.sleep(1)
    return seen


def sizes(folder: Path, ending: str) -> Iterator[int]:
    """Of every such file below that is still there."""
    for path in folder.rglob(f"*{ending}"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except FileNotFoundError:
            continue


def main() -> None:
    """Print what both took."""
    parser = argparse.ArgumentParser(prog="python -m bench.stores", description=__doc__)
    parser.add_argument("--tickers", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perpflux-bench-") as name:
        folder = Path(name)
        given = load(folder, options.tickers, options.minutes * 60)
        sent = sum(map(len, given.bodies))
        print(f"{options.tickers} tickers, {options.minutes} min: {given.points:,} points,")
        print(f"{given.values:,} values, sent {sent / given.points:.1f} bytes a point,")
        print(f"in the journal {given.journal_bytes / given.points:.1f}")
        for title, into in (("InfluxDB 2.8", into_influxdb), ("VictoriaMetrics", into_victoria)):
            place = folder / title.split()[0]
            place.mkdir()
            taken = into(place, given)
            per_point = taken.disk_bytes / given.points
            print(f"| {title} | {taken.points_per_s:,.0f} | {per_point:.1f} |", flush=True)


if __name__ == "__main__":
    main()
