"""The board of now: the newest snapshot of every ticker and source, and how the sources compare.

What the live page, the `/api` and `perpflux watch` show is made here, so that they show the same.
Pure: it is given batches and told the time. Formulas: `agent.derive`; the Flux queries price-gap,
carry, next-settlement and data-age say the same of what is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from agent import derive, schema
from agent.clock import INSTANT_MAX_NS, NS_PER_MS, NS_PER_S
from agent.errors import LineProtocolError
from agent.line_protocol import parse_lines
from agent.snapshot import Batch

LOOK_BACK_S: Final = 600
"""Sources are compared while neither is older than this, as in the Flux queries."""
MEETINGS_MAX: Final = 16
"""Slots of a source whose mids are kept until the other source's poll of the same slot is there."""
LEFT_BEHIND_S: Final = 3600
"""A ticker that its source no longer gives is shown so long, with its age."""

QUOTE_LATE_S: Final = 120
QUOTE_OLD_S: Final = 180
"""Variational's quotes are up to 109 s old when they come; nobody's are older in good health."""

BOARD_FIELDS: Final = (
    schema.Field(
        "gap_bps", "bps", "(mid - the other source's mid) / the other's * 10^4, same slot"
    ),
    schema.Field("carry_apr", "fraction per year", "funding_apr less the other source's"),
)
"""The numbers that a row has beside those of `schema.SNAPSHOT`."""
FIELD_NAMES: Final = (*schema.SNAPSHOT.field_names, *(each.name for each in BOARD_FIELDS))

Freshness = Literal["fresh", "late", "old"]
_NONE: Final[Mapping[str, str]] = {}


class Limits(NamedTuple):
    """From which age on, in s, a source's slots and quotes are late, and old."""

    slot_late_s: int
    slot_old_s: int
    quote_late_s: int
    quote_old_s: int


def limits(interval_s: int) -> Limits:
    """The limits of a source that is polled every `interval_s` seconds.

    A poll may take a few seconds, and one may fail, without anything being wrong.
    """
    return Limits(
        slot_late_s=2 * interval_s + 3,
        slot_old_s=5 * interval_s + 25,
        quote_late_s=QUOTE_LATE_S + interval_s,
        quote_old_s=QUOTE_OLD_S + interval_s,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One ticker of one source, newest.

    Args:
        source, ticker: whose it is.
        slot_ns: the stamp, ns since the epoch.
        quotes_updated_ns: when the source made its quotes, ns; None = not known.
        texts: exact decimal texts by name, `FIELD_NAMES`; what is not known is not in it.
        gap_slot_ns: the common slot that gap_bps is of; None = there is no gap_bps.
        settles_ns: the next settlement of funding, ns; None = not known.
    """

    source: str
    ticker: str
    slot_ns: int
    quotes_updated_ns: int | None
    texts: Mapping[str, str]
    gap_slot_ns: int | None
    settles_ns: int | None

    def number(self, name: str) -> Decimal | None:
        """A field's exact number; None = not known."""
        text = self.texts.get(name)
        return Decimal(text) if text else None

    def slot_age_s(self, now_ns: int) -> int:
        """Whole seconds since the slot, at least 0."""
        return max(0, (now_ns - self.slot_ns) // NS_PER_S)

    def quote_age_s(self, now_ns: int) -> int | None:
        """Whole seconds since the source made its quotes, at least 0; None = not known."""
        if self.quotes_updated_ns is None:
            return None
        return max(0, (now_ns - self.quotes_updated_ns) // NS_PER_S)

    def age_s(self, now_ns: int) -> int:
        """How old what is shown is, in whole seconds: its quotes where known, else its slot."""
        quote_age_s = self.quote_age_s(now_ns)
        return self.slot_age_s(now_ns) if quote_age_s is None else quote_age_s

    def freshness(self, now_ns: int, interval_s: int) -> Freshness:
        """How to colour the age, of a source that is polled every `interval_s` seconds."""
        bounds = limits(interval_s)
        slot_s, quote_s = self.slot_age_s(now_ns), self.quote_age_s(now_ns) or 0
        if slot_s >= bounds.slot_old_s or quote_s >= bounds.quote_old_s:
            return "old"
        late = slot_s >= bounds.slot_late_s or quote_s >= bounds.quote_late_s
        return "late" if late else "fresh"


class _Newest(NamedTuple):
    """The newest snapshot of a ticker: a row of a batch."""

    batch: Batch
    row: int


class _Meeting(NamedTuple):
    """Two sources' mids of one ticker at one slot."""

    slot_ns: int
    mid: str
    reference_mid: str


@dataclass(slots=True)
class _Source:
    """What is known of a source."""

    batch: Batch
    rows: Mapping[str, int] = field(default_factory=dict)
    left_behind: dict[str, Batch] = field(default_factory=dict)
    """By ticker, what the newest batch lacks: batches of one row."""
    mids: dict[int, Mapping[str, str]] = field(default_factory=dict)
    """By slot, of the last slots: the mids by ticker."""


class Board:
    """Takes batches as they come, and makes rows of them when asked. For one thread.

    What it holds is bounded: the newest batch of a source, a row for each ticker that batch lacks,
    the mids of `MEETINGS_MAX` slots, a pair of mids for each ticker that both sources have.
    """

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self._meetings: dict[tuple[str, str], dict[str, _Meeting]] = defaultdict(dict)

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(len(each.rows) + len(each.left_behind) for each in self._sources.values())

    def take(self, batch: Batch) -> None:
        """Take a poll's batch; one that is older than the newest of its source is passed over."""
        name = batch.source
        known = self._sources.get(name)
        if known is None:
            known = self._sources[name] = _Source(batch)
        elif batch.slot_ns < known.batch.slot_ns:
            return
        else:
            self._leave_behind(known, batch)
        known.batch = batch
        known.rows = {ticker: row for row, ticker in enumerate(batch.tickers)}
        mids = batch.columns.get("mid") or [""] * len(batch)
        pairs = zip(batch.tickers, mids, strict=True)
        known.mids[batch.slot_ns] = {ticker: mid for ticker, mid in pairs if mid}
        if len(known.mids) > MEETINGS_MAX:
            del known.mids[min(known.mids)]
        self._meet(name, batch.slot_ns)

    def retain(self, sources: Iterable[str]) -> None:
        """Forget all other sources: they are polled no more."""
        for name in self._sources.keys() - set(sources):
            del self._sources[name]
            for pair in [pair for pair in self._meetings if name in pair]:
                del self._meetings[pair]

    def rows(
        self,
        now_ns: int,
        *,
        fields: Sequence[str] = FIELD_NAMES,
        chosen: Callable[[str, str], bool] = lambda _source, _ticker: True,
    ) -> list[Row]:
        """The rows, sorted by ticker, then source.

        Args:
            now_ns: the wall clock, ns since the epoch; decides what is too old to compare.
            fields: which numbers to give, of `FIELD_NAMES`; all others are left out.
            chosen: whether to give the row of a source and ticker.
        """
        newest = {name: self._newest(name) for name in sorted(self._sources)}
        keys = sorted(
            (ticker, name)
            for name, tickers in newest.items()
            for ticker in tickers
            if chosen(name, ticker)
        )
        meetings = [self._meeting(*key, now_ns) for key in keys]
        gaps = derive.gaps_bps(
            [meeting.mid if meeting else "" for meeting in meetings],
            [meeting.reference_mid if meeting else "" for meeting in meetings],
        )
        carries = derive.differences(*_funding(newest, keys, now_ns))
        wanted = [name for name in fields if name not in _OWN]
        rows = []
        for (ticker, name), meeting, gap, carry in zip(keys, meetings, gaps, carries, strict=True):
            batch, row = newest[name][ticker]
            texts = {each: text for each in wanted if (text := _text(batch, row, each))}
            if gap and "gap_bps" in fields:
                texts["gap_bps"] = gap
            if carry and "carry_apr" in fields:
                texts["carry_apr"] = carry
            rows.append(
                Row(
                    name,
                    ticker,
                    batch.slot_ns,
                    batch.quotes_updated_ns[row],
                    texts,
                    meeting.slot_ns if meeting and gap else None,
                    _settles_ns(batch, row),
                )
            )
        return rows

    def _newest(self, name: str) -> dict[str, _Newest]:
        known = self._sources[name]
        left = {ticker: _Newest(batch, 0) for ticker, batch in known.left_behind.items()}
        return {**left, **{ticker: _Newest(known.batch, row) for ticker, row in known.rows.items()}}

    def _leave_behind(self, known: _Source, batch: Batch) -> None:
        """Keep the rows of the newest batch that this one lacks, and no others."""
        before, known_now = known.batch, set(batch.tickers)
        oldest_ns = batch.slot_ns - LEFT_BEHIND_S * NS_PER_S
        kept = {
            ticker: left
            for ticker, left in known.left_behind.items()
            if ticker not in known_now and left.slot_ns > oldest_ns
        }
        for ticker in known.rows.keys() - known_now:
            kept[ticker] = _row_alone(before, known.rows[ticker])
        known.left_behind = kept

    def _meet(self, name: str, slot_ns: int) -> None:
        """Note the mids of every ticker that another source has at the same slot."""
        mids = self._sources[name].mids[slot_ns]
        for other, known in self._sources.items():
            others = known.mids.get(slot_ns)
            if other == name or others is None:
                continue
            mine, theirs = self._meetings[name, other], self._meetings[other, name]
            for ticker in mids.keys() & others.keys():
                mine[ticker] = _Meeting(slot_ns, mids[ticker], others[ticker])
                theirs[ticker] = _Meeting(slot_ns, others[ticker], mids[ticker])

    def _meeting(self, ticker: str, name: str, now_ns: int) -> _Meeting | None:
        """The newest meeting with another source (the first by name), if it is not too old."""
        for other in sorted(self._sources):
            meeting = self._meetings.get((name, other), {}).get(ticker)
            if meeting and now_ns - meeting.slot_ns <= LOOK_BACK_S * NS_PER_S:
                return meeting
        return None


_OWN: Final = frozenset(each.name for each in BOARD_FIELDS)


def _text(batch: Batch, row: int, name: str) -> str:
    """The exact text of a field; "" = not known."""
    if name == "lag_ms":
        return str(batch.lag_ms)
    column = batch.columns.get(name)
    return column[row] if column is not None else ""


def _funding(
    newest: Mapping[str, Mapping[str, _Newest]], keys: Iterable[tuple[str, str]], now_ns: int
) -> tuple[list[str], list[str]]:
    """By key the funding of a ticker and that of the other source (the first by name)."""
    oldest_ns = now_ns - LOOK_BACK_S * NS_PER_S
    rates = {
        name: {
            ticker: text
            for ticker, (batch, row) in tickers.items()
            if batch.slot_ns >= oldest_ns and (text := _text(batch, row, "funding_apr"))
        }
        for name, tickers in newest.items()
    }
    own, others = [], []
    for ticker, name in keys:
        own.append(rates[name].get(ticker, ""))
        others.append(
            next(
                (
                    rates[other][ticker]
                    for other in rates
                    if other != name and ticker in rates[other]
                ),
                "",
            )
        )
    return own, others


def _settles_ns(batch: Batch, row: int) -> int | None:
    text = _text(batch, row, "next_funding_s")
    return batch.slot_ns + int(Decimal(text) * NS_PER_S) if text else None


def _row_alone(batch: Batch, row: int) -> Batch:
    """A batch of one row, so that the others can go."""
    return Batch(
        source=batch.source,
        slot_ns=batch.slot_ns,
        received_ns=batch.received_ns,
        tickers=[batch.tickers[row]],
        columns={name: [column[row]] for name, column in batch.columns.items()},
        quotes_updated_ns=[batch.quotes_updated_ns[row]],
    )


def read_batch(source: str, slot_ns: int, lines: str) -> Batch | None:
    """The batch of a poll, from its record in the journal; None = it holds no snapshot.

    When it was received and its quotes were made is known to the millisecond, and quotes that
    were said to be of the future pass for as old as their receipt.

    Raises:
        LineProtocolError: the lines are not a poll's.
    """
    points = [point for point in parse_lines(lines) if point.measurement == schema.SNAPSHOT.name]
    if not points:
        return None
    try:
        received_ns = slot_ns + int(points[0].fields["lag_ms"]) * NS_PER_MS
    except (KeyError, ValueError) as error:
        raise LineProtocolError("read poll", f"{source}: a snapshot without lag_ms") from error
    ages_ms = [point.fields.get("quote_age_ms") for point in points]
    names = {name for point in points for name in point.fields} - {"lag_ms"}
    return Batch(
        source=source,
        slot_ns=slot_ns,
        received_ns=min(max(0, received_ns), INSTANT_MAX_NS),
        tickers=[point.tags["ticker"] for point in points],
        columns={name: [point.fields.get(name, "") for point in points] for name in names},
        quotes_updated_ns=[_earlier(received_ns, age_ms) for age_ms in ages_ms],
    )


def _earlier(received_ns: int, age_ms: str | None) -> int | None:
    """The instant so long before receipt; None = not known, or none that can be."""
    if age_ms is None:
        return None
    updated_ns = received_ns - int(Decimal(age_ms) * NS_PER_MS)
    return updated_ns if 0 <= updated_ns <= INSTANT_MAX_NS else None
