"""A configuration file with every key explained: `deploy/perpflux.toml` is one with no answers."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from agent.config.keys import KeyInfo, SectionInfo, TomlValue, known_keys, sections

COLUMNS: Final = 100
GROUPED_FROM: Final = 10_000
"""Integers from here on are written with a `_` between thousands."""

_HEADER: Final = """\
# perpflux: configuration. What is not commented out and not set otherwise is the default.
#
# Found by --config, $PERPFLUX_CONFIG, ./perpflux.toml, /etc/perpflux/perpflux.toml.
# Every key is also an environment variable, which goes before the file: PERPFLUX_, then the key in
# upper case with __ between levels, as in PERPFLUX_BYBIT__POLL_INTERVAL_S=5 or
# PERPFLUX_TICKERS=BTC,ETH. Tables are given as JSON, whole:
# PERPFLUX_BYBIT__SYMBOLS={"PEPE":"1000PEPEUSDT"}.
# `perpflux check` proves a configuration without touching the network.
"""
SINK_EXAMPLES: Final = ("cloud", "stream")
"""Names for the two kinds of sink, in the order of the model."""


def sample(values: Mapping[str, TomlValue] | None = None) -> str:
    """A TOML file with each key, its comment, and its value: the given one, else the default.

    Args:
        values: by dotted key. An optional section is commented out unless one of its keys is here.
    """
    values = values or {}
    tables = [section for section in sections() if not section.is_sink]
    sinks = [section for section in sections() if section.is_sink]
    further = known_keys()["sinks"]
    return "\n".join(
        [
            _HEADER,
            *(_block(section, section.name, values) for section in tables),
            "\n".join((*_comment(f"{further.description} Allowed: {further.allowed}."), "")),
            *(
                _block(section, f"sinks.{name}", values)
                for section, name in zip(sinks, SINK_EXAMPLES, strict=True)
            ),
        ]
    )


def _block(section: SectionInfo, name: str, values: Mapping[str, TomlValue]) -> str:
    """A table under a name; the top level has none, and an empty line after each key."""
    lines = [f"[{name}]"] if name else []
    keys = [key for key in section.keys if key.key != "sinks"]
    for key in keys:
        lines += _comment(f"{key.description} Allowed: {key.allowed}.")
        lines.append(f"{key.key.rpartition('.')[2]} = {toml(_value(key, values))}")
        lines += [] if name else [""]
    if section.optional and not any(key.key in values for key in keys):
        lines = [line if line.startswith("#") else f"# {line}" for line in lines]
    return "\n".join([*_comment(section.description), *lines]).rstrip("\n") + "\n"


def _value(key: KeyInfo, values: Mapping[str, TomlValue]) -> TomlValue:
    for value in (values.get(key.key), key.default, key.example):
        if value is not None:
            return value
    return ""


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, COLUMNS - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def toml(value: TomlValue) -> str:
    """A value as TOML has it."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and value >= GROUPED_FROM:
        return f"{value:_}"
    return json.dumps(value, ensure_ascii=False)
