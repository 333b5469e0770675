"""What Grafana does with our files, as far as tests need it: variables, macros, frames.

Read from Grafana 9.3.2: `pkg/tsdb/influxdb/flux/{macros,builder}.go` and the formats of
`public/app/features/templating`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.influxd.server import InfluxError, InfluxServer

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "grafana-dashboards").rglob("*.json"))
ANYTHING = ".+"

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_MACRO = re.compile(r"[a-zA-Z]+\.([a-zA-Z]+)")
_REGEX_CHARACTERS = re.compile(r"[\\^$*+?.()|[\]{}/]")

Json = dict[str, Any]


class Query(NamedTuple):
    """A query of a dashboard and where it stands."""

    uid: str
    place: str
    text: str
    panel: Json | None = None

    @property
    def title(self) -> str:
        """Dashboard and place, for people."""
        return f"{self.uid}: {self.place}"


def load(path: Path) -> Json:
    """One dashboard."""
    document: Json = json.loads(path.read_text(encoding="utf-8"))
    return document


def panels(document: Json) -> list[Json]:
    """The panels of a dashboard that are no row headings."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every query of every panel, variable and annotation."""
    for document in map(load, DASHBOARDS):
        uid = document["uid"]
        for panel in panels(document):
            for target in panel["targets"]:
                place = f"{panel['title']} {target['refId']}"
                yield Query(uid, place, target["query"], panel)
        for variable in document["templating"]["list"]:
            if variable["type"] == "query":
                yield Query(uid, f"variable {variable['name']}", variable["query"])
        for annotation in document["annotations"]["list"]:
            yield Query(uid, f"annotation {annotation['name']}", annotation["target"]["query"])


@dataclass(frozen=True, slots=True)
class View:
    """What stands above a dashboard. Variables: a text, or several values of a multiple choice."""

    start: str
    stop: str
    bucket: str
    window: str = "1m0s"
    variables: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """The query as it is sent."""
        return self._macros(_VARIABLE.sub(self._value, text))

    def _value(self, match: re.Match[str]) -> str:
        value = self.variables.get(match[1])
        if value is None:
            return match[0]
        if match[2] != "regex" or value == ANYTHING:
            assert isinstance(value, str), f"{match[0]} has several values and no format"
            return value
        values = [value] if isinstance(value, str) else value
        escaped = [_REGEX_CHARACTERS.sub(r"\\\g<0>", each) for each in values]
        return escaped[0] if isinstance(value, str) else f"({'|'.join(escaped)})"

    def _macros(self, text: str) -> str:
        known = {
            "timeRangeStart": self.start,
            "timeRangeStop": self.stop,
            "windowPeriod": self.window,
            "bucket": f'"{self.bucket}"',
            "defaultBucket": f'"{self.bucket}"',
            "organization": '"org"',
        }
        return _MACRO.sub(lambda match: known.get(match[1], match[0]), text)


@dataclass(slots=True)
class Frame:
    """One table as Grafana has it: the group key as labels, the rest as fields.

    Values are texts as InfluxDB gave them, "" = null. `name` is that of the only value field.
    """

    labels: dict[str, str]
    fields: list[str]
    name: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)

    def numbers(self, column: str = "_value") -> list[float | None]:
        """One field as numbers; None = null."""
        return [float(row[column]) if row.get(column) else None for row in self.rows]


def ask(server: InfluxServer, flux: str) -> list[Frame]:
    """Run a query and make frames of the answer. Raises InfluxError."""
    answer = server.request(
        "POST",
        "/api/v2/query",
        params={"org": server.org},
        body=json.dumps(
            {
                "type": "flux",
                "query": flux,
                "dialect": {"header": True, "annotations": ["datatype", "group", "default"]},
            }
        ).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/csv"},
        timeout_s=120,
    )
    if answer.status != 200:
        raise InfluxError(f"{answer.status} {answer.body}\n{flux}")
    return list(_frames(answer.body))


def _frames(text: str) -> Iterator[Frame]:
    header: dict[str, list[str]] = {}
    columns: list[str] = []
    tables: dict[tuple[int, str], Frame] = {}
    block = 0
    for record in csv.reader(io.StringIO(text, newline="")):
        if not record or record[0].startswith("#"):
            block += bool(columns)
            columns = []
            if record:
                header[record[0]] = record[1:]
        elif not columns:
            columns = record[1:]
            if "error" in columns:
                header["error"] = []
        else:
            if "error" in header:
                raise InfluxError(record[1])
            cells = zip(columns, record[1:], header["#default"], strict=True)
            row = {column: cell or default for column, cell, default in cells}
            frame = tables.setdefault(
                (block, row["table"]), _new_frame(row, columns, header["#group"])
            )
            frame.rows.append({column: row[column] for column in frame.fields})
    yield from tables.values()


def _new_frame(row: Mapping[str, str], columns: Sequence[str], grouped: Sequence[str]) -> Frame:
    is_label = dict(zip(columns, [each == "true" for each in grouped], strict=True))
    labels = {column: row[column] for column in columns if is_label[column]}
    fields = [
        column for column in columns if not is_label[column] and column not in {"result", "table"}
    ]
    labels.pop("_measurement", None)
    simple = set(fields) == {"_time", "_value"}
    name = ""
    if simple:
        labels.pop("_start", None)
        labels.pop("_stop", None)
        name = labels.pop("_field", "")
    return Frame(labels=labels, fields=fields, name=name)
