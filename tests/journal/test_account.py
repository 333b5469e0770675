"""Points that go past the journal: the ledger counts them, and what was refused is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.journal import Desk, Entry, Journal, Rejected
from tests.support.clock import FakeClock

SINK = "influxdb"


def refused(line: str, *, points: int = 1) -> tuple[Entry, list[Rejected]]:
    """An entry of one refused line."""
    return Entry("stream", 5, f"{line}\n".encode(), points), [Rejected(line, "bad", points, 77)]


async def opened(folder: Path) -> Journal:
    """The journal of the test, opened anew."""
    return await Journal.open(
        folder / "box.db", bytes_max=2**24, age_max_s=604_800, clock=FakeClock()
    )


async def test_the_law_holds_for_what_went_past(tmp_path: Path) -> None:
    """What is stored and what is refused counts as collected; nothing waits; restarts too."""
    journal = await opened(tmp_path)
    await journal.account(SINK, 10, [])
    await journal.account(SINK, 5, [refused("a"), refused("# odd", points=0)])
    for _ in range(2):
        ledger = await journal.ledger(SINK)
        assert ledger.holds
        assert (ledger.collected, ledger.stored, ledger.rejected) == (16, 15, 1)
        assert (await journal.backlog(SINK)).bytes == 0
        assert await journal.next_batch(SINK, lane="oldest", points_max=9, bytes_max=9) == []
        await journal.close()
        journal = await opened(tmp_path)
    await journal.close()


async def test_what_is_refused_is_kept_as_a_record_of_its_own(tmp_path: Path) -> None:
    """A refused line names the record that has it, so that it can be looked at and sent again."""
    journal = await opened(tmp_path)
    await journal.account(SINK, 0, [refused("a"), refused("b")])
    await journal.close()
    with Desk(tmp_path / "box.db", bytes_max=2**24) as desk:
        rows = desk.rejected(SINK, 10)
        assert [(row.rejected.line, row.rejected.reason) for row in rows] == [
            ("a", "bad"),
            ("b", "bad"),
        ]
        records = [desk.record(row.rejected.seq) for row in rows]
    assert [record.source for record in records if record] == ["stream", "stream"]


async def test_records_that_wait_go_on_waiting(tmp_path: Path) -> None:
    """What is appended besides is given out as always."""
    journal = await opened(tmp_path)
    await journal.append([Entry("bybit", 1, b"snapshot x=1 1\n", 1)])
    await journal.account(SINK, 3, [refused("a")])
    await journal.append([Entry("bybit", 2, b"snapshot x=1 2\n", 1)])
    ledger = await journal.ledger(SINK)
    assert ledger.holds
    assert (ledger.pending, ledger.stored, ledger.rejected) == (2, 3, 1)
    batch = await journal.next_batch(SINK, lane="oldest", points_max=9, bytes_max=999)
    batch += await journal.next_batch(SINK, lane="oldest", points_max=9, bytes_max=999)
    assert [record.slot_ns for record in batch] == [1, 2]
    await journal.close()


async def test_an_unknown_sink_is_refused(tmp_path: Path) -> None:
    """Nothing is counted for nobody."""
    journal = await opened(tmp_path)
    with pytest.raises(JournalError, match="no sink 'cloud'"):
        await journal.account("cloud", 1, [refused("a")])
    assert (await journal.ledger(SINK)).collected == 0
    await journal.close()
