"""What a stream costs: the same agent with and without NATS between it and InfluxDB, in one run.

python -m bench.stream                  a backlog of 300,000 points, then a minute of both live
python -m bench.stream --seconds 600

Everything is real and on this machine: InfluxDB, three NATS servers with three replicas, two
agents that poll both universes each second, one `perpflux sink`. A recorder in front of InfluxDB
notes when each slot of each source was acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from agent.clock import NS_PER_S
from bench.catch_up import JOURNAL_BYTES_MAX, build
from bench.counterparts import counterparts
from bench.program import _sample, command
from tests.influxd.server import open_server
from tests.natsd.server import open_cluster
from tests.support.loopback import serving

POINTS: Final = 300_000
SECONDS: Final = 60
SETTLE_S: Final = 10
PATIENCE_S: Final = 600
LOOK_S: Final = 0.1
STREAM: Final = "perps"
SUBJECT: Final = "perps.points"
BODY_BYTES_MAX: Final = 64 * 2**20
BUCKETS: Final = ("direct", "streamed")
SLOT: Final = re.compile(rb"^snapshot,source=(\w+),[^\n]* (\d+)$", re.MULTILINE)

Stored = dict[tuple[str, int], int]
"""When (ns) a slot of a source was acknowledged, by source and slot."""


@dataclass
class Recorder:
    """Stands before InfluxDB and notes what it acknowledges, by bucket.

    Attributes:
        points: lines of snapshots that were acknowledged.
        stored: the instant of each slot.
    """

    url: str
    points: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))
    stored: dict[str, Stored] = field(default_factory=lambda: {name: {} for name in BUCKETS})

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Its own address, for the block."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/api/v2/write", self._write)
        app.router.add_route("*", "/{path:.*}", self._other)
        # Bodies pass as they are: what is unpacked here is only looked at.
        async with (
            aiohttp.ClientSession(auto_decompress=False) as self._session,
            serving(app) as url,
        ):
            yield url

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.content.read()
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        zipped = body[:2] == b"\x1f\x8b"
        if zipped:
            headers["Content-Encoding"] = "gzip"
        url = f"{self.url}/api/v2/write"
        async with self._session.post(
            url, params=request.query, data=body, headers=headers, skip_auto_headers=["Accept"]
        ) as answer:
            said = await answer.read()
            at_ns = time.time_ns()
            if answer.status == 204 and body:
                found = SLOT.findall(gzip.decompress(body) if zipped else body)
                bucket = request.query["bucket"]
                self.points[bucket] += len(found)
                for source, slot_ns in set(found):
                    self.stored[bucket].setdefault((source.decode(), int(slot_ns)), at_ns)
            return web.Response(status=answer.status, body=said)

    async def _other(self, _: web.Request) -> web.Response:
        return web.Response(status=404)


class Program:
    """One of ours as a process."""

    def __init__(self, name: str, folder: Path, config: str, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "perpflux.toml").write_text(config, encoding="utf-8")
        self.name = name
        self._folder = folder
        self._arguments = (*arguments, "--config", str(folder / "perpflux.toml"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs."""
        with (self._folder / "log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *command(*self._arguments), stdout=asyncio.subprocess.DEVNULL, stderr=log
            )
        self.pid = child.pid
        try:
            yield
            assert child.returncode is None, (self._folder / "log").read_text(encoding="utf-8")
        finally:
            child.terminate()
            await child.wait()


def agent_config(folder: Path, venues: str, store: str) -> str:
    """Both universes each second into this store."""
    return f"""
tickers = "all"
[variational]
api_base = "{venues}"
poll_interval_s = 1
[bybit]
api_base = "{venues}"
depth_tickers = []
funding_backfill_days = 0
{store}
[journal]
path = "{folder}/journal.db"
bytes_max = {JOURNAL_BYTES_MAX}
[http]
listen = ""
[log]
format = "json"
"""


def influxdb(url: str, org: str, bucket: str, token: Path) -> str:
    """The section of a store."""
    return (
        f'[influxdb]\nurl = "{url}"\norg = "{org}"\nbucket = "{bucket}"\ntoken_file = "{token}"\n'
    )


async def measure(folder: Path, points: int, seconds: int) -> None:
    """Drain a backlog either way, then watch both live; print the figures."""
    async with AsyncExitStack() as stack:
        venues = stack.enter_context(counterparts())
        server = stack.enter_context(open_server(folder / "influxd"))
        cluster = stack.enter_context(open_cluster(folder / "nats"))
        for bucket in BUCKETS:
            server.create_bucket(bucket)
        token = folder / "token"
        token.write_text(f"{server.token}\n", encoding="utf-8")
        token.chmod(0o600)
        recorder = Recorder(server.url)
        url = await stack.enter_async_context(recorder.serve())
        urls = ",".join(each.url for each in cluster)
        stream = (
            f'[sinks.stream]\nnats_url = "{urls}"\nstream = "{STREAM}"\nsubject = "{SUBJECT}"\n'
        )
        stores = {
            "direct": influxdb(url, server.org, "direct", token),
            "streamed": stream,
        }
        agents = {
            name: Program(
                f"agent, {name}", folder / name, agent_config(folder / name, venues, store), "run"
            )
            for name, store in stores.items()
        }
        box = f'[journal]\npath = "{folder}/sink/box.db"\n[log]\nformat = "json"\n'
        sink = Program(
            "perpflux sink",
            folder / "sink",
            influxdb(url, server.org, "streamed", token) + stream + box,
            *("sink", "--make-stream", "--replicas", "3"),
        )
        await stack.enter_async_context(sink.running())
        for name, agent in agents.items():
            waiting = await asyncio.to_thread(build, folder / name, points)
            began_s = time.monotonic()
            await stack.enter_async_context(agent.running())
            while recorder.points[name] < waiting:
                assert time.monotonic() < began_s + PATIENCE_S, f"{recorder.points} of {waiting}"
                await asyncio.sleep(LOOK_S)
            took_s = time.monotonic() - began_s
            print(
                f"{name}: {waiting:,} points that waited stored in {took_s:.1f} s, start and polls"
                f" included: {waiting / took_s:,.0f} points a second"
            )
        await asyncio.sleep(SETTLE_S)
        await watch([*agents.values(), sink], recorder, seconds)


async def watch(programs: Sequence[Program], recorder: Recorder, seconds: int) -> None:
    """Both live: processor time, and from slot to stored."""
    first = {each.name: _sample(each.pid) for each in programs}
    since_ns = time.time_ns()
    await asyncio.sleep(seconds)
    until_ns = time.time_ns() - SETTLE_S * NS_PER_S
    last = {each.name: _sample(each.pid) for each in programs}
    print("\n| | of a core | resident |\n|---|---|---|")
    for name, after in last.items():
        core = (after.cpu_s - first[name].cpu_s) / (after.at_s - first[name].at_s)
        print(f"| {name} | {100 * core:.2f} % | {after.rss_mib:.0f} MiB |")
    print("\n| slot to stored | slots | median | 95 % | at most |\n|---|---|---|---|---|")
    for name, stored in recorder.stored.items():
        waits = sorted(
            (at_ns - slot_ns) / NS_PER_S
            for (_, slot_ns), at_ns in stored.items()
            if since_ns <= slot_ns < until_ns
        )
        late = waits[int(len(waits) * 0.95)]
        print(
            f"| {name} | {len(waits)} | {statistics.median(waits):.2f} s | {late:.2f} s | "
            f"{waits[-1]:.2f} s |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS, help="that wait at first")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="both live")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perpflux-bench-") as name:
        asyncio.run(measure(Path(name), options.points, options.seconds))


if __name__ == "__main__":
    main()
