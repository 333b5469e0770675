"""The rollup as a task of a real InfluxDB: its points are those that arithmetic gives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

import pytest

from tests.dashboards import data
from tests.dashboards.conftest import Store
from tests.dashboards.test_build import ROLLUP

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

RUN_TIMEOUT_S = 30.0
MINUTES = [data.END - timedelta(minutes=back) for back in range(9, -1, -1)]
"""The ends of the ten minutes that a run at the end writes."""


@contextmanager
def task_of(store: Store) -> Iterator[str]:
    """The id of the task, made for the buckets of this store; it goes with the block.

    An active task also runs by itself, where it finds nothing: the known points are of the past.
    """
    text = ROLLUP.read_text(encoding="utf-8")
    text = text.replace('"perps"', f'"{store.bucket}"').replace(
        '"perps_1m"', f'"{store.bucket}_1m"'
    )
    wanted = {"org": store.server.org, "flux": text, "status": "active"}
    task = str(ask(store, "POST", "/api/v2/tasks", wanted)["id"])
    try:
        yield task
    finally:
        ask(store, "DELETE", f"/api/v2/tasks/{task}")


def ask(store: Store, method: str, path: str, body: object = None) -> Any:
    """One request about tasks."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = store.server.request(method, path, body=content, headers=headers)
    assert 200 <= answer.status < 300, answer.body
    return json.loads(answer.body) if answer.body else None


def run(store: Store, task: str, minute: str) -> None:
    """Run the task as of this minute and wait for its end."""
    begun = ask(store, "POST", f"/api/v2/tasks/{task}/runs", {"scheduledFor": minute})
    deadline_s = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline_s:
        answer = store.server.request("GET", f"/api/v2/tasks/{task}/runs/{begun['id']}")
        state = json.loads(answer.body).get("status") if answer.status == 200 else None
        if state in {"success", "failed", "canceled"}:
            assert state == "success", answer.body
            return
        time.sleep(0.02)
    raise AssertionError("the task did not end")


def stored(store: Store) -> dict[tuple[str, ...], dict[str, str]]:
    """Everything in the rollup: per measurement, field and tags the values by their time."""
    rows = store.server.query(f'from(bucket: "{store.bucket}_1m") |> range(start: 0)')
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        tags = [row[tag] for tag in ("source", "ticker", "host", "sink") if row.get(tag)]
        found.setdefault((row["_measurement"], row["_field"], *tags), {})[row["_time"]] = row[
            "_value"
        ]
    return found


def numbers(found: dict[tuple[str, ...], dict[str, str]], *key: str) -> list[float]:
    """One series in the order of time."""
    return [float(value) for _, value in sorted(found[key].items())]


def test_the_rollup_is_what_arithmetic_gives(make_store: Callable[[str, str], Store]) -> None:
    """Means, largest, last, sums and copies of the known points, at the end of each minute.

    A second run changes nothing, a late point is taken in by the next one.
    """
    store = make_store(data.raw(), "")
    with task_of(store) as task:
        run(store, task, data.rfc3339(data.END))
        found = stored(store)
        run(store, task, data.rfc3339(data.END))
        assert stored(store) == found
        late = f"snapshot,source=late,ticker=BTC lag_ms=1,mid=7 {data.ns(MINUTES[3]) - 1}"
        assert store.server.write(store.bucket, late).status == 204
        run(store, task, data.rfc3339(data.END + timedelta(minutes=1)))
    assert stored(store)["snapshot", "mid", "late", "BTC"] == {data.rfc3339(MINUTES[3]): "7"}
    assert list(found["snapshot", "mid", "bybit", "BTC"]) == list(map(data.rfc3339, MINUTES))
    # Six slots a minute go twice round the wave.
    wave = [float(value) for value in data.WAVE_BPS]
    spread = numbers(found, "snapshot", "spread_bps", "bybit", "BTC")
    assert spread == pytest.approx([fmean(wave)] * 10)
    assert numbers(found, "snapshot", "spread_bps_max", "bybit", "BTC") == [max(wave)] * 10
    assert numbers(found, "snapshot", "quote_age_ms", "variational", "BTC") == [30_000] * 10
    assert numbers(found, "snapshot", "funding_apr", "bybit", "ETH") == [-0.02] * 10
    assert numbers(found, "snapshot", "oi_usd", "variational", "SOL") == [1e8] * 10
    assert ("snapshot", "spread_100k_bps", "bybit", "DOGE") not in found
    assert not any("drift" in key for key in found if key[0] == "snapshot")
    # Rollups that lie on minutes, settlements and events at their own times.
    assert found["funding", "rate", "bybit", "BTC"] == {
        data.rfc3339(data.END - timedelta(minutes=60)): "0.0001",
        data.rfc3339(data.END - timedelta(minutes=30)): "0.0003",
    }
    assert numbers(found, "platform", "tvl_usd", "variational") == [9e7]
    # Three polls a minute, every fourth failed.
    success = numbers(found, "poll", "ok", "variational", data.HOST)
    assert fmean(success) == pytest.approx(0.75, abs=0.05)
    assert sum(numbers(found, "poll", "bad_rows", "bybit", data.HOST)) == 1
    assert numbers(found, "poll", "latency_ms", "bybit", data.HOST) == [250] * 10
    collected = numbers(found, "agent", "collected", data.HOST)
    assert [later - sooner for sooner, later in pairwise(collected)] == [300] * 9
    # Six points a minute: the worst is the last one.
    waiting = numbers(found, "sink", "pending", data.HOST, "cloud")
    assert waiting == [50 * (719 - 6 * back) for back in range(9, -1, -1)]
    assert numbers(found, "sink", "up", data.HOST, "influxdb") == [1] * 10


def test_events_are_copied(make_store: Callable[[str, str], Store]) -> None:
    """Long ranges show events too."""
    store = make_store(data.raw(), "")
    with task_of(store) as task:
        run(store, task, data.rfc3339(data.DRIFT_DIED + timedelta(minutes=1)))
    (event,) = stored(store)["event", "text", "drift", data.HOST].items()
    assert event == (data.rfc3339(data.DRIFT_DIED), "no answer within 5 s")


def test_a_backfill_of_settlements_is_copied_once_a_day(
    make_store: Callable[[str, str], Store],
) -> None:
    """What was settled a year before it was stored is in the rollup after half past midnight."""
    midnight = data.END.replace(hour=0, minute=0)
    old = midnight - timedelta(days=365)
    head = "funding,source=bybit,ticker=OLD rate=0.0001"
    store = make_store(f"{head} {data.ns(old)}\n", "")
    with task_of(store) as task:
        run(store, task, data.rfc3339(midnight + timedelta(minutes=29)))
        assert stored(store) == {}
        run(store, task, data.rfc3339(midnight + timedelta(minutes=30)))
    assert stored(store) == {("funding", "rate", "bybit", "OLD"): {data.rfc3339(old): "0.0001"}}
