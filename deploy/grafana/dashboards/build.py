"""Every file that is built, as text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.grafana.dashboards.agent import agent
from deploy.grafana.dashboards.alerts import CARRY, RULES, document
from deploy.grafana.dashboards.funding import funding
from deploy.grafana.dashboards.market import market
from deploy.grafana.dashboards.model import Json, json_text
from deploy.grafana.dashboards.ticker import ticker
from deploy.grafana.dashboards.yaml import yaml_text

ROOT: Final = Path(__file__).parents[3]
ALERTING: Final = "deploy/grafana/provisioning/alerting"
_BUILT: Final = (
    "# Built by `make dashboards` from deploy/grafana/dashboards/alerts.py: change it there.\n"
)
_OPT_IN: Final = '# Copy this file without ".example" beside it, and set the limit you care for.\n'


def dashboards() -> dict[str, Json]:
    """The dashboards by their uid."""
    return {each["uid"]: each for each in (market(), funding(), ticker(), agent())}


def files() -> dict[str, str]:
    """The text of each built file by its path below the root of the project."""
    built = dashboards()
    rules = yaml_text(document(RULES, "perpflux", built))
    carry = yaml_text(document((CARRY,), "perpflux carry", built))
    return {
        **{f"grafana-dashboards/{uid}.json": json_text(each) for uid, each in built.items()},
        f"{ALERTING}/perps-rules.yaml": _BUILT + rules,
        f"{ALERTING}/perps-carry.yaml.example": _BUILT + _OPT_IN + carry,
    }
