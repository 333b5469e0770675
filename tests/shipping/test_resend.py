"""Sending the past again, for a command that somebody waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from agent import resend
from agent.clock import NS_PER_S
from agent.delivery import WriteApi
from agent.errors import InfluxDBError
from agent.resend import TRIES_MAX, WAIT_S_MAX, Resender, in_batches
from tests.shipping.bench import DirectDoor, record, snapshot_line, stored_tickers
from tests.shipping.fake_influxdb import Bucket, FakeInfluxDB, Fault
from tests.support.clock import START_NS, FakeClock

BUSY: Final = Fault(503, "later")


def resender(fake: FakeInfluxDB, clock: FakeClock) -> Resender:
    """One without jitter."""
    return Resender(WriteApi(DirectDoor(fake)), clock=clock, rand=lambda: 1.0)


async def test_good_records_are_stored_and_bad_lines_named(
    fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """As the shipper does it: the bad line is cut out, the others are stored."""
    lines = [snapshot_line("A"), snapshot_line("B", "NaN"), snapshot_line("C")]
    outcome = await resender(fake, clock).send([record(7, lines)])
    assert [(row.seq, row.line) for row in outcome.rejected] == [(7, lines[1])]
    assert stored_tickers(fake) == {"A", "C"}


async def test_a_busy_server_is_asked_a_few_times(fake: FakeInfluxDB, clock: FakeClock) -> None:
    """With growing pauses, as long as it asks for, within a bound; then it is said why not."""
    fake.faults = [BUSY, Fault(503, "later", headers={"Retry-After": "30"})]
    await resender(fake, clock).send([record(1, [snapshot_line("A")])])
    assert clock.slept_s == [1, 30]
    fake.faults = [Fault(503, "later", headers={"Retry-After": "3600"})] * TRIES_MAX
    with pytest.raises(InfluxDBError, match="503 later"):
        await resender(fake, clock).send([record(1, [snapshot_line("A")])])
    assert clock.slept_s[2:] == [WAIT_S_MAX] * (TRIES_MAX - 1)


async def test_what_an_operator_must_put_right_ends_it(
    fake: FakeInfluxDB, clock: FakeClock
) -> None:
    """A wrong token is told at once, with what to do."""
    fake.tokens = {}
    with pytest.raises(InfluxDBError, match="401") as caught:
        await resender(fake, clock).send([record(1, [snapshot_line("A")])])
    assert "token" in caught.value.hint
    assert clock.slept_s == []


async def test_one_refusal_for_what_is_too_old(clock: FakeClock) -> None:
    """The retention is learned here as well."""
    fake = FakeInfluxDB(buckets={"perps": Bucket(retention_s=3600)})
    again = resender(fake, clock)
    old_ns = START_NS - 86_400 * NS_PER_S
    for seq in (1, 2):
        line = snapshot_line("A", stamp_ns=old_ns + seq)
        outcome = await again.send([replace(record(seq, [line]), slot_ns=old_ns + seq)])
        assert [row.seq for row in outcome.rejected] == [seq]
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("lines_max", "bytes_max", "sizes"),
    [(4, 10**9, [2, 2, 1]), (5, 10**9, [2, 2, 1]), (10**9, 1, [1] * 5), (10**9, 10**9, [5])],
)
def test_batches_are_bounded(
    monkeypatch: pytest.MonkeyPatch, lines_max: int, bytes_max: int, sizes: list[int]
) -> None:
    """By lines and bytes; a record that is too large by itself goes alone; none is left out."""
    monkeypatch.setattr(resend, "BATCH_LINES_MAX", lines_max)
    monkeypatch.setattr(resend, "BATCH_BYTES_MAX", bytes_max)
    records = [record(seq, [snapshot_line("A"), snapshot_line("B")]) for seq in range(5)]
    batches = list(in_batches((each, 2) for each in records))
    assert [len(batch) for batch in batches] == sizes
    assert [each for batch in batches for each in batch] == records


def test_nothing_is_no_batch() -> None:
    """An empty range sends nothing."""
    assert list(in_batches([])) == []
