r"""InfluxDB line protocol, both ways, pure.

Grammar: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/ . Numbers are the
exact texts they came as and always floats (no `i` suffix); a field that is not known is not
written; a line ends with "\n", never CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent import schema
from agent.clock import INSTANT_MAX_NS
from agent.errors import LineProtocolError
from agent.snapshot import PLAIN_NUMBER, Batch, is_tag

_HEADS_MAX: Final = 20_000
"""Cached line heads (one per source and ticker)."""

_TO_ESCAPE: Final = re.compile(r"([,= ])")
_ESCAPED: Final = re.compile(r"\\([,= ])")
_ESCAPED_IN_TEXT: Final = re.compile(r'\\(["\\])')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_LINE: Final = re.compile(
    rf'((?:[^, \\]|\\.)++)((?:,(?:[^ \\]|\\.)++)?+) ((?:[^ "\\]|\\.|{_QUOTED})++) (-?[0-9]{{1,19}})'
)
"""Measurement, tags with a comma before each, fields, stamp. A quote means something in fields."""
_TAG: Final = re.compile(r",((?:[^,=\\]|\\.)++)=((?:[^,=\\]|\\.)++)")
_FIELD: Final = re.compile(rf',((?:[^,=\\]|\\.)++)=({_QUOTED}|[^,="\\]++)')


@dataclass(frozen=True, slots=True)
class Point:
    """One point as stored: texts as written; `fields` hold numbers' exact text.

    A string field (only `event.text`) keeps its quotes away: its value is the plain text.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, str]
    stamp_ns: int


def escape_tag(value: str) -> str:
    """A tag value as the server reads it back.

    Raises:
        LineProtocolError: empty, too long, or with something that is `UNFIT_IN_TAG`.
    """
    if not is_tag(value):
        raise LineProtocolError("encode tag", f"{value[:80]!r} cannot be a tag value")
    return _TO_ESCAPE.sub(r"\\\1", value)


def _head(measurement: str, tags: Iterable[tuple[str, str]]) -> str:
    return measurement + "".join(f",{key}={escape_tag(value)}" for key, value in tags)


@lru_cache(maxsize=_HEADS_MAX)
def _snapshot_head(source: str, ticker: str) -> str:
    head = _head(schema.SNAPSHOT.name, (("source", source), ("ticker", ticker)))
    return f"{head} lag_ms="


def encode_batch(batch: Batch) -> str:
    """The batch's lines, one a row, each ended by a newline.

    Cells are laid out row by row in one list and filled a column at a time, so that no work is
    done per value but its copy. `lag_ms` is always known; so every other field starts with a
    comma, and a missing one is an empty cell. A batch that exists can be encoded.
    """
    rows = len(batch)
    names = [name for name in schema.SNAPSHOT.field_names if name in batch.columns]
    stride = 2 * len(names) + 3
    cells = [""] * (rows * stride)
    cells[0::stride] = [_snapshot_head(batch.source, ticker) for ticker in batch.tickers]
    cells[1::stride] = [str(batch.lag_ms)] * rows
    for index, name in enumerate(names):
        values = batch.columns[name]
        key = f",{name}="
        cells[2 + 2 * index :: stride] = (
            [key if value else "" for value in values] if "" in values else [key] * rows
        )
        cells[3 + 2 * index :: stride] = values
    cells[stride - 1 :: stride] = [f" {batch.slot_ns}\n"] * rows
    return "".join(cells)


def encode_point(
    measurement: schema.Measurement,
    tags: Mapping[str, str],
    fields: Mapping[str, str],
    stamp_ns: int,
) -> str:
    r"""One line, ended by a newline; fields in the schema's order, those with "" left out.

    Raises:
        LineProtocolError: a tag is missing or cannot be one, a field is not in the schema or no
            plain number, no field is left, or the stamp lies before 1970 or after 2262.
    """
    if not 0 <= stamp_ns <= INSTANT_MAX_NS:
        raise LineProtocolError("encode point", f"{measurement.name}: no stamp is {stamp_ns} ns")
    if set(tags) != set(measurement.tags) or not set(fields) <= set(measurement.field_names):
        raise LineProtocolError(
            "encode point", f"{measurement.name}: {sorted(tags)} {sorted(fields)} not its schema"
        )
    head = _head(measurement.name, ((key, tags[key]) for key in measurement.tags))
    pairs = [
        f"{field.name}={_field_text(field, fields[field.name])}"
        for field in measurement.fields
        if fields.get(field.name)
    ]
    if not pairs:
        raise LineProtocolError("encode point", f"{measurement.name}: it has no field")
    return f"{head} {','.join(pairs)} {stamp_ns}\n"


def _field_text(field: schema.Field, value: str) -> str:
    if field.unit == "text":
        plain = _CONTROL.sub(" ", value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{plain}"'
    if PLAIN_NUMBER.fullmatch(value) is None:
        raise LineProtocolError("encode field", f"{field.name}={value[:80]!r} is no plain number")
    return value


def parse_lines(text: str) -> Iterator[Point]:
    """The points of our own lines (what `encode_*` wrote, or InfluxDB's own line protocol).

    Raises:
        LineProtocolError: a line is none.
    """
    return (parse_line(line) for line in text.split("\n") if line)


def parse_line(line: str) -> Point:
    """One line without its newline, read back. Raises LineProtocolError when it is none."""
    match = _LINE.fullmatch(line)
    tags = _pairs(_TAG, match[2]) if match else None
    fields = _pairs(_FIELD, f",{match[3]}") if match else None
    if match is None or tags is None or fields is None:
        raise LineProtocolError("read line", f"{line[:120]!r} is no line protocol")
    return Point(
        measurement=_unescaped(match[1]),
        tags={_unescaped(key): _unescaped(value) for key, value in tags},
        fields={_unescaped(key): _unquoted(value) for key, value in fields},
        stamp_ns=int(match[4]),
    )


def with_fields(line: str, names: Collection[str]) -> str | None:
    """The line with only these of its fields, as they are written; None = it has none of them.

    Raises:
        LineProtocolError: it is no line.
    """
    match = _LINE.fullmatch(line)
    fields = _pairs(_FIELD, f",{match[3]}") if match else None
    if match is None or fields is None:
        raise LineProtocolError("read line", f"{line[:120]!r} is no line protocol")
    kept = ",".join(f"{key}={value}" for key, value in fields if _unescaped(key) in names)
    return f"{match[1]}{match[2]} {kept} {match[4]}" if kept else None


def _pairs(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]] | None:
    """Keys and values of `,key=value,key=value`; None when the text is anything else."""
    pairs: list[tuple[str, str]] = pattern.findall(text)
    return pairs if "".join(f",{key}={value}" for key, value in pairs) == text else None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _unquoted(value: str) -> str:
    return _ESCAPED_IN_TEXT.sub(r"\1", value[1:-1]) if value[0] == '"' else value
