"""The variables above a dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.grafana.dashboards.model import DATASOURCE, Json, flux

_SHOWN: Final = 0
_HIDDEN: Final = 2
_ON_TIME_RANGE: Final = 2
_UNSORTED: Final = 0

ALL: Final = ("All", "$__all")
ANYTHING: Final = ".+"
"""What "All" stands for in a regular expression."""

Choice = tuple[str, str]
"""Text shown and value."""


def _current(choices: Sequence[Choice], *, multi: bool) -> Json:
    texts, values = [text for text, _ in choices], [value for _, value in choices]
    if multi:
        return {"selected": True, "text": texts, "value": values}
    return {"selected": True, "text": texts[0], "value": values[0]}


def data_source() -> Json:
    """Which InfluxDB; the first one unless another is chosen."""
    return {
        "current": {},
        "description": "An InfluxDB data source of type Flux with a default bucket.",
        "hide": _SHOWN,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "influxdb",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def _query(
    name: str,
    label: str,
    query: str,
    description: str,
    current: Sequence[Choice],
    *,
    multi: bool = False,
    hide: int = _SHOWN,
) -> Json:
    text = flux(f"variables/{query}")
    return {
        "allValue": ANYTHING if multi else None,
        "current": _current(current, multi=multi) if current else {},
        "datasource": DATASOURCE,
        "definition": text,
        "description": description,
        "hide": hide,
        "includeAll": multi,
        "label": label,
        "multi": multi,
        "name": name,
        "options": [],
        "query": text,
        "refresh": _ON_TIME_RANGE,
        "regex": "",
        "skipUrlSync": False,
        "sort": _UNSORTED,
        "type": "query",
    }


def rollup() -> Json:
    """The bucket for long ranges: found, not asked for."""
    text = "The bucket that ranges over three days read: <default bucket>_1m if there is one."
    return _query("rollup", "Rollup", "rollup", text, [], hide=_HIDDEN)


def sources() -> Json:
    """Any number of sources."""
    text = "Venues, the one with the most open interest first."
    return _query("source", "Source", "source", text, [ALL], multi=True)


def tickers() -> Json:
    """Any number of tickers; two large ones at first."""
    text = "Tickers, the one with the most open interest first."
    chosen = [("BTC", "BTC"), ("ETH", "ETH")]
    return _query("ticker", "Ticker", "ticker", text, chosen, multi=True)


def asset() -> Json:
    """One ticker. Another name than that of many, so that a link never brings two."""
    text = "One ticker; the one with the most open interest comes first."
    return _query("asset", "Ticker", "ticker", text, [("BTC", "BTC")])


def reference() -> Json:
    """The source that others are compared with."""
    text = "Price and funding gaps are measured from this venue."
    return _query("reference", "Compared with", "source", text, [("bybit", "bybit")])


def hosts() -> Json:
    """Any number of agents."""
    return _query("host", "Host", "host", "Machines an agent runs on.", [ALL], multi=True)


def size(chosen: str = "1k") -> Json:
    """The notional whose spread is shown, `chosen` at first; the value is the field."""
    choices = [
        ("1k", "spread_bps"),
        ("100k", "spread_100k_bps"),
        ("1m", "spread_1m_bps"),
    ]
    return {
        "current": _current([each for each in choices if each[0] == chosen], multi=False),
        "description": "Notional in USD that is bought and sold at once.",
        "hide": _SHOWN,
        "includeAll": False,
        "label": "Size",
        "multi": False,
        "name": "size",
        "options": [
            {"selected": text == chosen, "text": text, "value": value} for text, value in choices
        ],
        "query": ", ".join(f"{text} : {value}" for text, value in choices),
        "skipUrlSync": False,
        "type": "custom",
    }


def textbox(name: str, label: str, description: str, value: str) -> Json:
    """A value to type in."""
    option = {"selected": True, "text": value, "value": value}
    return {
        "current": option,
        "description": description,
        "hide": _SHOWN,
        "label": label,
        "name": name,
        "options": [option],
        "query": value,
        "skipUrlSync": False,
        "type": "textbox",
    }
