"""The configuration's keys as a table: for error messages, sample file and documentation."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

from agent.config.model import SINK_MODELS, Config
from agent.config.values import Allowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

VARIABLE_PREFIX: Final = "PERPFLUX_"
LEVEL_SEPARATOR: Final = "__"
SINK_PLACEHOLDER: Final = "NAME"
"""Stands for the name a sink is given, as in `sinks.NAME.url`."""

TomlValue = str | int | float | list[str] | dict[str, str]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key of the configuration.

    Attributes:
        key: with dots between levels; `sinks.NAME.…` for a sink of any name.
        variable: name of its environment variable.
        allowed: type, unit and range in words.
        default: as TOML has it ("" = not set); None = the key must be given.
        optional: whether it belongs to a section that may be left out altogether.
        description: what it is for.
        example: a value to show for a key that must be given; None = not needed.
    """

    key: str
    variable: str
    allowed: str
    default: TomlValue | None
    optional: bool
    description: str
    example: str | None


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """One table of the configuration.

    Attributes:
        name: `bybit`; `sinks.NAME` for a sink of any name.
        description: what it is for, in one line or several.
        optional: whether it may be left out altogether.
        keys: the keys in it.
    """

    name: str
    description: str
    optional: bool
    keys: tuple[KeyInfo, ...]

    @property
    def is_sink(self) -> bool:
        """Whether it is a further store's, of any name."""
        return self.name.startswith("sinks.")


@cache
def known_keys() -> Mapping[str, KeyInfo]:
    """Every key by its dotted name, in the order of the model."""
    found = {info.key: info for info in _of_model(Config, "", optional=False)}
    for model in SINK_MODELS:
        prefix = f"sinks.{SINK_PLACEHOLDER}."
        found |= {info.key: info for info in _of_model(model, prefix, optional=True)}
    return MappingProxyType(found)


@cache
def sections() -> tuple[SectionInfo, ...]:
    """The top level (its name is "") and every table, in the order of the model.

    Sinks come last, a table for each kind.
    """
    models = {name: _section(field) for name, field in Config.model_fields.items()}
    tables = [(name, model) for name, model in models.items() if model is not None]
    tables += [(f"sinks.{SINK_PLACEHOLDER}", model) for model in SINK_MODELS]
    top = tuple(known_keys()[name] for name, model in models.items() if model is None)
    return (
        SectionInfo("", "", optional=False, keys=top),
        *(_section_info(name, model) for name, model in tables),
    )


def _section_info(name: str, model: type[BaseModel]) -> SectionInfo:
    keys = tuple(known_keys()[f"{name}.{key}"] for key in model.model_fields)
    return SectionInfo(name, inspect.cleandoc(model.__doc__ or ""), keys[0].optional, keys)


def variable_of(key: str) -> str:
    """Name of a key's environment variable."""
    return VARIABLE_PREFIX + key.upper().replace(".", LEVEL_SEPARATOR)


def _of_model(model: type[BaseModel], prefix: str, *, optional: bool) -> Iterator[KeyInfo]:
    for name, field in model.model_fields.items():
        key = prefix + name
        section = _section(field)
        if section is None:
            yield _info(key, field, optional=optional)
        else:
            may_be_absent = optional or type(None) in get_args(field.annotation)
            yield from _of_model(section, f"{key}.", optional=may_be_absent)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section, also of one that may be absent; None for a plain key."""
    candidates = (field.annotation, *get_args(field.annotation))
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def _info(key: str, field: FieldInfo, *, optional: bool) -> KeyInfo:
    allowed = next(meta for meta in field.metadata if isinstance(meta, Allowed))
    default = "" if allowed.filled_in else None
    if not field.is_required():
        default = _as_toml(field.default)
    return KeyInfo(
        key=key,
        variable=variable_of(key),
        allowed=allowed.text,
        default=default,
        optional=optional,
        description=field.description or "",
        example=next(iter(field.examples or ()), None),
    )


def _as_toml(value: Any) -> Any:
    """A default as TOML writes it."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
