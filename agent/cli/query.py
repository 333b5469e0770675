"""`perpflux query`: Flux against InfluxDB, of the cookbook, a file or standard input."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.cli.output import complain, emit, say
from agent.clock import SYSTEM_CLOCK
from agent.config import InfluxConfig, TokenSource, environment, load
from agent.errors import EXIT_OK, ConfigError, UsageError
from agent.influx_api import InfluxApi
from agent.queries import Recipe, cookbook, nearest_names, parse_recipe
from agent.queries.times import range_values
from agent.queries.writers import TABLE_ROWS_MAX, WRITERS, TableWriter

TEXT_BYTES_MAX: Final = 1 << 20
TOKEN_VARIABLES: Final = ("CREDENTIALS_DIRECTORY", "INFLUXDB_V2_TOKEN")
_STANDARD_INPUT: Final = "-"


def command(options: argparse.Namespace) -> int:
    """Print the rows; with --list the cookbook, with --show the text that would be run."""
    if options.list or options.query is None:
        _list()
        return EXIT_OK
    recipe = _recipe(options.query)
    influxdb = load(options.config).config.influxdb
    values = _buckets(recipe, influxdb.bucket) if influxdb else {}
    flux = _text(recipe, values | _values(options.param), options.start, options.stop)
    if options.show:
        emit(flux)
        return EXIT_OK
    if influxdb is None:
        raise ConfigError(
            f"query {recipe.name}",
            "no InfluxDB is configured",
            "add the section [influxdb], or set INFLUXDB_V2_URL and INFLUXDB_V2_ORG",
        )
    token = token_source(options.token_file, influxdb.token_file).read()
    asyncio.run(_print_rows(influxdb, token, flux, recipe, options.format))
    return EXIT_OK


def token_source(named: Path | None, configured: Path | None) -> TokenSource:
    """Where the token is: the file of --token-file, which must exist, else the usual places.

    Raises:
        UsageError: the named file does not exist.
    """
    if named is not None and not named.exists():
        raise UsageError("read the token", f"{named} does not exist", "--token-file names it")
    return TokenSource(named or configured, environment(*TOKEN_VARIABLES))


def _list() -> None:
    width = max(map(len, cookbook()))
    for name, recipe in cookbook().items():
        say(f"{name.ljust(width)}  {recipe.question}")
    say()
    say("perpflux query NAME --show prints the text with parameters and columns.")


def _recipe(name: str) -> Recipe:
    """An entry of the cookbook, a file or standard input. Raises UsageError."""
    if name in cookbook():
        return cookbook()[name]
    try:
        if name == _STANDARD_INPUT:
            text = sys.stdin.buffer.read(TEXT_BYTES_MAX).decode()
            return parse_recipe("from standard input", text)
        with Path(name).open(encoding="utf-8") as file:
            return parse_recipe(name, file.read(TEXT_BYTES_MAX))
    except (FileNotFoundError, NotADirectoryError):
        near = ", ".join(nearest_names(name))
        hint = f"did you mean {near}?" if near else "perpflux query --list shows the cookbook"
        raise UsageError("query", f"no entry and no file {name!r}", hint) from None
    except (OSError, ValueError) as error:
        raise UsageError("query", f"{name!r} cannot be read as text: {error}") from None


def _values(params: list[str]) -> dict[str, str]:
    """`--param name=value` as a mapping. Raises UsageError."""
    values = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError("query", f"--param {text!r}", "write it like --param ticker=BTC")
        values[name] = value
    return values


def _buckets(recipe: Recipe, bucket: str) -> dict[str, str]:
    """The configured bucket and its rollup, for the parameters of these names."""
    known = {"bucket": bucket, "rollup": f"{bucket}_1m"}
    return {name: value for name, value in known.items() if name in recipe.parameters}


def _text(recipe: Recipe, values: dict[str, str], start: str | None, stop: str | None) -> str:
    chosen = range_values(recipe, start, stop, now_ns=SYSTEM_CLOCK.now_ns())
    return recipe.filled(values | chosen)


async def _print_rows(
    influxdb: InfluxConfig, token: SecretStr, flux: str, recipe: Recipe, form: str
) -> None:
    writer = WRITERS[form](tuple(recipe.columns))
    async with InfluxApi(influxdb.url, token) as api:
        async for row in api.rows(influxdb.org, flux):
            emit(writer.add(row))
    emit(writer.end())
    if isinstance(writer, TableWriter) and writer.left_out:
        complain(
            f"perpflux: {writer.left_out} rows after the first {TABLE_ROWS_MAX} are not shown; "
            "--format csv or jsonl prints all"
        )
