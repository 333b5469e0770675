"""What is wrong with a configuration, one plain line a problem.

A line says where (file or variable), which key, what is wrong with which value, what is allowed.
Values of unknown keys are never shown: somebody may have put a secret there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from agent.config.keys import SINK_PLACEHOLDER, KeyInfo, known_keys
from agent.config.values import INFLUX_TOKEN, REASON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

PROBLEMS_MAX: Final = 50
"""Lines told; the rest is counted."""
SHOWN_CHARS_MAX: Final = 60
NEAR_ENOUGH: Final = 0.6
"""difflib's ratio from which a known name is offered for an unknown one (0 to 1)."""

KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class Origins:
    """Where each value came from: a variable, by the path of what it sets, else the file if any."""

    file: str | None
    variables: dict[KeyPath, str] = field(default_factory=dict)

    def variable(self, path: KeyPath) -> str | None:
        """The variable that set the value at `path` or a table around it; None = the file."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.variables[p] for p in around if p in self.variables), None)

    def where(self, path: KeyPath) -> str:
        """Variable, or file and the variables that set something within `path`."""
        variable = self.variable(path)
        if variable is not None:
            return variable
        within = [name for p, name in self.variables.items() if p[: len(path)] == path]
        if self.file is not None:
            within.insert(0, self.file)
        return ", ".join(within) or "defaults"


def shown(value: object) -> str:
    """A value as an error may show it: one line, printable, short; of tables and lists the size."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return json.dumps(_short(value), ensure_ascii=not value.isprintable())
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return _short(_number_text(value))


def escaped(text: str) -> str:
    """As it is where that is safe on one line of a terminal, else quoted with escapes."""
    return text if text and text.isprintable() else json.dumps(text)


def name_shown(name: str) -> str:
    """A name from outside, in short and on one line."""
    return escaped(_short(name))


def nearest(path: KeyPath, *, sections: bool) -> str:
    """The known key nearest to an unknown one: of its own section where one is near enough.

    `sections`: whether a section may be named for a key without one.
    """
    # Only the beginning of a very long name is compared: the comparison is quadratic.
    text = _pattern(path)[: 2 * SHOWN_CHARS_MAX]
    parent, _, leaf = text.rpartition(".")
    own = {
        key.removeprefix(f"{parent}."): key for key in known_keys() if key.startswith(f"{parent}.")
    }
    found = get_close_matches(leaf.lower(), own, 1, NEAR_ENOUGH)
    if found:
        key = own[found[0]]
    else:
        names = [*known_keys()]
        if sections and len(path) == 1:
            names += dict.fromkeys(key.partition(".")[0] for key in known_keys())
        key = get_close_matches(text.lower(), names, 1, 0.0)[0]
    if path[0] == "sinks" and len(path) > 1:
        key = key.replace(SINK_PLACEHOLDER, str(path[1]), 1)
    return name_shown(key)


def explain(error: ValidationError, origins: Origins, *, file_is_read: bool) -> Iterator[str]:
    """One line for each error of the model.

    `file_is_read` false: the file's part is missing, so only what variables set is judged.
    """
    for details in error.errors(include_url=False):
        path = _without_tags(details["loc"])
        if file_is_read or origins.variable(path) is not None:
            # What is missing has no origin of its own, nor has a name: what is around or in it has.
            has_none = details["type"] == "missing" or path[-1] == "[key]"
            where = origins.where(path[:-1] if has_none else path)
            yield f"{where}: {_sentence(details, path)}"


def bounded(lines: list[str]) -> str:
    """All lines, or the first and how many more there are."""
    if len(lines) <= PROBLEMS_MAX:
        return "\n".join(lines)
    return "\n".join((*lines[:PROBLEMS_MAX], f"and {len(lines) - PROBLEMS_MAX} more problems"))


def _sentence(details: ErrorDetails, path: KeyPath) -> str:
    kind = details["type"]
    key = _dotted(path)
    if kind == "extra_forbidden" and _pattern(path) in known_keys():
        return f"{key} belongs to the other kind of sink: one with url or one with nats_url"
    if kind == "extra_forbidden":
        return f"{key} is not known; the nearest known key is {nearest(path, sections=True)}"
    allowed = _allowed(path)
    if kind == "missing":
        return f"{key} is missing; needed: {allowed}"
    if kind == REASON:
        return f"{key} {details['msg']}; allowed: {allowed}"
    if path[-1] == "[key]":
        parent = _dotted(path[:-2])
        return f"{parent} has the name {shown(details['input'])}; allowed: {allowed}"
    return f"{key} is {shown(details['input'])}; allowed: {allowed}"


def _without_tags(loc: KeyPath) -> KeyPath:
    """The path without the marks pydantic sets for the branch of a union it took."""
    match loc:
        case ("tickers", "names" | "all", *rest):
            return ("tickers", *rest)
        case ("sinks", name, "store" | "nats", *rest):
            return ("sinks", name, *rest)
    return loc


def _dotted(path: KeyPath) -> str:
    """`bybit.symbols.BTC`, `tickers[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{name_shown(part)}"
    return text.removeprefix(".")


def _pattern(path: KeyPath) -> str:
    """The path with the placeholder for a sink's name."""
    if len(path) > 1 and path[0] == "sinks":
        path = ("sinks", SINK_PLACEHOLDER, *path[2:])
    return ".".join(str(part) for part in path)


def _allowed(path: KeyPath) -> str:
    """What the nearest known key at or above `path` takes; a section takes a table."""
    for length in range(len(path), 0, -1):
        info: KeyInfo | None = known_keys().get(_pattern(path[:length]))
        if info is not None:
            return info.allowed
    return f"a table [{_dotted(path)}]"


def _number_text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return "a number with very many digits"


def _short(text: str) -> str:
    text = INFLUX_TOKEN.sub("(a token, not shown)", text)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[: SHOWN_CHARS_MAX - 1]}…"
