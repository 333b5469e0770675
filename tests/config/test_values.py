"""Each key: what it takes, what it refuses, and how that is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from agent.config import BybitConfig, Config, HttpConfig, JournalConfig, NatsSink, StoreSink

if TYPE_CHECKING:
    from tests.config.conftest import LoadText, Problems

TOKEN = "A" * 86 + "=="


def value_of(config: Config, key: str) -> Any:
    """The value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def toml(key: str, text: str) -> str:
    """One key of a section, or of the top, as a file."""
    section, _, name = key.rpartition(".")
    return f"[{section}]\n{name} = {text}\n" if section else f"{name} = {text}\n"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("tickers", '"all"', "all"),
        ("tickers", '["all"]', "all"),
        ("tickers", '["1000PEPE", "a.b_c-d"]', ("1000PEPE", "a.b_c-d")),
        ("data_sources", '["bybit"]', ("bybit",)),
        ("variational.poll_interval_s", "1", 1),
        ("bybit.poll_interval_s", "3600", 3600),
        ("bybit.timeout_s", "0.25", 0.25),
        ("bybit.timeout_s", "60", 60.0),
        ("bybit.api_base", '"http://127.0.0.1:8000/"', "http://127.0.0.1:8000"),
        ("bybit.api_base", '"https://host/a/b//"', "https://host/a/b"),
        ("bybit.api_base", '"http://[::1]:80"', "http://[::1]:80"),
        ("bybit.api_base", '"http://influx_db"', "http://influx_db"),
        ("bybit.symbols", '{ PEPE = "1000PEPEUSDT" }', {"PEPE": "1000PEPEUSDT"}),
        ("bybit.depth_tickers", "[]", ()),
        ("influxdb.token_file", '""', None),
        ("influxdb.token_file", '"sub/token"', Path("sub/token")),
        ("journal.path", '"data/j.db"', Path("data/j.db")),
        ("journal.bytes_max", "1_048_576", 1 << 20),
        ("journal.age_max_s", "60", 60),
        ("http.listen", '""', ""),
        ("http.listen", '"[::1]:0"', "[::1]:0"),
        ("log.level", '"DEBUG"', "debug"),
        ("log.format", '"json"', "json"),
    ],
)
def test_taken(load_text: LoadText, key: str, text: str, value: object) -> None:
    """A value within its key's bounds is taken, in one plain form."""
    assert value_of(load_text(toml(key, text)).config, key) == value


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("tickers", "[]", 'tickers is a list of 0; allowed: "all", or a list of 1 to 1000'),
        ("tickers", '["A B", "C"]', 'tickers[0] is "A B"; allowed: "all", or a list'),
        ("tickers", f'["{"A" * 33}"]', f'tickers[0] is "{"A" * 33}"; allowed:'),
        ("tickers", '["A", "B", "A"]', "tickers names A more than once; allowed:"),
        ("tickers", str([f"T{n}" for n in range(1001)]), "tickers is a list of 1001; allowed:"),
        ("tickers", '"BTC"', 'tickers is "BTC"; allowed: "all", or a list'),
        ("tickers", "5", "tickers is 5; allowed:"),
        ("data_sources", "[]", "data_sources is a list of 0; allowed: list of variational and"),
        ("data_sources", '["binance"]', 'data_sources[0] is "binance"; allowed:'),
        ("data_sources", '["bybit", "bybit"]', "data_sources names bybit more than once;"),
        ("variational.poll_interval_s", "0", "variational.poll_interval_s is 0; allowed: whole"),
        ("bybit.poll_interval_s", "3601", "bybit.poll_interval_s is 3601; allowed: whole seconds"),
        ("bybit.poll_interval_s", "1.5", "bybit.poll_interval_s is 1.5; allowed: whole seconds, 1"),
        ("bybit.poll_interval_s", "true", "bybit.poll_interval_s is true; allowed:"),
        ("bybit.poll_interval_s", "1979-05-27", "bybit.poll_interval_s is 1979-05-27; allowed:"),
        ("bybit.timeout_s", "0", "bybit.timeout_s is 0; allowed: seconds, above 0, up to 60"),
        ("bybit.timeout_s", "60.5", "bybit.timeout_s is 60.5; allowed:"),
        ("bybit.timeout_s", "nan", "bybit.timeout_s is nan; allowed:"),
        ("bybit.timeout_s", "true", "bybit.timeout_s is true; allowed:"),
        ("bybit.api_base", '"ftp://host"', 'bybit.api_base is "ftp://host"; allowed: http://'),
        ("bybit.api_base", '"https://"', 'bybit.api_base is "https://"; allowed:'),
        ("bybit.api_base", '"https://h:0"', 'bybit.api_base is "https://h:0"; allowed:'),
        ("bybit.api_base", '"https://h:65536"', 'bybit.api_base is "https://h:65536"; allowed:'),
        ("bybit.api_base", '"https://[::1"', 'bybit.api_base is "https://[::1"; allowed:'),
        ("bybit.api_base", '"https://ho st"', 'bybit.api_base is "https://ho st"; allowed:'),
        ("bybit.api_base", "[1]", "bybit.api_base is a list of 1; allowed:"),
        ("bybit.category", '"inverse"', 'bybit.category is "inverse"; allowed: linear'),
        ("bybit.symbols", '{ BTC = "btcusdt" }', 'bybit.symbols.BTC is "btcusdt"; allowed: table'),
        ("bybit.symbols", '{ "B C" = "BC" }', 'bybit.symbols has the name "B C"; allowed: table'),
        ("bybit.depth_tickers", '["A", "A"]', "bybit.depth_tickers names A more than once;"),
        ("influxdb.org", '""', 'influxdb.org is ""; allowed: 1 to 256 printable characters'),
        ("influxdb.bucket", r'"a\nb"', r'influxdb.bucket is "a\nb"; allowed:'),
        ("influxdb.bucket", f'"{"b" * 257}"', f'influxdb.bucket is "{"b" * 59}…"; allowed:'),
        ("journal.path", r'"a\u0000b"', "journal.path is no path (not shown here); allowed:"),
        ("journal.path", "7", "journal.path is 7; allowed: path of a file"),
        ("journal.path", '"~nobody-here/j"', "journal.path begins with ~, but that home directory"),
        ("journal.bytes_max", "1_048_575", "journal.bytes_max is 1048575; allowed: bytes, 1048576"),
        ("journal.age_max_s", "59", "journal.age_max_s is 59; allowed: whole seconds, 60 to"),
        ("http.listen", '":9477"', 'http.listen is ":9477"; allowed: host:port'),
        ("http.listen", '"localhost"', 'http.listen is "localhost"; allowed: host:port'),
        ("http.listen", '"h:65536"', 'http.listen is "h:65536"; allowed: host:port'),
        ("http.listen", '"::1:80"', 'http.listen is "::1:80"; allowed: host:port'),
        ("log.level", '"trace"', 'log.level is "trace"; allowed: debug, info, warning or error'),
        ("log.format", '"xml"', 'log.format is "xml"; allowed: auto, console or json'),
    ],
)
def test_refused(problems: Problems, key: str, text: str, line: str) -> None:
    """A value out of bounds costs one line: file, key, the value, what is allowed."""
    (found,) = problems(toml(key, text))
    assert found.startswith(f"perpflux.toml: {line}")


def test_home_is_expanded(load_text: LoadText, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that begins with ~ lies in the user's home directory."""
    monkeypatch.setenv("HOME", "/somewhere")
    config = load_text('[journal]\npath = "~/j.db"').config
    assert config.journal.path == Path("/somewhere/j.db")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("bybit", "api_base", "https://me:geheim@host"),
        ("bybit", "api_base", "https://host/?key=geheim"),
        ("bybit", "api_base", "https://host/#geheim"),
        ("influxdb", "token", "geheim"),
        ("influxdb", "token_file", f"{TOKEN}\n"),
        ("influxdb", "token_file", "geheim\x01"),
        ("influxdb", "bucket", f"{TOKEN}\x01"),
        ("influxdb", TOKEN, "x"),
    ],
)
def test_no_secret_in_errors(problems: Problems, section: str, key: str, value: str) -> None:
    """Whatever may hold a secret is refused without being shown."""
    escaped = value.replace("\n", "\\n").replace("\x01", "\\u0001")
    (line,) = problems(f'[{section}]\n"{key}" = "{escaped}"\n')
    assert line.startswith(f"perpflux.toml: {section}.")
    assert "geheim" not in line
    assert "AAAA" not in line


def test_no_secret_in_the_models_own_error() -> None:
    """Somebody who builds a model by hand gets no value in the error either."""
    with pytest.raises(ValidationError) as caught:
        StoreSink(url="https://me:geheim@host")
    assert "geheim" not in str(caught.value)


def test_sinks_are_told_apart(load_text: LoadText) -> None:
    """`url` makes a sink a store, `nats_url` a NATS stream."""
    config = load_text(
        '[sinks.cloud]\nurl = "https://h/"\nbucket = "b"\n'
        '[sinks.st_1-x]\nnats_url = "tls://n:4222"\nstream = "S"\nsubject = "a.b"\n'
    ).config
    assert config.sinks == {
        "cloud": StoreSink(url="https://h", org="perps", bucket="b", token_file=None),
        "st_1-x": NatsSink(nats_url="tls://n:4222", stream="S", subject="a.b"),
    }


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[sinks.influxdb]\nurl = "http://h"', ['sinks has the name "influxdb"']),
        ('[sinks.Big]\nurl = "http://h"', ['sinks has the name "Big"']),
        (f'[sinks.{"n" * 33}]\nurl = "http://h"', [f'sinks has the name "{"n" * 33}"']),
        ("[sinks.a]\norg = 'x'", ["sinks.a must be a table with exactly one of url and nats_url"]),
        ("[sinks]\na = 1", ["sinks.a must be a table with exactly one of url and nats_url"]),
        (
            '[sinks.a]\nurl = "http://h"\nnats_url = "nats://h"',
            ["sinks.a must be a table with exactly one of url and nats_url"],
        ),
        (
            '[sinks.a]\nnats_url = "http://h"\nsubject = "a.>"\norg = "x"',
            [
                'sinks.a.nats_url is "http://h"; allowed: nats:// or tls://',
                "sinks.a.stream is missing; needed: 1 to 64 of",
                'sinks.a.subject is "a.>"; allowed: words',
                "sinks.a.org belongs to the other kind of sink",
            ],
        ),
        (
            '[sinks.a]\nurl = "http://h"\ntoken = "x"',
            ["sinks.a.token is not known; the nearest known key is sinks.a.token_file"],
        ),
        ("".join(f"[sinks.n{n}]\nurl='http://h'\n" for n in range(17)), ["sinks is a table"]),
    ],
)
def test_sinks_refused(problems: Problems, text: str, lines: list[str]) -> None:
    """A sink needs a name of its own, exactly one kind of url, and the keys of its kind."""
    found = problems(text)
    assert len(found) == len(lines)
    for line, start in zip(found, lines, strict=True):
        assert line.startswith(f"perpflux.toml: {start}")


def test_symbol() -> None:
    """A ticker's symbol is the configured one, else the ticker in upper case and USDT."""
    bybit = BybitConfig(symbols={"PEPE": "1000PEPEUSDT"})
    assert [bybit.symbol(t) for t in ("PEPE", "BTC", "kas")] == [
        "1000PEPEUSDT",
        "BTCUSDT",
        "KASUSDT",
    ]


@pytest.mark.parametrize(
    ("listen", "address"),
    [("", None), ("localhost:9477", ("localhost", 9477)), ("[::1]:1", ("::1", 1))],
)
def test_address(listen: str, address: tuple[str, int] | None) -> None:
    """A server is handed host and port, an IPv6 host without brackets; None when it is off."""
    assert HttpConfig(listen=listen).address == address


def test_frozen() -> None:
    """Nothing changes a configuration once it is made."""
    config = Config(journal=JournalConfig(path=Path("j.db")))
    with pytest.raises(ValidationError, match="frozen"):
        config.tickers = "all"  # type: ignore[misc]  # that is the point
