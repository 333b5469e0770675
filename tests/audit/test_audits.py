"""Every store has an auditor of its own; what one does is another test's affair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.auditor import Auditor, Target
from agent.audits import Audits
from agent.config import NoToken, StoreSink
from agent.journal import History, Journal
from agent.shipper import ShipperStatus
from tests.journal.make import entry
from tests.support.clock import FakeClock

UP = ShipperStatus("idle", None, None, None, None, 0)


def target(bucket: str) -> Target:
    """A store that is shipped to."""
    store = StoreSink(url="http://127.0.0.1:8086", org="o", bucket=bucket)
    return Target(store, NoToken(), UP)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal."""
    path = tmp_path / "journal.db"
    journal = await Journal.open(path, bytes_max=2**30, age_max_s=604_800, clock=FakeClock())
    yield journal
    await journal.close()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The buckets that were looked at, in their order."""
    looked: list[str] = []

    async def look(_: Auditor, target: Target) -> None:
        looked.append(target.store.bucket)
        if target.store.bucket == "broken":
            raise RuntimeError("a bug")

    monkeypatch.setattr(Auditor, "look", look)
    return looked


def audits(targets: dict[str, Target], journal: Journal, tmp_path: Path) -> Audits:
    """Of these stores, as they are at each look."""
    clock = FakeClock()
    return Audits(lambda: targets, journal, tmp_path / "journal.db", host="h", clock=clock)


async def test_each_store_is_looked_at(journal: Journal, tmp_path: Path, looked: list[str]) -> None:
    """Also one that a reload brought; one that went has no status any more, and is new again."""
    targets = {"influxdb": target("main"), "cloud": target("other")}
    both = audits(targets, journal, tmp_path)
    await both.look()
    assert looked == ["main", "other"]
    both._auditors["cloud"]._unreadable = "said before"
    assert both.status("cloud")["preflight"]["last_error"] == "said before"
    gone = targets.pop("cloud")
    await both.look()
    assert looked == ["main", "other", "main"]
    assert both.status("cloud") == {}
    targets["cloud"] = gone
    assert both.status("cloud")["preflight"] == {
        "state": "pending",
        "checked": None,
        "conflicts": [],
        "last_error": None,
    }


async def test_a_defect_at_one_store_ends_nothing(
    journal: Journal, tmp_path: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged, the other stores are looked at, and the next look comes."""
    clock = FakeClock()
    stores = {"broken": target("broken"), "whole": target("whole")}
    all_of_them = Audits(lambda: stores, journal, tmp_path / "journal.db", host="h", clock=clock)
    rest = clock.sleep

    async def sleep(seconds: float) -> None:
        if len(looked) >= 4:
            raise asyncio.CancelledError
        await rest(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await all_of_them.run()
    assert looked == ["broken", "whole"] * 2
    assert [log["event"] for log in logs] == ["audit_crashed"] * 2
    assert clock.slept_s == [15]


async def test_what_memory_could_not_hold_is_told(journal: Journal, tmp_path: Path) -> None:
    """Not before the journal takes writes again, and once: a hole must be visible as data."""
    none = audits({}, journal, tmp_path)
    hold = journal.hold
    hold.keep([entry(2)])
    hold.lost_points = 7
    with capture_logs() as logs:
        await none.look()
        assert logs == []
        hold.taken(1)
        await none.look()
        await none.look()
    assert [(log["event"], log["points"]) for log in logs] == [("points_lost", 7)]
    with History(tmp_path / "journal.db") as history:
        lines = "".join(record.lines for record in history.records())
    assert lines.count("kind=points_lost") == lines.count("event,") == 1
