"""A dashboard: rows of panels placed on Grafana's grid, numbered, with its variables.

Model: https://grafana.com/docs/grafana/v9.3/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

SCHEMA_VERSION: Final = 37
GRID_COLUMNS: Final = 24
TAG: Final = "perpflux"
DATASOURCE: Final = {"type": "influxdb", "uid": "${datasource}"}
FLUX: Final = Path(__file__).with_name("flux")


@dataclass(frozen=True, slots=True)
class Section:
    """A headed row of panels of one height (grid units of 38 px).

    `per_line` panels stand beside one another, equally wide; what is left fills a line below.
    """

    title: str
    height: int
    per_line: int
    panels: Sequence[Json]


def flux(name: str) -> str:
    """The text of `flux/NAME.flux`, without the newline at its end."""
    return FLUX.joinpath(f"{name}.flux").read_text(encoding="utf-8").rstrip("\n")


def target(name: str, ref_id: str = "A") -> Json:
    """A query of a panel."""
    return {"datasource": DATASOURCE, "query": flux(name), "refId": ref_id}


def annotation(name: str, title: str, *, shown: bool) -> Json:
    """Events over the charts; switched on from the start if `shown`."""
    return {
        "builtIn": 0,
        "datasource": DATASOURCE,
        "enable": shown,
        "hide": False,
        "iconColor": "purple",
        "name": title,
        "showIn": 0,
        "target": {"query": flux(name), "refId": "Anno"},
        "type": "tags",
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[Json],
    sections: Iterable[Section],
    annotations: Sequence[Json],
    opens_with: str = "6h",
) -> Json:
    """The whole dashboard; it shows the time up to now that it `opens_with`."""
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [_others()],
        "liveNow": False,
        "panels": _placed(sections),
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "style": "dark",
        "tags": [TAG],
        "templating": {"list": list(variables)},
        "time": {"from": f"now-{opens_with}", "to": "now"},
        "timepicker": {
            "collapse": False,
            "enable": True,
            "hidden": False,
            "refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m"],
            "time_options": ["15m", "1h", "6h", "24h", "3d", "7d", "30d"],
        },
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "version": 1,
        "weekStart": "",
    }


def _others() -> Json:
    """Links to the other dashboards; they keep time and variables."""
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "perpflux",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def _placed(sections: Iterable[Section]) -> list[Json]:
    """Every panel with its place and number, in reading order."""
    panels: list[Json] = []
    top = 0
    for section in sections:
        place = {"h": 1, "w": GRID_COLUMNS, "x": 0, "y": top}
        panels.append(_row(section.title, place))
        top += 1
        for begin in range(0, len(section.panels), section.per_line):
            line = section.panels[begin : begin + section.per_line]
            width = GRID_COLUMNS // len(line)
            for column, panel in enumerate(line):
                place = {"h": section.height, "w": width, "x": column * width, "y": top}
                panels.append(panel | {"gridPos": place})
            top += section.height
    return [panel | {"id": number} for number, panel in enumerate(panels, start=1)]


def _row(title: str, place: Json) -> Json:
    return {"collapsed": False, "gridPos": place, "panels": [], "title": title, "type": "row"}


def json_text(document: Json) -> str:
    """The document as committed: sorted keys, two spaces, a newline at the end."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
