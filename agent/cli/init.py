"""`perpflux init`: writes a commented configuration, asking at most four questions."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.cli.output import ask, complain, say
from agent.config import TokenSource, environment, load
from agent.config.keys import TomlValue
from agent.config.load import CONFIG_VARIABLE
from agent.config.sample import sample
from agent.errors import EXIT_OK, ConfigError, PerpfluxError, UsageError
from agent.secret_files import write_secret

DEFAULT_FILE: Final = Path("perpflux.toml")
TRIES_MAX: Final = 5
"""Answers to one question."""
FILE_MODE: Final = 0o644
TOKEN_MODE: Final = 0o600
TOKEN_NAME: Final = "influx_token"  # noqa: S105  # a file's name, as bootstrap's
TOKEN_VARIABLES: Final = ("CREDENTIALS_DIRECTORY", "INFLUXDB_V2_TOKEN")
_STATE: Final = {"STATE_DIRECTORY": "/"}
"""So that a machine without a home can be answered for; the file leaves the journal's path open."""

Values = dict[str, TomlValue]


def command(options: argparse.Namespace) -> int:
    """Ask, write, and say what comes next."""
    named = environment(CONFIG_VARIABLE).get(CONFIG_VARIABLE)
    path: Path = options.config or (Path(named) if named else DEFAULT_FILE)
    if path.is_dir():
        raise UsageError("init", f"{path} is a folder", "name a file with --config")
    if path.exists() and not options.force:
        raise UsageError("init", f"{path} is there already", "--force replaces it")
    values: Values = {}
    url = "" if options.yes else _asked(values, path)
    _write(path, sample(values))
    say(f"wrote {path}: every key with its default, and what was answered")
    _say_next(path, url if "influxdb.url" not in values else "")
    return EXIT_OK


def _asked(values: Values, path: Path) -> str:
    """Put the answers into `values`; the address of InfluxDB, "" = none."""

    def put(key: str, read: Callable[[str], TomlValue]) -> Callable[[str], None]:
        def take(text: str) -> None:
            _prove({**values, key: read(text)})
            values[key] = read(text)

        return take

    _ask("Tickers, or all", "BTC, ETH", put("tickers", _names_or_all))
    _ask("Venues", "variational, bybit", put("data_sources", _names))
    section: Values = {}

    def take_url(text: str) -> None:
        if text:
            _prove({**values, "influxdb.url": text})
            section["influxdb.url"] = text

    _ask("Address of InfluxDB 2, empty = none yet", "", take_url)
    if not section:
        return ""
    token_file = path.absolute().with_name(TOKEN_NAME)
    if token_file.exists() or _ask_token(token_file):
        section["influxdb.token_file"] = str(token_file)
    if len(section) > 1 or _token_elsewhere():
        values.update(section)
    return str(section["influxdb.url"])


def _ask(question: str, default: str, take: Callable[[str], None]) -> None:
    """Ask until the answer can be taken. Raises UsageError when there is none."""
    for _ in range(TRIES_MAX):
        answer = ask(f"{question} [{default}]: " if default else f"{question}: ")
        if answer is None:
            raise UsageError("init", "there is nobody to answer", "--yes asks nothing")
        try:
            return take(answer.strip() or default)
        except ConfigError as error:
            complain(f"  {error.subject}")
        except UnicodeError:
            complain("  that is not in UTF-8")
    raise UsageError("init", f"{TRIES_MAX} answers that cannot be used", "--yes asks nothing")


def _ask_token(file: Path) -> bool:
    """Ask for the token and write it into its file; False = none yet."""
    answer = ask(f"Its token, not shown, goes into {file}, empty = later: ", hidden=True)
    token = (answer or "").strip()
    if token:
        write_secret(file, SecretStr(token), TOKEN_MODE)
    return bool(token)


def _token_elsewhere() -> bool:
    """Whether systemd or the environment gives one."""
    try:
        TokenSource(None, environment(*TOKEN_VARIABLES)).read()
    except ConfigError:
        return False
    return True


def _prove(values: Mapping[str, TomlValue]) -> None:
    """Raises ConfigError when a configuration cannot have these values."""
    with tempfile.TemporaryDirectory(prefix="perpflux-") as folder:
        file = Path(folder) / "perpflux.toml"
        file.write_text(sample(values), encoding="utf-8")
        try:
            load(file, environ=_STATE)
        except ConfigError as error:
            problem = error.subject.replace(f"{file}: ", "")
            raise ConfigError(error.operation, problem, error.hint) from None


def _write(path: Path, text: str) -> None:
    """Write it at once, or not at all; never through a link. Raises PerpfluxError."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        raise PerpfluxError(
            "init", f"{path} cannot be written: {error.strerror}", "name another with --config"
        ) from None


def _say_next(path: Path, url: str) -> None:
    """What to do now; `url` is an InfluxDB that there is no token for yet."""
    named = "" if path == DEFAULT_FILE else f" --config {shlex.quote(str(path))}"
    say("next:")
    if url:
        say(f"  INFLUXDB_V2_URL={url} perpflux bootstrap{named} --token-file OPERATOR_TOKEN_FILE")
        say("    makes buckets and tokens, and prints the section [influxdb] for this file")
    for name, words in (
        ("check", "what will be done"),
        ("doctor", "is everything reached?"),
        ("run", "go"),
    ):
        say(f"  perpflux {(name + named).ljust(len(named) + len('doctor'))}  {words}")


def _names(text: str) -> TomlValue:
    return [name for name in text.replace(",", " ").split() if name]


def _names_or_all(text: str) -> TomlValue:
    return "all" if text.lower() == "all" else _names(text)
