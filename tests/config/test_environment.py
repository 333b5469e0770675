"""The environment goes before the file, and each variable answers for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent import config
from agent.config import InfluxConfig, NatsSink, StoreSink, known_keys, load
from agent.config.variables import VARIABLE_CHARS_MAX

if TYPE_CHECKING:
    from tests.config.conftest import LoadText, Problems


def test_over_the_file_over_the_defaults(load_text: LoadText) -> None:
    """A variable replaces its own key only; the file's other keys and the defaults stay."""
    bybit = load_text(
        "[bybit]\npoll_interval_s = 7\ntimeout_s = 3\n", PERPFLUX_BYBIT__POLL_INTERVAL_S="5"
    ).config.bybit
    assert (bybit.poll_interval_s, bybit.timeout_s, bybit.category) == (5, 3.0, "linear")


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("BTC", ("BTC",)),
        ("BTC,ETH", ("BTC", "ETH")),
        (" BTC , ETH ", ("BTC", "ETH")),
        ('["BTC", "ETH"]', ("BTC", "ETH")),
        ("all", "all"),
    ],
)
def test_tickers(load_text: LoadText, text: str, tickers: object) -> None:
    """Tickers are a list with commas, a JSON list, or `all`."""
    assert load_text(PERPFLUX_TICKERS=text).config.tickers == tickers


def test_every_kind_of_key(load_text: LoadText) -> None:
    """Lists, numbers, text, emptiness and tables all have a form in the environment."""
    config = load_text(
        PERPFLUX_DATA_SOURCES="bybit",
        PERPFLUX_VARIATIONAL__TIMEOUT_S="2.5",
        PERPFLUX_BYBIT__SYMBOLS='{"PEPE": "1000PEPEUSDT"}',
        PERPFLUX_BYBIT__DEPTH_TICKERS="",
        PERPFLUX_INFLUXDB__BUCKET="raw",
        PERPFLUX_JOURNAL__BYTES_MAX="2_147_483_648",
        PERPFLUX_HTTP__LISTEN="",
    ).config
    assert config.data_sources == ("bybit",)
    assert config.variational.timeout_s == 2.5
    assert config.bybit.symbols == {"PEPE": "1000PEPEUSDT"}
    assert config.bybit.depth_tickers == ()
    assert config.influxdb == InfluxConfig(bucket="raw")
    assert config.journal.bytes_max == 2_147_483_648
    assert config.http.listen == ""


def test_a_table_replaces_the_files(load_text: LoadText) -> None:
    """JSON for a free table is the whole table, so that an entry of the file can be taken away."""
    config = load_text(
        '[bybit.symbols]\nA = "AUSDC"\n[sinks.old]\nurl = "http://h"\n',
        PERPFLUX_BYBIT__SYMBOLS='{"B": "BUSDC"}',
        PERPFLUX_SINKS="{}",
    ).config
    assert config.bybit.symbols == {"B": "BUSDC"}
    assert config.sinks == {}


def test_keys_of_a_sink(load_text: LoadText) -> None:
    """A sink's key has a variable too, over the JSON for all sinks and over the file."""
    config = load_text(
        '[sinks.cloud]\nurl = "http://old"\norg = "o"\n', PERPFLUX_SINKS__CLOUD__URL="http://new"
    ).config
    assert config.sinks == {"cloud": StoreSink(url="http://new", org="o")}
    config = load_text(
        PERPFLUX_SINKS='{"n": {"nats_url": "nats://n", "stream": "S", "subject": "old"}}',
        PERPFLUX_SINKS__N__SUBJECT="new",
    ).config
    assert config.sinks == {"n": NatsSink(nats_url="nats://n", stream="S", subject="new")}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PERPFLUX_BYBIT__POL_INTERVAL_S", "PERPFLUX_BYBIT__POLL_INTERVAL_S"),
        ("PERPFLUX_BYBIT_POLL_INTERVAL_S", "PERPFLUX_BYBIT__POLL_INTERVAL_S"),
        ("PERPFLUX_TICKER", "PERPFLUX_TICKERS"),
        ("PERPFLUX_tickers", "PERPFLUX_TICKERS"),
        ("PERPFLUX_INFLUXDB__TOKEN", "PERPFLUX_INFLUXDB__TOKEN_FILE"),
        ("PERPFLUX_SINKS__CLOUD__URLL", "PERPFLUX_SINKS__CLOUD__URL"),
        ("PERPFLUX_CONFIGS", ""),
        ("PERPFLUX_BYBIT", ""),
        ("PERPFLUX_", ""),
    ],
)
def test_unknown_variable(problems: Problems, name: str, near: str) -> None:
    """An unknown variable is an error that names the nearest known one, and not its value."""
    (line,) = problems(**{name: "geheim"})
    start = f"{name}: not known; the nearest known variable is "
    assert line.startswith(f"{start}{near}")
    assert line.removeprefix(start) in {
        *(info.variable for info in known_keys().values()),
        near,
    }
    assert "geheim" not in line


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("PERPFLUX_TICKERS", "", 'tickers is ""; allowed:'),
        ("PERPFLUX_TICKERS", "[BTC", 'tickers is "[BTC"; allowed:'),
        ("PERPFLUX_TICKERS", "BTC,,ETH", 'tickers[1] is ""; allowed:'),
        ("PERPFLUX_DATA_SOURCES", "[", "data_sources is not valid JSON at character 2; allowed:"),
        ("PERPFLUX_LOG__LEVEL", "x", 'log.level is "x"; allowed: debug'),
        ("PERPFLUX_BYBIT__TIMEOUT_S", "x", 'bybit.timeout_s is "x"; allowed: seconds'),
        ("PERPFLUX_BYBIT__SYMBOLS", '{"A":', "bybit.symbols is not valid JSON at character 6;"),
        ("PERPFLUX_BYBIT__SYMBOLS", '{"A":"x"}', 'bybit.symbols.A is "x"; allowed: table'),
        ("PERPFLUX_BYBIT__SYMBOLS", "[" * 100_000, "bybit.symbols is not JSON that can be read;"),
        ("PERPFLUX_SINKS", "null", "sinks is null; allowed: up to 16 tables [sinks.NAME],"),
        ("PERPFLUX_SINKS", '{"a": {"token": "geheim"', "sinks is not valid JSON at character 25"),
        ("PERPFLUX_SINKS", "5", "sinks is 5; allowed: up to 16 tables"),
        ("PERPFLUX_SINKS____URL", "http://h", 'sinks has the name ""; allowed: up to 16'),
        ("PERPFLUX_SINKS__A__ORG", "x", "sinks.a must be a table with exactly one of url and"),
        ("INFLUXDB_V2_URL", "influx:8086", 'influxdb.url is "influx:8086"; allowed: http://'),
        ("PERPFLUX_JOURNAL__PATH", "a\x1bb", "journal.path is no path (not shown here)"),
    ],
)
def test_bad_value(problems: Problems, name: str, text: str, line: str) -> None:
    """A bad value names its variable, key, value and what is allowed."""
    (found,) = problems(**{name: text})
    assert found.removeprefix("perpflux.toml, ").startswith(f"{name}: {line}")
    assert "geheim" not in found


def test_too_long(problems: Problems) -> None:
    """A variable's length is bounded."""
    (line,) = problems(PERPFLUX_BYBIT__SYMBOLS=" " * (VARIABLE_CHARS_MAX + 1))
    assert line == f"PERPFLUX_BYBIT__SYMBOLS is longer than {VARIABLE_CHARS_MAX} characters"


def test_terminal_is_safe(problems: Problems) -> None:
    """Names and values with control characters or halves of characters are shown escaped."""
    lines = problems('"a\\u001b" = 1', **{"PERPFLUX_\udcff\n": "1", "PERPFLUX_LOG__LEVEL": "\x1b"})
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert r'"PERPFLUX_\udcff\n"' in lines[0]


def test_not_into_what_is_no_table(problems: Problems) -> None:
    """Where the file has no table for a variable's key, the file's mistake is told."""
    (line,) = problems("bybit = 5", PERPFLUX_BYBIT__TIMEOUT_S="3")
    assert line == "perpflux.toml: bybit is 5; allowed: a table [bybit]"


def test_influx_variables_fill_in(load_text: LoadText) -> None:
    """INFLUXDB_V2_URL makes the section appear; url and org given otherwise go before."""
    given = {"INFLUXDB_V2_URL": "http://env/", "INFLUXDB_V2_ORG": "env"}
    assert load_text(INFLUXDB_V2_URL="http://env/").config.influxdb == InfluxConfig(
        url="http://env", org="perps", bucket="perps", token_file=None
    )
    assert load_text(**given).config.influxdb == InfluxConfig(url="http://env", org="env")
    file = '[influxdb]\nurl = "http://file"\n'
    assert load_text(file, **given).config.influxdb == InfluxConfig(url="http://file", org="env")
    assert load_text(
        file, **given, PERPFLUX_INFLUXDB__ORG="p", PERPFLUX_INFLUXDB__URL="http://p"
    ).config.influxdb == InfluxConfig(url="http://p", org="p")


def test_no_influx_from_less(load_text: LoadText) -> None:
    """Organisation or token alone do not make the section appear, nor does an empty URL."""
    loaded = load_text(INFLUXDB_V2_ORG="o", INFLUXDB_V2_TOKEN="t", INFLUXDB_V2_URL="")
    assert loaded.config.influxdb is None
    assert loaded.token is None


def test_reading_variables_does_not_hide_the_function_of_the_package() -> None:
    """A module that is imported late must not take the name of something the package gives."""
    load(environ={"STATE_DIRECTORY": "/x", "PERPFLUX_TICKERS": "BTC"})
    assert callable(config.environment)
