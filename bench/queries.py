"""How long each dashboard query takes over a day of 1-second points of many tickers.

    .venv/bin/python -m bench.queries [--tickers 50] [--hours 24]

Fills a real InfluxDB of its own (found as the tests find it) with as many tickers on Bybit, a point
a second, and on Variational, one every 20 s, and with a week of one-minute points; then runs every
query of every panel, variable, annotation and alert three times and prints the middle time: once
for the two tickers that a dashboard opens with, once for all of them. Bounded by its arguments: a
day of 50 tickers is 4.5 million points and takes some minutes, 1 GB of memory and 1 GB of disk.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.grafana.dashboards import alerts
from deploy.grafana.dashboards.model import FLUX
from tests.dashboards.grafana import ANYTHING, View, ask, queries
from tests.influxd.server import InfluxServer, find_influxd

END = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
BUCKET = "perps"
LINES_MAX = 10_000
"""Lines a request."""
TRIES = 3
VARIANTS = 61
"""Different points of a ticker, round and round: a prime, so that no window repeats another."""
BUDGET_MS = 2000
"""What a panel may take; above it a line is marked."""
FLAGS = [
    f"--storage-cache-max-memory-size={2**30}",
    f"--query-memory-bytes={2**30}",
    f"--storage-cache-snapshot-memory-size={64 * 2**20}",
]
INTERVAL_S = {"bybit": 1, "variational": 20}


def tails(number: int, *, rollup: bool) -> list[str]:
    """The fields of a ticker's points, one text a variant."""
    made = []
    for variant in range(VARIANTS):
        wave = variant % 7 + number
        fields = {
            "lag_ms": 200 + variant,
            "quote_age_ms": 150 + variant,
            "mark_price": f"{1000 + number}.{variant}5",
            "mid": f"{1000 + number}.{variant}",
            "spread_bps": f"0.{wave}",
            "spread_100k_bps": f"1.{wave}",
            "spread_1m_bps": f"4.{wave}",
            "impact_buy_bps": f"0.6{wave}",
            "impact_sell_bps": f"0.7{wave}",
            "basis_bps": f"-0.{wave}",
            "funding_apr": f"0.{number + 1:03d}{variant // 20}",
            "long_oi": 5_000_000 + number,
            "short_oi": 4_000_000 + variant,
            "oi_usd": 9_000_000_000 // (number + 1) + variant,
            "volume_24h_usd": 8_000_000_000 // (number + 1) + variant,
        }
        if rollup:
            fields["spread_bps_max"] = f"1.{wave}"
        made.append(",".join(f"{name}={value}" for name, value in fields.items()))
    return made


def lines(
    source: str, tickers: int, start: datetime, step_s: int, *, rollup: bool
) -> Iterator[str]:
    """The points of a source from `start` to the end, a step apart."""
    names = ["BTC", "ETH", *(f"T{number:03d}" for number in range(2, tickers))]
    heads = [f"snapshot,source={source},ticker={name} " for name in names]
    series = list(
        zip(heads, [tails(number, rollup=rollup) for number in range(tickers)], strict=True)
    )
    first_s, end_s = int(start.timestamp()), int(END.timestamp())
    for second in range(first_s, end_s, step_s):
        variant = second // step_s % VARIANTS
        stamp = f" {second}"
        for head, texts in series:
            yield head + texts[variant] + stamp


def agent_lines(start: datetime) -> Iterator[str]:
    """The agent's own points and one event."""
    first_s, end_s = int(start.timestamp()), int(END.timestamp())
    for source, step_s in INTERVAL_S.items():
        head = f"poll,source={source},host=h,endpoint=tickers "
        for second in range(first_s, end_s, step_s):
            yield f"{head}ok=1,latency_ms=90,bytes=9000,rows=50,bad_rows=0,missed_slots=0 {second}"
    for second in range(first_s, end_s, 10):
        yield (
            f"agent,host=h collected={second},stored={second},rejected=0,evicted=0,pending=9,"
            f"pending_bytes=900,oldest_pending_s=2,write_ms=8,cpu_s=5,rss_bytes=6e7,uptime_s=5 "
            f"{second}"
        )
    yield f'event,host=h,kind=source_up,source=bybit text="answers again" {end_s - 600}'
    for settled in range(1, 4):
        stamp = end_s - settled * 28_800
        yield f"funding,source=bybit,ticker=BTC rate=0.0001,interval_s=28800,apr=0.1095 {stamp}"


def fill(server: InfluxServer, bucket: str, points: Iterator[str]) -> int:
    """Write them in requests of bounded size; how many they were."""
    count, batch = 0, []
    for line in points:
        batch.append(line)
        if len(batch) == LINES_MAX:
            count += put(server, bucket, batch)
            batch = []
    return count + put(server, bucket, batch)


def put(server: InfluxServer, bucket: str, batch: list[str]) -> int:
    """One request, repeated while the server's cache is full."""
    for _ in range(30):
        answer = server.write(bucket, batch, precision="s")
        if answer.status == 204:
            return len(batch)
        time.sleep(1)
    raise SystemExit(f"write: {answer.status} {answer.body[:300]}")


def texts() -> Iterator[tuple[str, str]]:
    """Every query with its name."""
    for query in queries():
        yield query.title, query.text
    for rule in (*alerts.RULES, alerts.CARRY):
        yield f"alert {rule.name}", (FLUX / "alerts" / f"{rule.name}.flux").read_text("utf-8")


def measure(server: InfluxServer, text: str, view: View) -> tuple[float, int]:
    """Middle time of a query in ms, and the rows it gave."""
    took_ms, rows = [], 0
    for _ in range(TRIES):
        begun_s = time.perf_counter()
        rows = sum(len(frame.rows) for frame in ask(server, view.fill(text)))
        took_ms.append((time.perf_counter() - begun_s) * 1000)
    return statistics.median(took_ms), rows


def views(tickers: int, hours: int) -> dict[str, View]:
    """What is looked at: two tickers or all of them over the hours, two over a week."""

    def view(span: timedelta, window: str, ticker: list[str] | str) -> View:
        variables = {
            "source": ANYTHING,
            "ticker": ticker,
            "asset": "BTC",
            "size": "spread_100k_bps",
            "reference": "bybit",
            "fees_bps": "11",
            "oi_min": "0",
            "host": ANYTHING,
            "rollup": f"{BUCKET}_1m",
        }
        start, stop = (f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in (END - span, END))
        return View(start, stop, BUCKET, window, variables)

    day = timedelta(hours=hours)
    return {
        f"{hours} h, 2": view(day, "2m0s", ["BTC", "ETH"]),
        f"{hours} h, {tickers}": view(day, "2m0s", ANYTHING),
        "7 d, 2": view(timedelta(days=7), "10m0s", ["BTC", "ETH"]),
    }


def run(server: InfluxServer, tickers: int, hours: int) -> None:
    """Fill, measure, print."""
    say = sys.stdout.write
    begun_s = time.perf_counter()
    start = END - timedelta(hours=hours)
    count = 0
    for bucket in (BUCKET, f"{BUCKET}_1m"):
        server.create_bucket(bucket)
    for source, step_s in INTERVAL_S.items():
        points = lines(source, tickers, start, step_s, rollup=False)
        count += fill(server, BUCKET, points)
        week = lines(source, tickers, END - timedelta(days=7), 60, rollup=True)
        fill(server, f"{BUCKET}_1m", week)
    fill(server, BUCKET, agent_lines(start))
    say(f"{count:,} snapshots in {time.perf_counter() - begun_s:.0f} s\n\n")
    looks = views(tickers, hours)
    say(f"{'query':58}" + "".join(f"{name + ' ms':>13}{'rows':>8}" for name in looks) + "\n")
    for name, text in texts():
        say(f"{name:58}")
        for view in looks.values():
            took_ms, rows = measure(server, text, view)
            say(f"{took_ms:12.0f}{'!' if took_ms > BUDGET_MS else ' '}{rows:8}")
        say("\n")
        sys.stdout.flush()


def main() -> None:
    """Read the arguments and run on a server of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tickers", type=int, default=50, choices=range(2, 201), metavar="N")
    parser.add_argument("--hours", type=int, default=24, choices=range(1, 73), metavar="N")
    options = parser.parse_args()
    influxd = find_influxd()
    if influxd is None:
        raise SystemExit("there is no influxd on PATH and none can be built")
    with (
        tempfile.TemporaryDirectory() as folder,
        InfluxServer.start(influxd, Path(folder), FLAGS) as server,
    ):
        run(server, options.tickers, options.hours)


if __name__ == "__main__":
    main()
