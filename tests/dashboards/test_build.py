"""The built files: equal to what is committed, and in keeping with the rules of the house."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import chain, combinations
from typing import Any

import pytest

from agent import schema
from agent.queries import task_text
from deploy.grafana.dashboards import alerts
from deploy.grafana.dashboards.build import dashboards, files
from deploy.grafana.dashboards.model import FLUX
from deploy.grafana.dashboards.yaml import yaml_text
from tests.dashboards.grafana import ANYTHING, DASHBOARDS, ROOT, Json, load, panels, queries

DOCUMENTS = {path.stem: load(path) for path in DASHBOARDS}
PANELS = [(uid, panel) for uid, document in DOCUMENTS.items() for panel in panels(document)]
PANEL_IDS = [f"{uid}: {panel['title']}" for uid, panel in PANELS]
QUERIES = {query.title: query for query in queries()}
TEXTS = {
    **{title: query.text for title, query in QUERIES.items()},
    **{
        f"alert {rule.name}": FLUX.joinpath("alerts", f"{rule.name}.flux").read_text("utf-8")
        for rule in (*alerts.RULES, alerts.CARRY)
    },
}
ROLLUP = ROOT / "deploy/influxdb/rollup_1m.flux"
PORTABLE = {
    *("timeseries", "stat", "table", "bargauge", "gauge", "barchart"),
    *("state-timeline", "status-history", "heatmap", "text", "row"),
}
UNITS = {
    *("suffix:bps", "suffix:days", "suffix:pts/s", "percentunit", "currencyUSD", "locale"),
    *("suffix: h", "dthms"),
    *("s", "ms", "bytes", "short", "none", "string", "time:YYYY-MM-DD HH:mm:ss"),
}
DATASOURCE = {"type": "influxdb", "uid": "${datasource}"}
DATASOURCES = (ROOT / "deploy/grafana/provisioning/datasources/perps.yaml").read_text("utf-8")


def values_of(document: Any, key: str) -> list[Any]:
    """Every value that stands under this key, at any depth."""
    if isinstance(document, dict):
        own = [document[key]] if key in document else []
        return own + [found for each in document.values() for found in values_of(each, key)]
    if isinstance(document, list):
        return [found for each in document for found in values_of(each, key)]
    return []


def test_what_is_committed_is_what_is_built() -> None:
    """Nobody edits a built file by hand: `make dashboards` gives the same text."""
    for name, text in files().items():
        assert ROOT.joinpath(name).read_text(encoding="utf-8") == text, name
    built = {name for name in files() if name.startswith("grafana-dashboards/")}
    assert built == {str(path.relative_to(ROOT)) for path in DASHBOARDS}


def test_every_query_file_is_used() -> None:
    """No query lies about that nobody runs."""
    texts = {text.strip() for text in TEXTS.values()}
    for path in sorted(FLUX.rglob("*.flux")):
        assert path.read_text(encoding="utf-8").strip() in texts, path.name


def test_identities_are_fixed_and_unique() -> None:
    """A dashboard is found by its uid and never twice; its panels are numbered from 1."""
    assert set(DOCUMENTS) == {"perps-market", "perps-funding", "perps-ticker", "perps-agent"}
    assert len({document["title"] for document in DOCUMENTS.values()}) == len(DOCUMENTS)
    for uid, document in DOCUMENTS.items():
        assert (document["uid"], document["id"], document["schemaVersion"]) == (uid, None, 37)
        ids = [panel["id"] for panel in document["panels"]]
        assert ids == list(range(1, len(ids) + 1))
        titles = [panel["title"] for panel in document["panels"]]
        assert len(set(titles)) == len(titles)
        assert "__inputs" not in document


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_a_dashboard_opens_as_a_trader_wants_it(uid: str) -> None:
    """Six hours, fresh, the reader's own time zone, one crosshair, links that keep what is set.

    Funding opens with a day: venues settle every one to eight hours.
    """
    document = DOCUMENTS[uid]
    hours = 24 if uid == "perps-funding" else 6
    assert document["time"] == {"from": f"now-{hours}h", "to": "now"}
    assert (document["refresh"], document["timezone"], document["graphTooltip"]) == (
        "30s",
        "browser",
        1,
    )
    (link,) = document["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert set(link["tags"]) <= set(document["tags"])
    heading, *rest = document["panels"]
    first = [panel for panel in rest if panel["gridPos"]["y"] == 1]
    assert heading["type"] == "row"
    assert first
    assert all(panel["type"] == "stat" for panel in first), "verdicts come first"


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_panels_stand_inside_the_grid_and_on_no_other(uid: str) -> None:
    """The grid has 24 columns; two panels never share a cell."""
    places = [panel["gridPos"] for panel in DOCUMENTS[uid]["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def properties(panel: Json, name: str) -> list[Any]:
    """The values that a panel's overrides give to one property."""
    pairs = chain.from_iterable(each["properties"] for each in panel["fieldConfig"]["overrides"])
    return [pair["value"] for pair in pairs if pair["id"] == name]


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=PANEL_IDS)
def test_a_panel_says_what_it_shows(panel: Json) -> None:
    """Title, a description that is more than the title, known units, digits, a word for nothing."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] in PORTABLE
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert defaults["noValue"]
    units = [*properties(panel, "unit"), *values_of(defaults, "unit")]
    assert units
    # "bps" would be bits per second.
    assert set(units) <= UNITS
    if panel["type"] != "table":
        assert "decimals" in defaults


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=PANEL_IDS)
def test_a_series_is_named_by_what_it_is(panel: Json) -> None:
    """A legend is made from labels; a table has a heading for each of at most six columns."""
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "table":
        shown = properties(panel, "displayName")
        assert len(shown) <= 6
        assert len(set(shown)) == len(shown)
    elif panel["options"].get("reduceOptions", {}).get("values"):
        assert "displayName" not in defaults
    else:
        assert "${__field.labels." in defaults["displayName"]


@pytest.mark.parametrize(
    "panel",
    [panel for _, panel in PANELS if panel["type"] == "timeseries"],
    ids=[
        name
        for name, (_, panel) in zip(PANEL_IDS, PANELS, strict=True)
        if panel["type"] == "timeseries"
    ],
)
def test_an_outage_shows_in_every_chart(panel: Json) -> None:
    """Lines join gaps of up to five minutes and are never smoothed; all of the legend is there.

    Only a null breaks a line in Grafana (frames are joined by time, and what is missing in one is
    bridged): so lines write empty windows. A step after its point would go on to the right edge
    where a source died; and the time of a window is its end.
    """
    custom = panel["fieldConfig"]["defaults"]["custom"]
    assert custom["lineInterpolation"] in {"linear", "stepBefore"}
    assert panel["options"]["legend"]["calcs"] == ["lastNotNull", "min", "max"]
    assert panel["options"]["tooltip"]["mode"] == "multi"
    if custom["drawStyle"] == "bars":
        return
    assert custom["spanNulls"] == 300_000
    for target in panel["targets"]:
        if '== "funding"' not in target["query"]:
            assert "createEmpty: true" in target["query"]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_the_data_source_is_a_variable_everywhere(uid: str) -> None:
    """So provisioning and import both work: no uid of one Grafana stands in a dashboard."""
    document = DOCUMENTS[uid]
    named = values_of(document, "datasource")
    expected = sum(1 + len(panel["targets"]) for panel in panels(document))
    expected += sum(each["type"] == "query" for each in document["templating"]["list"])
    expected += len(document["annotations"]["list"])
    assert len(named) == expected
    assert all(each == DATASOURCE for each in named)
    first = document["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "influxdb",
    )


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_variables_are_declared_and_used(uid: str) -> None:
    """Every `${name}` is a variable of the dashboard, and every variable is asked for."""
    document = DOCUMENTS[uid]
    declared = {each["name"]: each for each in document["templating"]["list"]}
    assert len(declared) == len(document["templating"]["list"])
    assert "r" not in declared
    text = json.dumps(document)
    used = set(re.findall(r"\$\{(\w+)[:}]", text)) - {"__url_time_range"}
    assert used == set(declared)
    for name, variable in declared.items():
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert variable["sort"] == 0, "the order is that of the query"
        if variable.get("multi"):
            assert variable["allValue"] == ANYTHING
            uses = re.findall(rf"\S*\$\{{{name}[:}}]\S*", "\n".join(TEXTS.values()))
            assert uses
            assert all(f"/^${{{name}:regex}}$/" in use for use in uses)


@pytest.mark.parametrize("title", TEXTS)
def test_a_query_can_be_run_in_storage(title: str) -> None:
    """Range right behind from, a measurement, `createEmpty` said, nothing that is not pushed down.

    That it is indeed pushed down is seen on the real server.
    """
    text = TEXTS[title]
    if text.startswith("//") and "buckets()" in text:
        return
    assert len(re.findall(r"from\(bucket: [^)]+\)\s+\|> range\(", text)) == text.count("from(")
    assert re.search(r"r\._measurement == (\"\w+\"|measurement)", text)
    assert "contains(" not in text
    windows = re.findall(r"aggregateWindow\((.*)\)", text)
    assert all(re.search(r"createEmpty: (true|false)", window) for window in windows)
    assert not re.search(r"[a-zA-Z]+\.(bucket|organization)\b", text), "Grafana replaces these"


@pytest.mark.parametrize("title", TEXTS)
def test_a_query_names_fields_of_the_schema(title: str) -> None:
    """What is asked for is stored: measurement, tags and fields are in `agent.schema`."""
    text = TEXTS[title]
    asked = set(re.findall(r'(?:_measurement ==|measurement:) "(\w+)"', text))
    assert asked <= set(schema.MEASUREMENTS)
    stored = {name for each in asked for name in schema.MEASUREMENTS[each].field_names}
    names = set(re.findall(r'_field == "(\w+)"', text))
    if "field = if" in text:
        names |= set(re.findall(r'(?:then|else) "(\w+)"', text.partition("field = if")[2]))
    assert names <= stored | {"spread_bps_max"}
    tags = {tag for each in asked for tag in schema.MEASUREMENTS[each].tags}
    assert set(re.findall(r"r\.(\w+) [=!]~", text)) <= tags | {"_field"}


def test_sizes_to_choose_from_are_fields() -> None:
    """The size variable's values are spreads of the schema."""
    for variable in chain.from_iterable(each["templating"]["list"] for each in DOCUMENTS.values()):
        if variable["name"] == "size":
            chosen = {option["value"] for option in variable["options"]}
            assert chosen <= set(schema.SNAPSHOT.field_names)
            assert len(chosen) == 3


def test_the_task_that_the_package_brings_is_the_rollup() -> None:
    """`perpflux bootstrap` makes the very task that stands in deploy/."""
    assert task_text("rollup_1m") == ROLLUP.read_text(encoding="utf-8")


def test_the_rollup_names_fields_and_measurements_of_the_schema() -> None:
    """Its patterns meet the fields they are meant for, and each measurement is rolled up."""
    text = ROLLUP.read_text(encoding="utf-8")
    assert set(re.findall(r'measurement(?: ==|:) "(\w+)"', text)) == set(schema.MEASUREMENTS)
    patterns = dict(re.findall(r"^(\w+) = /(.*)/$", text, re.MULTILINE))
    fields = {
        name: {field for field in schema.SNAPSHOT.field_names if re.search(pattern, field)}
        for name, pattern in patterns.items()
    }
    bps = {field.name for field in schema.SNAPSHOT.fields if field.unit == "bps"}
    prices = {field.name for field in schema.SNAPSHOT.fields if field.unit == "quote currency"}
    assert fields["averaged"] == bps | prices
    assert fields["ages"] == {"lag_ms", "quote_age_ms"}
    for measurement in (schema.AGENT, schema.SINK):
        worst = {each for each in measurement.field_names if re.search(patterns["worst"], each)}
        assert worst == {"pending", "pending_bytes", "oldest_pending_s", "write_ms"}
    polls = set(re.findall(r'_field == "(\w+)"', text.partition("polls =")[2]))
    assert polls == set(schema.POLL.field_names)


@pytest.mark.parametrize("rule", [*alerts.RULES, alerts.CARRY], ids=lambda rule: rule.name)
def test_an_alert_leads_to_a_panel(rule: alerts.Rule) -> None:
    """Each rule names a panel that exists, our data source, and states that any Grafana knows."""
    (group,) = alerts.document((rule,), "group", dashboards())["groups"]
    (built,) = group["rules"]
    uid, title = rule.panel
    (found,) = [each for each in DOCUMENTS[uid]["panels"] if each["id"] == built["panelId"]]
    assert found["title"] == title
    assert built["noDataState"] in {"NoData", "Alerting", "OK"}
    assert built["execErrState"] in {"Error", "Alerting", "OK"}
    sources = {each["datasourceUid"] for each in built["data"]}
    assert sources == {alerts.DATASOURCE_UID, "__expr__"}
    assert f"uid: {alerts.DATASOURCE_UID}" in DATASOURCES
    # Labels are filled in like the file's other values, the texts of annotations are not.
    assert not any("$" in label for label in built["labels"].values())
    assert "${" not in TEXTS[f"alert {rule.name}"]


@pytest.mark.parametrize("rule", [*alerts.RULES, alerts.CARRY], ids=lambda rule: rule.name)
def test_an_alert_says_its_value_or_that_there_is_none(rule: alerts.Rule) -> None:
    """Grafana 9.3 shows a template that formats a missing value as it is written."""
    (built,) = alerts.document((rule,), "test", DOCUMENTS)["groups"][0]["rules"]
    summary = built["annotations"]["summary"]
    known, separator, unknown = summary.partition("{{ else }}")
    assert known.startswith("{{ with $values.B }}")
    assert ".Value }}" in known
    assert separator
    assert re.fullmatch(r"[^{}]{10,}\{\{ end \}\}", unknown)


def test_alert_rules_have_names_of_their_own() -> None:
    """Two rules with one uid would replace one another."""
    names = Counter(rule.name for rule in (*alerts.RULES, alerts.CARRY))
    assert set(names.values()) == {1}


def test_no_notification_policy_is_provisioned_by_itself() -> None:
    """`policies:` replaces the whole tree of an organisation: it comes as an example only."""
    folder = ROOT / "deploy/grafana/provisioning/alerting"
    loaded = [path for path in folder.iterdir() if path.suffix in {".yaml", ".yml", ".json"}]
    assert [path.name for path in loaded] == ["perps-rules.yaml"]
    assert "policies:" not in loaded[0].read_text(encoding="utf-8")


def test_yaml_is_written_as_it_is_read() -> None:
    """Nesting by two spaces, texts in quotes, several lines as a block without a last newline."""
    document = {"a": [{"b": 1, "c": "x\n\ny"}, {"d": ["$", True]}], "e": "no: 'yes'"}
    assert yaml_text(document) == (
        "a:\n"
        "  - b: 1\n"
        "    c: |-\n"
        "      x\n"
        "\n"
        "      y\n"
        "  - d:\n"
        '      - "$"\n'
        "      - true\n"
        "e: \"no: 'yes'\"\n"
    )
