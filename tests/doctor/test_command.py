"""`perpflux doctor` as a user runs it: against simulated venues and a real InfluxDB."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from tests.influxd.server import InfluxServer
from tests.support.program import perpflux, running

pytestmark = pytest.mark.slow


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, str]]:
    """Settings that point both sources at simulated venues."""
    async with SimulatedVenues.start(market=Market(1, refresh_s=5)) as venues:
        yield {
            "PERPFLUX_VARIATIONAL__API_BASE": venues.url,
            "PERPFLUX_BYBIT__API_BASE": venues.url,
        }


def states(out: str) -> dict[str, str]:
    """State by check of the printed lines; each check has exactly one."""
    pairs = [line.split(maxsplit=2)[:2] for line in out.splitlines()]
    found = {name: state for state, name in pairs}
    assert len(found) == len(pairs)
    return found


@pytest.mark.influxdb
async def test_all_is_well_beside_a_running_agent(
    tmp_path: Path, venues: dict[str, str], influxdb: InfluxServer
) -> None:
    """After bootstrap nothing fails, also while an agent runs on the journal; then things break."""
    operator = {
        "PERPFLUX_INFLUXDB__URL": influxdb.url,
        "PERPFLUX_INFLUXDB__ORG": "doctor",
        "INFLUXDB_V2_TOKEN": influxdb.token,
    }
    assert (await perpflux(tmp_path, "bootstrap", **operator)).code == 0
    settings = {
        **venues,
        "PERPFLUX_INFLUXDB__URL": influxdb.url,
        "PERPFLUX_INFLUXDB__ORG": "doctor",
        "PERPFLUX_INFLUXDB__TOKEN_FILE": "influx_token",
    }
    assert (await perpflux(tmp_path, "once", **settings)).code == 0
    async with running(tmp_path, **settings) as program:
        await program.wait_for('"started"')
        well = await perpflux(tmp_path, "doctor", **settings)
        assert await program.stop() == 0
    assert well.code == 0, well.out
    found = states(well.out)
    assert set(found.values()) <= {"ok", "skip"}, well.out
    for name in ("write", "bucket", "types", "rollup", "dashboards"):
        assert found[f"influxdb.{name}"] == "ok", well.out

    (tmp_path / "influx_token").write_text("wrong\n", encoding="ascii")
    broken = await perpflux(tmp_path, "doctor", "--format", "json", **settings)
    document = json.loads(broken.out)
    assert (broken.code, document["ok"]) == (1, False)
    failed = [each for each in document["checks"] if each["state"] == "fail"]
    assert [each["name"] for each in failed] == ["influxdb.write"]
    assert "401" in failed[0]["text"]
    assert set(failed[0]) == {"name", "state", "text", "advice"}


async def test_nothing_works(tmp_path: Path) -> None:
    """A machine without network, store and journal: every line is there, within the time."""
    (tmp_path / "state").write_text("no folder", encoding="ascii")
    outcome = await perpflux(
        tmp_path,
        "doctor",
        STATE_DIRECTORY=str(tmp_path / "state"),
        PERPFLUX_VARIATIONAL__API_BASE="http://127.0.0.1:9",
        PERPFLUX_BYBIT__API_BASE="http://127.0.0.1:9",
        PERPFLUX_INFLUXDB__URL="http://127.0.0.1:9",
    )
    assert outcome.code == 1
    found = states(outcome.out)
    failed = {name for name, state in found.items() if state == "fail"}
    assert failed == {
        "journal.file",
        "variational.reached",
        "bybit.reached",
        "influxdb.token",
        "influxdb.reached",
    }
    for line in outcome.out.splitlines():
        assert line.startswith("fail") <= (" -> " in line), "a failure says what to do"


async def test_a_bad_configuration_is_the_one_finding(tmp_path: Path) -> None:
    """Exit code 78 as for every command, the problem as a check in both formats."""
    (tmp_path / "perpflux.toml").write_text("tickerz = 1\n", encoding="ascii")
    outcome = await perpflux(tmp_path, "doctor")
    assert outcome.code == 78
    assert states(outcome.out) == {"configuration": "fail"}
    outcome = await perpflux(tmp_path, "doctor", "--format", "json")
    assert [each["state"] for each in json.loads(outcome.out)["checks"]] == ["fail"]
