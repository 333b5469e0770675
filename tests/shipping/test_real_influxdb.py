"""Delivery through the real door to a real InfluxDB 2.8."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from agent.clock import NS_PER_S, SYSTEM_CLOCK
from agent.delivery import Delivered, Paused, deliver
from agent.fates import Park
from agent.influx import InfluxDoor
from tests.influxd.server import InfluxServer
from tests.shipping.bench import record, snapshot_line

pytestmark = [pytest.mark.influxdb, pytest.mark.slow]

HOUR_NS = 3600 * NS_PER_S


class Token:
    """A token that can be changed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> SecretStr:
        """The token as it is now."""
        return SecretStr(self.text)


def tickers_stored(server: InfluxServer, bucket: str) -> set[str]:
    """What a query gives back."""
    rows = server.query(
        f'from(bucket: "{bucket}") |> range(start: 0) '
        '|> filter(fn: (r) => r._measurement == "snapshot" and r._field == "lag_ms") '
        '|> keep(columns: ["_time", "ticker"])'
    )
    return {row["ticker"] for row in rows}


async def test_every_line_of_a_mixed_batch_is_accounted_for(
    influxdb: InfluxServer, new_bucket: Callable[..., str]
) -> None:
    """Good, unreadable, conflicting and too old lines: the account agrees with a read-back."""
    bucket = new_bucket(retention_s=3600)
    now_ns = SYSTEM_CLOCK.now_ns()
    first = f"snapshot,source=x,ticker=FIRST lag_ms=1,mark_price=1i {now_ns}"
    assert influxdb.write(bucket, first).status == 204
    records = [
        record(1, [snapshot_line(f"GOOD{i}", stamp_ns=now_ns + i) for i in range(500)]),
        record(2, [snapshot_line("BAD", "NaN", now_ns), snapshot_line("GOOD", stamp_ns=now_ns)]),
        record(3, [f"snapshot,source=x,ticker=CONFLICT lag_ms=1,mark_price=1.5 {now_ns}"]),
        record(4, [snapshot_line("OLD", stamp_ns=now_ns - 5 * HOUR_NS)]),
    ]
    token = Token(influxdb.write_token(bucket))
    door = InfluxDoor(influxdb.url, influxdb.org, bucket, token)
    outcome = await deliver(door, records)
    await door.close()
    assert isinstance(outcome, Delivered)
    assert [(each.seq, each.points) for each in outcome.rejected] == [(2, 1), (3, 1), (4, 1)]
    stored = {f"GOOD{i}" for i in range(500)} | {"GOOD", "FIRST"}
    assert tickers_stored(influxdb, bucket) == stored


async def test_a_read_only_token_parks_and_a_probe_sees_the_change(
    influxdb: InfluxServer, new_bucket: Callable[..., str]
) -> None:
    """No write permission keeps everything; an empty body tells when it is given."""
    bucket = new_bucket()
    token = Token(influxdb.read_token(bucket))
    door = InfluxDoor(influxdb.url, influxdb.org, bucket, token)
    outcome = await deliver(door, [record(1, [snapshot_line("A")])])
    assert isinstance(outcome, Paused)
    assert isinstance(outcome.fate, Park)
    assert (await door.probe()).status == 403
    token.text = influxdb.write_token(bucket)
    assert (await door.probe()).status == 204
    assert isinstance(await deliver(door, [record(1, [snapshot_line("A")])]), Delivered)
    await door.close()
