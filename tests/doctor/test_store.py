"""What the doctor says of a store, against a fake InfluxDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.bootstrap import rollup_task
from agent.clock import NS_PER_S
from agent.config import StoreSink, TokenSource
from agent.doctor import Check, Finding, State, examine
from agent.doctor.finding import ok
from agent.doctor.store import Store
from tests.doctor.fake_server import OPERATOR, READ, FakeServer
from tests.shipping.fake_influxdb import FakeInfluxDB
from tests.support.clock import START_NS, FakeClock

NAMES = ["token", "reached", "write", "bucket", "types", "rollup", "readback", "dashboards"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the agent's token and Grafana's are, readable by their owner alone."""
    for name, token in (("influx_token", "secret"), ("grafana_token", READ)):
        (tmp_path / name).write_text(f"{token}\n", encoding="ascii")
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def server() -> FakeServer:
    """A server in which all is well."""
    return FakeServer(
        newest_ns={"perps": START_NS - NS_PER_S, "perps_1m": START_NS - 60 * NS_PER_S}
    )


async def findings(
    folder: Path, server: FakeServer | str, *wanted: str, token_file: Path | None = None
) -> dict[str, Finding]:
    """What the wanted checks (none named: all) find of the server, or of an address.

    By the last part of the check's name. Each look at a server takes its time, hence the choice.
    """
    if isinstance(server, FakeServer):
        async with server.serve() as url:
            return await findings(folder, url, *wanted, token_file=token_file)
    store = StoreSink(url=server, token_file=folder / "influx_token")
    checks = Store(
        name="influxdb",
        sink="influxdb",
        store=store,
        token=TokenSource(store.token_file, {}),
        journal=folder / "perpflux.db",
        bytes_max=2**30,
        age_max_s=604_800,
        token_file=token_file,
        clock=FakeClock(START_NS),
    ).checks()
    needed = {f"influxdb.{name}" for name in wanted or NAMES}
    for check in reversed(checks):
        if check.name in needed:
            needed.update(check.after)

    async def whole() -> Finding:
        return ok("whole")

    chosen = [Check("journal.file", whole), *(check for check in checks if check.name in needed)]
    results = [result async for result in examine(chosen)][1:]
    return {result.name.partition(".")[2]: result.finding for result in results}


def task(**changed: Any) -> dict[str, Any]:
    """The rollup task as it should be, less what is changed."""
    name, flux = rollup_task("perps", "perps_1m")
    return {"id": "1", "name": name, "flux": flux, "status": "active", **changed}


async def test_a_store_that_is_well(folder: Path, server: FakeServer) -> None:
    """Every line is ok but the read-back, for which there is nothing yet."""
    found = await findings(folder, server)
    assert list(found) == NAMES
    assert found["token"].text == f"from token_file {folder / 'influx_token'}"
    assert found["reached"].text.endswith(" is InfluxDB 2.8.0, ready")
    assert found["write"].text == "points may be written to bucket perps of org perps"
    assert found["bucket"].text == "perps keeps points for ever, the journal 7 d"
    assert found["rollup"].text.startswith("perps_1m is 59 s behind perps (")
    assert found["readback"].text == "the journal has not shipped to it yet"
    assert found["dashboards"].text.endswith("the newest snapshot is 1 s old")
    assert [each.state for each in found.values()].count(State.OK) == len(NAMES) - 1
    assert server.writes.bucket.points == {}


async def test_a_server_that_is_not_there_fails_once(folder: Path) -> None:
    """The token is looked at all the same; the rest is skipped."""
    found = await findings(folder, "http://127.0.0.1:9")
    states = [each.state for each in found.values()]
    assert states == [State.OK, State.FAIL, *[State.SKIP] * 6]
    assert "does InfluxDB run there" in found["reached"].advice


@pytest.mark.parametrize("health", [None, "OK"])
async def test_a_store_that_is_no_influxdb(
    folder: Path, server: FakeServer, health: str | None
) -> None:
    """Others speak the write API too: whether points are taken is looked at, the rest is not."""
    server.version, server.page = None, health
    found = await findings(folder, server, "write", "bucket", "dashboards")
    assert found["reached"].state is State.WARN
    assert found["write"].state is State.OK
    assert [found[name].state for name in ("bucket", "dashboards")] == [State.SKIP] * 2


async def test_no_token_and_a_token_for_all_eyes(folder: Path, server: FakeServer) -> None:
    """Where it is looked for is said; what does not need it is still looked at."""
    (folder / "influx_token").chmod(0o644)
    found = await findings(folder, server, "write")
    assert found["token"].state is State.WARN
    assert found["token"].advice == f"`chmod 600 {folder / 'influx_token'}`"
    (folder / "influx_token").unlink()
    found = await findings(folder, server, "write")
    assert found["token"].state is State.FAIL
    assert "no token found" in found["token"].text
    assert found["write"].state is State.SKIP
    assert found["reached"].state is State.OK


@pytest.mark.parametrize(
    ("writes", "words"),
    [
        (FakeInfluxDB(tokens={}), "401 unauthorized access"),
        (FakeInfluxDB(tokens={"secret": "read"}), "403 insufficient permissions"),
        (FakeInfluxDB(buckets={}), '404 bucket "perps" not found'),
        (FakeInfluxDB(org="another"), '404 organization name "perps" not found'),
    ],
)
async def test_a_write_that_is_not_welcome(
    folder: Path, server: FakeServer, writes: FakeInfluxDB, words: str
) -> None:
    """The empty body meets what points would meet; the line has the reason and what to do."""
    server.writes = writes
    found = await findings(folder, server, "write")
    assert found["write"].state is State.FAIL
    assert words in found["write"].text
    assert found["write"].advice
    assert "secret" not in "".join(each.text for each in found.values())


async def test_a_bucket_that_keeps_less_than_the_journal(folder: Path, server: FakeServer) -> None:
    """After a long outage its retention would refuse what the journal still has."""
    server.retention_s = 86_400
    found = await findings(folder, server, "bucket")
    assert found["bucket"].state is State.WARN
    assert found["bucket"].text.startswith("perps keeps points 1 d, the journal 7 d:")


async def test_without_a_token_that_may_read(folder: Path, server: FakeServer) -> None:
    """A token for writing sees no bucket: skipped, with what to give; --token-file helps."""
    (folder / "grafana_token").unlink()
    found = await findings(folder, server)
    assert [found[name].state for name in NAMES[2:]] == [State.OK, *[State.SKIP] * 5]
    assert "--token-file" in found["bucket"].advice
    assert "--token-file" in found["dashboards"].advice
    other = folder / "reader"
    other.write_text(READ, encoding="ascii")
    found = await findings(folder, server, token_file=other)
    assert found["bucket"].state is State.OK
    assert found["dashboards"].state is State.OK


async def test_a_field_of_another_type(folder: Path, server: FakeServer) -> None:
    """What InfluxDB would refuse point by point is one line beforehand."""
    server.types = "long"
    found = (await findings(folder, server, "types"))["types"]
    assert found.state is State.FAIL
    assert found.text == "snapshot.mid is integer in the bucket, float here"


@pytest.mark.parametrize(
    ("document", "state", "words"),
    [
        (task(), State.OK, "perps_1m is 59 s behind perps"),
        (None, State.WARN, "there is no task"),
        (task(status="inactive"), State.WARN, "is switched off"),
        (task(flux="// other"), State.WARN, "has another text"),
        (task(lastRunStatus="failed", lastRunError="no memory"), State.FAIL, "failed: no memory"),
    ],
)
async def test_the_rollup_task_as_an_operator_sees_it(
    folder: Path, server: FakeServer, document: dict[str, Any] | None, state: State, words: str
) -> None:
    """Present, switched on, of this version, and its last run went well."""
    server.task = document
    operator = folder / "operator"
    operator.write_text(OPERATOR, encoding="ascii")
    found = (await findings(folder, server, "rollup", token_file=operator))["rollup"]
    assert (found.state, words in found.text) == (state, True), found


async def test_a_rollup_that_stands_still(folder: Path, server: FakeServer) -> None:
    """Without sight of the task its points tell: none, too old, or no bucket at all."""
    server.newest_ns["perps_1m"] = START_NS - 400 * NS_PER_S
    found = (await findings(folder, server, "rollup"))["rollup"]
    assert (found.state, "399 s or more behind" in found.text) == (State.WARN, True)
    server.newest_ns["perps_1m"] = None
    server.oldest_ns = START_NS - 3000 * NS_PER_S
    assert (await findings(folder, server, "rollup"))["rollup"].state is State.WARN
    server.oldest_ns = START_NS - 30 * NS_PER_S  # there was no whole minute yet
    assert (await findings(folder, server, "rollup"))["rollup"].state is State.OK
    server.buckets = ("perps",)
    assert "no bucket perps_1m" in (await findings(folder, server, "rollup"))["rollup"].text


async def test_dashboards_without_points_or_without_right(folder: Path, server: FakeServer) -> None:
    """Grafana's token is tried with a query as the dashboards ask it."""
    server.newest_ns = {}
    assert (await findings(folder, server, "dashboards"))["dashboards"].state is State.WARN
    (folder / "grafana_token").write_text("wrong", encoding="ascii")
    found = (await findings(folder, server, "dashboards"))["dashboards"]
    assert found.state is State.FAIL
    assert "unauthorized" in found.text
