"""`perpflux query` as a user runs it, on a real InfluxDB with known points."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.errors import InfluxDBError
from agent.influx_api import InfluxApi
from agent.queries import cookbook, parse_recipe
from tests.cookbook.conftest import BUCKET
from tests.cookbook.points import STOP
from tests.influxd.server import InfluxServer
from tests.support.program import environment, perpflux

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]


@pytest.fixture
def settings(known: InfluxServer) -> dict[str, str]:
    """Where the known points are, and a token that may read them."""
    token = known.create_token(
        [known.bucket_permission("read", name) for name in (BUCKET, f"{BUCKET}_1m")]
    )
    return {
        "PERPFLUX_INFLUXDB__URL": known.url,
        "PERPFLUX_INFLUXDB__ORG": known.org,
        "PERPFLUX_INFLUXDB__BUCKET": BUCKET,
        "INFLUXDB_V2_TOKEN": token,
    }


async def test_an_entry_is_run_by_name(tmp_path: Path, settings: dict[str, str]) -> None:
    """The configured bucket and its rollup stand in for the text's; a table by default."""
    outcome = await perpflux(tmp_path, "query", "carry", "--stop", STOP, **settings)
    assert (outcome.code, outcome.err) == (0, "")
    header, btc, eth = (line.split() for line in outcome.out.splitlines())
    assert header == list(cookbook()["carry"].columns)
    assert btc[:7] == ["BTC", "variational", "bybit", "0.5475", "0.1095", "0.438", "4"]
    assert eth[6:10] == ["-", "-", "-", "-"]
    week = await perpflux(tmp_path, "query", "spread-week", "--stop", STOP, **settings)
    assert "50.5" in week.out


async def test_start_parameters_and_formats(tmp_path: Path, settings: dict[str, str]) -> None:
    """--start, --stop and --param choose; csv and jsonl hold the same exact numbers."""
    options = ("query", "export", "--start", "-30s", "--stop", STOP, "--param", "source=bybit")
    as_csv = await perpflux(tmp_path, *options, "--format", "csv", **settings)
    as_jsonl = await perpflux(tmp_path, *options, "--format", "jsonl", **settings)
    rows = list(csv.DictReader(io.StringIO(as_csv.out)))
    objects = [json.loads(line, parse_float=Decimal) for line in as_jsonl.out.splitlines()]
    assert [row["time"] for row in rows] == [f"2026-01-06T11:59:{s}Z" for s in (30, 40, 50)]
    assert [row["mid"] for row in rows] == ["100357", "100358", "100359"]
    assert [each["mid"] for each in objects] == [100357, 100358, 100359]
    for row, each in zip(rows, objects, strict=True):
        known = {name: text for name, text in row.items() if text}
        assert set(each) == set(known)
        assert all(str(value) == known[name] for name, value in each.items())


async def test_a_file_and_standard_input_are_run(tmp_path: Path, settings: dict[str, str]) -> None:
    """Any Flux; the parameters in its head can be given like those of the cookbook."""
    flux = 'import "array"\nname = "x"\narray.from(rows: [{name: name, one: 1}])\n'
    (tmp_path / "my.flux").write_text(flux, encoding="utf-8")
    options = ("--param", 'name=a"b', "--format", "jsonl")
    by_file = await perpflux(tmp_path, "query", "my.flux", *options, **settings)
    assert by_file.out == '{"name": "a\\"b", "one": 1}\n'
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "query", "-", *options),
        cwd=tmp_path,
        env=environment(tmp_path, settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate(flux.encode())
    assert out.decode() == by_file.out


async def test_text_comes_through_as_it_is(known: InfluxServer) -> None:
    """What is escaped for Flux is what InfluxDB reads: quotes, backslashes, ${}, line feeds."""
    nasty = 'a"b\\c ${1 + 1} \\${x} $ \t \r \n é 漢 ") |> drop(columns: ["x"]) //'
    recipe = parse_recipe("-", 'import "array"\ntext = "x"\narray.from(rows: [{text: text}])\n')
    async with InfluxApi(known.url, SecretStr(known.token)) as api:
        rows = [row async for row in api.rows(known.org, recipe.filled({"text": nasty}))]
    # InfluxDB writes a line end within a cell as CR LF, and no other CR.
    assert [row.cells for row in rows] == [(nasty.replace("\r", "").replace("\n", "\r\n"),)]


async def test_the_cookbook_is_listed_and_shown(tmp_path: Path) -> None:
    """--list and --show need no InfluxDB; what --show prints is the text that would be run."""
    listed = await perpflux(tmp_path, "query", "--list")
    assert listed.code == 0
    for name, recipe in cookbook().items():
        assert re.search(rf"^{name} +{re.escape(recipe.question)}$", listed.out, re.MULTILINE)
    assert (await perpflux(tmp_path, "query")).out == listed.out
    shown = await perpflux(tmp_path, "query", "spread", "--show", "--param", "ticker=BTC")
    assert shown.out == cookbook()["spread"].filled({"ticker": "BTC"})


async def test_what_is_shown_is_what_would_be_run(tmp_path: Path) -> None:
    """With the configured bucket and its rollup; a parameter counts more."""
    settings = {"INFLUXDB_V2_URL": "http://127.0.0.1:8086", "INFLUXDB_V2_ORG": "o"}
    settings["PERPFLUX_INFLUXDB__BUCKET"] = "mine"
    shown = await perpflux(tmp_path, "query", "spread", "--show", **settings)
    assert 'bucket = "mine"' in shown.out
    shown = await perpflux(
        tmp_path, "query", "spread", "--show", "--param", "bucket=other", **settings
    )
    assert 'bucket = "other"' in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("cary",), 2, "no entry and no file 'cary' (did you mean carry"),
        (("spread", "--param", "tickers=x"), 2, "no parameter 'tickers' (known: bucket, start,"),
        (("spread", "--param", "ticker"), 2, "write it like --param ticker=BTC"),
        (("spread", "--start", "soon"), 2, "parameter start cannot be 'soon'"),
        (("spread", "--token-file", "nowhere"), 2, "nowhere does not exist"),
        (("wrong.flux",), 1, "line 2, column 4: undefined identifier filtr\n    |> filtr"),
        (("spread", "--param", "bucket=other"), 1, 'could not find bucket "other" (is the name'),
        (("spread", "--param", "ticker=("), 1, "missing closing )"),
    ],
)
async def test_an_error_says_where_and_what_to_do(
    tmp_path: Path,
    settings: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    """One message, no traceback, the exit code of its kind."""
    flux = f'from(bucket: "{BUCKET}")\n|> filtr(fn: (r) => true)\n'
    (tmp_path / "wrong.flux").write_text(flux, encoding="utf-8")
    outcome = await perpflux(tmp_path, "query", *arguments, **settings)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err


async def test_token_and_address_are_named_when_they_are_wrong(
    tmp_path: Path, known: InfluxServer, settings: dict[str, str]
) -> None:
    """No [influxdb], no token, a wrong one, a write-only one, nobody there: each its own words."""
    nothing = await perpflux(tmp_path, "query", "spread")
    assert (nothing.code, "no InfluxDB is configured" in nothing.err) == (78, True)
    token = settings.pop("INFLUXDB_V2_TOKEN")
    assert "no token found" in (await perpflux(tmp_path, "query", "spread", **settings)).err
    (tmp_path / "token").write_text(known.write_token(BUCKET), encoding="utf-8")
    options = ("query", "spread", "--token-file", "token")
    assert "may the token read it" in (await perpflux(tmp_path, *options, **settings)).err
    (tmp_path / "token").write_text("wrong", encoding="utf-8")
    assert "the token is wrong" in (await perpflux(tmp_path, *options, **settings)).err
    settings["PERPFLUX_INFLUXDB__URL"] = "http://127.0.0.1:9"
    silent = await perpflux(tmp_path, "query", "spread", INFLUXDB_V2_TOKEN=token, **settings)
    assert "http://127.0.0.1:9" in silent.err
    assert token not in silent.err


async def test_an_error_after_the_first_rows_is_an_error(known: InfluxServer) -> None:
    """InfluxDB answers 200 and fails later: the rows do not pass for the whole answer."""
    flux = f"""
        from(bucket: "{BUCKET}")
          |> range(start: 0)
          |> filter(fn: (r) => r._field == "mid")
          |> map(fn: (r) => ({{r with x: if r._value > 100200.0 then 1 / 0 else 1}}))
    """
    async with InfluxApi(known.url, SecretStr(known.token)) as api:
        with pytest.raises(InfluxDBError, match="divide by zero"):
            _ = [row async for row in api.rows(known.org, flux)]
