"""`perpflux bootstrap` on a real InfluxDB 2.8."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import NS_PER_S, SYSTEM_CLOCK, to_rfc3339
from tests.conftest import skip_loudly
from tests.influxd.server import (
    InfluxError,
    InfluxServer,
    ProcessEngine,
    find_influxd,
    free_port,
)
from tests.support.program import perpflux

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

RUN_WAIT_S = 20
_numbers = itertools.count()


@pytest.fixture
def settings(influxdb: InfluxServer) -> dict[str, str]:
    """An org and a bucket of the test's own, and the operator token."""
    name = f"boot-{os.getpid()}-{next(_numbers)}"
    return {
        "PERPFLUX_INFLUXDB__URL": influxdb.url,
        "PERPFLUX_INFLUXDB__ORG": name,
        "PERPFLUX_INFLUXDB__BUCKET": "perps",
        "INFLUXDB_V2_TOKEN": influxdb.token,
    }


def server_of(influxdb: InfluxServer, settings: dict[str, str]) -> InfluxServer:
    """The same server, asked about the test's org."""
    return InfluxServer.attach(influxdb.url, settings["PERPFLUX_INFLUXDB__ORG"], influxdb.token)


def files_in(folder: Path) -> dict[str, bytes]:
    """What the files of a folder hold, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mode_of(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def token_in(path: Path) -> str:
    """The token of a file."""
    return path.read_text(encoding="ascii").strip()


async def test_two_runs_make_everything_once(
    tmp_path: Path, influxdb: InfluxServer, settings: dict[str, str]
) -> None:
    """The first run says what it makes and makes it; the second changes nothing, nor the files."""
    rehearsed = await perpflux(tmp_path, "bootstrap", "--dry-run", **settings)
    assert rehearsed.code == 0
    assert files_in(tmp_path) == {}
    first = await perpflux(tmp_path, "bootstrap", **settings)
    assert (first.code, first.err) == (0, "")
    done = first.out.split("\n\n")[0].splitlines()
    assert [f"would {line}" for line in done] == rehearsed.out.split("\n\n")[0].splitlines()
    assert len(done) == 6
    files = files_in(tmp_path)
    assert set(files) == {"influx_token", "grafana_token"}
    for name in files:
        assert mode_of(tmp_path / name) == 0o600
        assert token_in(tmp_path / name) not in first.out

    second = await perpflux(tmp_path, "bootstrap", **settings)
    assert second.out.startswith("nothing to change\n")
    assert files_in(tmp_path) == files
    server = server_of(influxdb, settings)
    found = json.loads(
        server.request("GET", "/api/v2/authorizations", params={"org": server.org}).body
    )
    ours = [each for each in found["authorizations"] if each["org"] == server.org]
    assert len(ours) == 2


async def test_each_token_may_do_its_work_and_no_more(
    tmp_path: Path, influxdb: InfluxServer, settings: dict[str, str]
) -> None:
    """The agent's token writes and cannot read; Grafana's reads and cannot write; no admin."""
    await perpflux(tmp_path, "bootstrap", **settings)
    server = server_of(influxdb, settings)
    agent = token_in(tmp_path / "influx_token")
    grafana = token_in(tmp_path / "grafana_token")
    line = f"snapshot,source=x,ticker=A lag_ms=1 {SYSTEM_CLOCK.now_ns()}"
    read = 'from(bucket: "{}") |> range(start: -1h)'

    assert server.write("perps", line, token=agent).status == 204
    assert server.write("perps_1m", line, token=agent).status in {403, 404}
    with pytest.raises(InfluxError, match="could not find bucket"):
        server.query(read.format("perps"), token=agent)

    assert len(server.query(read.format("perps"), token=grafana)) == 1
    assert server.query(read.format("perps_1m"), token=grafana) == []
    assert server.write("perps", line, token=grafana).status == 403
    for token in (agent, grafana):
        made = server.request("POST", "/api/v2/orgs", body=b'{"name": "more"}', token=token)
        assert made.status == 401


async def test_the_rollup_runs_and_fills_its_bucket(
    tmp_path: Path, influxdb: InfluxServer, settings: dict[str, str]
) -> None:
    """InfluxDB takes the task and runs it: a minute's mean and maximum stand at its end."""
    await perpflux(tmp_path, "bootstrap", **settings)
    server = server_of(influxdb, settings)
    minute_ns = 60 * NS_PER_S
    end_ns = SYSTEM_CLOCK.now_ns() // minute_ns * minute_ns - minute_ns
    lines = [
        f"snapshot,source=x,ticker=A spread_bps={bps},funding_apr={bps} {end_ns - before_ns}"
        for bps, before_ns in ((1, 2), (6, 1))
    ]
    token = token_in(tmp_path / "influx_token")
    assert server.write("perps", lines, token=token).status == 204

    params = {"org": server.org, "name": "perpflux rollup 1m"}
    (task,) = json.loads(server.request("GET", "/api/v2/tasks", params=params).body)["tasks"]
    assert (task["every"], task["offset"], task["status"]) == ("1m", "30s", "active")
    assert server.request("POST", f"/api/v2/tasks/{task['id']}/runs", body=b"{}").status == 201
    async with asyncio.timeout(RUN_WAIT_S):
        # Nothing tells when a task has run.
        while not (rows := rolled_up(server, tmp_path)):  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.1)
    assert rows == {
        (to_rfc3339(end_ns), "spread_bps", "3.5"),
        (to_rfc3339(end_ns), "spread_bps_max", "6"),
        (to_rfc3339(end_ns), "funding_apr", "6"),
    }


def rolled_up(server: InfluxServer, folder: Path) -> set[tuple[str, str, str]]:
    """Time, field and value of every point of the rollup; empty until all three are there."""
    rows = server.query(
        'from(bucket: "perps_1m") |> range(start: -1h)', token=token_in(folder / "grafana_token")
    )
    return (
        {(row["_time"], row["_field"], row["_value"]) for row in rows} if len(rows) > 2 else set()
    )


async def test_a_changed_bucket_and_a_lost_file_are_mended(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    """Retention is set when asked for, a lost file is written again, each is said, once."""
    await perpflux(tmp_path, "bootstrap", **settings)
    kept = token_in(tmp_path / "grafana_token")
    (tmp_path / "grafana_token").unlink()
    options = ("--retention", "7d", "--rollup-retention", "0", "--token-mode", "640")
    again = await perpflux(tmp_path, "bootstrap", *options, **settings)
    assert again.out.splitlines()[:3] == [
        "bucket perps: keep points 7 days instead of 30 days",
        "bucket perps_1m: keep points for ever instead of 730 days",
        "write token 'perpflux grafana: read perps, perps_1m' -> grafana_token",
    ]
    assert token_in(tmp_path / "grafana_token") == kept
    assert mode_of(tmp_path / "grafana_token") == 0o640
    third = await perpflux(tmp_path, "bootstrap", *options, "--print-tokens", **settings)
    assert third.out.startswith("nothing to change\n")
    assert f"grafana  {kept}" in third.out


async def test_what_is_wrong_is_said_with_a_hint(tmp_path: Path, settings: dict[str, str]) -> None:
    """No token, a token without rights, a file that is not there, no InfluxDB: one line each."""
    token = settings.pop("INFLUXDB_V2_TOKEN")
    none = await perpflux(tmp_path, "bootstrap", **settings)
    assert (none.code, none.out) == (2, "")
    assert "no operator token (give --token-file or set INFLUXDB_V2_TOKEN" in none.err
    wrong = await perpflux(tmp_path, "bootstrap", INFLUXDB_V2_TOKEN="wrong", **settings)
    assert wrong.code == 1
    assert "401 unauthorized access (is this an operator token" in wrong.err
    absent = await perpflux(tmp_path, "bootstrap", "--token-file", "nowhere", **settings)
    assert "nowhere does not exist" in absent.err
    settings["PERPFLUX_INFLUXDB__URL"] = "http://127.0.0.1:9"
    silent = await perpflux(tmp_path, "bootstrap", INFLUXDB_V2_TOKEN=token, **settings)
    assert silent.code == 1
    assert "http://127.0.0.1:9" in silent.err
    assert token not in silent.err


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[str]:
    """The address of an InfluxDB that nobody has set up."""
    influxd = find_influxd()
    if influxd is None:
        skip_loudly("there is no influxd to start: only a server of our own is new")
        raise AssertionError
    folder = tmp_path / "influxd"
    folder.mkdir()
    port = free_port()
    engine = ProcessEngine(influxd, folder, port, ())
    engine.start()
    server = InfluxServer(url=f"http://127.0.0.1:{port}", engine=engine)
    with server:
        server._wait_until_healthy()
        yield server.url


async def test_a_new_server_is_set_up_with_one_command(tmp_path: Path, new_server: str) -> None:
    """--setup makes user, operator token and all the rest; a second run changes nothing."""
    folder = tmp_path / "secrets"
    options = ("bootstrap", "--setup", "--token-file", str(folder / "operator_token"))
    files = ("--agent-token-file", str(folder / "influx_token"))
    settings = {"INFLUXDB_V2_URL": new_server}
    rehearsed = await perpflux(tmp_path, *options, *files, "--dry-run", **settings)
    assert rehearsed.out.startswith("would set up InfluxDB: user admin")
    assert not folder.exists()
    first = await perpflux(tmp_path, *options, *files, **settings)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("set up InfluxDB: user admin")
    names = {"operator_token", "admin_password", "influx_token", "grafana_token"}
    assert set(files_in(folder)) == names
    again = await perpflux(tmp_path, *options, *files, **settings)
    assert again.out.startswith("nothing to change\n")
    assert set(files_in(folder)) == names
