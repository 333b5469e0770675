"""Line protocol as InfluxDB 2.8 reads it, character by character.

Written from the server's behaviour alone, as something to check `agent.line_protocol` against:
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/ and what the server was
seen to refuse.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

INT64_MAX = 2**63 - 1
_FLOAT = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+i")
_BOOLEANS = {"t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"}


class ReadPoint(NamedTuple):
    """A point as the server would store it; numbers keep their text, strings lose their quotes."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, str]
    stamp_ns: int


def read_lines(body: str) -> list[ReadPoint]:
    """Every point of a body. Raises ValueError where the server refuses the whole request."""
    body.encode()
    return [read_line(line) for line in body.split("\n") if line and not line.startswith("#")]


def read_line(line: str) -> ReadPoint:
    """One point. Raises ValueError with what the server objects to."""
    measurement, at = _until(line, 0, ", ")
    if not measurement:
        raise ValueError("missing measurement")
    tags: dict[str, str] = {}
    while at < len(line) and line[at] == ",":
        key, at = _until(line, at + 1, "=, ")
        if at >= len(line) or line[at] != "=" or not key:
            raise ValueError("missing tag key or value")
        value, at = _until(line, at + 1, "=, ")
        if not value or value.endswith("\\"):
            raise ValueError("missing tag value")
        if at < len(line) and line[at] == "=":
            raise ValueError("invalid tag format")
        if key in tags:
            raise ValueError("duplicate tags")
        tags[key] = value
    fields, at = _fields(line, at)
    stamp = line[at + 1 :]
    if not re.fullmatch(r"-?[0-9]+", stamp) or abs(int(stamp)) >= INT64_MAX:
        raise ValueError("bad timestamp")
    return ReadPoint(measurement, tags, fields, int(stamp))


def _fields(line: str, at: int) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    separator = " "
    while at < len(line) and line[at] == separator:
        key, at = _until(line, at + 1, "=, ")
        if not key or at >= len(line) or line[at] != "=":
            raise ValueError("missing field key or value")
        fields[key], at = _field_value(line, at + 1)
        separator = ","
    if not fields or line[at : at + 1] != " ":
        raise ValueError("missing fields")
    return fields, at


def _field_value(line: str, at: int) -> tuple[str, int]:
    if line[at : at + 1] == '"':
        return _quoted(line, at + 1)
    end = at
    while end < len(line) and line[end] not in ", ":
        end += 1
    text = line[at:end]
    if text in _BOOLEANS or _INTEGER.fullmatch(text):
        return text, end
    if not _FLOAT.fullmatch(text) or math.isinf(float(text)):
        raise ValueError("invalid number")
    return text, end


def _quoted(line: str, at: int) -> tuple[str, int]:
    text = ""
    while at < len(line):
        if line[at] == "\\" and line[at + 1 : at + 2] in {'"', "\\"}:
            at += 1
        elif line[at] == '"':
            return text, at + 1
        text += line[at]
        at += 1
    raise ValueError("unbalanced quotes")


def _until(line: str, at: int, ends: str) -> tuple[str, int]:
    """The text up to one of `ends` that has no backslash before it, and where that is."""
    text = ""
    while at < len(line) and line[at] not in ends:
        if line[at] == "\\" and line[at + 1 : at + 2] in {",", "=", " "}:
            at += 1
        text += line[at]
        at += 1
    return text, at
