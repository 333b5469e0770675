"""Preflight and read-back against the real server: what is asked is what it means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent import schema
from agent.clock import NS_PER_S, SYSTEM_CLOCK, slot_at
from agent.errors import InfluxDBError
from agent.influx_api import InfluxApi
from agent.journal import Entry
from agent.journal.store import Store
from agent.preflight import conflicts
from agent.readback import WINDOW_S, Gap, read_back
from tests.influxd.server import InfluxServer

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

SINK = "influxdb"
WINDOW_NS = WINDOW_S * NS_PER_S
NOW_NS = SYSTEM_CLOCK.now_ns()
START_NS = slot_at(NOW_NS, 3600) - 2 * 3600 * NS_PER_S
"""Two whole hours ago."""


@pytest.fixture
async def api(influxdb: InfluxServer) -> AsyncIterator[InfluxApi]:
    """With a token that may read."""
    async with InfluxApi(influxdb.url, SecretStr(influxdb.token)) as api:
        yield api


@pytest.fixture
def bucket(new_bucket: Callable[..., str]) -> str:
    """A bucket of the test's own."""
    return new_bucket()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A journal."""
    store = Store(tmp_path / "journal.db", bytes_max=2**30, age_max_s=604_800, clock=SYSTEM_CLOCK)
    yield store
    store.close()


def write(influxdb: InfluxServer, bucket: str, lines: list[str]) -> None:
    """Into the bucket, behind the agent's back."""
    assert influxdb.write(bucket, "\n".join(lines)).status == 204


def line_of_everything(measurement: schema.Measurement) -> str:
    """A point with every tag and field, of the declared types."""
    tags = ",".join(f"{tag}=t" for tag in measurement.tags)
    fields = ",".join(
        f'{field.name}="x"' if field.unit == "text" else f"{field.name}=1"
        for field in measurement.fields
    )
    return f"{measurement.name},{tags} {fields} {NOW_NS}"


async def test_what_is_declared_is_no_conflict(
    influxdb: InfluxServer, api: InfluxApi, bucket: str
) -> None:
    """An empty bucket, and one with every field of the schema and some of others, are fine."""
    assert await conflicts(api, influxdb.org, bucket) == []
    lines = [line_of_everything(measurement) for measurement in schema.MEASUREMENTS.values()]
    write(influxdb, bucket, [*lines, f"snapshot,source=s theirs=1i {NOW_NS}", f"cpu x=1i {NOW_NS}"])
    assert await conflicts(api, influxdb.org, bucket) == []


@pytest.mark.parametrize(
    ("value", "existing"),
    [("1i", "integer"), ("1u", "unsigned"), ('"1"', "string"), ("t", "boolean")],
)
async def test_another_type_is_a_conflict(
    influxdb: InfluxServer, api: InfluxApi, bucket: str, value: str, existing: str
) -> None:
    """Every type but the declared one, named as the server names it when it refuses a point."""
    lines = [
        f"snapshot,source=bybit,ticker=A mid={value},lag_ms=1 {NOW_NS}",
        f"event,host=h,kind=k,source=s text={'t' if existing == 'string' else value} {NOW_NS}",
    ]
    write(influxdb, bucket, lines)
    found = {str(conflict) for conflict in await conflicts(api, influxdb.org, bucket)}
    text_type = "boolean" if existing == "string" else existing
    assert found == {
        f"snapshot.mid is {existing} in the bucket, float here",
        f"event.text is {text_type} in the bucket, string here",
    }
    answer = influxdb.write(bucket, f"snapshot,source=bybit,ticker=A mid=1.5 {NOW_NS}")
    assert f"already exists as type {existing}" in answer.body


async def test_a_token_that_may_not_read_is_told_apart(influxdb: InfluxServer, bucket: str) -> None:
    """An error that says what to do; nothing is guessed."""
    async with InfluxApi(influxdb.url, SecretStr(influxdb.write_token(bucket))) as api:
        with pytest.raises(InfluxDBError, match="could not find bucket"):
            await conflicts(api, influxdb.org, bucket)


def poll(second: int, tickers: int, source: str, *, platform: bool) -> list[str]:
    """Lines of one poll."""
    slot_ns = START_NS + second * NS_PER_S
    lines = [
        f"snapshot,source={source},ticker=T{n} lag_ms=1,mid=2.5 {slot_ns}" for n in range(tickers)
    ]
    if platform:
        fields = "tvl_usd=5" if second % 2 else "tvl_usd=5,oi_usd=1"
        lines.append(f"platform,source={source} {fields} {slot_ns}")
    return lines


def collect(store: Store) -> list[str]:
    """Two hours of both venues, a poll a minute, acknowledged; also two settled fundings."""
    sent: list[str] = []
    for second in range(0, 7200, 60):
        for source, tickers in (("bybit", 5), ("variational", 3)):
            lines = poll(second, tickers, source, platform=source == "variational")
            slot_ns = START_NS + second * NS_PER_S
            data = "".join(f"{line}\n" for line in lines).encode()
            store.append([Entry(source, slot_ns, data, len(lines))])
            sent += lines
    fundings = [f"funding,source=bybit,ticker=T{n} rate=0.1 {START_NS}" for n in range(2)]
    store.append([Entry("bybit", START_NS, "".join(f"{f}\n" for f in fundings).encode(), 2)])
    batch = store.next_batch(SINK, "oldest", 10**6, 2**30)
    store.settle(SINK, batch, [])
    return [*sent, *fundings]


async def compare(
    influxdb: InfluxServer, api: InfluxApi, bucket: str, path: Path, until_s: int = 7200
) -> tuple[int, list[Gap]]:
    """Read back from the first second on."""
    found = await read_back(
        api,
        influxdb.org,
        bucket,
        journal=path,
        sink=SINK,
        since_ns=START_NS,
        until_ns=START_NS + until_s * NS_PER_S,
    )
    assert (found.since_ns, found.missing) == (
        START_NS,
        sum(gap.expected - gap.found for gap in found.gaps),
    )
    return found.points, list(found.gaps)


async def test_what_is_there_is_found(
    influxdb: InfluxServer, api: InfluxApi, bucket: str, store: Store
) -> None:
    """Every source and measurement, over an hour's end; what others wrote does not matter."""
    lines = collect(store)
    others = [f"snapshot,source=bybit,ticker=Z lag_ms=1 {START_NS + n}" for n in range(50)]
    write(influxdb, bucket, [*lines, *others])
    points, gaps = await compare(influxdb, api, bucket, store._path)
    assert (points, gaps) == (120 * (5 + 3 + 1) + 2, [])


async def test_what_is_missing_is_named(
    influxdb: InfluxServer, api: InfluxApi, bucket: str, store: Store
) -> None:
    """To five minutes, source and measurement, with both counts; also where nothing is there."""
    lines = collect(store)
    gone = {lines.index(line) for line in poll(3660, 5, "bybit", platform=False)[:2]}
    gone |= {
        index
        for index, line in enumerate(lines)
        if line.startswith("platform") and int(line.split()[-1]) < START_NS + WINDOW_NS
    }
    gone.add(len(lines) - 1)
    write(influxdb, bucket, [line for n, line in enumerate(lines) if n not in gone])
    _, gaps = await compare(influxdb, api, bucket, store._path)
    late_ns = START_NS + 3600 * NS_PER_S
    assert gaps == [
        Gap("funding", "bybit", START_NS, START_NS + WINDOW_NS, 2, 1, unsure=False),
        Gap("platform", "variational", START_NS, START_NS + WINDOW_NS, 5, 0, unsure=False),
        Gap("snapshot", "bybit", late_ns, late_ns + WINDOW_NS, 25, 23, unsure=False),
    ]


async def test_only_closed_windows_are_compared(
    influxdb: InfluxServer, api: InfluxApi, bucket: str, store: Store
) -> None:
    """A window that is not over, or began before the range, is left out."""
    collect(store)
    points, gaps = await compare(influxdb, api, bucket, store._path, until_s=WINDOW_S + 299)
    assert points == 5 * 9 + 2
    assert {gap.since_ns for gap in gaps} == {START_NS}
    assert await compare(influxdb, api, bucket, store._path, until_s=10) == (0, [])
