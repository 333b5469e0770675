"""What an answer of InfluxDB's write API means: pure, a closed set of fates.

Texts are those of InfluxDB 2.8 (https://docs.influxdata.com/influxdb/v2/api/v2/#operation/PostWrite);
hosted services and proxies add 413, 429, 503 and pages of their own. What is not known here is
kept: it backs off, it never costs a point.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from agent.clock import NS_PER_S, to_datetime

BACK_OFF_BASE_S: Final = 1.0
BACK_OFF_MAX_S: Final = 60.0
REASON_CHARS_MAX: Final = 300
"""A reason is for people; what is cut off is the server's, not a point's."""

TOKEN_UNREADABLE: Final = "token unreadable"  # noqa: S105  # a code, no secret
"""The `code` of an Answer that was never asked for: there is no token to ask with."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one write, or that nothing did.

    Args:
        status: HTTP status; None = no answer (connection lost, time-out, no address, no token).
        code: InfluxDB's own error code ("invalid", "not found"); "" when the answer has none.
        message: InfluxDB's message in full, or else the beginning of what was answered, or why
            there was no answer. Never holds the token.
        retry_after_s: what the server asked for, 0 to 3600 s; None = nothing.
        elapsed_ms: from sending to the end of the answer.
    """

    status: int | None
    code: str
    message: str
    retry_after_s: int | None
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Stored:
    """All of it is stored (or, after an empty body: a write would be welcome)."""


@dataclass(frozen=True, slots=True)
class TypeConflict:
    """Points whose `field` is of another type than the shard they fall into has for it."""

    measurement: str
    field: str
    sent: str
    existing: str


@dataclass(frozen=True, slots=True)
class TooOld:
    """Points outside the bucket's retention.

    Args:
        newest_ns: stamp of the newest dropped point. Every older one of the request was dropped
            as well: what is dropped ends where the oldest shard that is still written begins,
            which may lie before the bound.
        duration: the bucket's retention, in the server's words ("168h0m0s").
        bound_ns: what is older is too old: the retention counted back from the server's clock.
    """

    newest_ns: int
    duration: str
    bound_ns: int


@dataclass(frozen=True, slots=True)
class StoredBut:
    """Stored but for some, which a resend would not save.

    Args:
        dropped: the server's count. It counts one shard only, and whatever was wrong there;
            other shards may have dropped more. 0 = it did not say.
        cause: the first of what was wrong; None = in words that are not known here.
        reason: the server's words, shortened.
    """

    dropped: int
    cause: TypeConflict | TooOld | None
    reason: str


@dataclass(frozen=True, slots=True)
class CutLines:
    """Nothing is stored; these lines are why.

    Args:
        lines: (line, reason) as the server names them; () = it names none: bisect.
        reason: its words, shortened.
    """

    lines: tuple[tuple[str, str], ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Halve:
    """Nothing is stored: the body is too large for somebody on the way."""

    reason: str


@dataclass(frozen=True, slots=True)
class Park:
    """Nothing is stored and nothing would be: an operator has to put something right."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class BackOff:
    """Nothing, or nobody knows what, is stored: send the same again later.

    Args:
        reason: why, in one line.
        retry_after_s: wait at least so long; None = the server did not say.
    """

    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """This very body cannot be stored, for a reason that names no line."""

    reason: str


Fate: TypeAlias = Stored | StoredBut | CutLines | Halve | Park | BackOff | SetAside

_PARK_HINTS: Final = {
    401: "the token is wrong, or of another InfluxDB; it is read again at each probe",
    403: "the token may not write to the bucket, or it or its user is inactive",
    404: "make the bucket, or put org, bucket or url of this store right",
}
_NOT_INFLUXDB: Final = "is url that of the store itself? a write there answers 204"
_ASKED_WRONGLY: Final = ("invalid precision", "Please provide either orgID or org")
_BODY_UNREADABLE: Final = "unable to read data"
_PERMANENT_500: Final = (
    _BODY_UNREADABLE,
    "An internal error has occurred - check server logs",
)
_SHARD_GOES: Final = "is pending deletion"

_ENTRY: Final = re.compile(r"(?:\A|\n)unable to parse '")
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_CONFLICT: Final = re.compile(
    rf"input field {_QUOTED} on measurement {_QUOTED} is type (\w+), already exists as type (\w+)"
)
_TOO_OLD: Final = re.compile(
    r"outside retention policy of duration (\S+) - .*"
    r" at (\S+) dropped because it violates a Retention Policy Lower Bound at (\S+) dropped=",
    re.DOTALL,
)
_DROPPED: Final = re.compile(r"dropped=(\d{1,18})\b")


def meaning(answer: Answer) -> Fate:  # noqa: PLR0911  # a table: one return a row
    """The fate of what was sent, by the answer to it."""
    reason = _reason(answer)
    match answer.status:
        case 204:
            return Stored()
        case None if answer.code == TOKEN_UNREADABLE:
            return Park(reason, "the token is looked for again at each probe")
        case 400:
            return _bad_request(answer, reason)
        case 401 | 403 | 404 as status:
            return Park(reason, _PARK_HINTS[status])
        case 413:
            return Halve(reason)
        case 422:
            return _partial_write(answer, reason)
        case 500:
            return _internal_error(answer, reason)
        case int(status) if status < 400:  # noqa: PLR2004  # 2xx but 204, and redirects
            return Park(reason, _NOT_INFLUXDB)
        case _:
            return BackOff(reason, answer.retry_after_s)


def back_off_s(attempt: int, rand: float) -> float:
    """How long to wait before trying again: full jitter, doubling from 1 s to at most 60 s.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        attempt: failures since the last success, less one: 0, 1, ...
        rand: a random number, 0 ≤ rand < 1.
    """
    # From the exponent on where the bound holds, a larger one would only overflow.
    exponent = min(attempt, int(BACK_OFF_MAX_S).bit_length())
    return rand * min(BACK_OFF_MAX_S, BACK_OFF_BASE_S * 2.0**exponent)


def shortened(text: str) -> str:
    """One line of at most `REASON_CHARS_MAX` characters."""
    line = " ".join(text.split())
    return line if len(line) <= REASON_CHARS_MAX else f"{line[: REASON_CHARS_MAX - 1]}…"


def _reason(answer: Answer) -> str:
    if answer.status is None:
        return shortened(answer.message)
    return shortened(f"{answer.status} {answer.message}".rstrip())


def _bad_request(answer: Answer, reason: str) -> Fate:
    if answer.message.startswith(_ASKED_WRONGLY):
        return Park(reason, "put org of this store right")
    if answer.message.startswith(_BODY_UNREADABLE):
        return SetAside(reason)
    return CutLines(tuple(_entries(answer.message)), reason)


def _entries(message: str) -> list[tuple[str, str]]:
    """The lines that a 400 names, each with its reason; a line may hold anything, also `': `."""
    entries = []
    for text in _ENTRY.split(message)[1:]:
        line, separator, reason = text.rpartition("': ")
        if separator:
            entries.append((line, reason))
    return entries


def _partial_write(answer: Answer, reason: str) -> Fate:
    message = answer.message
    counts = _DROPPED.findall(message)
    if _SHARD_GOES in message:
        return BackOff(reason, answer.retry_after_s)
    if not counts:
        return SetAside(reason)
    return StoredBut(int(counts[-1]), _cause(message), reason)


def _cause(message: str) -> TypeConflict | TooOld | None:
    if conflict := _CONFLICT.search(message):
        field, measurement, sent, existing = conflict.groups()
        return TypeConflict(_unquoted(measurement), _unquoted(field), sent, existing)
    if too_old := _TOO_OLD.search(message):
        newest_ns, bound_ns = _instant_ns(too_old[2]), _instant_ns(too_old[3])
        if newest_ns is not None and bound_ns is not None:
            return TooOld(newest_ns, too_old[1], bound_ns)
    return None


def _unquoted(text: str) -> str:
    r"""A name out of Go's quotes; its escapes that JSON lacks (`\a`, `\v`, `\x..`) stay."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _instant_ns(text: str) -> int | None:
    """RFC 3339 in UTC with up to nine fractional digits, exactly; None = it is none."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        since = datetime.fromisoformat(f"{whole}+00:00") - to_datetime(0)
        return since // timedelta(seconds=1) * NS_PER_S + int(f"{fraction:0<9}")
    except ValueError:
        return None


def _internal_error(answer: Answer, reason: str) -> Fate:
    """Only InfluxDB's own word makes a 500 permanent; a proxy's page does not."""
    if answer.code == "internal error" and (
        answer.message.startswith(_PERMANENT_500) or "field type conflict" in answer.message
    ):
        return SetAside(reason)
    return BackOff(reason, answer.retry_after_s)
