"""Records as messages of a stream, and back. Pure.

A poll becomes one message of what the venue published, and one of what the agent says of itself
(`poll`, `agent`, `event`: whatever carries the tag `host`). Each has an id by which the server
knows a message it has already (https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive):

- Venue's numbers: group, source, slot, and which points with which fields. Two agents of a group
  that polled the same slot say the same points; the later one is dropped. Where one of them has a
  ticker or a field more, the ids differ and both are kept: nothing is dropped that another does not
  have. In the store the same point overwrites itself, as without a stream.
- The agent's own: every byte counts. So only the same message sent again is a duplicate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from agent import __version__
from agent.delivery import counted_points
from agent.entries import AGENT
from agent.journal.fragment import compress, crc32, decompress, join, split
from agent.journal.records import Record, Rejected

SCHEMA: Final = "1"
"""Of the measurements in a body; another one where a reader of this one would go wrong."""
LINES_MAX: Final = 1_000
"""Lines of a message: at most half a MB uncompressed, at 600 bytes each."""
BODY_BYTES_MAX: Final = 512 * 1024
"""Compressed; half of what a NATS server takes by default (max_payload)."""
SIZE_MAX: Final = 64 * 2**20
"""Uncompressed bytes of a body that are believed."""

ID_HEADER: Final = "Nats-Msg-Id"
SCHEMA_HEADER: Final = "Perpflux-Schema"
VERSION_HEADER: Final = "Perpflux-Version"
SLOT_HEADER: Final = "Perpflux-Slot"
POINTS_HEADER: Final = "Perpflux-Points"
ENCODING_HEADER: Final = "Content-Encoding"

_SPACE: Final = re.compile(r"(?<!\\) ")
_VALUE: Final = re.compile(r"=[^,]*")
_HOST: Final = re.compile(r"(?:[^ \\]|\\.)*,host=")
_TOKEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_PARTS: Final = 3
"""Of a line: what it is of, fields, stamp."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is published.

    Args:
        subject: `SUBJECT.SOURCE.GROUP`; the source is `agent` for what an agent says of itself.
        headers: its id, schema, version, slot (ns) and counted points.
        body: line protocol as one gzip member.
    """

    subject: str
    headers: Mapping[str, str]
    body: bytes


def messages_of(
    record: Record, *, subject: str, group: str, bytes_max: int = BODY_BYTES_MAX
) -> tuple[list[Message], list[Rejected]]:
    """The messages of a record, and the lines that fit none.

    Args:
        record: as it lies in the journal.
        subject: what the subjects begin with.
        group: agents that stand in for each other have the same.
        bytes_max: bound on a body, compressed.
    """
    try:
        data = decompress(record.fragment, record.crc32, record.size)
    except ValueError as error:
        return [], [Rejected("", f"damaged: {error}", record.points, record.seq)]
    # In order, so that two agents cut at the same places, whatever order the venue gave.
    lines = sorted(filter(None, data.decode("utf-8", "surrogateescape").split("\n")))
    own = [line for line in lines if ",host=" in line and _HOST.match(line)]
    published = [line for line in lines if line not in own] if own else lines
    messages: list[Message] = []
    rejected: list[Rejected] = []
    for source, part in _parts((record.source, published), (AGENT, own)):
        for fitting, body in _bodies(part, bytes_max):
            if len(body) > bytes_max:
                reason = f"its {len(body)} bytes are more than the stream takes, {bytes_max}"
                line = fitting[0]
                rejected.append(Rejected(line, reason, counted_points(line), record.seq))
                continue
            id_ = _id(fitting, group, source, record.slot_ns)
            headers = _headers(fitting, id_, record.slot_ns)
            name = f"{subject}.{_TOKEN.sub('_', source)}.{group}"
            messages.append(Message(name, headers, body))
    return messages, rejected


def record_of(seq: int, headers: Mapping[str, str], body: bytes, *, appended_ns: int) -> Record:
    """A message as a record, its body as it lies.

    Args:
        seq: its number in the stream.
        headers: as they came; those of another publisher may lack ours.
        body: one gzip member of lines.
        appended_ns: when the stream took it.

    Raises:
        ValueError: it is no message of ours, or not whole; the text says what is wrong.
    """
    schema = headers.get(SCHEMA_HEADER)
    if schema != SCHEMA:
        raise ValueError(f"{SCHEMA_HEADER} is {schema}; this version reads {SCHEMA}")
    points, slot_ns = (_number(headers, name) for name in (POINTS_HEADER, SLOT_HEADER))
    fragment, checksum, size = split(body)
    if size > SIZE_MAX:
        raise ValueError(f"it unpacks to {size} bytes; at most {SIZE_MAX} are taken")
    return Record(seq, "", slot_ns, appended_ns, points, size, checksum, fragment)


def shape(lines: Sequence[str]) -> Iterator[str]:
    """Which points with which fields: the lines without values. A line of another form as it is."""
    for line in lines:
        parts = _SPACE.split(line) if "\\" in line else line.split(" ")
        if len(parts) == _PARTS:
            parts[1] = _VALUE.sub("", parts[1])
        yield " ".join(parts)


def _id(lines: Sequence[str], group: str, source: str, slot_ns: int) -> str:
    said = lines if source == AGENT else shape(lines)
    digest = blake2b("\n".join(said).encode("utf-8", "surrogateescape"), digest_size=12)
    return f"{group}/{source}/{slot_ns}/{digest.hexdigest()}"


def _headers(lines: Sequence[str], id_: str, slot_ns: int) -> dict[str, str]:
    return {
        ID_HEADER: id_,
        SCHEMA_HEADER: SCHEMA,
        VERSION_HEADER: __version__,
        SLOT_HEADER: str(slot_ns),
        POINTS_HEADER: str(sum(map(counted_points, lines))),
        ENCODING_HEADER: "gzip",
    }


def _parts(*sources: tuple[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    for source, lines in sources:
        for start in range(0, len(lines), LINES_MAX):
            yield source, lines[start : start + LINES_MAX]


def _bodies(lines: Sequence[str], bytes_max: int) -> Iterator[tuple[Sequence[str], bytes]]:
    """The lines in one body, or in halves where it is too large; a line alone as it is."""
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    body = join([(compress(data), crc32(data), len(data))])
    if len(body) <= bytes_max or len(lines) == 1:
        yield lines, body
        return
    middle = len(lines) // 2
    yield from _bodies(lines[:middle], bytes_max)
    yield from _bodies(lines[middle:], bytes_max)


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}, no number")
    return int(text)
