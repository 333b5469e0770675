"""The `/api`: now, the past, and as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from agent.board import FIELD_NAMES
from agent.entries import event_entry, poll_entry
from agent.http import api
from agent.http.live import BEHIND_MAX, WATCHERS_MAX
from agent.http.parameters import Selection
from agent.poll import Poll
from agent.snapshot import Batch
from tests.http.bench import Bench
from tests.journal.make import store_at
from tests.support.batches import batch_of
from tests.support.clock import START_NS

JOIN_S = 5


def poll_of(batch: Batch) -> Poll:
    """A poll with this batch."""
    return Poll(source=batch.source, slot_ns=batch.slot_ns, batch=batch)


def keep(bench: Bench, *batches: Batch) -> None:
    """Write the polls into the journal, with an event beside each, and let go of it."""
    with closing(store_at(bench.journal, clock=bench.clock)) as store:
        entries = []
        for batch in batches:
            entries.append(
                event_entry("up", "back", source=batch.source, host="h", stamp_ns=batch.slot_ns)
            )
            entries.append(poll_entry(poll_of(batch), host="h", missed_slots=0))
        store.append(entries)


async def exact(bench: Bench, path: str) -> Any:
    """The JSON of an answer, numbers as Decimal."""
    status, text = await bench.get(path)
    assert status == 200, text
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


async def refused(bench: Bench, path: str) -> tuple[int, dict[str, str]]:
    """The status and the error of an answer."""
    status, text = await bench.get(path)
    return status, json.loads(text)


class Stream:
    """A stream's events, one by one."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def line(self) -> str:
        """The next line; "" at the end."""
        return (await asyncio.wait_for(self._answer.content.readline(), JOIN_S)).decode()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Name and data of the next event."""
        while not (line := await self.line()).startswith("event: "):
            assert line, "the stream ended"
        name, data = line.removeprefix("event: ").strip(), await self.line()
        return name, json.loads(data.removeprefix("data: "))


def mids(document: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The mids of a document's rows, by source and ticker."""
    return {(row["source"], row["ticker"]): row.get("mid") for row in document["snapshots"]}


async def test_snapshots_are_exact_and_what_is_missing_is_absent(bench: Bench) -> None:
    """Every number stands digit by digit as the source published it; unknown is not there."""
    row = {"mark_price": "00107084.00", "long_oi": "115339271.66542440000000000000"}
    bench.live.put(batch_of("bybit", {"BTC": {**row, "next_funding_s": "60"}}, age_s=3))
    _, text = await bench.get("/api/snapshots")
    assert '"mark_price":107084.00,' in text
    assert '"long_oi":115339271.66542440000000000000,' in text
    document = json.loads(text)
    assert document["now"] == "2026-09-21T15:00:00Z"
    assert document["sources"]["variational"]["poll_interval_s"] == 20
    (found,) = document["snapshots"]
    assert found["ts"] == "2026-09-21T15:00:00Z"
    assert found["quotes_updated_at"] == "2026-09-21T14:59:57.25Z"
    assert found["next_settlement"] == "2026-09-21T15:01:00Z"
    assert found.keys() - set(FIELD_NAMES) == {
        "ts",
        "source",
        "ticker",
        "quotes_updated_at",
        "next_settlement",
    }
    assert "mid" not in found


async def test_snapshots_can_be_chosen(bench: Bench) -> None:
    """By source, ticker and field; a ticker that nobody polls gives no row."""
    for source in ("bybit", "variational"):
        bench.live.put(batch_of(source, {"BTC": {"mid": "1", "mark_price": "1"}, "ETH": {}}))
    (row,) = (await exact(bench, "/api/snapshots?source=bybit&ticker=BTC&fields=mid"))["snapshots"]
    assert row == {"ts": "2026-09-21T15:00:00Z", "source": "bybit", "ticker": "BTC", "mid": 1}
    assert (await exact(bench, "/api/snapshots?ticker=DOGE"))["snapshots"] == []
    both = await exact(bench, "/api/snapshots?source=bybit&ticker=BTC,%20ETH")
    assert [row["ticker"] for row in both["snapshots"]] == ["BTC", "ETH"]


@pytest.mark.parametrize(
    "path",
    ["snapshots?source=x", "history?since=x", "history?points=9999", "stream?fields=x", "stream?q"],
)
async def test_a_bad_parameter_is_the_askers_fault(bench: Bench, path: str) -> None:
    """400, with what is wrong and what is allowed."""
    status, answer = await refused(bench, f"/api/{path}")
    assert status == 400
    assert set(answer) == {"error", "hint"}
    assert answer["hint"]


async def test_history_is_the_journals(bench: Bench) -> None:
    """Points of the range in the order of time, each with the exact numbers that were stored."""
    keep(
        bench,
        *[batch_of("bybit", {"BTC": {"mid": f"{s}.50"}, "BTCX": {}}, s) for s in (-20, -10, 0)],
    )
    found = await exact(bench, "/api/history?ticker=BTC&fields=mid&since=2026-09-21T14:59:41Z")
    assert found["points"] == [
        {"ts": "2026-09-21T14:59:50Z", "source": "bybit", "ticker": "BTC", "mid": Decimal("-10.5")}
    ]


async def test_history_is_thinned_to_slots_that_can_be_compared(bench: Bench) -> None:
    """Of a long range there is a point a step, at a slot that both sources have."""
    fast = [batch_of("bybit", {"BTC": {"mid": "100"}}, s) for s in range(-120, 0)]
    slow = [batch_of("variational", {"BTC": {"mid": "101"}}, s) for s in range(-115, 0, 20)]
    keep(bench, *sorted([*fast, *slow], key=lambda batch: batch.slot_ns))
    path = "/api/history?ticker=BTC&since=2026-09-21T14:58:00Z&fields=gap_bps&points=7"
    found = await exact(bench, path)
    assert found["step_s"] == 20
    gaps = [(row["ts"][-3:-1], row["source"], row["gap_bps"]) for row in found["points"]]
    assert [gap for gap in gaps if gap[1] == "variational"] == [
        (second, "variational", 100) for second in ("05", "25", "45", "05", "25", "45")
    ]
    assert len(gaps) == 12
    alone = await exact(bench, f"{path}&source=variational")
    assert [row["gap_bps"] for row in alone["points"]] == [100] * 6
    # A step that begins with more slots of one source than are looked at still has the other.
    wide = await exact(bench, "/api/history?fields=mid&since=2026-09-21T14:58:00Z&points=2")
    assert {row["source"] for row in wide["points"]} == {"bybit", "variational"}


async def test_history_has_a_bound_on_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more tickers the points lie further apart, so that the answer stays small."""
    monkeypatch.setattr(api, "ROWS_MAX", 40)
    tickers = {f"T{number}": {"mid": "1"} for number in range(4)}
    keep(bench, *[batch_of("bybit", tickers, s) for s in range(-60, 0)])
    bench.live.put(batch_of("bybit", tickers))
    for choice in ("", "ticker=T0,T1,T2,T3&"):
        found = await exact(bench, f"/api/history?{choice}since=2026-09-21T14:59:00Z")
        assert 0 < len(found["points"]) <= 40


async def test_no_journal_is_said_and_not_a_crash(bench: Bench) -> None:
    """While the journal cannot be read, the past is a 503 with a hint."""
    status, answer = await refused(bench, "/api/history?ticker=BTC")
    assert (status, answer["hint"]) == (503, "start `perpflux run` first")


async def test_a_stream_has_everything_and_then_what_changes(bench: Bench) -> None:
    """First all rows; then of each poll the rows that are new, and those that went."""
    bench.live.put(batch_of("bybit", {"BTC": {"mid": "1"}, "ETH": {"mid": "7"}}))
    bench.live.put(batch_of("variational", {"BTC": {"mid": "2"}}))
    url = f"{bench.url}/api/stream?fields=mid"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.content_type == "text/event-stream"
        stream = Stream(answer)
        name, document = await stream.next()
        assert (name, mids(document)) == (
            "all",
            {("bybit", "BTC"): 1, ("variational", "BTC"): 2, ("bybit", "ETH"): 7},
        )
        bench.live.put(batch_of("bybit", {"BTC": {"mid": "3"}, "ETH": {"mid": "7"}}, 1))
        name, document = await stream.next()
        assert (name, mids(document)) == ("changes", {("bybit", "BTC"): 3, ("bybit", "ETH"): 7})
        bench.live.put(batch_of("bybit", {"BTC": {"mid": "4"}}, 2))
        name, document = await stream.next()
        assert mids(document) == {("bybit", "BTC"): 4}
        assert document["gone"] == []
        bench.live.retain(["bybit"])
        bench.live.put(batch_of("bybit", {"BTC": {"mid": "4"}}, 9))
        name, document = await stream.next()
        assert document["gone"] == [["variational", "BTC"]]


async def test_a_stream_is_never_silent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing changes a comment is sent, so that a cut is noticed."""
    monkeypatch.setattr(api, "HEARTBEAT_S", 0.01)
    async with aiohttp.ClientSession() as session, session.get(f"{bench.url}/api/stream") as answer:
        stream = Stream(answer)
        await stream.next()
        lines = [await stream.line() for _ in range(4)]
        assert lines[1:] == [": still here\n", "\n", ": still here\n"]


async def test_there_is_a_bound_on_watchers(bench: Bench) -> None:
    """One more is refused with a hint; when one goes, there is room again."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"{bench.url}/api/stream"
        answers = [await session.get(url) for _ in range(WATCHERS_MAX)]
        async with session.get(url) as answer:
            assert answer.status == 503
            assert "close a page" in (await answer.json())["hint"]
            assert answer.headers["Retry-After"] == "1"
        for answer in answers:
            answer.close()
        async with asyncio.timeout(JOIN_S):
            while (answer := await session.get(url)).status != 200:  # its end is noticed soon
                answer.close()
        answer.close()


async def test_a_watcher_that_does_not_keep_up_is_let_go(bench: Bench) -> None:
    """It is not waited for: the others, and the agent, go on."""
    gone = []
    chosen = Selection()
    watcher = await bench.live.join(chosen, lambda: gone.append(True))
    for number in range(BEHIND_MAX - 1):
        watcher.tell(b"%d" % number)
    assert not gone
    watcher.tell(b"one too many")
    assert gone
    bench.live.leave(chosen, watcher)


async def test_streams_end_with_the_server(bench: Bench) -> None:
    """A stop does not wait for who watches."""
    async with aiohttp.ClientSession() as session, session.get(f"{bench.url}/api/stream") as answer:
        stream = Stream(answer)
        await stream.next()
        await bench.server.close()
        assert await answer.content.read() == b"\n"


async def test_too_many_requests_for_the_past_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits has a bound; the rest is told to come again."""
    monkeypatch.setattr(api, "HISTORY_WAITING_MAX", 0)
    strict = Bench(bench.journal.parent)
    strict.url = await strict.server.start("127.0.0.1", 0)
    status, answer = await refused(strict, "/api/history")
    assert (status, answer["hint"]) == (503, "ask again in a second")
    await strict.server.close()
    await strict.live.close()


async def test_a_start_recalls_what_was_last(bench: Bench) -> None:
    """After a restart the newest rows of the journal are shown until polls bring newer ones."""
    for slot_s in (-90, -60):
        row = {"mid": str(100 + slot_s), "quote_age_ms": "3000"}
        keep(bench, batch_of("bybit", {"BTC": row}, slot_s))
    old = batch_of("variational", {"BTC": {"mid": "7"}}, -90_000)
    keep(bench, old)
    bench.live.recall(bench.journal)
    (row,) = (await exact(bench, "/api/snapshots?fields=mid,quotes_updated_at"))["snapshots"]
    assert (row["ts"], row["mid"]) == ("2026-09-21T14:59:00Z", 40)
    assert row["quotes_updated_at"] == "2026-09-21T14:58:57.25Z"


async def test_old_rows_keep_their_age(bench: Bench) -> None:
    """A source that fails stays on the board with the slot it had."""
    bench.live.put(batch_of("bybit", {"BTC": {"mid": "1"}}, -100))
    bench.live.take(Poll(source="bybit", slot_ns=START_NS))
    (row,) = (await exact(bench, "/api/snapshots?fields=mid"))["snapshots"]
    assert row["ts"] == "2026-09-21T14:58:20Z"
