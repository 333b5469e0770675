"""One ledger, told in three places; rejected points come back while the agent runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = pytest.mark.slow

WAIT_S = 30
KINDS = ("collected", "stored", "rejected", "evicted", "pending")
Status = dict[str, Any]


async def page(url: str, path: str) -> str:
    """The text of one of its pages."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as answer:
        return await answer.text()


async def status_when(url: str, reached: Callable[[Status], bool]) -> Status:
    """The first status that is as wanted; the law holds in all before it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            status: Status = json.loads(await page(url, "/status"))
            ledger = dict(status["ledger"])
            assert ledger.pop("collected") == sum(ledger.values())
            if reached(status):
                return status
            await asyncio.sleep(0.1)


async def test_the_ledger_is_the_same_everywhere(tmp_path: Path) -> None:
    """`/status`, `/metrics` and the `agent` point say the same, also of what was refused."""
    fake = FakeInfluxDB()
    fake.poison["snapshot,source=bybit"] = Fault(422, "partial write: no dropped=1")
    async with recorded_venues() as venues, fake.serve() as store:
        settings = {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_VARIATIONAL__API_BASE": venues,
            "PERPFLUX_VARIATIONAL__POLL_INTERVAL_S": "3600",
            "PERPFLUX_BYBIT__API_BASE": venues,
            "PERPFLUX_BYBIT__POLL_INTERVAL_S": "3600",
            "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
            "INFLUXDB_V2_URL": store,
            "INFLUXDB_V2_ORG": "perps",
            "INFLUXDB_V2_TOKEN": "secret",
        }
        async with running(tmp_path, **settings) as program:
            url = json.loads(await program.wait_for('"started"'))["http"]
            status = await status_when(url, lambda status: status["ledger"]["rejected"] == 1)
            ledger = {kind: status["ledger"][kind] for kind in KINDS}
            assert ledger == dict(zip(KINDS, (3, 2, 1, 0, 0), strict=True))
            metrics = await page(url, "/metrics")
            points = r'^perpflux_points_([a-z]+?)(?:_total)?{sink="influxdb"} (\S+)$'
            told = {kind: float(n) for kind, n in re.findall(points, metrics, re.MULTILINE)}
            assert told == ledger
            point = await agent_point(tmp_path)
            assert {kind: point[kind] for kind in KINDS} == ledger

            fake.poison.clear()
            replay = await perpflux(tmp_path, "rejected", "replay", "--all", **settings)
            assert (replay.code, replay.out) == (0, "1 points are stored now\n")
            after = await status_when(url, lambda status: status["ledger"]["rejected"] == 0)
            assert after["ledger"]["stored"] == 3
            assert await program.stop() == 0
    assert len([point for point in fake.bucket.points if point[0] == "snapshot"]) == 2


async def agent_point(folder: Path) -> Status:
    """The newest `agent` point in the journal, made after the store has answered."""
    async with asyncio.timeout(WAIT_S):
        while True:
            out = (await perpflux(folder, "export", "--measurement", "agent")).out
            point: Status = json.loads(out.splitlines()[-1]) if out else {"pending": None}
            if point["pending"] == 0:
                return point
            await asyncio.sleep(1)
