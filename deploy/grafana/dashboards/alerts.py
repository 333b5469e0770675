"""The alert rules, in Grafana's provisioning format.

https://grafana.com/docs/grafana/v9.3/alerting/set-up/provision-alerting-resources/file-provisioning/
A dead source's series ends, and an alert on it would end with it: so the rules look at ages over a
day, and no data at all is an alert too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.grafana.dashboards.model import Json, flux

DATASOURCE_UID: Final = "influxdb-perps"
FOLDER: Final = "Perps alerts"
"""Not that of the dashboards: alerting makes its folder first and with an uid of its own, and
Grafana versions differ in what then becomes of a second one of that name."""
_EXPRESSION: Final = "__expr__"
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: alert for each series whose newest value is above (or below) the limit.

    Attributes:
        name: of the rule, its `flux/alerts/NAME.flux`, and (with dashes) its uid.
        title: as shown.
        evaluator: "gt" or "lt".
        limit: that the value is compared with.
        lasting: how long it must hold, such as "1m".
        window_s: what `v.timeRangeStart` is before now.
        no_data: state when the query finds nothing.
        severity: a label to route by.
        summary: one line, with Grafana's templates; `.Value` is the newest value.
        nothing: the same where the query finds nothing.
        todo: what to do.
        panel: dashboard uid and title of the panel that shows it.
    """

    name: str
    title: str
    evaluator: str
    limit: float
    lasting: str
    window_s: int
    no_data: str
    severity: str
    summary: str
    nothing: str
    todo: str
    panel: tuple[str, str]


RULES: Final = (
    Rule(
        "quotes_variational",
        "Variational quotes are old",
        "gt",
        180,
        "1m",
        _DAY_S,
        "Alerting",
        "critical",
        "The newest quote of {{ $labels.source }} is {{ humanizeDuration .Value }} old "
        "(limit 3m 0s).",
        "No quote of Variational in a day.",
        "Look at `perpflux doctor` and at the events. Without this venue in the configuration: "
        "remove this rule.",
        ("perps-agent", "Oldest quote"),
    ),
    Rule(
        "quotes_bybit",
        "Bybit quotes are old",
        "gt",
        15,
        "1m",
        _DAY_S,
        "Alerting",
        "critical",
        "The newest quote of {{ $labels.source }} is {{ humanizeDuration .Value }} old "
        "(limit 15s).",
        "No quote of Bybit in a day.",
        "Look at `perpflux doctor` and at the events. Polling it less than every 10 s: raise the "
        "limit. Without this venue in the configuration: remove this rule.",
        ("perps-agent", "Oldest quote"),
    ),
    Rule(
        "agent_silent",
        "Agent is silent",
        "gt",
        90,
        "0s",
        _DAY_S,
        "Alerting",
        "critical",
        "No sign of life from {{ $labels.host }} for {{ humanizeDuration .Value }}.",
        "No sign of life from any agent in a day.",
        "Is the service running (`systemctl status perpflux`)? Does it reach InfluxDB? What it "
        "collected meanwhile is in its journal and ships by itself.",
        ("perps-agent", "Last heard of"),
    ),
    Rule(
        "points_lost",
        "Points were lost",
        "gt",
        0,
        "0s",
        900,
        "OK",
        "critical",
        "{{ $labels.host }} lost {{ .Value }} points in the last 15 minutes.",
        "No agent said anything in the last 15 minutes.",
        "`perpflux rejected list` shows what InfluxDB refused and why. Evicted points: the journal "
        "reached its bounds before they could be sent.",
        ("perps-agent", "Points lost"),
    ),
    Rule(
        "backlog",
        "Backlog is old",
        "gt",
        300,
        "1m",
        900,
        "OK",
        "warning",
        "The oldest point that waits on {{ $labels.host }} is {{ humanizeDuration .Value }} old.",
        "No agent said anything in the last 15 minutes.",
        "InfluxDB was away, refuses, or is slower than what comes in: see `perpflux backlog`.",
        ("perps-agent", "Oldest point not sent"),
    ),
    Rule(
        "polls_failing",
        "Polls fail",
        "lt",
        0.9,
        "1m",
        600,
        "OK",
        "warning",
        "{{ $labels.source }}: only {{ humanizePercentage .Value }} of the polls of 10 "
        "minutes succeeded.",
        "No poll in 10 minutes.",
        "The events say why; `perpflux doctor` asks the venue.",
        ("perps-agent", "Polls that succeeded"),
    ),
)

CARRY: Final = Rule(
    "carry",
    "Carry is wide",
    "gt",
    0.3,
    "30m",
    600,
    "OK",
    "info",
    "{{ $labels.ticker }}: funding gap between venues is {{ humanizePercentage .Value }} a year.",
    "No funding of both venues in 10 minutes.",
    "The ranking says where to be short and long, and what it costs.",
    ("perps-funding", "Carry ranking"),
)
"""Opt-in: what is wide is a matter of taste."""


def document(rules: tuple[Rule, ...], group: str, dashboards: Mapping[str, Json]) -> Json:
    """A provisioning file with one group of rules."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group,
                "folder": FOLDER,
                "interval": "30s",
                "rules": [_rule(rule, dashboards) for rule in rules],
            }
        ],
    }


def _rule(rule: Rule, dashboards: Mapping[str, Json]) -> Json:
    dashboard_uid, title = rule.panel
    panel_id = next(
        panel["id"] for panel in dashboards[dashboard_uid]["panels"] if panel["title"] == title
    )
    return {
        "uid": f"perpflux-{rule.name.replace('_', '-')}",
        "title": rule.title,
        "condition": "C",
        "dashboardUid": dashboard_uid,
        "panelId": panel_id,
        "for": rule.lasting,
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "labels": {"severity": rule.severity, "service": "perpflux"},
        "annotations": {"summary": _summary(rule), "description": rule.todo},
        "data": [_query(rule), _newest(), _limit(rule)],
    }


def _summary(rule: Rule) -> str:
    """With what is known: a template that formats a missing value is shown as it is written."""
    return "{{ with $values.B }}" + rule.summary + "{{ else }}" + rule.nothing + "{{ end }}"


def _query(rule: Rule) -> Json:
    return {
        "refId": "A",
        "datasourceUid": DATASOURCE_UID,
        "relativeTimeRange": {"from": rule.window_s, "to": 0},
        "model": {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": DATASOURCE_UID},
            "intervalMs": 1000,
            "maxDataPoints": 43_200,
            "query": flux(f"alerts/{rule.name}"),
        },
    }


def _expression(ref_id: str, **model: object) -> Json:
    return {
        "refId": ref_id,
        "datasourceUid": _EXPRESSION,
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {
            "refId": ref_id,
            "datasource": {"type": _EXPRESSION, "uid": _EXPRESSION},
            **model,
        },
    }


def _newest() -> Json:
    return _expression("B", type="reduce", expression="A", reducer="last")


def _limit(rule: Rule) -> Json:
    evaluator = {"type": rule.evaluator, "params": [rule.limit]}
    return _expression("C", type="threshold", expression="B", conditions=[{"evaluator": evaluator}])
