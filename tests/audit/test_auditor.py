"""When it looks, and what it tells; what a look finds is another test's affair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent import auditor as auditor_module
from agent.auditor import Auditor, Target
from agent.clock import NS_PER_S
from agent.config import StoreSink, TokenSource
from agent.errors import InfluxDBError, JournalError
from agent.journal import History, Journal
from agent.preflight import Conflict
from agent.readback import Gap, Readback
from agent.shipper import ShipperStatus
from tests.support.clock import START_NS, FakeClock

HOUR_NS = 3600 * NS_PER_S
CONFLICT = Conflict("snapshot", "mid", "float", "integer")
GAP = Gap("snapshot", "bybit", START_NS, START_NS + 300 * NS_PER_S, 300, 290, unsure=False)
UP = ShipperStatus("idle", None, None, None, None, 0)


@dataclass
class Looks:
    """What InfluxDB would answer, and what was asked."""

    conflicts: list[Conflict] = field(default_factory=list)
    gaps: tuple[Gap, ...] = ()
    error: InfluxDBError | None = None
    asked: list[str] = field(default_factory=list)

    async def check(self, _: object, org: str, bucket: str) -> list[Conflict]:
        """In place of `preflight.conflicts`."""
        self.asked.append(f"types of {org}/{bucket}")
        if self.error is not None:
            raise self.error
        return self.conflicts

    async def read_back(self, *_: object, since_ns: int, until_ns: int, **__: Any) -> Readback:
        """In place of `readback.read_back`."""
        hours = [(instant - START_NS) // HOUR_NS for instant in (since_ns, until_ns)]
        self.asked.append(f"hour {hours[0]} to {hours[1]}")
        return Readback(since_ns, until_ns, 1000, self.gaps)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """The two questions, answered by the test."""
    looks = Looks()
    monkeypatch.setattr(auditor_module, "conflicts", looks.check)
    monkeypatch.setattr(auditor_module, "read_back", looks.read_back)
    return looks


@pytest.fixture
def clock() -> FakeClock:
    """A clock."""
    return FakeClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    """A journal."""
    journal = await Journal.open(
        tmp_path / "journal.db", bytes_max=2**30, age_max_s=604_800, clock=clock
    )
    yield journal
    await journal.close()


@dataclass
class Bench:
    """An auditor and what it looks at."""

    auditor: Auditor
    journal: Journal
    path: Path
    target: Target

    async def look(self) -> None:
        """At the target, as it is now."""
        await self.auditor.look(self.target)

    def shipping(self, **changes: Any) -> None:
        """The shipper's status changes."""
        self.target = self.target._replace(shipping=replace(self.target.shipping, **changes))

    def events(self) -> list[str]:
        """Kind of each event in the journal."""
        with History(self.path) as history:
            lines = "".join(record.lines for record in history.records()).splitlines()
        return [line.split("kind=")[1].split(",")[0] for line in lines if line.startswith("event")]


@pytest.fixture
def bench(journal: Journal, tmp_path: Path, clock: FakeClock) -> Bench:
    """With a store that is shipped to."""
    store = StoreSink(url="http://127.0.0.1:8086", org="o", bucket="b")
    token = TokenSource(None, {"INFLUXDB_V2_TOKEN": "secret"})
    path = tmp_path / "journal.db"
    auditor = Auditor("influxdb", journal, path, host="h", clock=clock)
    assert token.read() == SecretStr("secret")
    return Bench(auditor, journal, path, Target(store, token, UP))


async def test_types_are_checked_once(bench: Bench, looks: Looks) -> None:
    """At the start, before much is written, and not again as long as all goes well."""
    assert bench.auditor.status["preflight"]["state"] == "pending"
    for _ in range(3):
        await bench.look()
    assert looks.asked == ["types of o/b"]
    assert bench.auditor.status["preflight"] == {
        "state": "ok",
        "checked": "2026-09-21T15:00:00Z",
        "conflicts": [],
        "last_error": None,
    }


async def test_types_are_checked_again_after_an_outage(bench: Bench, looks: Looks) -> None:
    """Not while the store is away, but as soon as it is back: it may be another one."""
    await bench.look()
    bench.shipping(state="backing_off", attempts=1, outages=1)
    await bench.look()
    assert len(looks.asked) == 1
    bench.shipping(state="shipping", attempts=0)
    await bench.look()
    await bench.look()
    assert len(looks.asked) == 2


async def test_another_bucket_is_checked_anew(bench: Bench, looks: Looks) -> None:
    """A reload may bring another store, and the first one again."""
    await bench.look()
    first = bench.target
    bench.target = first._replace(store=first.store.model_copy(update={"bucket": "c"}))
    await bench.look()
    bench.target = first
    await bench.look()
    assert looks.asked == ["types of o/b", "types of o/c", "types of o/b"]


async def test_a_conflict_is_named_before_it_costs(
    bench: Bench, looks: Looks, clock: FakeClock
) -> None:
    """Once in the log, as an event and in the status; another conflict is news again."""
    looks.conflicts = [CONFLICT]
    with capture_logs() as logs:
        await bench.look()
        bench.shipping(outages=1)
        clock.advance(1)
        await bench.look()
    assert [log["event"] for log in logs] == ["schema_conflict"]
    assert logs[0]["conflicts"] == "snapshot.mid is integer in the bucket, float here"
    assert "another bucket" in logs[0]["hint"]
    assert "rejected replay --sink influxdb --all" in logs[0]["hint"]
    assert bench.events() == ["schema_conflict"]
    assert bench.auditor.status["preflight"]["state"] == "conflict"
    looks.conflicts = []
    bench.shipping(outages=2)
    await bench.look()
    assert bench.auditor.status["preflight"]["state"] == "ok"


async def test_a_token_that_may_only_write_is_said_once(
    bench: Bench, looks: Looks, clock: FakeClock
) -> None:
    """It is the recommended one: no warning, no event, and no read-back that could not succeed."""
    looks.error = InfluxDBError("run the query", "could not find bucket", "a token that may read")
    with capture_logs() as logs:
        for _ in range(3):
            await bench.look()
            clock.advance(3600 + 300)
    assert [(log["event"], log["log_level"]) for log in logs] == [("schema_unchecked", "info")]
    assert bench.auditor.status["preflight"]["state"] == "unchecked"
    assert bench.events() == []
    assert set(looks.asked) == {"types of o/b"}
    looks.error = None
    await bench.look()
    assert bench.auditor.status["preflight"]["state"] == "ok"


async def test_each_hour_is_read_back_once_it_is_over(
    bench: Bench, looks: Looks, clock: FakeClock
) -> None:
    """Five minutes later, one hour at a time; never one that began before the start."""
    await bench.look()
    looks.asked.clear()
    for _ in range(2 * 12):
        clock.advance(300)
        await bench.look()
    clock.advance(600)
    await bench.look()
    assert looks.asked == ["types of o/b", "hour 0 to 1", "types of o/b", "hour 1 to 2"]


async def test_a_clock_that_was_ahead_does_not_stop_it(
    bench: Bench, looks: Looks, clock: FakeClock
) -> None:
    """After a step back the hours of the new time are read back."""
    clock.step_wall(86_400 + 400)
    await bench.look()
    clock.step_wall(-86_400 - 400)
    await bench.look()
    looks.asked.clear()
    clock.advance(3600 + 300)
    await bench.look()
    assert looks.asked == ["types of o/b", "hour 0 to 1"]


async def test_missing_points_are_named(bench: Bench, looks: Looks, clock: FakeClock) -> None:
    """Window and count, as an error, an event and in the status."""
    looks.gaps = (GAP, replace(GAP, source="variational", unsure=True))
    await bench.look()
    clock.advance(3600 + 300)
    with capture_logs() as logs:
        await bench.look()
    (log,) = logs
    assert (log["event"], log["log_level"], log["points"]) == ("points_missing", "error", 10)
    expected = (
        "snapshot of bybit from 2026-09-21T15:00:00Z to 2026-09-21T15:05:00Z: "
        "290 of 300 points are there"
    )
    assert expected in log["where"]
    assert "perpflux replay --sink influxdb" in log["hint"]
    assert bench.events() == ["points_missing"]
    readback = bench.auditor.status["readback"]
    assert (readback["points"], readback["missing"], len(readback["gaps"])) == (1000, 10, 2)


async def test_a_journal_that_refuses_is_no_reason_to_stop(
    bench: Bench, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event is lost; the log has it."""
    looks.conflicts = [CONFLICT]

    async def refuse(_: object) -> None:
        raise JournalError("append to journal", "full")

    monkeypatch.setattr(bench.journal, "append", refuse)
    await bench.look()
    assert bench.auditor.status["preflight"]["state"] == "conflict"
