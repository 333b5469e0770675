"""A real InfluxDB filled with the known points, once a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from deploy.grafana.dashboards.model import FLUX
from tests.dashboards import data
from tests.dashboards.grafana import ANYTHING, Frame, View, ask, queries
from tests.influxd.server import InfluxServer

DEFAULTS: Mapping[str, str | Sequence[str]] = {
    "source": ANYTHING,
    "ticker": ["BTC", "ETH"],
    "asset": "BTC",
    "size": "spread_100k_bps",
    "reference": "bybit",
    "fees_bps": "11",
    "oi_min": "0",
    "host": ANYTHING,
}
BY_TITLE = {query.title: query for query in queries()}


def text_of(title: str) -> str:
    """A query of a dashboard or of an alert."""
    if title.startswith("alert "):
        return FLUX.joinpath("alerts", f"{title.split()[1]}.flux").read_text(encoding="utf-8")
    return BY_TITLE[title].text


@dataclass(frozen=True, slots=True)
class Store:
    """The two buckets and what can be asked of them."""

    server: InfluxServer
    bucket: str

    def view(self, **changes: str | Sequence[str]) -> View:
        """The last two hours in windows of five minutes; `changes` are variables."""
        variables = {**DEFAULTS, "rollup": f"{self.bucket}_1m", **changes}
        start, stop = data.rfc3339(data.START), data.rfc3339(data.END)
        return View(start, stop, self.bucket, "5m0s", variables)

    def week(self) -> View:
        """Seven days in windows of six hours: more than the raw points are read for."""
        known = self.view()
        return View(data.rfc3339(data.WEEK), known.stop, self.bucket, "6h0m0s", known.variables)

    def ask(self, title: str, view: View | None = None) -> list[Frame]:
        """The answer to a query of a dashboard, by its place, such as "perps-market: Basis A"."""
        return ask(self.server, (view or self.view()).fill(BY_TITLE[title].text))

    def rows(self, title: str, view: View | None = None) -> list[dict[str, float | str | None]]:
        """The only table of an answer; numbers as numbers, "" as None."""
        (frame,) = self.ask(title, view)
        return [{key: _value(cell) for key, cell in row.items()} for row in frame.rows]

    def series(self, title: str, view: View | None = None) -> dict[tuple[str, ...], Frame]:
        """The frames of an answer by the field's name, if it has one, and the labels' values."""
        return {
            (*((frame.name,) if frame.name else ()), *sorted(frame.labels.values())): frame
            for frame in self.ask(title, view)
        }

    def newest(self, title: str, view: View | None = None) -> dict[tuple[str, ...], float | None]:
        """The last number of each series."""
        return {key: frame.numbers()[-1] for key, frame in self.series(title, view).items()}


def _value(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


@pytest.fixture(scope="module")
def make_store(influxdb: InfluxServer) -> Iterator[Callable[[str, str], Store]]:
    """Makes a pair of buckets of its own with these raw points and this rollup."""
    made: list[str] = []

    def make(raw: str, rollup: str) -> Store:
        bucket = f"perps-{os.getpid()}-{len(made)}"
        for name, lines in ((bucket, raw), (f"{bucket}_1m", rollup)):
            influxdb.create_bucket(name)
            made.append(name)
            answer = influxdb.write(name, lines)
            assert answer.status == 204, answer.body
        return Store(influxdb, bucket)

    yield make
    for name in made:
        influxdb.delete_bucket(name)


@pytest.fixture(scope="module")
def store(make_store: Callable[[str, str], Store]) -> Store:
    """The known points."""
    return make_store(data.raw(), data.rollup())
