r"""Line protocol as InfluxDB 2.8 reads it: which lines it takes, and its words for the others.

It knows nothing of our encoder. What it says is checked line by line against what a real server
answered (`cases/lines.json`). Where that is loose (it takes a string with something behind its
closing quote), so is this; of a line with two faults it may name the other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

STAMP_NS_MAX: Final = 2**63 - 2
KEY_LENGTH_MAX: Final = 65_535
FIELD_LENGTH_MAX: Final = 1_048_576
RESERVED_TAG_KEYS: Final = ("\xff", "\x00", "_field", "_measurement", "time")

_BLANKS: Final = " \t\x00"
_INTEGER: Final = re.compile(r"-?\d+i")
_UNSIGNED: Final = re.compile(r"\d+u")
_FLOAT: Final = re.compile(r"-?(?:[0-9.]|(?<=.)[eE][+-]?)*")
_BOOLEANS: Final = frozenset(
    ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE")
)
_RANGE_CHECK_LENGTH: Final = 25
_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)


class RefusedError(Exception):
    """Why a line is none; the text is the server's."""


@dataclass(frozen=True)
class ServerPoint:
    """A point as the server understood it; `fields` maps names to (type, text)."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: dict[str, tuple[str, str]]
    stamp_ns: int
    key: str

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...], int]:
        """What makes a point overwrite another."""
        return self.measurement, self.tags, self.stamp_ns


def parse_body(text: str, now_ns: int) -> tuple[list[ServerPoint], list[str]]:
    """All points of a body, and one entry per bad line in the words of a 400."""
    points, failed = [], []
    for block in _blocks(text):
        line = block.removesuffix("\n").lstrip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        try:
            points.append(_parse_line(line, now_ns))
        except RefusedError as refusal:
            failed.append(f"unable to parse '{line}': {refusal}")
    return points, failed


def _blocks(text: str) -> list[str]:
    """Lines: a newline inside a quoted field value does not end one."""
    blocks, start, position = [], 0, 0
    in_fields = quoted = False
    equals = commas = 0
    while position < len(text):
        char = text[position]
        if char == "\\" and position + 2 < len(text):
            position += 2
            continue
        in_fields = in_fields or char == " "
        if in_fields and char == '"' and equals > commas:
            quoted = not quoted
        elif in_fields and not quoted and char in "=,":
            equals, commas = equals + (char == "="), commas + (char == ",")
        elif char == "\n" and not quoted:
            blocks.append(text[start:position])
            start, in_fields, equals, commas = position + 1, False, 0, 0
        position += 1
    return [*blocks, text[start:]]


def _parse_line(line: str, now_ns: int) -> ServerPoint:
    measurement, tags, end = _scan_key(line)
    key = line[:end]
    if len(key.encode()) > KEY_LENGTH_MAX:
        raise RefusedError(
            f"max key length exceeded: {len(key.encode())} > {KEY_LENGTH_MAX}",
        )
    fields, end = _scan_fields(line, end)
    for name in fields:
        size = len(key.encode()) + 4 + len(name.encode())
        if size > KEY_LENGTH_MAX:
            raise RefusedError(f"max key length exceeded: {size} > {KEY_LENGTH_MAX}")
    return ServerPoint(
        measurement=_unescaped(measurement, ", "),
        tags=tuple(sorted((_unescaped(k, ",= "), _unescaped(v, ",= ")) for k, v in tags)),
        fields={_unescaped(name, ',"= '): value for name, value in fields.items()},
        stamp_ns=_scan_stamp(line, end, now_ns),
        key=key,
    )


def _unescaped(text: str, specials: str) -> str:
    return re.sub(rf"\\([{specials}])", r"\1", text)


def _find(line: str, start: int, stops: str) -> int:
    """Where the next of these characters is that no backslash precedes; the end if none."""
    for position in range(start, len(line)):
        if line[position] in stops and line[position - 1] != "\\":
            return position
    return len(line)


def _scan_key(line: str) -> tuple[str, list[tuple[str, str]], int]:
    if line.startswith(","):
        raise RefusedError("missing measurement")
    end = _find(line, 1, ", ")
    measurement = line[:end]
    tags: list[tuple[str, str]] = []
    while end < len(line) and line[end] == ",":
        name, end = _scan_tag_key(line, end + 1)
        value, end = _scan_tag_value(line, end)
        tags.append((name, value))
    if end == len(line):
        raise RefusedError("missing fields")
    names = [name for name, _ in tags]
    for name in names:
        if name in RESERVED_TAG_KEYS:
            raise RefusedError(f'cannot use reserved tag key "{name}"')
    if len(set(names)) < len(names):
        raise RefusedError("duplicate tags")
    return measurement, tags, end


def _scan_tag_key(line: str, start: int) -> tuple[str, int]:
    if line[start : start + 1] in {"", " ", ",", "="}:
        raise RefusedError("missing tag key")
    end = _find(line, start + 1, " ,=")
    if line[end : end + 1] != "=":
        raise RefusedError("missing tag value")
    return line[start:end], end + 1


def _scan_tag_value(line: str, start: int) -> tuple[str, int]:
    if line[start : start + 1] in {"", " ", ","}:
        raise RefusedError("missing tag value")
    end = _find(line, start + 1, " ,=")
    if line[end : end + 1] == "=":
        raise RefusedError("invalid tag format")
    return line[start:end], end


def _skip_blanks(line: str, start: int) -> int:
    while start < len(line) and line[start] in _BLANKS:
        start += 1
    return start


def _scan_fields(line: str, start: int) -> tuple[dict[str, tuple[str, str]], int]:
    position = name_start = _skip_blanks(line, start)
    equals = commas = 0
    fields: dict[str, tuple[str, str]] = {}
    while position < len(line) and line[position] != " ":
        char = line[position]
        if char == "\\" and position + 1 < len(line):
            position += 2
        elif char == "=":
            equals += 1
            _check_around(line, position)
            if line[position + 1] == '"' and equals <= commas:
                raise RefusedError("invalid field format")
            kind, end = _scan_value(line, position + 1)
            fields[line[name_start:position]] = (kind, line[position + 1 : end])
            position = end
        elif char == ",":
            commas += 1
            position = name_start = position + 1
        else:
            position += 1
    if equals == 0 or commas != equals - 1:
        raise RefusedError("invalid field format")
    return fields, position


def _check_around(line: str, equals_at: int) -> None:
    """There must be something before and after the equals sign."""
    if line[equals_at - 1] in " ," and line[equals_at - 2] != "\\":
        raise RefusedError("missing field key")
    if line[equals_at + 1 : equals_at + 2] in {"", ",", " "}:
        raise RefusedError("missing field value")


def _scan_value(line: str, start: int) -> tuple[str, int]:
    """Type and end of the value that starts here."""
    first = line[start]
    if first == '"':
        return "string", _scan_string(line, start)
    end = next((i for i in range(start, len(line)) if line[i] in ", "), len(line))
    token = line[start:end]
    if first in "0123456789.-Nn":
        return _number_type(token), end
    if token not in _BOOLEANS:
        raise RefusedError("invalid boolean")
    return "boolean", end


def _scan_string(line: str, start: int) -> int:
    quoted, position = False, start
    while position < len(line):
        char = line[position]
        if char == "\\" and position + 1 < len(line):
            position += 2
            continue
        if not quoted and char in ", =":
            break
        quoted ^= char == '"'
        position += 1
    if quoted:
        raise RefusedError("unbalanced quotes")
    return position


def _number_type(token: str) -> str:
    if _INTEGER.fullmatch(token):
        digits = token[:-1]
        if int(digits) not in _INT64:
            raise RefusedError(
                f"unable to parse integer {digits}: strconv.ParseInt: "
                f'parsing "{digits}": value out of range'
            )
        return "integer"
    if _UNSIGNED.fullmatch(token):
        digits = token[:-1]
        if int(digits) not in _UINT64:
            raise RefusedError(
                f"unable to parse unsigned {digits}: strconv.ParseUint: "
                f'parsing "{digits}": value out of range'
            )
        return "unsigned"
    if not _FLOAT.fullmatch(token) or token.count(".") > 1 or not token.strip("-."):
        raise RefusedError("invalid number")
    if "e" in token.lower() or len(token) >= _RANGE_CHECK_LENGTH:
        _check_float(token)
    return "float"


def _check_float(token: str) -> None:
    try:
        finite = abs(float(token)) != float("inf")
    except ValueError:
        finite = False
    if not finite:
        raise RefusedError("invalid float")


def _scan_stamp(line: str, start: int, now_ns: int) -> int:
    token, _, rest = line[_skip_blanks(line, start) :].partition(" ")
    if not re.fullmatch(r"-?[0-9]*", token):
        raise RefusedError("bad timestamp")
    if not token:
        return now_ns
    if token == "-":
        raise RefusedError('strconv.ParseInt: parsing "-": invalid syntax')
    if int(token) not in _INT64:
        raise RefusedError(f'strconv.ParseInt: parsing "{token}": value out of range')
    if abs(int(token)) > STAMP_NS_MAX:
        raise RefusedError(f"time outside range -{STAMP_NS_MAX} - {STAMP_NS_MAX}")
    if rest.strip(" "):
        raise RefusedError("point is invalid")
    return int(token)
