"""What `perpflux watch` shows: from a running agent, else from the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agent.board import Board
from agent.cli import main
from agent.cli.watch import feed as feed_module
from agent.cli.watch.feed import FIELDS, Feed
from agent.clock import NS_PER_S
from agent.config import load
from agent.entries import poll_entry
from agent.errors import JournalError, PerpfluxError
from agent.http.documents import board_json
from agent.http.parameters import FIELDS as API_FIELDS
from agent.journal import Entry, Ledger
from agent.journal.store import Store
from agent.poll import Poll
from agent.snapshot import Batch
from tests.journal.make import store_at
from tests.support.batches import batch_of
from tests.support.clock import START_NS, FakeClock
from tests.support.program import perpflux, running

QUOTES = {"mid": "100.5", "spread_bps": "1.25", "funding_apr": "0.1095", "next_funding_s": "600"}


def polls(slot_s: int = 0) -> list[Poll]:
    """Both sources, one slot."""
    found = []
    for source, mid in (("bybit", "100.5"), ("variational", "100.0")):
        batch = batch_of(source, {"BTC": QUOTES | {"mid": mid}}, slot_s, 3)
        found.append(Poll(source=source, slot_ns=batch.slot_ns, batch=batch, reports=()))
    return found


def entries(slot_s: int = 0) -> list[Entry]:
    """These polls, as an agent stores them."""
    return [poll_entry(poll, host="h", missed_slots=0) for poll in polls(slot_s)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A journal; no agent answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PERPFLUX_HTTP__LISTEN", "")
    store = store_at(tmp_path / "perpflux.db")
    yield store
    store.close()


@pytest.fixture
def feed(store: Store, clock: FakeClock) -> Feed:
    """What reads it."""
    assert store.ledger("influxdb").holds
    return Feed(load(None).config, clock)


@pytest.fixture
def clock() -> FakeClock:
    """Five seconds after the first slot."""
    return FakeClock(START_NS + 5 * NS_PER_S)


def test_without_an_agent_the_journal_tells(store: Store, feed: Feed) -> None:
    """Newest rows, compared as the board does; the ledger; that nobody ships."""
    store.append(entries())
    frame = feed.read()
    bybit, omni = frame.rows
    assert (bybit.source, omni.source) == ("bybit", "variational")
    assert bybit.texts["mid"] == "100.5"
    assert bybit.texts["gap_bps"] == "50"
    assert bybit.settles_ns == START_NS + 600 * NS_PER_S
    assert frame.ledger == asdict(Ledger(2, stored=0, rejected=0, evicted=0, pending=2))
    assert (frame.origin, frame.shipping) == ("from the journal, no agent answers", "2 points wait")


def test_only_what_is_new_is_read(
    store: Store, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at an unchanged journal reads no record; a new poll is seen at once."""
    store.append(entries())
    feed.read()
    taken: list[int] = []
    take = Board.take

    def noted(self: Board, batch: Batch) -> None:
        taken.append(batch.slot_ns)
        take(self, batch)

    monkeypatch.setattr(Board, "take", noted)
    feed.read()
    assert taken == []
    store.append(entries(20))
    assert {row.slot_ns for row in feed.read().rows} == {START_NS + 20 * NS_PER_S}
    assert len(taken) == 2


def test_what_is_no_poll_is_passed_over(store: Store, feed: Feed) -> None:
    """Imported rows and settlements are no snapshots of now; a line that is none costs itself."""
    old = entries()[1]
    store.append([*entries(20), Entry("variational/import", START_NS, old.lines, 1)])
    store.append([Entry("bybit", START_NS + 21 * NS_PER_S, b"snapshot,what\n", 1)])
    assert [row.source for row in feed.read().rows] == ["bybit", "variational"]


def test_no_journal_is_an_error(feed: Feed, tmp_path: Path) -> None:
    """With what to do."""
    for path in tmp_path.glob("perpflux.db*"):
        path.rename(tmp_path / f"gone-{path.name}")
    with pytest.raises(JournalError, match="start `perpflux run` first"):
        feed.read()


def agent_says(monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], told: Any) -> None:
    """A running agent that answers so."""
    monkeypatch.setattr(feed_module, "running_status", lambda _: status)
    monkeypatch.setattr(feed_module, "running_document", lambda *_, **__: told)


STATUS: dict[str, Any] = {
    "state": "ok",
    "ledger": {"collected": 4, "stored": 1, "rejected": 0, "evicted": 0, "pending": 3},
    "shipping": {"state": "parked", "last_error": "401 unauthorized", "oldest_pending_s": 7},
}


def test_an_agent_tells_the_same_rows(
    feed: Feed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/api/snapshots` and the journal give the same, digit by digit."""
    board = Board()
    for poll in polls():
        assert poll.batch is not None
        board.take(poll.batch)
    rows = board.rows(clock.now_ns())
    text = board_json(rows, API_FIELDS, now_ns=clock.now_ns(), intervals_s={"bybit": 1})
    told = json.loads(text, parse_float=str, parse_int=str)
    agent_says(monkeypatch, STATUS, told)
    frame = feed.read()
    expected = board.rows(clock.now_ns(), fields=FIELDS)
    assert frame.rows == expected
    assert frame.now_ns == clock.now_ns()
    assert frame.intervals_s == {"bybit": 1}
    assert frame.ledger == STATUS["ledger"]
    assert frame.shipping == ("InfluxDB parked, 3 points wait, the oldest 7 s: 401 unauthorized")


@pytest.mark.parametrize("told", [{}, {"now": "today", "snapshots": [], "sources": {}}])
def test_an_agent_that_is_not_understood_is_said(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    """An agent of another version: no traceback, and the reader of frames goes on."""
    agent_says(monkeypatch, STATUS, told)
    with pytest.raises(PerpfluxError, match=r"not understood.*restart the agent"):
        feed.read()


def test_printed_once_where_nobody_watches(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a terminal: one table without colours, ledger and shipping; exit 1 when it is empty."""
    assert main(["watch"]) == 1
    assert "no snapshots" in capsys.readouterr().out
    store.append(entries())
    assert main(["watch", "--filter", "btc", "--sort", "gap", "--reverse"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["bybit", "variational"]
    assert lines[4].startswith("collected 2")
    assert "\x1b" not in "".join(lines)
    assert main(["watch", "--filter", "doge"]) == 1
    assert "none of 2 rows is chosen" in capsys.readouterr().out
    assert main(["watch", "--sort", "price"]) == 2
    assert "one of ticker, source, mid" in capsys.readouterr().err


@pytest.mark.slow
async def test_beside_a_running_agent(tmp_path: Path) -> None:
    """The agent of this journal is asked; when it has gone, the journal tells."""
    settings = {"PERPFLUX_JOURNAL__PATH": str(tmp_path / "perpflux.db.demo")}
    async with running(tmp_path, "demo", PERPFLUX_TICKERS="BTC") as agent:
        started = json.loads(await agent.wait_for('"started"'))
        settings["PERPFLUX_HTTP__LISTEN"] = started["http"].removeprefix("http://")
        for _ in range(2):
            await agent.wait_for("source_ready")
        shown = await perpflux(tmp_path, "watch", **settings)
        assert (shown.code, shown.out.count("BTC")) == (0, 2)
        assert "agent at 127.0.0.1" in shown.out
        assert await agent.stop() == 0
    shown = await perpflux(tmp_path, "watch", **settings)
    assert (shown.code, shown.out.count("BTC")) == (0, 2)
    assert "from the journal, no agent answers" in shown.out
