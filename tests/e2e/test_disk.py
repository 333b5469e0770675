"""The real program on a disk that fails: it says what is wrong, goes on, and recovers by itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.disk import fill_up, remount, small_disk
from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = pytest.mark.slow

WAIT_S = 30
Status = dict[str, Any]


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, str]]:
    """Settings: bybit, polled once a second, from recorded answers."""
    async with recorded_venues() as url:
        yield {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_DATA_SOURCES": "bybit",
            "PERPFLUX_BYBIT__API_BASE": url,
        }


class Watch:
    """What the agent says of itself, and whether the law holds in all of it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages."""
        async with self._session.get(f"{self._url}{path}") as answer:
            return answer.status, await answer.text()

    async def until(self, reached: Callable[[Status], bool]) -> Status:
        """The first status that is as wanted."""
        async with asyncio.timeout(WAIT_S):
            while True:
                status: Status = json.loads((await self.get("/status"))[1])
                ledger = dict(status["ledger"])
                assert ledger.pop("collected") == sum(ledger.values())
                if reached(status):
                    return status
                await asyncio.sleep(0.1)


def slots_of(journal: Path) -> list[int]:
    """The slots of the source's records, in seconds."""
    with closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT slot_ns FROM record WHERE source = 'bybit' AND points ORDER BY 1"
        )
        return [slot_ns // 10**9 for (slot_ns,) in rows]


def set_aside(folder: Path) -> list[Path]:
    """Journals that were given up."""
    return list(folder.glob("journal.db.corrupt-*"))


async def test_a_full_disk_costs_no_slot(tmp_path: Path, venues: dict[str, str]) -> None:
    """Filled by another: /readyz says so, /healthz does not; then all slots are there."""
    with small_disk(tmp_path / "disk", "8m") as folder:
        settings = venues | {"PERPFLUX_JOURNAL__PATH": str(folder / "journal.db")}
        async with running(tmp_path, **settings) as program, aiohttp.ClientSession() as session:
            url = json.loads(await program.wait_for('"started"'))["http"]
            watch = Watch(url, session)
            await watch.until(lambda status: status["ledger"]["collected"] >= 2)
            hog = folder / "hog"
            with pytest.raises(OSError, match="No space"):
                fill_up(hog)
            down = await watch.until(lambda status: status["journal"]["held_points"] >= 3)
            assert (down["state"], down["journal"]["takes_writes"]) == ("failing", False)
            assert "make room" in down["journal"]["last_error"]
            code, text = await watch.get("/readyz")
            assert (code, "takes no writes" in text) == (503, True)
            assert (await watch.get("/healthz"))[0] == 200
            assert (await watch.get("/metrics"))[0] == 200
            hog.unlink()
            up = await watch.until(lambda status: status["journal"]["takes_writes"])
            assert (up["journal"]["held_points"], up["journal"]["lost_points"]) == (0, 0)
            assert (await watch.get("/readyz"))[0] == 200
            assert await program.stop() == 0
        slots = slots_of(folder / "journal.db")
        assert slots == list(range(slots[0], slots[-1] + 1))
        events = [
            line.get("event") for line in map(json.loads, "".join(program.lines).splitlines())
        ]
        assert (events.count("journal_down"), events.count("journal_up")) == (1, 1)


async def test_it_starts_on_a_disk_that_is_full_or_read_only(
    tmp_path: Path, venues: dict[str, str]
) -> None:
    """It starts, polls and answers; when the disk is writable it is a journal like any other."""
    with small_disk(tmp_path / "disk", "8m") as folder:
        settings = venues | {"PERPFLUX_JOURNAL__PATH": str(folder / "journal.db")}
        remount(folder, "ro")
        async with running(tmp_path, **settings) as program, aiohttp.ClientSession() as session:
            url = json.loads(await program.wait_for('"started"'))["http"]
            watch = Watch(url, session)
            down = await watch.until(lambda status: status["journal"]["held_points"] >= 2)
            assert "Read-only file system" in down["journal"]["last_error"]
            assert down["sources"]["bybit"]["state"] == "ok"
            assert (await watch.get("/readyz"))[0] == 503
            remount(folder, "rw")
            up = await watch.until(lambda status: status["journal"]["takes_writes"])
            assert up["ledger"]["collected"] >= 3
            assert await program.stop() == 0
        slots = slots_of(folder / "journal.db")
        assert slots == list(range(slots[0], slots[-1] + 1))


async def test_a_journal_that_breaks_in_use_is_replaced(
    tmp_path: Path, venues: dict[str, str]
) -> None:
    """The file is garbled under the agent: set aside with a word, and collecting goes on."""
    journal = tmp_path / "journal.db"
    settings = venues | {"PERPFLUX_JOURNAL__PATH": str(journal)}
    async with running(tmp_path, **settings) as program, aiohttp.ClientSession() as session:
        url = json.loads(await program.wait_for('"started"'))["http"]
        watch = Watch(url, session)
        await watch.until(lambda status: status["ledger"]["collected"] >= 2)
        with closing(sqlite3.connect(journal)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with journal.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (journal.stat().st_size - 4096))
        log = await program.wait_for("journal_notice")
        assert "is now" in log
        assert ".recover" in log
        await watch.until(
            lambda status: status["journal"]["takes_writes"] and status["ledger"]["collected"] >= 2
        )
        assert await program.stop() == 0
    assert set_aside(tmp_path)


async def test_commands_say_what_is_wrong_with_the_disk(
    tmp_path: Path, venues: dict[str, str]
) -> None:
    """`once` prints what came, says that it is not stored and why, and fails."""
    with small_disk(tmp_path / "disk", "8m") as folder:
        remount(folder, "ro")
        settings = venues | {"PERPFLUX_JOURNAL__PATH": str(folder / "journal.db")}
        outcome = await perpflux(tmp_path, "once", **settings)
        remount(folder, "rw")
    assert outcome.code == 1
    assert "BTC" in outcome.out
    assert "not stored: " in outcome.err
    assert "Read-only file system" in outcome.err
    assert "Traceback" not in outcome.err
