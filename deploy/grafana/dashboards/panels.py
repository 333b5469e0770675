"""The three kinds of panels, with everything that is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.grafana.dashboards.model import DATASOURCE, Json, target

TICKER_SOURCE: Final = "${__field.labels.ticker} ${__field.labels.source}"
SOURCE: Final = "${__field.labels.source}"
HOST: Final = "${__field.labels.host}"
HOST_SINK: Final = "${__field.labels.host} ${__field.labels.sink}"
SOURCE_ENDPOINT: Final = "${__field.labels.source} ${__field.labels.endpoint}"

BPS: Final = "suffix:bps"
"""Grafana's own "bps" is bits per second."""
APR: Final = "percentunit"
USD: Final = "currencyUSD"
PRICE: Final = "locale"
PRICE_DECIMALS: Final = 8
"""Grouped digits without a scale ("$100 K" is no price); decimals are the most that are shown."""

OUTAGE_MS: Final = 300_000
"""A gap up to this long is joined, a longer one shows. Only nulls break a line (frames are joined
by time, and what is missing in one is bridged): so queries of lines write empty windows."""
COLUMNS_MAX: Final = 6
NOTHING: Final = "n/a"

TEXT_WIDTH_PX: Final = 84
"""Of "variational"."""
CELL: Final = {"align": "auto", "inspect": False, "minWidth": 80}
"""Wide enough for headings and numbers; a phone shows four columns, the others from the side."""
BARS_MAX: Final = 100
"""Windows of a chart of counts: with more of them a single bar is thinner than a pixel."""
DASHED: Final = {"dash": [6, 4], "fill": "dash"}

VENUE_COLORS: Final = {"bybit": "dark-yellow", "variational": "blue"}
"""A venue has one colour wherever lines differ by venue only; a further one takes the palette's."""

Step = tuple[float | None, str]
"""From this value on, this colour; None = from below."""

AGE_S: Final[Sequence[Step]] = ((None, "green"), (60, "dark-yellow"), (180, "red"))
SOME_IS_BAD: Final[Sequence[Step]] = ((None, "green"), (1, "red"))
SIDES_APR: Final[Sequence[Step]] = (
    (None, "dark-blue"),
    (-0.4, "semi-dark-blue"),
    (-0.15, "super-light-blue"),
    (-0.03, "transparent"),
    (0.03, "super-light-orange"),
    (0.15, "semi-dark-orange"),
    (0.4, "dark-orange"),
)
"""Funding on a scale around 0: blue = shorts pay, orange = longs pay; neither is good or bad. The
usual 10.95 % is of the lightest step."""


def steps(thresholds: Sequence[Step]) -> Json:
    """Thresholds as Grafana has them."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for value, color in thresholds],
    }


def override(matcher: str, options: str, **properties: Any) -> Json:
    """Properties for what the matcher finds; `__` in a name stands for a dot."""
    pairs = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": pairs}


def named(name: str, title: str, **properties: Any) -> Json:
    """Another legend for one field of the answer."""
    return override("byName", name, displayName=title, **properties)


def _venues() -> list[Json]:
    """One colour a venue, for the lines with its name in what Grafana calls them by itself."""
    return [
        override("byRegexp", f"/\\b{venue}\\b/", color={"fixedColor": color, "mode": "fixed"})
        for venue, color in VENUE_COLORS.items()
    ]


def asset_link(ticker: str) -> list[Json]:
    """A link to the page of a ticker; `ticker` is where Grafana finds its name."""
    address = f"/d/perps-ticker?var-asset={ticker}&${{datasource:queryparam}}&${{__url_time_range}}"
    return [{"targetBlank": False, "title": "Open this ticker", "url": address}]


def _panel(kind: str, title: str, description: str, targets: Sequence[Json]) -> Json:
    return {
        "datasource": DATASOURCE,
        "description": description,
        "links": [],
        "repeatDirection": "h",
        "targets": list(targets),
        "title": title,
        "transformations": [],
        "transparent": False,
        "type": kind,
    }


def stat(
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    decimals: int,
    name: str = "",
    thresholds: Sequence[Step] = (),
    rows: int = 0,
) -> Json:
    """Numbers that are a verdict, one a series; coloured only where thresholds are given.

    With `rows` so many rows of one table are shown instead, each named by its text column.
    """
    return _panel("stat", title, description, [target(query)]) | {
        "fieldConfig": {
            "defaults": {
                "color": {"mode": "thresholds"},
                "decimals": decimals,
                **({"displayName": name} if name else {}),
                "mappings": [],
                "noValue": "no data",
                "thresholds": steps(thresholds or [(None, "text")]),
                "unit": unit,
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "horizontal",
            "reduceOptions": {
                "calcs": ["lastNotNull"],
                "fields": "",
                **({"limit": rows} if rows else {}),
                "values": rows > 0,
            },
            "text": {"titleSize": 14, "valueSize": 22},
            "textMode": "value_and_name",
        },
    }


@dataclass(frozen=True, slots=True)
class Lines:
    """How the lines of a chart look.

    Attributes:
        stair: steps: a value holds for the whole of its window, whose end is its time.
        bars: bars instead of lines, for counts.
        low, high: ends of the axis; None = what the data need.
        overrides: other looks for some of the lines.
    """

    stair: bool = False
    bars: bool = False
    low: float | None = None
    high: float | None = None
    overrides: Sequence[Json] = field(default_factory=tuple)


def chart(
    title: str,
    description: str,
    *queries: str,
    unit: str,
    decimals: int,
    name: str,
    look: Lines = Lines(),
) -> Json:
    """Lines over time; `name` is the legend, made from labels. Queries are A, B and so on."""
    targets = [target(query, chr(ord("A") + index)) for index, query in enumerate(queries)]
    return _panel("timeseries", title, description, targets) | {
        **({"maxDataPoints": BARS_MAX} if look.bars else {}),
        "fieldConfig": {
            "defaults": {
                "color": {"mode": "palette-classic"},
                "custom": _custom(look),
                "decimals": decimals,
                "displayName": name,
                **({"links": asset_link(_TICKER_LABEL)} if "labels.ticker" in name else {}),
                "mappings": [],
                **({"max": look.high} if look.high is not None else {}),
                **({"min": look.low} if look.low is not None else {}),
                "noValue": "nothing in this range",
                "thresholds": steps([(None, "text")]),
                "unit": unit,
            },
            "overrides": [*(_venues() if name == SOURCE else ()), *look.overrides],
        },
        "options": {
            "legend": {
                "calcs": ["lastNotNull", "min", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    }


_TICKER_LABEL: Final = "${__field.labels.ticker}"


def _custom(look: Lines) -> Json:
    return {
        "axisCenteredZero": False,
        "axisColorMode": "text",
        "axisGridShow": True,
        "axisLabel": "",
        "axisPlacement": "auto",
        "barAlignment": 0,
        "drawStyle": "bars" if look.bars else "line",
        **({"axisSoftMax": 1} if look.bars else {}),
        "fillOpacity": 80 if look.bars else 0,
        "gradientMode": "none",
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "lineInterpolation": "stepBefore" if look.stair else "linear",
        "lineWidth": 1,
        "pointSize": 5,
        "scaleDistribution": {"type": "linear"},
        "showPoints": "never" if look.bars else "auto",
        "spanNulls": False if look.bars else OUTAGE_MS,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": "off"},
    }


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name in the answer, its heading and how its values are written.

    `thresholds` colour the number; `width_px` 0 = what is left.
    """

    name: str
    title: str
    unit: str = "string"
    decimals: int | None = None
    width_px: int = 0
    thresholds: Sequence[Step] = ()
    links: Sequence[Json] = ()


TICKER: Final = Column("ticker", "Ticker", links=asset_link("${__value.text}"))
VENUE: Final = Column("source", "Source")
AGE: Final = Column("age_s", "Age", "s", 1, thresholds=AGE_S)


def table(
    title: str,
    description: str,
    query: str,
    *columns: Column,
    hidden: Sequence[str] = (),
    others: Json | None = None,
) -> Json:
    """One answer as a table, its columns in this order; `others` = looks of any further columns.

    Columns of venues, of which there may be any, stand behind the first.
    """
    order = [columns[0].name, *VENUE_COLORS, *(column.name for column in columns[1:])]
    assert len(columns) <= COLUMNS_MAX, title
    return _panel("table", title, description, [target(query)]) | {
        "fieldConfig": {
            "defaults": {
                "color": {"mode": "thresholds"},
                "custom": {"displayMode": "auto", **CELL},
                "mappings": [],
                "noValue": NOTHING,
                "thresholds": steps([(None, "text")]),
                **(others or {}),
            },
            "overrides": [_look(column) for column in columns],
        },
        "options": {
            "footer": {"fields": "", "reducer": ["sum"], "show": False},
            "frameIndex": 0,
            "showHeader": True,
            "sortBy": [],
        },
        "transformations": [
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(hidden, True),
                    "indexByName": {name: index for index, name in enumerate(order)},
                    "renameByName": {},
                },
            }
        ],
    }


def _look(column: Column) -> Json:
    properties: Json = {"displayName": column.title, "unit": column.unit}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.unit == "string":
        properties["custom__minWidth"] = TEXT_WIDTH_PX
    if column.width_px:
        properties["custom__width"] = column.width_px
    # A column says all of its looks, so that nothing of the others' shines through.
    properties["custom__displayMode"] = "color-text" if column.thresholds else "auto"
    properties["thresholds"] = steps(column.thresholds or [(None, "text")])
    if column.links:
        properties["links"] = list(column.links)
    return override("byName", column.name, **properties)
