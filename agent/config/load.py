"""Finds, reads and checks the configuration: the environment over the file over the defaults."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from agent.config.keys import VARIABLE_PREFIX
from agent.config.model import Config
from agent.config.problems import Origins, bounded, escaped, explain
from agent.config.secret import TokenSource
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_BYTES_MAX: Final = 1 << 20
CONFIG_VARIABLE: Final = "PERPFLUX_CONFIG"
SEARCHED: Final = (Path("perpflux.toml"), Path("/etc/perpflux/perpflux.toml"))
JOURNAL_NAME: Final = "perpflux.db"
INFLUXDB_VARIABLES: Final = {"INFLUXDB_V2_URL": "url", "INFLUXDB_V2_ORG": "org"}
"""The variables that users of InfluxDB's own client have set already."""

VARIATIONAL_INTERVAL_COMMON_S: Final = 20
BYBIT_REQUESTS_PER_S_MAX: Final = 90
"""What `agent.sources.bybit.door` lets through; of the venue's 120.

https://bybit-exchange.github.io/docs/v5/rate-limit
"""
BYBIT_OTHER_REQUESTS_MAX: Final = 15
"""Of these, what order books leave in a second for tickers, histories and lists."""

_OPERATION: Final = "read configuration"
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that may be used.

    Attributes:
        config: the values.
        file: where they were read; None = no file, defaults and environment only.
        warnings: what is allowed but unwise, one sentence each.
        token: InfluxDB's token; None = no `[influxdb]`.
    """

    config: Config
    file: Path | None
    warnings: tuple[str, ...]
    token: TokenSource | None


class _UnreadableError(Exception):
    """The file cannot be used; the message is the whole line."""


def environment(*names: str) -> dict[str, str]:
    """The process's variables of these names, those that are set: what systemd says to us."""
    return {name: os.environ[name] for name in names if name in os.environ}


def load(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Loaded:
    """Reads `path`, else $PERPFLUX_CONFIG, ./perpflux.toml, /etc/perpflux/perpflux.toml, if any.

    Args:
        path: file to read; None = search.
        environ: environment variables; None = the process's.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    file, table = None, Table()
    try:
        file, table = _find(path, environ)
    except _UnreadableError as error:
        problems.append(str(error))
    file_is_read = not problems
    origins = Origins(None if file is None else escaped(str(file)))
    problems += _overlay(table, environ, origins)
    _fill_in(table, environ, origins)
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        problems += explain(error, origins, file_is_read=file_is_read)
    if problems:
        # Not chained: pydantic's own error carries the values, secrets among them.
        raise ConfigError(_OPERATION, bounded(problems)) from None
    token = None if config.influxdb is None else TokenSource(config.influxdb.token_file, environ)
    return Loaded(config, file, tuple(_warnings(config)), token)


def _find(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, Table]:
    """The file that counts (None = there is none) and what it says. Raises _UnreadableError."""
    named = environ.get(CONFIG_VARIABLE)
    if path is not None:
        return path, _read_named(path, "--config")
    if named:
        path = _expanded(Path(named))
        return path, _read_named(path, CONFIG_VARIABLE)
    for candidate in SEARCHED:
        table = _read(candidate)
        if table is not None:
            return candidate, table
    return None, {}


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # no such home: then it is looked for as it stands
        return path


def _read_named(path: Path, named_by: str) -> Table:
    table = _read(path)
    if table is None:
        raise _UnreadableError(
            f"{escaped(str(path))}: does not exist, but {named_by} names it; name another or "
            "leave that out"
        )
    return table


def _read(path: Path) -> Table | None:
    """What a file says; None = there is no such file. Raises _UnreadableError."""
    where = escaped(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _UnreadableError(
            f"{where}: cannot be read: {error.strerror}; make it readable, or name another file "
            f"with --config or {CONFIG_VARIABLE}"
        ) from None
    except ValueError:
        raise _UnreadableError(f"{where}: is no path of a file") from None
    if len(raw) > FILE_BYTES_MAX:
        raise _UnreadableError(f"{where}: is larger than {FILE_BYTES_MAX} bytes")
    try:
        text = raw.decode("utf-8-sig")  # editors on Windows begin files with a mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _UnreadableError(f"{where}, line {line}: is not UTF-8; save it as UTF-8") from None
    return _parse(text, where)


def _parse(text: str, where: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    except (ValueError, RecursionError):
        raise _UnreadableError(f"{where}: has a number too long or is nested too deep") from None
    place = _TOML_PLACE.search(message)
    if place is None:
        raise _UnreadableError(f"{where}: is not valid TOML: {message}")
    lines = text.split("\n")
    line = place[1] or len(lines)
    column = place[2] or len(lines[-1]) + 1
    reason = message[: place.start()]
    raise _UnreadableError(f"{where}, line {line}, column {column}: is not valid TOML: {reason}")


def _overlay(table: Table, environ: Mapping[str, str], origins: Origins) -> list[str]:
    """Puts the `PERPFLUX_…` variables over the file's table; returns the problems found."""
    # Sorted, so that PERPFLUX_SINKS comes before what is put into it.
    names = sorted(n for n in environ if n.startswith(VARIABLE_PREFIX) and n != CONFIG_VARIABLE)
    if not names:
        return []
    # pydantic-settings takes as long to import as everything else here: only where it is needed.
    from agent.config.variables import read_variable  # noqa: PLC0415

    problems: list[str] = []
    for name in names:
        try:
            path, value = read_variable(name, environ[name])
        except ValueError as error:
            problems.append(str(error))
            continue
        if _put(table, path, value):
            origins.variables[path] = name
    return problems


def _put(table: Table, path: tuple[str, ...], value: Any) -> bool:
    """Sets one value; False where the file has no table to put it into (which is its problem)."""
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[path[-1]] = value
    return True


def _fill_in(table: Table, environ: Mapping[str, str], origins: Origins) -> None:
    """What neither file nor `PERPFLUX_…` say and the environment knows: InfluxDB and journal."""
    if environ.get("INFLUXDB_V2_URL"):
        table.setdefault("influxdb", {})
    influxdb = table.get("influxdb")
    for variable, key in INFLUXDB_VARIABLES.items():
        text = environ.get(variable)
        if text and isinstance(influxdb, dict) and key not in influxdb:
            influxdb[key] = text
            origins.variables["influxdb", key] = variable
    journal = table.setdefault("journal", {})
    if isinstance(journal, dict) and journal.get("path", "") == "":
        variable, journal["path"] = _journal_path(environ)
        origins.variables["journal", "path"] = variable


def _journal_path(environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that says where the journal is by default, and the path; "" = none does.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#RuntimeDirectory=
    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return "STATE_DIRECTORY", str(Path(state) / JOURNAL_NAME)
    user_state = environ.get("XDG_STATE_HOME", "")
    if user_state.startswith("/"):  # the specification has relative ones ignored
        return "XDG_STATE_HOME", str(Path(user_state) / "perpflux" / JOURNAL_NAME)
    home = environ.get("HOME", "")
    if home:
        return "HOME", str(Path(home) / ".local/state/perpflux" / JOURNAL_NAME)
    return "defaults", ""


def _warnings(config: Config) -> Iterator[str]:
    interval_s = config.variational.poll_interval_s
    if "variational" in config.data_sources and interval_s < VARIATIONAL_INTERVAL_COMMON_S:
        yield (
            f"variational.poll_interval_s is {interval_s}: the venue refreshes about once a minute "
            "and allows 10 requests in 10 s; "
            f"{VARIATIONAL_INTERVAL_COMMON_S} or more loses nothing"
        )
    every = config.tickers == "all"
    books = sum(every or name in config.tickers for name in config.bybit.depth_tickers)
    books_per_s = books / config.bybit.poll_interval_s
    books_max = BYBIT_REQUESTS_PER_S_MAX - BYBIT_OTHER_REQUESTS_MAX
    if "bybit" in config.data_sources and books_per_s > books_max:
        yield (
            f"bybit.depth_tickers and bybit.poll_interval_s make {books_per_s:.0f} order books a "
            f"second; the venue's limit leaves room for {books_max}: the others are left out of "
            "each slot, in turns"
        )
    if config.http.address is not None and not _is_loopback(config.http.address[0]):
        yield (
            f"http.listen is {config.http.listen}: other machines may read it, without a password"
        )
    if every:
        return
    if "ALL" in config.tickers:
        yield 'tickers names a ticker ALL; for every ticker write "all"'
    if "bybit" in config.data_sources:
        yield from _named_twice(config)


def _named_twice(config: Config) -> Iterator[str]:
    """A warning for each symbol of Bybit that goes by more than one of the tickers."""
    tickers_of: dict[str, list[str]] = {}
    for ticker in config.tickers:
        tickers_of.setdefault(config.bybit.symbol(ticker), []).append(ticker)
    for symbol, names in tickers_of.items():
        if len(names) > 1:
            yield (
                f"tickers names {' and '.join(names)}: at bybit each is {symbol}, which is stored "
                "once for each name"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
