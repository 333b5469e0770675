"""One batch to its end: every line of it stored, or refused by name and reason, or tried later.

The rules that keep points:
- A line is stored only when a 204 answered a body that held it. So the count of a 422 is used, but
  never trusted: what it leaves over is sent again, without the lines it cost. Identical points
  overwrite themselves, so sending twice does no harm.
- A line is refused when InfluxDB names it (400) or its kind (422), or when it is sent alone and
  refused, and InfluxDB, asked right then with an empty body, says that all else is well.
- What is known of a line is remembered, so that a batch that is interrupted goes on where it was.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias, assert_never

from agent.clock import NS_PER_S
from agent.errors import LineProtocolError
from agent.fates import (
    Answer,
    BackOff,
    CutLines,
    Halve,
    Park,
    SetAside,
    Stored,
    StoredBut,
    TooOld,
    TypeConflict,
    meaning,
    shortened,
)
from agent.journal.fragment import compress, crc32, decompress, join
from agent.journal.records import Record, Rejected
from agent.line_protocol import parse_line
from agent.schema import MEASUREMENTS

KNOWN_LINES_MAX: Final = 50_000
"""Lines of interrupted batches that are remembered; beyond it all are forgotten, and sent again."""
REQUESTS_MAX: Final = 512
"""Bound on the requests of one delivery. Halving down to a single line takes 13 of them for 5,000
lines, so each delivery that reaches the bound has settled lines, and the next one starts with what
is left: a batch of nothing but bad lines comes to its end too."""
SHARD_SEAM_NS: Final = 3600 * NS_PER_S
"""Shards begin at whole hours: points of one hour lie in one shard.
https://docs.influxdata.com/influxdb/v2/reference/internals/shards/"""

_STAMP: Final = re.compile(r"-?[0-9]{1,19}")
_ALL_REFUSED: Final = "an empty body is refused too: see what answers at the url of this store"


class Destination(Protocol):
    """Where the records of one sink go. It never raises for what the network does."""

    async def deliver(self, records: Sequence[Record]) -> Delivered | Paused:
        """See all of them to their end, or say what is in the way; may be cancelled."""

    async def doubt(self) -> Park | BackOff | None:
        """Why a delivery would not be welcome now; None = it would be."""

    async def close(self) -> None:
        """Let go of connections; the next use makes new ones."""


class Door(Protocol):
    """What a delivery needs of a write API; see `agent.influx.InfluxDoor`."""

    async def write(self, body: bytes, *, gzip: bool) -> Answer:
        """Send a body once."""

    async def probe(self) -> Answer:
        """Ask with an empty body."""

    async def close(self) -> None:
        """Let go of connections; the next use makes new ones."""


class Line(NamedTuple):
    """One line of a batch: the record it came from, its place there, its text, no newline."""

    seq: int
    place: int
    text: str


Part: TypeAlias = tuple[Line, ...]
Ruling: TypeAlias = Stored | StoredBut | CutLines | Halve | SetAside
"""The fates that say something of the lines that were sent."""
Known: TypeAlias = dict[int, dict[int, str | None]]
"""What is known of lines, by record and place: None = stored, a text = refused, and why."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Every line is accounted for.

    Args:
        rejected: those that are not stored; all others are.
        write_ms: how long the last write took; None = nothing was sent.
        too_old: what the server said of its retention; None = nothing.
    """

    rejected: tuple[Rejected, ...]
    write_ms: int | None
    too_old: TooOld | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """Not done: deliver the same records again after what the fate asks for."""

    fate: Park | BackOff


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer to a part settles.

    Args:
        stored: lines that are stored.
        refused: lines that never will be, each with the reason.
        parts: what is still open, to be sent last part first; none is empty.
        unnamed: the refused line was not named, it was merely alone.
    """

    stored: Part = ()
    refused: tuple[tuple[Line, str], ...] = ()
    parts: tuple[Part, ...] = ()
    unnamed: bool = False


class WriteApi:
    """A destination that speaks InfluxDB's v2 write API.

    Args:
        door: how it is asked; closed with this.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._known: Known = {}

    async def deliver(self, records: Sequence[Record]) -> Delivered | Paused:
        """See `deliver`; what an interrupted one found out is used by the next."""
        if sum(map(len, self._known.values())) > KNOWN_LINES_MAX:
            self._known.clear()
        return await deliver(self._door, records, known=self._known)

    async def doubt(self) -> Park | BackOff | None:
        """See `doubt`."""
        return await doubt(self._door)

    async def close(self) -> None:
        """Close the door."""
        await self._door.close()


async def deliver(
    door: Door, records: Sequence[Record], *, known: Known | None = None
) -> Delivered | Paused:
    """Send the records, joined as they lie, and see every line of them to its end.

    Args:
        door: where to.
        records: at least one; each a fragment of whole lines.
        known: what earlier tries found out about lines. It is kept up to date at every instant,
            also when this is cancelled; what is said of these records goes at the end.
    """
    known = {} if known is None else known
    delivery = _Delivery(door, records, known)
    try:
        await delivery.run()
    except _Pause as pause:
        return Paused(pause.fate)
    rejected = delivery.rejected()
    for record in records:
        known.pop(record.seq, None)
    return Delivered(rejected, delivery.write_ms, delivery.too_old)


class _Pause(Exception):  # noqa: N818  # no error: the way out of a delivery that goes on later
    def __init__(self, fate: Park | BackOff) -> None:
        super().__init__(fate)
        self.fate = fate


@dataclass(slots=True)
class _Delivery:
    door: Door
    records: Sequence[Record]
    known: Known
    lines: list[Line] = field(default_factory=list)
    damaged: list[Rejected] = field(default_factory=list)
    requests: int = 0
    write_ms: int = 0
    too_old: TooOld | None = None

    async def run(self) -> None:
        todo: list[Part] = []
        if any(record.seq in self.known for record in self.records):
            todo += self._open()
        else:
            fate = await self._send(_as_they_lie(self.records))
            if isinstance(fate, Stored):
                return
            todo += self._open()
            # A body that names no line may itself be to blame: the same again, newly compressed.
            if todo and not isinstance(fate, SetAside):
                todo += await self._settle(todo.pop(), fate)
        while todo:
            part = todo.pop()
            todo += await self._settle(part, await self._send(encode(part)))

    def rejected(self) -> tuple[Rejected, ...]:
        """Every line that is refused for good."""
        refused = (
            Rejected(line.text, reason, counted_points(line.text), line.seq)
            for line in self.lines
            if (reason := self.known.get(line.seq, {}).get(line.place)) is not None
        )
        return (*self.damaged, *refused)

    def _open(self) -> list[Part]:
        """Take the fragments apart: the lines nothing is known of yet, as at most one part."""
        for record in self.records:
            try:
                data = decompress(record.fragment, record.crc32, record.size)
            except ValueError as error:
                self.damaged.append(Rejected("", f"damaged: {error}", record.points, record.seq))
                continue
            texts = data.decode("utf-8", "surrogateescape").split("\n")
            self.lines += [Line(record.seq, i, text) for i, text in enumerate(texts) if text]
        part = tuple(line for line in self.lines if line.place not in self.known.get(line.seq, {}))
        return [part] if part else []

    async def _send(self, body: bytes) -> Ruling:
        if self.requests >= REQUESTS_MAX:
            raise _Pause(BackOff(f"{REQUESTS_MAX} requests were not enough for one batch"))
        self.requests += 1
        answer = await self.door.write(body, gzip=True)
        self.write_ms = answer.elapsed_ms
        fate = meaning(answer)
        if isinstance(fate, Park | BackOff):
            raise _Pause(fate)
        if isinstance(fate, StoredBut) and isinstance(fate.cause, TooOld):
            self.too_old = fate.cause
        return fate

    async def _settle(self, part: Part, fate: Ruling) -> tuple[Part, ...]:
        verdict = judge(part, fate)
        if verdict.unnamed and (trouble := await doubt(self.door)):
            raise _Pause(trouble)
        for line in verdict.stored:
            self.known.setdefault(line.seq, {})[line.place] = None
        for line, reason in verdict.refused:
            self.known.setdefault(line.seq, {})[line.place] = reason
        return verdict.parts


async def doubt(door: Door) -> Park | BackOff | None:
    """Ask with an empty body why a write would not be welcome now; None = it would be."""
    fate = meaning(await door.probe())
    match fate:
        case Stored():
            return None
        case Park() | BackOff():
            return fate
        case StoredBut() | CutLines() | Halve() | SetAside():
            return Park(fate.reason, _ALL_REFUSED)
        case _:
            assert_never(fate)


def judge(part: Part, fate: Ruling) -> Verdict:
    """What the answer to a part settles. Pure.

    Args:
        part: what was sent; at least one line.
        fate: what came of it.
    """
    match fate:
        case Stored():
            return Verdict(stored=part)
        case CutLines(lines=named):
            reasons = dict(named)
            bad = [line for line in part if line.text in reasons]
            return _cut(part, bad, reasons) if bad else _isolated(part, fate.reason)
        case StoredBut():
            losers = _losers(part, fate)
            if not losers:
                return Verdict(parts=halves(part))
            return _cut(part, losers, dict.fromkeys((line.text for line in losers), fate.reason))
        case Halve() | SetAside():
            return _isolated(part, fate.reason)
        case _:
            assert_never(fate)


def halves(part: Part) -> tuple[Part, Part]:
    """A part of two lines or more in two, the first half last: between records, else within one.

    A record's lines share their stamp, so that halving by records is halving by time.
    """
    middle = len(part) // 2
    seams = [i for i in range(1, len(part)) if part[i].seq != part[i - 1].seq]
    if seams:
        middle = min(seams, key=lambda seam: abs(seam - middle))
    return part[middle:], part[:middle]


def encode(part: Part) -> bytes:
    """A part as one gzip member."""
    data = "".join(f"{line.text}\n" for line in part).encode("utf-8", "surrogateescape")
    return join([(compress(data), crc32(data), len(data))])


def counted_points(text: str) -> int:
    """How many points of the ledger a line is: 1 or 0."""
    measurement = MEASUREMENTS.get(re.split("[, ]", text, maxsplit=1)[0])
    return int(measurement is not None and measurement.counted)


def _as_they_lie(records: Sequence[Record]) -> bytes:
    return join((record.fragment, record.crc32, record.size) for record in records)


def _cut(part: Part, bad: Sequence[Line], reasons: Mapping[str, str]) -> Verdict:
    """Refuse these and send the rest without them."""
    texts = {line.text for line in bad}
    rest = tuple(line for line in part if line.text not in texts)
    refused = tuple((line, shortened(reasons[line.text])) for line in bad)
    return Verdict(refused=refused, parts=(rest,) if rest else ())


def _isolated(part: Part, reason: str) -> Verdict:
    if len(part) == 1:
        return Verdict(refused=((part[0], reason),), unnamed=True)
    return Verdict(parts=halves(part))


def _losers(part: Part, fate: StoredBut) -> Sequence[Line]:
    """The lines that a 422 cost; none when its words do not tell them apart for sure.

    What it says is true of one shard, while the part may lie in several, where a field may be of
    another type. Then it is halved, by time, until the answers are plain.
    """
    if len(part) in {1, fate.dropped}:
        return part
    match fate.cause:
        case None:
            return ()
        case TooOld(newest_ns=newest_ns):
            losers = [line for line in part if _stamp_ns(line) <= newest_ns]
            return losers if fate.dropped in {0, len(losers)} else ()
        case TypeConflict(measurement=measurement, field=name):
            losers = [line for line in part if _has_field(line, measurement, name)]
            hours = {_stamp_ns(line) // SHARD_SEAM_NS for line in losers}
            plain = len(hours) == 1 and not 0 < fate.dropped < len(losers)
            return losers if plain else ()
        case _:
            assert_never(fate.cause)


def _stamp_ns(line: Line) -> int:
    stamp = line.text.rpartition(" ")[2]
    # A line without one gets the server's time: newer than any other.
    return int(stamp) if _STAMP.fullmatch(stamp) else sys.maxsize


def _has_field(line: Line, measurement: str, name: str) -> bool:
    try:
        point = parse_line(line.text)
    except LineProtocolError:
        return False
    return point.measurement == measurement and name in point.fields
