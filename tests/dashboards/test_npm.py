"""Checks by others' tools: Flux's own checker, Grafana's types, a YAML reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.grafana.dashboards import alerts
from deploy.grafana.dashboards.build import dashboards
from tests.dashboards.conftest import DEFAULTS
from tests.dashboards.grafana import DASHBOARDS, ROOT, View, load
from tests.dashboards.test_build import ROLLUP, TEXTS
from tests.support.node import NPM, node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROVISIONING = ROOT / "deploy/grafana/provisioning"


def test_the_checkers_find_what_is_wrong() -> None:
    """A checker that finds nothing at all would be no check."""
    wrong = {
        "types": 'from(bucket: "a") |> range(start: -1h) |> mean(column: 1)',
        "names": 'from(bucket: "a") |> rnge(start: -1h)',
        "syntax": 'from(bucket: "a" |> range(start: -1h)',
        "right": 'from(bucket: "a") |> range(start: -1h)',
    }
    found = node("flux.mjs", stdin=wrong)
    assert {name for name, problems in found.items() if problems} == {"types", "names", "syntax"}
    broken = load(DASHBOARDS[0])
    panel = next(each for each in broken["panels"] if each["type"] == "timeseries")
    panel["options"]["legend"]["placement"] = "botom"
    assert node("types.mjs", stdin={"broken": broken})


def test_flux_is_checked_by_its_own_checker() -> None:
    """Every query of dashboards, alerts and the task: syntax, types, names and arguments."""
    view = View(
        "2026-01-06T10:00:00Z",
        "2026-01-06T12:00:00Z",
        "perps",
        variables={**DEFAULTS, "rollup": "perps_1m"},
    )
    texts = {title: view.fill(text) for title, text in TEXTS.items()}
    texts["task"] = ROLLUP.read_text(encoding="utf-8")
    assert not [title for title, text in texts.items() if "${" in text]
    found = node("flux.mjs", stdin=texts)
    assert set(found) == set(texts)
    # It advises against the very name that makes a text a task, and against `experimental`, whose
    # unpivot is the same from InfluxDB 2.7 to 2.9.
    advice = re.compile(r"Avoid using `task`|experimental features can change")
    found = {
        name: [each for each in said if not advice.search(each)] for name, said in found.items()
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_dashboards_have_grafanas_types() -> None:
    """Every option of every panel is one that Grafana 9.3 knows, with a value it knows."""
    documents = {path.stem: load(path) for path in DASHBOARDS}
    assert node("types.mjs", stdin=documents) == []


def test_provisioning_is_yaml_and_fits_together() -> None:
    """The files read as what they were built from; data source and folders are one another's."""
    files = sorted(PROVISIONING.rglob("*.yaml")) + sorted(PROVISIONING.rglob("*.example"))
    documents = node("yaml.mjs", *map(str, files))
    read = {str(Path(name).relative_to(PROVISIONING)): each for name, each in documents.items()}
    assert {each["apiVersion"] for each in read.values()} == {1}
    built = dashboards()
    assert read["alerting/perps-rules.yaml"] == alerts.document(alerts.RULES, "perpflux", built)
    carry = alerts.document((alerts.CARRY,), "perpflux carry", built)
    assert read["alerting/perps-carry.yaml.example"] == carry

    (source,) = read["datasources/perps.yaml"]["datasources"]
    assert (source["uid"], source["type"], source["access"]) == (
        alerts.DATASOURCE_UID,
        "influxdb",
        "proxy",
    )
    assert source["jsonData"] == {
        "version": "Flux",
        "organization": "$INFLUXDB_V2_ORG",
        "defaultBucket": "perps",
        "timeInterval": "1s",
        "maxSeries": 2000,
    }
    # Never a token in the file.
    assert source["secureJsonData"] == {"token": "$__file{/etc/perpflux/grafana_token}"}
    (provider,) = read["dashboards/perps.yaml"]["providers"]
    assert provider["folder"] != alerts.FOLDER
    assert provider["folderUid"]
    assert provider["allowUiUpdates"] is False
    contact = read["alerting/perps-contact.yaml.example"]
    names = {point["name"] for point in contact["contactPoints"]}
    assert {policy["receiver"] for policy in contact["policies"]} <= names


def test_the_lock_file_names_no_registry() -> None:
    """Packages are pinned by their hashes, wherever they come from."""
    lock = json.loads((NPM / "package-lock.json").read_text(encoding="utf-8"))
    packages = [each for name, each in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in each and "resolved" not in each for each in packages)
