"""Each operation of the journal as one transaction; synchronous, for one thread.

What a sink has still to get are its spans (table `span`). A batch that is out is leased, in
memory only: a restart gives it back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.errors import JournalError
from agent.journal import refusals, retention, room
from agent.journal.batches import read_batch
from agent.journal.database import MAIN_SINK
from agent.journal.opened import OpenFile
from agent.journal.records import (
    Backlog,
    Entry,
    Evicted,
    Lane,
    Ledger,
    Record,
    Rejected,
    RejectedRow,
)
from agent.journal.spans import OPEN_END, Span, holds, runs, within, without
from agent.journal.steady import SteadyClock
from agent.journal.tables import (
    append,
    count,
    forget_sink,
    head,
    ledger_of,
    oldest,
    put_spans,
    sink_names,
    spans_of,
    sum_of,
)

SPANS_MAX: Final = 64
"""Spans a sink may have before its newest lane stops splitting the open one."""
APPENDS_PER_TIDY: Final = 64
TIDY_INTERVAL_S: Final = 10
"""The bounds are due after so many appends or seconds, whichever comes first."""

LAST_SLOT_RECORDS: Final = 100_000
"""How far back the newest slot of a source is looked for; a day of both sources."""


class Store(OpenFile):
    """The journal for one thread; `Journal` says what each operation means.

    Every method raises JournalError when SQLite fails. What it was about to change is then
    unchanged, and the next call tries anew, over a new connection where the old one is doubtful.
    """

    def __init__(
        self, path: Path, *, bytes_max: int, age_max_s: int, clock: Clock, patient: bool = False
    ) -> None:
        """Take the lock and open the file; see `OpenFile`."""
        self._bytes_max = bytes_max
        self._age_max_ns = age_max_s * NS_PER_S
        self._sinks: set[str] = {MAIN_SINK}
        """Those that were added here: a file that is begun anew gets them as well."""
        self._leases: dict[str, list[Span]] = {}
        self._head_seq = 0
        self._appends = 0
        self._tidied_ns = clock.monotonic_ns()
        self._steady = SteadyClock(clock)
        super().__init__(path, clock=clock, patient=patient)

    def _on_open(self, *, fresh: bool) -> None:
        if fresh:
            self._leases.clear()
        with self._session("open journal") as connection:
            known = set(sink_names(connection))
            self._head_seq = max(self._head_seq, head(connection)[0])
        # A file that can only be read can be read all the same.
        if self._sinks - known:
            with self._session("open journal", write=True) as connection:
                for name in self._sinks - known:
                    self._insert_sink(connection, name)

    # --- records ---

    def append(self, entries: Sequence[Entry]) -> None:
        """Add a record per entry; they are on the disk when it returns."""
        if not entries:
            return
        self._steady.look()
        with self._session("append to journal", write=True) as connection:
            last_seq = self._append(connection, entries)
        self._head_seq = last_seq
        self._appends += 1

    def _append(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
        """The seq of the last record."""
        return append(
            connection,
            entries,
            now_ns=self._clock.now_ns(),
            after_seq=self._head_seq,
            claim=lambda size: self._claim_room(connection, size),
        )

    def _claim_room(self, connection: sqlite3.Connection, size: int) -> None:
        """Where the disk is short the file does not grow: shipped history makes way, or nothing.

        Raises JournalUnavailableError.
        """
        shortage = room.shortage(self._path)
        if shortage is None or room.fits(connection, size):
            return
        unshipped_seq = retention.unshipped_from(connection)
        keep_from = min([head(connection)[0], unshipped_seq, *self._leased_from()])
        while last := retention.last_to_go(
            connection, over_bytes=room.missing(connection, size), keep_from=keep_from
        ):
            retention.evict(connection, last)
        if not room.fits(connection, size):
            raise room.refusal(self._path, shortage)

    def last_slot_ns(self, source: str) -> int | None:
        """The slot of a source's newest record; looked for among the newest records only.

        A source that took nothing for so long has no slot to take up.
        """
        with self._session("read journal") as connection:
            row = connection.execute(
                "SELECT slot_ns FROM record WHERE source = ? AND seq > ? ORDER BY seq DESC LIMIT 1",
                (source, head(connection)[0] - LAST_SLOT_RECORDS),
            ).fetchone()
        return None if row is None else int(row[0])

    def next_batch(self, sink: str, lane: Lane, points_max: int, bytes_max: int) -> list[Record]:
        """Lease the lane's next records; damaged ones on the way count as rejected."""
        batch: list[Record] = []
        more = False
        while not batch:
            with self._session("read journal") as connection:
                free = without(self._spans(connection, sink), self._leases.get(sink, ()))
                if lane == "newest":
                    free = [span for span in free if span[1] == OPEN_END]
                batch, damaged, more = read_batch(connection, free, points_max, bytes_max)
            if not damaged:
                break
            self._reject_damaged(sink, damaged)
        if more and lane == "newest":
            # Where nothing can be written the batch is good all the same.
            with suppress(JournalError):
                self._split_open_span(sink)
        out = runs(record.seq for record in batch)
        self._leases[sink] = sorted([*self._leases.get(sink, ()), *out])
        return batch

    def _split_open_span(self, sink: str) -> None:
        """Close the open span at the head, so that what comes now need not wait behind it."""
        with self._session("split backlog", write=True) as connection:
            spans = self._spans(connection, sink)
            if len(spans) < SPANS_MAX:
                head_seq = head(connection)[0]
                split = [*within(spans, head_seq), (head_seq + 1, OPEN_END)]
                put_spans(connection, sink, spans, split)

    def _reject_damaged(self, sink: str, damaged: Sequence[int]) -> None:
        """Take damaged records out of the sink's spans; they count as rejected.

        Their points are told from the running totals: their own number may be the damaged one.
        """
        lost: list[Rejected] = []
        with self._session("mark damaged records", write=True) as connection:
            spans = before = self._spans(connection, sink)
            for seq in damaged:
                after = without(before, [(seq, seq)])
                points = sum_of(connection, before).points - sum_of(connection, after).points
                lost.append(Rejected("", "damaged on the disk", points, seq))
                connection.execute("UPDATE record SET damaged = 1 WHERE seq = ?", (seq,))
                before = after
            put_spans(connection, sink, spans, before)
            count(connection, sink, rejected=sum(row.points for row in lost))
            self._keep_rejected(connection, sink, lost)
        for row in lost:
            self.note(
                f"record {row.seq} of {self._path} is damaged: its {row.points} points count as "
                f"rejected for {sink} (look after the disk)"
            )

    def settle(self, sink: str, records: Sequence[Record], rejected: Sequence[Rejected]) -> None:
        """The sink has these records but for the rejected lines; what is not pending is passed."""
        with self._session("settle batch", write=True) as connection:
            spans = self._spans(connection, sink)
            settled = {record.seq: record.points for record in records if holds(spans, record.seq)}
            refused = [row for row in rejected if row.seq in settled]
            refused_points = sum(row.points for row in refused)
            stored = sum(settled.values()) - refused_points
            assert stored >= 0, "more points are rejected than the records have"
            put_spans(connection, sink, spans, without(spans, runs(settled)))
            count(connection, sink, stored=stored, rejected=refused_points)
            self._keep_rejected(connection, sink, refused)
        done = runs(record.seq for record in records)
        self._leases[sink] = without(self._leases.get(sink, ()), done)

    def release(self, sink: str, records: Sequence[Record] | None) -> None:
        """Give back what the sink holds leased: these records, None = all."""
        left = [] if records is None else self._leases.get(sink, ())
        given_back = runs(record.seq for record in records or ())
        self._leases[sink] = without(left, given_back)

    def _leased_from(self) -> list[int]:
        """The first seq that each sink holds leased."""
        return [spans[0][0] for spans in self._leases.values() if spans]

    def evict_some(self) -> Evicted:
        """Remove a bounded number of the oldest records as the bounds demand; (0, 0) = none."""
        self._appends = 0
        self._tidied_ns = self._clock.monotonic_ns()
        expired_ns = self._clock.now_ns() - self._age_max_ns if self._steady.look() else 0
        with self._session("enforce journal bounds", write=True) as connection:
            last = retention.last_to_go(
                connection,
                over_bytes=retention.bytes_over(connection, self._bytes_max),
                taken_before_ns=expired_ns,
                keep_from=min([head(connection)[0], *self._leased_from()]),
            )
            if last is None:
                return Evicted(0, 0)
            return retention.evict(connection, last)

    @property
    def tidy_due(self) -> bool:
        """Whether the bounds should be enforced about now."""
        waited_ns = self._clock.monotonic_ns() - self._tidied_ns
        return self._appends >= APPENDS_PER_TIDY or waited_ns >= TIDY_INTERVAL_S * NS_PER_S

    # --- accounts ---

    def ledger(self, sink: str) -> Ledger:
        """Where every point of the sink is."""
        with self._session("read ledger") as connection:
            self._require(connection, sink)
            return ledger_of(connection, sink)

    def backlog(self, sink: str) -> Backlog:
        """What waits for the sink, leased or not."""
        with self._session("read backlog") as connection:
            waiting = sum_of(connection, self._spans(connection, sink))
            return Backlog(waiting.points, waiting.bytes, waiting.oldest_ns)

    def rejected(self, sink: str, limit: int, before_id: int | None) -> list[RejectedRow]:
        """Rejected lines of the sink, newest first."""
        with self._session("read rejected lines") as connection:
            self._require(connection, sink)
            return refusals.read(connection, sink, limit, before_id)

    def account(
        self, sink: str, stored: int, refused: Sequence[tuple[Entry, Sequence[Rejected]]]
    ) -> None:
        """Count what went past the journal: so much is stored, and these are kept as refused."""
        with self._session("account", write=True) as connection:
            spans = self._spans(connection, sink)
            last_seq = self._append(connection, [entry for entry, _ in refused])
            seqs = range(last_seq - len(refused) + 1, last_seq + 1)
            lost = [
                replace(line, seq=seq)
                for seq, (_, lines) in zip(seqs, refused, strict=True)
                for line in lines
            ]
            put_spans(connection, sink, spans, without(spans, runs(seqs)))
            # Points without a record were collected before the sink's first one.
            connection.execute(
                "UPDATE sink SET born_total = born_total - ? WHERE name = ?", (stored, sink)
            )
            count(connection, sink, stored=stored, rejected=sum(e.points for e, _ in refused))
            self._keep_rejected(connection, sink, lost)
        self._head_seq = last_seq
        self._appends += 1

    def _keep_rejected(
        self, connection: sqlite3.Connection, sink: str, lines: Sequence[Rejected]
    ) -> None:
        room = refusals.text_bytes_max(self._bytes_max, len(sink_names(connection)))
        at_ns = self._clock.now_ns()
        refusals.keep(connection, sink, lines, at_ns=at_ns, text_bytes_max=room)

    # --- sinks and state ---

    def sinks(self) -> list[str]:
        """The names of all sinks, sorted."""
        with self._session("list sinks") as connection:
            return sink_names(connection)

    def add_sink(self, name: str) -> None:
        """Add a sink that gets the whole history; one that is there stays as it is."""
        self._sinks.add(name)
        with self._session("add sink", write=True) as connection:
            if name not in sink_names(connection):
                self._insert_sink(connection, name)

    def _insert_sink(self, connection: sqlite3.Connection, name: str) -> None:
        first_seq, points_before = oldest(connection) or (self._head_seq + 1, 0)
        connection.execute("INSERT INTO sink VALUES (?, ?, 0, 0, 0)", (name, points_before))
        put_spans(connection, name, [], [(first_seq, OPEN_END)])

    def drop_sink(self, name: str) -> None:
        """Remove a sink with its spans, counters and rejected lines; an unknown one is passed."""
        if name == MAIN_SINK:
            raise JournalError("drop sink", f"{name} is the journal's own", "drop another one")
        with self._session("drop sink", write=True) as connection:
            forget_sink(connection, name)
        self._sinks.discard(name)
        self._leases.pop(name, None)

    def get_state(self, key: str) -> str | None:
        """The value kept under the key."""
        with self._session("read state") as connection:
            row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

    def put_state(self, key: str, value: str | None) -> None:
        """Keep the value under the key; None removes it."""
        with self._session("write state", write=True) as connection:
            if value is None:
                connection.execute("DELETE FROM state WHERE key = ?", (key,))
            else:
                connection.execute("REPLACE INTO state (key, value) VALUES (?, ?)", (key, value))

    def _require(self, connection: sqlite3.Connection, sink: str) -> None:
        # Asked of the file: a command may have dropped one meanwhile.
        if sink not in sink_names(connection):
            raise JournalError(
                "use sink", f"{self._path} has no sink {sink!r}", "add it to the configuration"
            )

    def _spans(self, connection: sqlite3.Connection, sink: str) -> list[Span]:
        self._require(connection, sink)
        return spans_of(connection, sink)
