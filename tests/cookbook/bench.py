"""How long each entry of the cookbook takes over 24 h of one-second data of 50 tickers.

`python -m tests.cookbook.bench [HOURS]` fills an InfluxDB of its own (some minutes), runs every
entry over the whole day and prints the seconds. It is no test: what it says depends on the machine.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.clock import NS_PER_S, to_rfc3339
from agent.errors import PerpfluxError
from agent.influx_api import InfluxApi
from agent.queries import cookbook
from agent.queries.times import range_values
from tests.cookbook.points import STOP, STOP_S
from tests.influxd.server import InfluxServer, build_influxd

TICKERS: Final = [f"T{number:02d}" for number in range(50)]
INTERVALS_S: Final = {"bybit": 1, "variational": 20}
FUNDING_APR: Final = {"bybit": 0.1095, "variational": 0.2}
HOURS: Final = 24
WEEK_MINUTES: Final = 7 * 1440
LINES_PER_WRITE: Final = 10_000
CONSTANT: Final = (
    "quote_age_ms=100,funding_interval_s=28800,next_funding_s=9000,"
    "oi_usd=300000000,volume_24h_usd=150000000,basis_bps=1,spread_1m_bps=1.5,"
    "impact_buy_bps=0.3,impact_sell_bps=0.2,ask_100k=100100"
)


def raw_lines(source: str, interval_s: int, hours: int) -> Iterator[str]:
    """A day of slots of every ticker, oldest first; prices and spreads move."""
    rand = random.Random(source)
    mid = 100_000.0
    for stamp_s in range(STOP_S - hours * 3600, STOP_S, interval_s):
        mid += rand.uniform(-1, 1)
        bps = rand.uniform(0.1, 3)
        moving = (
            f"lag_ms={rand.randrange(90, 900)},mid={mid:.3f},spread_bps={bps:.6f},"
            f"spread_100k_bps={bps * 2:.6f},funding_apr={FUNDING_APR[source]}"
        )
        for ticker in TICKERS:
            tags = f"snapshot,source={source},ticker={ticker}"
            yield f"{tags} {moving},{CONSTANT} {stamp_s * NS_PER_S}"


def minute_lines() -> Iterator[str]:
    """A week of the rollup."""
    rand = random.Random("week")
    for minute in range(WEEK_MINUTES, 0, -1):
        bps = rand.uniform(0.1, 3)
        fields = (
            f"spread_bps={bps:.6f},spread_bps_max={bps + 1:.6f},spread_100k_bps={bps * 2:.6f},"
            "funding_apr="
        )
        for source, apr in FUNDING_APR.items():
            for ticker in TICKERS:
                stamp_ns = (STOP_S - minute * 60) * NS_PER_S
                yield f"snapshot,source={source},ticker={ticker} {fields}{apr} {stamp_ns}"


def fill(server: InfluxServer, bucket: str, lines: Iterator[str]) -> int:
    """Write them in batches; how many."""
    count = 0
    while batch := list(itertools.islice(lines, LINES_PER_WRITE)):
        count += _write(server, bucket, batch)
    return count


def _write(server: InfluxServer, bucket: str, lines: list[str]) -> int:
    answer = server.request(
        "POST",
        "/api/v2/write",
        params={"org": server.org, "bucket": bucket, "precision": "ns"},
        body=gzip.compress("\n".join(lines).encode(), 1),
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status == 204, answer.body
    return len(lines)


async def measure(server: InfluxServer, hours: int) -> None:
    """Run every entry as it stands, those over a stretch of time over the whole of it.

    What asks for BTC by default gets one ticker, everything else all fifty.
    """
    day = to_rfc3339((STOP_S - hours * 3600) * NS_PER_S)
    async with InfluxApi(server.url, SecretStr(server.token)) as api:
        for name, recipe in cookbook().items():
            values = range_values(recipe, None, STOP, now_ns=0)
            parameters = {name: each.default for name, each in recipe.parameters.items()}
            if parameters["start"] != "-10m" and "rollup" not in parameters:
                values["start"] = day
            if parameters.get("ticker") == '"BTC"':
                values["ticker"] = TICKERS[0]
            begin = time.monotonic()
            try:
                rows = sum([1 async for _ in api.rows(server.org, recipe.filled(values))])
                words = f"{rows} rows"
            except PerpfluxError as error:
                words = str(error)[:80]
            took_s = time.monotonic() - begin
            which = values.get("ticker", "all")
            print(f"{name:18} {which:4} {took_s:8.2f} s  {words}", flush=True)  # noqa: T201


def main() -> None:
    """Fill and measure."""
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else HOURS
    with (
        tempfile.TemporaryDirectory() as folder,
        InfluxServer.start(build_influxd(), Path(folder)) as server,
    ):
        begin = time.monotonic()
        for bucket in ("perps", "perps_1m"):
            server.create_bucket(bucket)
        count = sum(
            fill(server, "perps", raw_lines(source, interval_s, hours))
            for source, interval_s in INTERVALS_S.items()
        )
        count += fill(server, "perps_1m", minute_lines())
        print(f"{count} points written in {time.monotonic() - begin:.0f} s", flush=True)  # noqa: T201
        asyncio.run(measure(server, hours))


if __name__ == "__main__":
    main()
