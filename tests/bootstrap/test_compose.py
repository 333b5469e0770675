"""deploy/compose.yaml, as far as it can be checked without a container engine.

No engine runs it here. It is read as YAML, its commands by the real command line, its paths against
the repository and the provisioning files; what a container does with it is not tested.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.cli.arguments import parser
from agent.config import known_keys
from tests.influxd.server import IMAGE
from tests.support.node import node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/compose.yaml"
ONE_TAG = re.compile(r"[a-z/]+:[0-9]+\.[0-9]+\.[0-9]+")
JOURNAL = "/var/lib/perpflux"
CONFIG_VARIABLES = {"INFLUXDB_V2_URL", "INFLUXDB_V2_ORG"}


@pytest.fixture
def services() -> dict[str, Any]:
    """The services, with `<<` merged as compose does."""
    document = node("yaml.mjs", str(FILE))[str(FILE)]
    assert set(document) == {"name", "services", "volumes"}
    found: dict[str, Any] = document["services"]
    for service in found.values():
        merged = service.get("environment", {}).pop("<<", {})
        service["environment"] = {**merged, **service.get("environment", {})}
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in document["volumes"] or (FILE.parent / source).is_dir(), volume
    return found


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Path in the container to volume or folder."""
    return {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}


def test_images_are_pinned_and_ports_are_on_loopback(services: dict[str, Any]) -> None:
    """One exact version of each foreign image; InfluxDB's is the one the tests run."""
    images = {name: each["image"] for name, each in services.items()}
    assert images["influxdb"] == IMAGE
    assert images["perpflux"] == images["bootstrap"] == "perpflux"
    for name in ("influxdb", "grafana"):
        assert ONE_TAG.fullmatch(images[name])
    build = services["perpflux"]["build"]
    assert build == services["bootstrap"]["build"]
    image = (FILE.parent / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    assert f'VOLUME ["{JOURNAL}"]' in image
    assert mounts(services["perpflux"])[JOURNAL] == "journal"
    ports = [port for each in services.values() for port in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_commands_are_those_of_the_program(services: dict[str, Any]) -> None:
    """What bootstrap and perpflux are called with is understood by the real command line."""
    options = parser().parse_args(services["bootstrap"]["command"])
    assert (options.command, options.setup, options.token_mode) == ("bootstrap", True, "640")
    assert parser().parse_args(services["perpflux"]["command"]).command == "run"


def test_every_variable_of_the_agent_is_known(services: dict[str, Any]) -> None:
    """An unknown one would end the agent with 78."""
    known = {info.variable for info in known_keys().values()} | CONFIG_VARIABLES
    for name in ("perpflux", "bootstrap"):
        assert set(services[name]["environment"]) <= known


def test_each_service_sees_its_own_token_only(services: dict[str, Any]) -> None:
    """Operator's, agent's and Grafana's tokens lie in volumes of their own."""
    written = parser().parse_args(services["bootstrap"]["command"])
    made = mounts(services["bootstrap"])
    operator, agent, grafana = (
        made[str(path.parent)]
        for path in (written.token_file, written.agent_token_file, written.grafana_token_file)
    )
    assert len({operator, agent, grafana}) == 3
    holders = {
        volume: {name for name, each in services.items() if volume in mounts(each).values()}
        for volume in (operator, agent, grafana)
    }
    assert holders == {
        operator: {"bootstrap"},
        agent: {"bootstrap", "perpflux"},
        grafana: {"bootstrap", "grafana"},
    }
    token_file = services["perpflux"]["environment"]["PERPFLUX_INFLUXDB__TOKEN_FILE"]
    assert token_file == str(written.agent_token_file)
    for name in ("perpflux", "grafana"):
        token_mounts = [volume for volume in services[name]["volumes"] if "-token" in volume]
        assert all(volume.endswith(":ro") for volume in token_mounts)


def test_grafana_finds_data_source_dashboards_and_token(services: dict[str, Any]) -> None:
    """The mounts are where the provisioning files look; their variables are set."""
    files = sorted((ROOT / "deploy/grafana/provisioning").rglob("*.yaml"))
    read = node("yaml.mjs", *map(str, files))
    texts = {Path(name).parent.name: each for name, each in read.items()}
    grafana = services["grafana"]
    made = mounts(grafana)
    (source,) = texts["datasources"]["datasources"]
    token_file = Path(source["secureJsonData"]["token"].removeprefix("$__file{").rstrip("}"))
    assert made[str(token_file.parent)] == "grafana-token"
    written = parser().parse_args(services["bootstrap"]["command"]).grafana_token_file
    assert token_file.name == written.name
    wanted = re.findall(r"\$([A-Z0-9_]+)", f"{source['url']} {source['jsonData']}")
    assert set(wanted) <= set(grafana["environment"])
    (provider,) = texts["dashboards"]["providers"]
    assert made[provider["options"]["path"]] == "../grafana-dashboards"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (ROOT / "grafana-dashboards" / home.name).is_file()


def test_nothing_starts_before_the_tokens_are_there(services: dict[str, Any]) -> None:
    """InfluxDB answers, then bootstrap ends well, then the others start."""
    assert services["bootstrap"]["depends_on"] == {"influxdb": {"condition": "service_healthy"}}
    for name in ("perpflux", "grafana"):
        after = services[name]["depends_on"]
        assert after == {"bootstrap": {"condition": "service_completed_successfully"}}
