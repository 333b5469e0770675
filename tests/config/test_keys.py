"""The table of keys, and the sample file that must say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.config import InfluxConfig, known_keys, load

SAMPLE = Path(__file__).parents[2] / "deploy" / "perpflux.toml"
COMMENTED_TOML = re.compile(r"^# (?=\[[a-z.]+\]$|[a-z_]+ = )", re.MULTILINE)
EXAMPLES = {"cloud", "stream"}
ENVIRON = {"HOME": "/home/me"}


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; the sample's sinks under the placeholder."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{prefix}{'NAME' if prefix == 'sinks.' else name}"
        # An empty table is the value of a key, a full one is a section.
        found |= flat(value, f"{key}.") if isinstance(value, dict) and value else {key: value}
    return found


def sample(*, with_optional: bool) -> str:
    """The sample's text, the optional sections taken out of their comments or not."""
    text = SAMPLE.read_text(encoding="utf-8")
    return COMMENTED_TOML.sub("", text) if with_optional else text


def test_every_key_is_described() -> None:
    """Each key says what it is for, what it takes, and which variable sets it."""
    for key, info in known_keys().items():
        assert info.key == key
        assert info.variable == "PERPFLUX_" + key.upper().replace(".", "__")
        assert info.description.endswith(".")
        assert info.allowed


def test_keys_of_the_contract() -> None:
    """The keys are those users rely on."""
    assert set(known_keys()) == {
        "tickers",
        "data_sources",
        *(f"variational.{name}" for name in ("api_base", "poll_interval_s", "timeout_s")),
        *(
            f"bybit.{name}"
            for name in (
                "api_base",
                "category",
                "symbols",
                "poll_interval_s",
                "timeout_s",
                "depth_tickers",
                "funding_backfill_days",
            )
        ),
        *(f"influxdb.{name}" for name in ("url", "org", "bucket", "token_file")),
        "sinks",
        *(f"sinks.NAME.{name}" for name in ("url", "org", "bucket", "token_file")),
        *(
            f"sinks.NAME.{name}"
            for name in ("nats_url", "stream", "subject", "group", "credentials_file")
        ),
        *(f"journal.{name}" for name in ("path", "bytes_max", "age_max_s")),
        "http.listen",
        *(f"log.{name}" for name in ("level", "format")),
    }


def test_sample_has_the_defaults() -> None:
    """What is not commented out in the sample is each key of the sections that are always there."""
    wanted = {
        key: info.default
        for key, info in known_keys().items()
        if not info.optional and key != "sinks"
    }
    assert flat(tomllib.loads(sample(with_optional=False))) == wanted


def test_sample_has_the_optional_sections() -> None:
    """Commented out, the sample has every other key, with its default where there is one."""
    found = flat(tomllib.loads(sample(with_optional=True)))
    optional = {key: info for key, info in known_keys().items() if info.optional}
    assert set(found) == set(known_keys()) - {"sinks"}
    for key, info in optional.items():
        assert found[key] == info.default or info.default is None, key


def test_sample_loads_as_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sample as it is shipped changes nothing and warns of nothing."""
    monkeypatch.chdir(tmp_path)
    loaded = load(SAMPLE, environ=ENVIRON)
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert loaded.config == load(empty, environ=ENVIRON).config
    assert loaded.warnings == ()


def test_sample_loads_with_optional_sections(tmp_path: Path) -> None:
    """The sample's optional sections are usable as they stand."""
    path = tmp_path / "c.toml"
    path.write_text(sample(with_optional=True), encoding="utf-8")
    config = load(path, environ=ENVIRON).config
    assert config.influxdb == InfluxConfig()
    assert set(config.sinks) == EXAMPLES


def test_sample_lines_fit() -> None:
    """The sample is read in a terminal of 100 columns."""
    assert max(map(len, sample(with_optional=False).splitlines())) <= 100
