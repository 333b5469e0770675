"""`perpflux bootstrap`: org, buckets, rollup task and least-privilege tokens of an InfluxDB."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent import bootstrap
from agent.bootstrap import FOR_EVER, RETENTION_MIN_S, Change, TokenFile, Wanted
from agent.cli.output import complain, say
from agent.clock import NS_PER_S
from agent.config import InfluxConfig, Loaded, TokenSource, environment, load
from agent.errors import EXIT_OK, UsageError
from agent.influx_api import InfluxApi
from agent.queries.times import duration_ns
from agent.secret_files import read_secret

TOKEN_VARIABLE: Final = "INFLUXDB_V2_TOKEN"  # noqa: S105  # a variable's name
MODE_MAX: Final = 0o777
_AGENT_TOKEN: Final = "influx_token"  # noqa: S105  # names of files
_GRAFANA_TOKEN: Final = "grafana_token"  # noqa: S105
_OPERATOR_TOKEN: Final = "operator_token"  # noqa: S105
_PASSWORD: Final = "admin_password"  # noqa: S105


def command(options: argparse.Namespace) -> int:
    """Make what is missing and say what was changed; with --dry-run say what would be."""
    loaded = load(options.config)
    influxdb = loaded.config.influxdb or InfluxConfig()
    folder = _folder(loaded)
    wanted = _wanted(options, influxdb, folder)
    asyncio.run(_bootstrap(options, influxdb.url, wanted, folder))
    return EXIT_OK


async def _bootstrap(options: argparse.Namespace, url: str, wanted: Wanted, folder: Path) -> None:
    operator: Path | None = options.token_file
    if options.setup:
        operator = operator or folder / _OPERATOR_TOKEN
        password = options.password_file or operator.with_name(_PASSWORD)
        if not await _set_up(url, wanted, operator, password, dry_run=options.dry_run):
            return
    async with InfluxApi(url, _operator_token(operator)) as api:
        found = await bootstrap.look(api, wanted)
        changes = bootstrap.plan(wanted, found)
        if options.dry_run:
            _say_all("would ", changes)
        else:
            async for change in bootstrap.apply(api, found, changes):
                say(str(change))
        for note in bootstrap.notes(found):
            complain(f"warning: {note}")
    say() if changes else say("nothing to change")
    _say_rest(options, url, wanted)


async def _set_up(
    url: str, wanted: Wanted, operator: Path, password: Path, *, dry_run: bool
) -> bool:
    """Set up a new server; whether there is one to go on with."""
    words = f"set up InfluxDB: user {bootstrap.ADMIN} -> {password}, operator token -> {operator}"
    if dry_run:
        async with InfluxApi(url, None) as api:
            allowed = await api.setup_allowed()
        if allowed:
            say(f"would {words}, and all that follows")
        return not allowed
    if await bootstrap.set_up(url, wanted, operator, password):
        say(words)
    return True


def _say_all(prefix: str, changes: Sequence[Change]) -> None:
    for change in changes:
        say(f"{prefix}{change}")


def _say_rest(options: argparse.Namespace, url: str, wanted: Wanted) -> None:
    """What to do with the tokens."""
    agent, grafana = wanted.tokens
    say("the agent's configuration:")
    say("  [influxdb]")
    keys = {"url": url, "org": wanted.org, "bucket": wanted.bucket}
    for key, value in {**keys, "token_file": str(agent.path.absolute())}.items():
        say(f"  {key} = {json.dumps(value)}")  # TOML quotes text as JSON does
    say(f"Grafana's data source reads its token from {grafana.path}")
    if options.print_tokens:
        for token in wanted.tokens:
            secret = read_secret(token.path)
            say(f"{token.owner}  {secret.get_secret_value() if secret else '(none yet)'}")


def _wanted(options: argparse.Namespace, influxdb: InfluxConfig, folder: Path) -> Wanted:
    bucket, rollup = influxdb.bucket, f"{influxdb.bucket}_1m"
    agent_file = options.agent_token_file or influxdb.token_file or folder / _AGENT_TOKEN
    grafana_file = options.grafana_token_file or agent_file.with_name(_GRAFANA_TOKEN)
    mode = _mode(options.token_mode)
    if agent_file == grafana_file:
        raise UsageError("bootstrap", f"{agent_file} cannot hold two tokens", "name two files")
    return Wanted(
        org=influxdb.org,
        bucket=bucket,
        rollup=rollup,
        retention_s=_retention_s("--retention", options.retention),
        rollup_retention_s=_retention_s("--rollup-retention", options.rollup_retention),
        tokens=(
            TokenFile("agent", "write", (bucket,), agent_file, mode),
            TokenFile("grafana", "read", (bucket, rollup), grafana_file, mode),
        ),
    )


def _folder(loaded: Loaded) -> Path:
    """Where token files go by default: beside the configuration, else here."""
    return Path() if loaded.file is None else loaded.file.parent


def _operator_token(path: Path | None) -> SecretStr:
    """Raises UsageError, ConfigError."""
    if path is not None and not path.exists():
        raise UsageError("bootstrap", f"{path} does not exist", "--token-file names it")
    variables = environment(TOKEN_VARIABLE)
    if path is None and not variables.get(TOKEN_VARIABLE):
        raise UsageError(
            "bootstrap",
            "no operator token",
            f"give --token-file or set {TOKEN_VARIABLE}; for a new InfluxDB add --setup",
        )
    return TokenSource(path, variables).read()


def _retention_s(option: str, text: str | None) -> int | None:
    """A retention in seconds, 0 = for ever. Raises UsageError."""
    if text is None:
        return None
    if text == "0":
        return FOR_EVER
    length_ns = duration_ns(text)
    if length_ns is None or text.startswith("-") or length_ns < RETENTION_MIN_S * NS_PER_S:
        raise UsageError(
            "bootstrap", f"{option} cannot be {text!r}", "at least 1h, such as 30d; 0 = for ever"
        )
    return length_ns // NS_PER_S


def _mode(text: str) -> int:
    """A file's mode in octal. Raises UsageError."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= MODE_MAX:
        raise UsageError("bootstrap", f"--token-mode cannot be {text!r}", "such as 640")
    return mode
