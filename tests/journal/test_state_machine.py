"""The journal against a plain model: whatever happens, in whatever order, no point is lost."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from agent.journal import Lane, Ledger, Record, Rejected, database, store
from agent.journal.fragment import compress
from agent.journal.retention import bytes_over
from agent.journal.spans import OPEN_END
from agent.journal.steady import STEADY_S
from tests.journal.make import AGE_MAX_S, SINK, damage, entry, store_at
from tests.support.clock import FakeClock

BYTES_MAX = 90_000
"""Little more than an empty journal's pages: a few large records, and the oldest go."""
SPANS_MAX = 3
"""Small, so that the limit is met."""

picks = st.integers(0, 2)
"""Which of the sinks that are there."""
others = st.sampled_from(("cloud", "stream"))
polls = st.lists(
    st.tuples(
        st.sampled_from((2, 1, 4)), st.sampled_from((0, 0, 1, 4)), st.sampled_from((0, 0, 0, 4000))
    ),
    min_size=4,
    max_size=10,
)
"""Lines, how many of them are not counted, and how much they are padded."""


@dataclass
class Stored:
    """A record as the model knows it."""

    points: int
    lines: int
    bytes: int
    appended_ns: int


@dataclass
class Sink:
    """What the model holds true of one sink; all sets are of seqs."""

    collected: int
    pending: set[int]
    cuts: set[int] = field(default_factory=set)
    """First seqs of spans that were split off."""
    leased: dict[int, Record] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    evicted: set[int] = field(default_factory=set)
    rejected_points: int = 0

    def runs(self, among: set[int]) -> list[list[int]]:
        """Neighbours together, but for the cuts."""
        runs: list[list[int]] = []
        for seq in sorted(among):
            if runs and seq == runs[-1][-1] + 1 and seq not in self.cuts:
                runs[-1].append(seq)
            else:
                runs.append([seq])
        return runs

    def spans(self, head: int) -> int:
        """How many spans this is, the open one included."""
        runs = self.runs(self.pending)
        return len(runs) + (not self.reaches_open_end(runs, head))

    def reaches_open_end(self, runs: list[list[int]], head: int) -> bool:
        """Whether the last run is the beginning of the open span."""
        return bool(runs) and runs[-1][-1] == head and head + 1 not in self.cuts


class JournalMachine(RuleBasedStateMachine):
    """Drives a store and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "journal.db"
        self.clock = FakeClock()
        self.records: dict[int, Stored] = {}
        self.existing: set[int] = set()
        self.damaged: set[int] = set()
        self.sinks = {SINK: Sink(0, set())}
        self.slot_ns = 0

    @initialize(polls=polls)
    def start(self, polls: list[tuple[int, int, int]]) -> None:
        """Open it for the first time."""
        self.open()
        self.append(polls)

    def open(self) -> None:
        """Open it."""
        self.store = store_at(self.path, bytes_max=BYTES_MAX, clock=self.clock)
        self.steady_from_ns = self.clock.monotonic_ns()

    def query(self, sql: str) -> list[Any]:
        """Ask the database itself."""
        return self.store._connect().execute(sql).fetchall()

    @property
    def head(self) -> int:
        """The newest seq, 0 when there is none."""
        return max(self.existing, default=0)

    def points(self, seqs: set[int]) -> int:
        """Counted points of these records."""
        return sum(self.records[seq].points for seq in seqs)

    @rule(polls=polls)
    def append(self, polls: list[tuple[int, int, int]]) -> None:
        """Each entry is one record with the next number, pending for every sink."""
        entries = []
        for lines, uncounted, padding in polls:
            self.slot_ns += 1
            points = max(0, lines - uncounted)
            new = entry(lines, points=points, slot_ns=self.slot_ns, padding=padding)
            entries.append(new)
            seq = self.head + 1
            size = len(compress(new.lines))
            self.records[seq] = Stored(points, lines, size, self.clock.now_ns())
            self.existing.add(seq)
            for sink in self.sinks.values():
                sink.pending.add(seq)
                sink.collected += points
        self.store.append(entries)

    def pick(self, number: int) -> str:
        """One of the sinks that are there."""
        names = sorted(self.sinks)
        return names[number % len(names)]

    @rule(
        pick=picks, points_max=st.sampled_from((3, 6, 20)), bytes_max=st.sampled_from((20_000, 400))
    )
    def next_newest(self, pick: int, points_max: int, bytes_max: int) -> None:
        """Ask for a batch of the newest lane."""
        self.next_batch(self.pick(pick), "newest", points_max, bytes_max)

    @rule(
        pick=picks, points_max=st.sampled_from((3, 6, 20)), bytes_max=st.sampled_from((20_000, 400))
    )
    def next_oldest(self, pick: int, points_max: int, bytes_max: int) -> None:
        """Ask for a batch of the oldest lane."""
        self.next_batch(self.pick(pick), "oldest", points_max, bytes_max)

    def next_batch(self, name: str, lane: Lane, points_max: int, bytes_max: int) -> None:
        """A batch is the beginning of the lane's span, as far as the limits allow, once only."""
        sink = self.sinks[name]
        expected = self.expect_batch(sink, lane, points_max, bytes_max)
        batch = self.store.next_batch(name, lane, points_max, bytes_max)
        assert [record.seq for record in batch] == expected
        sink.leased.update({record.seq: record for record in batch})

    def expect_batch(self, sink: Sink, lane: str, points_max: int, bytes_max: int) -> list[int]:
        """The model's own answer; damaged records met on the way are settled as rejected."""
        runs = sink.runs(sink.pending - set(sink.leased))
        if lane == "newest":
            runs = runs[-1:] if sink.reaches_open_end(runs, self.head) else []
        for run in runs:
            batch: list[int] = []
            lines = size = 0
            more = False
            for seq in run:
                if seq in self.damaged:
                    sink.pending.discard(seq)
                    sink.broken.add(seq)
                    continue
                lines += self.records[seq].lines
                size += self.records[seq].bytes
                if batch and (lines > points_max or size > bytes_max):
                    more = True
                    break
                batch.append(seq)
            if batch:
                if lane == "newest" and more and sink.spans(self.head) < SPANS_MAX:
                    sink.cuts.add(self.head + 1)
                return batch
        return []

    @rule(pick=picks, data=st.data(), whole=st.booleans())
    def settle(self, pick: int, data: st.DataObject, *, whole: bool) -> None:
        """Settled records are stored but for what was rejected; those settled before are not."""
        name = self.pick(pick)
        sink = self.sinks[name]
        chosen = list(sink.leased.values())
        if chosen and not whole:
            chosen = data.draw(st.lists(st.sampled_from(chosen), unique=True))
        rejected = [
            Rejected("line", "refused", points, record.seq)
            for record in chosen
            if (points := data.draw(st.integers(0, record.points)))
        ]
        for _ in range(data.draw(st.integers(1, 2))):
            self.store.settle(name, chosen, rejected)
        for record in chosen:
            del sink.leased[record.seq]
            sink.pending.discard(record.seq)
            sink.settled.add(record.seq)
        sink.rejected_points += sum(row.points for row in rejected)

    @rule(
        seconds=st.sampled_from((0, 1200, 0, 1200, AGE_MAX_S + 1)),
        hours=st.sampled_from((0, 0, 0, 0, -10, 10)),
    )
    def enforce_bounds(self, seconds: int, hours: int) -> None:
        """The oldest go, as many as the bounds demand; never the newest, nor what is out.

        Time passes before, and the wall clock may be set.
        """
        self.clock.advance(seconds)
        self.clock.step_wall(hours * 3600)
        leased = {seq for sink in self.sinks.values() for seq in sink.leased}
        keep_from = min({self.head, *leased})
        if hours:
            self.steady_from_ns = self.clock.monotonic_ns()
        steady_ns = self.clock.monotonic_ns() - self.steady_from_ns
        believed = steady_ns >= STEADY_S * 1_000_000_000
        expired_ns = self.clock.now_ns() - AGE_MAX_S * 1_000_000_000 if believed else 0
        last_old = max(
            (s for s in self.existing if self.records[s].appended_ns < expired_ns), default=0
        )
        must_go = {seq for seq in self.existing if seq <= last_old and seq < keep_from}
        was_over = bytes_over(self.store._connect(), BYTES_MAX) > 0
        unsent = records = 0
        while (step := self.store.evict_some()).records:
            records += step.records
            unsent += step.unsent_points
        left = {seq for (seq,) in self.query("SELECT seq FROM record")}
        gone = self.existing - left
        assert must_go <= gone
        assert all(seq < keep_from for seq in gone)
        assert not gone or max(gone) < min(left)
        if not was_over:
            assert gone == must_go
        if bytes_over(self.store._connect(), BYTES_MAX) > 0:
            assert min(left) == keep_from
        lost = 0
        for sink in self.sinks.values():
            lost += self.points(gone & sink.pending)
            sink.evicted |= gone & sink.pending
            sink.pending -= gone
        assert (records, unsent) == (len(gone), lost)
        self.existing = left

    @rule(
        pick=picks,
        name=others,
        event=st.sampled_from(("add", "release", "damage", "release", "damage", "reopen", "drop")),
        data=st.data(),
    )
    def upset(self, pick: int, name: str, event: str, data: st.DataObject) -> None:
        """What happens less often."""
        match event:
            case "add":
                self.add_sink(name)
            case "drop":
                self.store.drop_sink(name)
                self.sinks.pop(name, None)
            case "release":
                self.store.release(self.pick(pick), None)
                self.sinks[self.pick(pick)].leased.clear()
            case "damage":
                seq = data.draw(st.sampled_from(sorted(self.existing)))
                if seq not in self.damaged:
                    damage(self.path, seq)
                    self.damaged.add(seq)
            case _:
                self.reopen()

    def add_sink(self, name: str) -> None:
        """A new sink is to get all that is still there; one that is there stays as it is."""
        self.store.add_sink(name)
        if name not in self.sinks:
            self.sinks[name] = Sink(self.points(self.existing), set(self.existing))

    def reopen(self) -> None:
        """A restart changes nothing but that what was out waits again."""
        self.store.close()
        self.open()
        for sink in self.sinks.values():
            sink.leased.clear()

    @invariant()
    def books_are_right(self) -> None:
        """Every point of every sink is where the model has it, and the ledger law holds."""
        if not hasattr(self, "store"):
            return
        assert self.store.sinks() == sorted(self.sinks)
        existing = [seq for (seq,) in self.query("SELECT seq FROM record ORDER BY seq")]
        assert existing == sorted(self.existing)
        for name, sink in self.sinks.items():
            spans = self.query(
                f"SELECT first_seq, last_seq FROM span WHERE sink = '{name}' ORDER BY first_seq"
            )
            assert all(a[1] < b[0] for a, b in pairwise(spans))
            assert spans[-1][1] == OPEN_END
            assert len(spans) == sink.spans(self.head)
            pending = {seq for seq in existing if any(a <= seq <= b for a, b in spans)}
            assert pending == sink.pending
            ledger = self.store.ledger(name)
            rejected = sink.rejected_points + self.points(sink.broken)
            assert ledger == Ledger(
                collected=sink.collected,
                stored=self.points(sink.settled) - sink.rejected_points,
                rejected=rejected,
                evicted=self.points(sink.evicted),
                pending=self.points(sink.pending),
            )
            assert ledger.holds
            backlog = self.store.backlog(name)
            assert backlog.points == ledger.pending
            assert backlog.bytes == sum(self.records[seq].bytes for seq in sink.pending)
            oldest = min(sink.pending, default=None)
            assert backlog.oldest_ns == (oldest and self.records[oldest].appended_ns)
            assert (
                sum(row.rejected.points for row in self.store.rejected(name, 1000, None))
                == rejected
            )

    def teardown(self) -> None:
        """Close it and remove its folder."""
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)


def run(monkeypatch: pytest.MonkeyPatch, examples: int, *, derandomize: bool) -> None:
    """Let the machine run, not waiting for the disk: what is tested here are the books."""
    monkeypatch.setattr(store, "SPANS_MAX", SPANS_MAX)
    monkeypatch.setattr(database, "SYNCHRONOUS", "OFF")
    run_state_machine_as_test(
        JournalMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_journal_does_as_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every step each point is stored, rejected, evicted or pending, as the model has it."""
    run(monkeypatch, 60, derandomize=True)


@pytest.mark.slow
def test_the_journal_does_as_the_model_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same over many walks, other ones at each run."""
    run(monkeypatch, 300, derandomize=False)
