"""Every entry of the cookbook, run on a real InfluxDB with known points."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.clock import parse_rfc3339_ns
from agent.influx_api import InfluxApi
from agent.queries import cookbook
from agent.queries.rows import Row
from agent.queries.times import range_values
from tests.cookbook.conftest import BUCKET
from tests.cookbook.points import STOP
from tests.influxd.server import InfluxServer

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]

CASES: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "expected.toml").read_text(encoding="utf-8")
)
NUMBERS = {"double", "long"}


async def rows_of(server: InfluxServer, name: str, token: str) -> list[Row]:
    """What the entry gives with the case's parameters."""
    recipe, case = cookbook()[name], CASES[name]
    buckets = {"bucket": BUCKET, "rollup": f"{BUCKET}_1m"}
    values = {key: value for key, value in buckets.items() if key in recipe.parameters}
    values |= case.get("params", {})
    values |= range_values(recipe, case.get("start"), STOP, now_ns=parse_rfc3339_ns(STOP) or 0)
    async with InfluxApi(server.url, SecretStr(token)) as api:
        return [row async for row in api.rows(server.org, recipe.filled(values))]


def comparable(row: Row, name: str) -> object:
    """A cell as a number or text; None = null, or the column is not there at all."""
    types = {column.name: column.datatype for column in row.columns}
    text = row.as_dict().get(name)
    return float(text) if text is not None and types[name] in NUMBERS else text


def expected(text: str, given: object) -> object:
    """What is expected, to nine digits where a number was given."""
    return pytest.approx(float(text), rel=1e-9, abs=1e-9) if isinstance(given, float) else text


@pytest.mark.parametrize("name", sorted(CASES))
async def test_an_entry_gives_the_expected_rows(known: InfluxServer, name: str) -> None:
    """No error, the expected rows in order, the documented columns and no other."""
    rows = await rows_of(known, name, known.token)
    columns = list(cookbook()[name].columns)
    wanted = [dict(zip(columns, cells, strict=True)) for cells in CASES[name]["rows"]]
    assert len(rows) == len(wanted)
    for row, cells in zip(rows, wanted, strict=True):
        assert {column.name for column in row.columns} <= set(columns)
        given = {name: comparable(row, name) for name in columns}
        assert given == {
            name: expected(text, given[name]) if text else None for name, text in cells.items()
        }


async def test_the_token_of_grafana_is_enough(known: InfluxServer) -> None:
    """A token that may read the two buckets and nothing else answers every entry."""
    token = known.create_token(
        [known.bucket_permission("read", name) for name in (BUCKET, f"{BUCKET}_1m")]
    )
    for name, case in CASES.items():
        assert len(await rows_of(known, name, token)) == len(case["rows"]), name
