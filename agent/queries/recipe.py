"""A Flux file with parameters: how it is read, and how values are put into it. Pure.

Such a file runs as it stands, also pasted into another program. Its head is comments, imports and
parameters, each a line `name = literal  // meaning`; a value is put in place of the literal, so
that nothing else of the text can change and line numbers stay. The first comment is the question,
indented comments below `// Columns:` say what comes back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

from agent.errors import UsageError

SUFFIX: Final = ".flux"
TASKS: Final = "tasks"
TEXT_CHARS_MAX: Final = 1000
"""Bound on one value of a parameter."""

DURATION: Final = r"-?(?:[0-9]+(?:ns|us|µs|ms|mo|s|m|h|d|w|y))+"
_INSTANT: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2}))?"
)
_STRING: Final = r'"(?:[^"\\\n]|\\.)*"'
_KINDS: Final = {
    "text": _STRING,
    "time": rf"now\(\)|{_INSTANT}",
    "duration": DURATION,
    "float": r"-?[0-9]+\.[0-9]+",
    "integer": r"-?[0-9]+",
    "truth": r"true|false",
}
_ALLOWED: Final = {
    "text": f"text of up to {TEXT_CHARS_MAX} characters",
    "time": "an instant such as 2026-01-06T00:00:00Z, or now()",
    "duration": "a duration such as 90s, 5m or 7d",
    "float": "a number such as 2.5",
    "integer": "a whole number",
    "truth": "true or false",
}
RANGE: Final = ("start", "stop")
"""Parameters that take an instant or a duration, whatever stands in the file."""

_PARAMETER: Final = re.compile(
    rf"^([a-z][a-zA-Z0-9_]*) = ({'|'.join(_KINDS.values())})[ \t]*(?://[ \t]*(.*))?$", re.MULTILINE
)
_HEAD: Final = re.compile(rf"(?:[ \t]*(?://.*|import .*|)\n|{_PARAMETER.pattern}\n)*", re.MULTILINE)
_COLUMN: Final = re.compile(r"^//   (\w+)  +(\S.*)$", re.MULTILINE)
_COLUMNS_BEGIN: Final = "// Columns:"
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "\\x24"}
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that can be replaced.

    Attributes:
        name: as it is called in the text.
        kind: a key of the kinds of literals: text, time, duration, float, integer, truth.
        default: the literal that stands in the file.
        meaning: the comment beside it.
    """

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Flux text and what is known about it.

    Attributes:
        name: of the cookbook entry, or the file.
        text: as it stands, runnable.
        question: the first comment.
        notes: the comments between question and columns.
        parameters: by name, in the order of the file.
        columns: what comes back, by name with its meaning; empty = the text does not say.
    """

    name: str
    text: str
    question: str
    notes: str
    parameters: Mapping[str, Parameter]
    columns: Mapping[str, str]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with these values in place of the defaults.

        Raises:
            UsageError: a parameter is not known, or a value is not of its kind.
        """
        literals = {name: self._literal(name, value) for name, value in values.items()}

        def put(match: re.Match[str]) -> str:
            literal = literals.get(match[1])
            return match[0] if literal is None else _with_literal(match, literal)

        end = _head_end(self.text)
        return _PARAMETER.sub(put, self.text[:end]) + self.text[end:]

    def _literal(self, name: str, value: str) -> str:
        parameter = self.parameters.get(name)
        if parameter is None:
            known = ", ".join(self.parameters) or "it has none"
            raise UsageError(f"query {self.name}", f"no parameter {name!r}", f"known: {known}")
        literal = literal_of(parameter.kind, value, in_range=name in RANGE)
        if literal is None:
            allowed = _ALLOWED["time" if name in RANGE else parameter.kind]
            more = ", or a duration such as -7d" if name in RANGE else ""
            raise UsageError(
                f"query {self.name}",
                f"parameter {name} cannot be {value[:80]!r}",
                f"allowed: {allowed}{more}",
            )
        return literal


def _with_literal(match: re.Match[str], literal: str) -> str:
    line, begin = match[0], match.start()
    return line[: match.start(2) - begin] + literal + line[match.end(2) - begin :]


def literal_of(kind: str, value: str, *, in_range: bool = False) -> str | None:
    """A value as a Flux literal of this kind; None = it is none.

    Text is quoted so that nothing in it is code: the escapes of Flux's string literals, and `$`,
    which would begin an interpolation, as its byte.
    https://docs.influxdata.com/flux/v0/spec/lexical-elements/#string-literals
    """
    if kind == "text" and not in_range:
        fits = len(value) <= TEXT_CHARS_MAX and "\0" not in value
        return f'"{value.translate(_ESCAPES)}"' if fits else None
    if in_range:
        pattern = f"{_KINDS['time']}|{DURATION}"
    elif kind == "float":
        pattern = f"{_KINDS['float']}|{_KINDS['integer']}"
    else:
        pattern = _KINDS[kind]
    if re.fullmatch(pattern, value, re.ASCII) is None:
        return None
    # Flux does not take a whole number where it wants a float.
    return f"{value}.0" if kind == "float" and "." not in value else value


def parse_recipe(name: str, text: str) -> Recipe:
    """Read a Flux text; one without head or comments is fine."""
    head = text[: _head_end(text)]
    comments = "\n".join(line for line in head.splitlines() if line.startswith("//"))
    prose, _, columns = comments.partition(_COLUMNS_BEGIN)
    question, _, notes = prose.partition("\n")
    found = (Parameter(m[1], _kind(m[2]), m[2], m[3] or "") for m in _PARAMETER.finditer(head))
    return Recipe(
        name=name,
        text=text,
        question=question.lstrip("/ "),
        notes="\n".join(line.removeprefix("//").strip() for line in notes.splitlines()).strip(),
        parameters={parameter.name: parameter for parameter in found},
        columns=dict(_COLUMN.findall(columns)),
    )


def _head_end(text: str) -> int:
    match = _HEAD.match(text)
    return match.end() if match else 0


def _kind(literal: str) -> str:
    return next(kind for kind, pattern in _KINDS.items() if re.fullmatch(pattern, literal))


@cache
def cookbook() -> Mapping[str, Recipe]:
    """Every entry of the cookbook by its name, in alphabetical order."""
    return {
        name: parse_recipe(name, path.read_text(encoding="utf-8"))
        for name, path in sorted(
            (path.name.removesuffix(SUFFIX), path)
            for path in files(__package__).iterdir()
            if path.name.endswith(SUFFIX)
        )
    }


def nearest_names(name: str) -> list[str]:
    """Entries whose names look like this one, the nearest first, at most three."""
    return get_close_matches(name, cookbook(), n=3)


def task_text(name: str) -> str:
    """The text of a task that comes with the package, such as "rollup_1m"."""
    return files(__package__).joinpath(TASKS, f"{name}{SUFFIX}").read_text(encoding="utf-8")
