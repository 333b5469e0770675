"""What a new configuration changes, and what of it can be applied while the agent runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.config import Config

FIXED: Final = ("journal", "http")
"""Sections that are read at start only: a lock and a socket hang on them."""
VALUE_CHARS_MAX: Final = 200
NOT_SET: Final = "not set"


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value differs.

    Attributes:
        key: with dots between levels.
        before: its value in JSON, or `NOT_SET`.
        after: the same, now.
        live: whether it is applied at once; False = only a restart applies it.
    """

    key: str
    before: str
    after: str
    live: bool


def changes(before: Config, after: Config) -> list[Change]:
    """Every key that differs, sorted."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        Change(
            key=key,
            before=old.get(key, NOT_SET)[:VALUE_CHARS_MAX],
            after=new.get(key, NOT_SET)[:VALUE_CHARS_MAX],
            live=key.partition(".")[0] not in FIXED,
        )
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def applicable(before: Config, after: Config) -> Config:
    """`after`, but for what only a restart applies: that is as before."""
    return after.model_copy(update={name: getattr(before, name) for name in FIXED})


def _flat(config: Config) -> Iterator[tuple[str, str]]:
    """Dotted keys and their values in JSON; what is not set is left out."""
    return _pairs("", config.model_dump(mode="json"))


def _pairs(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _pairs(f"{prefix}{name}.", value)
        elif value is not None:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
