"""Two real buckets from one journal, one of them away for a while."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_to_influxdb import exported, rows_of, status_when
from tests.faults.proxy import FaultProxy
from tests.influxd.server import InfluxServer
from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]


def accounts(status: dict[str, Any], sink: str) -> dict[str, Any]:
    """A store's part of the status; the ledger law holds in it."""
    part: dict[str, Any] = status if sink == "influxdb" else status["sinks"][sink]
    ledger = dict(part["ledger"])
    assert ledger.pop("collected") == sum(ledger.values())
    return part


async def test_one_store_is_away_and_neither_lacks_a_point(
    tmp_path: Path, influxdb: InfluxServer, new_bucket: Callable[..., str]
) -> None:
    """The main store gets all at once; the other all when it is back; both hold the journal's."""
    buckets = {"influxdb": new_bucket(), "far": new_bucket()}
    for name, bucket in buckets.items():
        (tmp_path / name).write_text(influxdb.write_token(bucket), encoding="utf-8")
    async with (
        recorded_venues() as venues,
        FaultProxy.start(influxdb.url, random.Random(1)) as proxy,
    ):
        await proxy.close()
        settings = {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_VARIATIONAL__API_BASE": venues,
            "PERPFLUX_BYBIT__API_BASE": venues,
            "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
            **{
                f"PERPFLUX_{section}__{key}": value
                for section, url, name in (
                    ("INFLUXDB", influxdb.url, "influxdb"),
                    ("SINKS__FAR", proxy.url, "far"),
                )
                for key, value in {
                    "URL": url,
                    "ORG": influxdb.org,
                    "BUCKET": buckets[name],
                    "TOKEN_FILE": str(tmp_path / name),
                }.items()
            },
        }
        async with running(tmp_path, **settings) as program:
            url = json.loads(await program.wait_for('"started"'))["http"]
            status = await status_when(
                url,
                lambda status: (
                    status["ledger"]["stored"] >= 5
                    and status["sinks"]["far"]["shipping"]["state"] == "backing_off"
                ),
            )
            far = accounts(status, "far")
            assert far["ledger"]["stored"] == 0
            assert far["ledger"]["pending"] == far["ledger"]["collected"] > 0
            assert accounts(status, "influxdb")["shipping"]["last_error"] is None
            await proxy.open()
            await status_when(url, lambda status: status["sinks"]["far"]["ledger"]["stored"] >= 5)
            assert await program.stop() == 0
        # What the stop left behind; a proxy that is closed would keep `far` from it.
        assert (await perpflux(tmp_path, "once", **settings)).code == 0
        kept = exported((await perpflux(tmp_path, "export")).out)
    assert len(kept) > 5
    for bucket in buckets.values():
        assert set(rows_of(influxdb, bucket)) == set(kept)
