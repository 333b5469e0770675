"""The environment layer: `PERPFLUX_…` variables as values of keys.

Each variable is read by itself, so that a problem names the variable and the others still count.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, get_origin

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from agent.config.keys import (
    LEVEL_SEPARATOR,
    SINK_PLACEHOLDER,
    VARIABLE_PREFIX,
    known_keys,
    variable_of,
)
from agent.config.model import Config
from agent.config.problems import name_shown, nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

VARIABLE_CHARS_MAX: Final = 1 << 20


class _Settings(Config, BaseSettings):
    """Config as pydantic-settings wants to see it: read as a description, never built."""

    model_config = SettingsConfigDict(
        env_prefix=VARIABLE_PREFIX, env_nested_delimiter=LEVEL_SEPARATOR
    )


class _OneVariable(EnvSettingsSource):
    """Reads a single variable: lists separated by commas or as JSON, tables as JSON."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(_Settings)
        self.env_vars = {name.lower(): text}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - the library's signature
        """Raises ValueError, without the text: it may hold a secret."""
        text = str(value).strip()
        is_table = get_origin(field.annotation) is dict
        if not is_table and not text.startswith("["):
            return [item.strip() for item in text.split(",")] if text else ""
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON at character {error.pos + 1}") from None
        except (ValueError, RecursionError):
            raise ValueError("is not JSON that can be read") from None


def read_variable(name: str, text: str) -> tuple[tuple[str, ...], Any]:
    """The path of the key that a variable sets, and its value as the file would have it.

    Raises:
        ValueError: name or text is unusable; the message is the whole line.
    """
    key = _key_of(name)
    if key is None:
        path = tuple(name.removeprefix(VARIABLE_PREFIX).lower().split(LEVEL_SEPARATOR))
        near = variable_of(nearest(path, sections=False))
        raise ValueError(f"{name_shown(name)}: not known; the nearest known variable is {near}")
    if len(text) > VARIABLE_CHARS_MAX:
        raise ValueError(f"{name} is longer than {VARIABLE_CHARS_MAX} characters")
    try:
        value: Any = _OneVariable(name, text)()
    except SettingsError as error:
        allowed = known_keys()[key].allowed
        raise ValueError(f"{name}: {key} {error.__cause__}; allowed: {allowed}") from None
    path = tuple(name.removeprefix(VARIABLE_PREFIX).lower().split(LEVEL_SEPARATOR))
    for part in path:
        if part not in value:  # pydantic leaves a null out
            raise ValueError(f"{name}: {key} is null; allowed: {known_keys()[key].allowed}")
        value = value[part]
    return path, value


def _key_of(name: str) -> str | None:
    """The known key that a variable sets; None = none."""
    if name != name.upper():
        return None
    parts = name.removeprefix(VARIABLE_PREFIX).lower().split(LEVEL_SEPARATOR)
    if parts[0] == "sinks" and len(parts) > 1:
        parts[1] = SINK_PLACEHOLDER
    key = ".".join(parts)
    return key if key in known_keys() else None
