"""From the venues' bytes to rows of a real InfluxDB: nothing lost, nothing altered."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from tests.influxd.server import InfluxServer
from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

WAIT_S = 30


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, str]]:
    """Settings that point both sources, one poll a second, at the recorded venues."""
    async with recorded_venues() as url:
        yield {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_VARIATIONAL__API_BASE": url,
            "PERPFLUX_VARIATIONAL__POLL_INTERVAL_S": "1",
            "PERPFLUX_BYBIT__API_BASE": url,
        }


@pytest.fixture
def bucket(new_bucket: Callable[..., str]) -> str:
    """A bucket of the test's own."""
    return new_bucket()


@pytest.fixture
def store(influxdb: InfluxServer, bucket: str) -> dict[str, str]:
    """Settings that ship into the bucket with a token that may only write."""
    return {
        "PERPFLUX_INFLUXDB__URL": influxdb.url,
        "PERPFLUX_INFLUXDB__ORG": influxdb.org,
        "PERPFLUX_INFLUXDB__BUCKET": bucket,
        "INFLUXDB_V2_TOKEN": influxdb.write_token(bucket),
    }


async def status_when(url: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status once it is as wanted; the ledger law holds in every one seen on the way."""
    async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/status") as answer:
                status: dict[str, Any] = await answer.json()
            ledger = dict(status["ledger"])
            assert ledger.pop("collected") == sum(ledger.values())
            if reached(status):
                return status


def stored(points: int) -> Callable[[dict[str, Any]], bool]:
    """At least so many points are stored and none waits longer than a moment."""
    return lambda status: bool(status["ledger"]["stored"] >= points)


def exported(text: str) -> dict[tuple[str, ...], dict[str, Decimal]]:
    """The journal's counted points: identity to exact fields."""
    points = {}
    for each in (json.loads(line, parse_float=str, parse_int=str) for line in text.splitlines()):
        if each["measurement"] in {"snapshot", "platform", "funding"}:
            tags = tuple(each.pop(key, "") for key in ("measurement", "source", "ticker", "ts"))
            points[tags] = {name: Decimal(value) for name, value in each.items()}
    return points


def rows_of(influxdb: InfluxServer, bucket: str) -> dict[tuple[str, ...], dict[str, Decimal]]:
    """The same from InfluxDB; every field must be a float there."""
    flux = f"""
        COUNTED = ["snapshot", "platform", "funding"]
        from(bucket: "{bucket}") |> range(start: 0)
          |> filter(fn: (r) => contains(value: r._measurement, set: COUNTED))
          |> group()
    """
    points: dict[tuple[str, ...], dict[str, Decimal]] = {}
    for row in influxdb.query(flux):
        key = (row["_measurement"], row["source"], row.get("ticker", ""), row["_time"])
        points.setdefault(key, {})[row["_field"]] = Decimal(row["_value"])
    return points


async def test_every_published_value_arrives_exactly(
    tmp_path: Path,
    venues: dict[str, str],
    store: dict[str, str],
    influxdb: InfluxServer,
    bucket: str,
) -> None:
    """`perpflux run` into a real InfluxDB: every point, on exact slots, both tags, all floats.

    InfluxDB keeps 64-bit floats, so "exactly" is: the same float as the published text.
    """
    async with running(tmp_path, **venues, **store) as program:
        url = json.loads(await program.wait_for('"started"'))["http"]
        await status_when(url, stored(9))
        assert await program.stop() == 0
    kept = exported((await perpflux(tmp_path, "export")).out)
    rows = rows_of(influxdb, bucket)
    assert set(rows) == set(kept)
    assert {key[1] for key in rows} == {"bybit", "variational"}
    for key, fields in kept.items():
        assert {name: float(value) for name, value in rows[key].items()} == {
            name: float(value) for name, value in fields.items()
        }
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", key[3])  # whole seconds: a slot
    types = influxdb.query(
        f'import "types" from(bucket: "{bucket}") |> range(start: 0) '
        '|> filter(fn: (r) => r._measurement != "event") '
        '|> filter(fn: (r) => not types.isType(v: r._value, type: "float"))'
    )
    assert types == []


async def test_history_ships_when_influxdb_is_added(
    tmp_path: Path,
    venues: dict[str, str],
    store: dict[str, str],
    influxdb: InfluxServer,
    bucket: str,
) -> None:
    """Collected without InfluxDB, killed by SIGKILL: the section appears and the history ships."""
    async with running(tmp_path, **venues) as program:
        url = json.loads(await program.wait_for('"started"'))["http"]
        before = await status_when(url, lambda status: status["ledger"]["pending"] >= 6)
        assert before["shipping"]["state"] == "off"
        assert await program.stop(signal.SIGKILL) == -signal.SIGKILL
    outcome = await perpflux(tmp_path, "once", "--format", "lp", **venues, **store)
    assert outcome.code == 0
    kept = exported((await perpflux(tmp_path, "export")).out)
    assert len(kept) >= before["ledger"]["collected"]
    assert set(rows_of(influxdb, bucket)) == set(kept)


async def test_a_wrong_token_parks_and_a_right_one_resumes(
    tmp_path: Path, venues: dict[str, str], store: dict[str, str]
) -> None:
    """With a wrong token nothing is lost or sent; once the file is right the backlog ships."""
    token = tmp_path / "token"
    token.write_text("wrong", encoding="utf-8")
    right = store.pop("INFLUXDB_V2_TOKEN")
    store["PERPFLUX_INFLUXDB__TOKEN_FILE"] = str(token)
    async with running(tmp_path, **venues, **store) as program:
        url = json.loads(await program.wait_for('"started"'))["http"]
        parked = await status_when(url, lambda status: status["shipping"]["state"] == "parked")
        assert "401" in parked["shipping"]["last_error"]
        assert parked["ledger"]["stored"] == 0
        token.write_text(right + "\n", encoding="utf-8")
        resumed = await status_when(url, stored(6))
        assert resumed["ledger"]["rejected"] == resumed["ledger"]["evicted"] == 0
        assert await program.stop() == 0
        log = "".join(program.lines)
        assert right not in log
        assert '"wrong"' not in log


async def test_depth_and_settled_funding_arrive(
    tmp_path: Path,
    venues: dict[str, str],
    store: dict[str, str],
    influxdb: InfluxServer,
    bucket: str,
) -> None:
    """The order book's prices and thirty days of settlements, each once, at their times."""
    async with running(tmp_path, **venues, **store) as program:
        url = json.loads(await program.wait_for('"started"'))["http"]
        await status_when(url, stored(90 + 3))
        assert await program.stop() == 0
    rows = rows_of(influxdb, bucket)
    settled = {key[3]: fields for key, fields in rows.items() if key[0] == "funding"}
    assert len(settled) == 90
    for stamp, fields in settled.items():
        assert re.search(r"T(00|08|16):00:00Z$", stamp)
        assert fields == {
            "rate": Decimal("0.0001"),
            "interval_s": Decimal(28800),
            "apr": Decimal("0.1095"),
        }
    snapshots = [fields for key, fields in rows.items() if key[:2] == ("snapshot", "bybit")]
    assert snapshots
    for fields in snapshots:
        assert fields["bid_100k"] == Decimal("80427.8")
        assert fields["ask_100k"] == Decimal("80427.9")
        assert "bid_1m" not in fields
    (endpoints,) = influxdb.query(
        f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == '
        '"poll" and r.endpoint == "orderbook" and r._field == "ok") |> group() |> min()'
    )
    assert Decimal(endpoints["_value"]) == 1


async def test_a_listing_during_an_outage_is_an_event(
    tmp_path: Path, store: dict[str, str], influxdb: InfluxServer, bucket: str
) -> None:
    """With all tickers the list of contracts is compared with that of the run before."""
    journal = {"PERPFLUX_JOURNAL__PATH": str(tmp_path / "j.db"), "PERPFLUX_TICKERS": "all"}
    for count in (10, 12):
        async with SimulatedVenues.start(market=Market(5, count=count)) as venues:
            settings = journal | store | {"PERPFLUX_BYBIT__API_BASE": venues.url}
            settings["PERPFLUX_DATA_SOURCES"] = "bybit"
            async with running(tmp_path, **settings) as program:
                url = json.loads(await program.wait_for('"started"'))["http"]
                await program.wait_for('"listings_read"' if count == 10 else '"listing_listed"')
                await status_when(url, stored(count))
                assert await program.stop() == 0
    (event,) = influxdb.query(
        f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == '
        '"event" and r.kind == "listed")'
    )
    before, after = (Market(5, count=count).listings for count in (10, 12))
    new = [each for ticker, each in after.items() if ticker not in before]
    names = sorted(each.symbol for each in new if each.bybit_interval_h)
    assert (event["source"], event["_value"]) == ("bybit", ", ".join(names))
