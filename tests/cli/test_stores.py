"""`rejected`, `replay` and `backlog` beside an agent that holds the journal, against a store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from agent.cli import backlog as backlog_module
from agent.cli import main
from agent.cli import rejected as rejected_module
from agent.clock import NS_PER_S
from agent.journal import Entry, Rejected
from agent.journal.store import Store
from tests.journal.make import damage, store_at
from tests.shipping.bench import snapshot_line, stored_tickers
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.support.clock import START_NS
from tests.support.loopback import serving

SINK = "influxdb"


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Bench:
    """A journal that is held, as an agent holds it, a store, and the command line beside them."""

    def __init__(
        self, store: Store, fake: FakeInfluxDB, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.store = store
        self.fake = fake
        self._capsys = capsys

    async def run(self, *arguments: str) -> Result:
        """A command, in a thread of its own."""
        code = await asyncio.to_thread(main, arguments)
        out, err = self._capsys.readouterr()
        return Result(code, out, err)

    def reject(self, *tickers: str, reason: str = "bad") -> None:
        """A record whose lines were all refused."""
        lines = [snapshot_line(ticker) for ticker in tickers]
        data = "".join(f"{line}\n" for line in lines).encode()
        self.store.append([Entry("bybit", START_NS, data, len(lines))])
        (record,) = self.store.next_batch(SINK, "oldest", 1000, 2**20)
        self.store.settle(SINK, [record], [Rejected(x, reason, 1, record.seq) for x in lines])

    def counts(self) -> tuple[int, int, int]:
        """Stored, rejected, pending; the ledger law holds."""
        ledger = self.store.ledger(SINK)
        assert ledger.holds
        return ledger.stored, ledger.rejected, ledger.pending


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The journal in the hands of an agent."""
    store = store_at(tmp_path / "perpflux.db")
    yield store
    store.close()


@pytest.fixture
async def bench(
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Bench]:
    """With a store that listens."""
    fake = FakeInfluxDB()
    monkeypatch.chdir(tmp_path)
    async with fake.serve() as url:
        for name, value in {
            "STATE_DIRECTORY": str(tmp_path),
            "PERPFLUX_HTTP__LISTEN": "",
            "INFLUXDB_V2_URL": url,
            "INFLUXDB_V2_ORG": "perps",
            "INFLUXDB_V2_TOKEN": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        yield Bench(store, fake, capsys)


async def test_rejected_lines_are_listed(bench: Bench) -> None:
    """As a table for people, as JSON lines and CSV for programs; oldest first."""
    bench.reject("A", "B", reason='bad,\x1b[31m "number"')
    table = await bench.run("rejected", "list")
    assert table.code == 0
    head, first, second = table.out.splitlines()
    assert head.split() == ["id", "at", "points", "seq", "reason", "line"]
    assert first.startswith("1   2026-09-21T15:00:00Z  1       1    bad,?[31m")
    assert second.endswith(snapshot_line("B"))
    rows = [
        json.loads(line)
        for line in (await bench.run("rejected", "list", "--format", "jsonl")).out.splitlines()
    ]
    assert [(row["id"], row["line"]) for row in rows] == [
        (1, snapshot_line("A")),
        (2, snapshot_line("B")),
    ]
    csv = (await bench.run("rejected", "list", "--format", "csv")).out.splitlines()
    assert csv[0] == "id,at,points,seq,reason,line"
    assert csv[1].startswith('1,2026-09-21T15:00:00Z,1,1,"bad,\x1b[31m ""number""","snapshot,')


async def test_nothing_rejected_is_said(bench: Bench) -> None:
    """An empty table says so; programs get nothing."""
    assert "nothing is rejected" in (await bench.run("rejected", "list")).out
    assert (await bench.run("rejected", "list", "--format", "jsonl")).out == ""


async def test_a_rejected_line_is_shown_in_full(bench: Bench) -> None:
    """All of it; a number that does not exist is an error."""
    bench.reject("A" * 120)
    shown = await bench.run("rejected", "show", "1")
    assert shown.code == 0
    assert f"line    {snapshot_line('A' * 120)}\n" in shown.out
    missing = await bench.run("rejected", "show", "1", "7")
    assert (missing.code, missing.err) == (1, "perpflux: influxdb has no rejected line 7\n")


async def test_a_replayed_line_is_stored_and_counted(bench: Bench) -> None:
    """While the agent holds the journal: it leaves `rejected` and counts as stored."""
    bench.reject("A", "B", "C")
    result = await bench.run("rejected", "replay", "1", "3")
    assert (result.code, result.out) == (0, "2 points are stored now\n")
    assert stored_tickers(bench.fake) == {"A", "C"}
    assert bench.counts() == (2, 1, 0)
    assert (await bench.run("rejected", "replay", "--all")).code == 0
    assert bench.counts() == (3, 0, 0)
    assert (await bench.run("rejected", "replay", "--all")).out == "0 points are stored now\n"


async def test_a_line_that_is_refused_again_stays(bench: Bench) -> None:
    """It keeps counting as rejected, with the new reason; the command says so and fails."""
    bench.reject("A", "B")
    bench.fake.poison["ticker=A "] = Fault(422, "partial write: no thanks dropped=1")
    result = await bench.run("rejected", "replay", "--all")
    assert result.code == 1
    assert "1 points are stored now" in result.out
    assert "perpflux: 1: 422 partial write: no thanks dropped=1\n" in result.err
    assert bench.counts() == (1, 1, 0)
    (row,) = bench.store.rejected(SINK, 10, None)
    assert row.rejected.reason == "422 partial write: no thanks dropped=1"


async def test_a_whole_record_is_replayed_from_the_journal(bench: Bench) -> None:
    """What was not sent for its age is sent by its record, as long as that is there and whole."""
    for seq in (1, 2):
        line = snapshot_line(f"T{seq}")
        bench.store.append([Entry("bybit", START_NS, f"{line}\n".encode(), 1)])
        (record,) = bench.store.next_batch(SINK, "oldest", 1000, 2**20)
        bench.store.settle(SINK, [record], [Rejected("", "not sent: too old", 1, seq)])
    damage(bench.store._path, 2)
    assert "(the whole record)" in (await bench.run("rejected", "list")).out
    result = await bench.run("rejected", "replay", "--all")
    assert (result.code, result.out) == (1, "1 points are stored now\n")
    assert "2: record 2 is no longer in the journal, or damaged" in result.err
    assert stored_tickers(bench.fake) == {"T1"}
    assert bench.counts() == (1, 1, 0)


async def test_many_lines_are_replayed_page_by_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and requests are bounded; what is refused meanwhile is not tried again and again."""
    monkeypatch.setattr(rejected_module, "PAGE_ROWS", 2)
    monkeypatch.setattr("agent.resend.BATCH_LINES_MAX", 3)
    bench.reject(*(f"T{n}" for n in range(8)))
    bench.fake.poison["ticker=T0 "] = Fault(400, "unable to parse it")
    result = await bench.run("rejected", "replay", "--all")
    assert (result.code, result.out) == (1, "7 points are stored now\n")
    assert bench.counts() == (7, 1, 0)
    assert len(bench.fake.bucket.points) == 7


async def test_a_store_that_refuses_all_changes_nothing(bench: Bench) -> None:
    """With a wrong token nothing is lost, and it is said what to do."""
    bench.reject("A")
    bench.fake.tokens = {}
    result = await bench.run("rejected", "replay", "--all")
    assert result.code == 1
    assert "401" in result.err
    assert "token" in result.err
    assert bench.counts() == (0, 1, 0)


async def test_what_is_purged_still_counts(bench: Bench) -> None:
    """Lines go, counters stay."""
    bench.reject("A", "B")
    assert "1 rejected lines are forgotten" in (await bench.run("rejected", "purge", "2")).out
    assert (await bench.run("rejected", "purge", "--all")).code == 0
    assert bench.store.rejected(SINK, 10, None) == []
    assert bench.counts() == (0, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rejected replay", "name IDs, or say --all"),
        ("rejected purge 1 --all", "name IDs, or say --all"),
        ("rejected show", "no ID is given"),
        ("rejected list --sink cloud", "no sink 'cloud'"),
        ("rejected replay --all --sink cloud", "configured: influxdb"),
        ("replay", "say --since, --until or both"),
        ("replay --since yesterday", "is no instant"),
        ("replay --since 2026-01-01T00:00:00Z --sink cloud", "configured: influxdb"),
        ("backlog --since 2026-01-01T00:00:00Z", "add --verify"),
    ],
)
async def test_wrong_usage_is_told(bench: Bench, arguments: str, words: str) -> None:
    """What is missing or unknown, and what to write; nothing is changed or sent."""
    bench.reject("A")
    result = await bench.run(*arguments.split())
    assert result.code == (1 if "no sink" in words else 2)
    assert words in result.err
    assert bench.counts() == (0, 1, 0)
    assert bench.fake.requests == []


async def test_a_range_is_shipped_again(bench: Bench) -> None:
    """Half open, of one source if wished; nothing is collected or counted anew."""
    for second in range(5):
        for source in ("bybit", "variational"):
            slot_ns = START_NS + second * NS_PER_S
            line = f"snapshot,source={source},ticker=S{second} lag_ms=1 {slot_ns}\n"
            bench.store.append([Entry(source, slot_ns, line.encode(), 1)])
    before = bench.store.ledger(SINK)
    since, until = "2026-09-21T15:00:01Z", "2026-09-21T15:00:03Z"
    result = await bench.run("replay", "--since", since, "--until", until, "--source", "bybit")
    assert (result.code, result.out) == (0, "2 points were sent again to influxdb\n")
    assert stored_tickers(bench.fake) == {"S1", "S2"}
    assert len(bench.fake.bucket.points) == 2
    assert (await bench.run("replay", "--since", since)).code == 0
    assert len(bench.fake.bucket.points) == 8
    assert bench.store.ledger(SINK) == before


async def test_a_replay_tells_what_is_refused(bench: Bench) -> None:
    """The ledger stays; the command fails and names the line."""
    for ticker in ("A", "B"):
        line = f"{snapshot_line(ticker, 'NaN' if ticker == 'A' else '1')}\n"
        bench.store.append([Entry("bybit", START_NS, line.encode(), 1)])
    result = await bench.run("replay", "--since", "2026-09-21T15:00:00Z")
    assert (result.code, result.out) == (1, "1 points were sent again to influxdb\n")
    assert snapshot_line("A", "NaN") in result.err
    assert bench.store.rejected(SINK, 10, None) == []
    assert bench.counts() == (0, 0, 2)


async def test_a_replay_that_stops_says_how_far_it_came(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be repeated: what was sent overwrites itself."""
    monkeypatch.setattr("agent.resend.BATCH_LINES_MAX", 1)
    for ticker in ("A", "B"):
        bench.store.append([Entry("bybit", START_NS, f"{snapshot_line(ticker)}\n".encode(), 1)])
    bench.fake.faults = [None, Fault(403, "no")]
    result = await bench.run("replay", "--since", "2026-09-21T15:00:00Z")
    assert (result.code, result.out) == (1, "1 points were sent again before it stopped\n")
    assert "403" in result.err


async def test_damage_is_told_by_a_replay(bench: Bench) -> None:
    """A damaged record is left out, and the command is not content."""
    for ticker in ("A", "B"):
        bench.store.append([Entry("bybit", START_NS, f"{snapshot_line(ticker)}\n".encode(), 1)])
    damage(bench.store._path, 1)
    result = await bench.run("replay", "--since", "2026-09-21T15:00:00Z")
    assert result.code == 1
    assert "1 damaged records" in result.err
    assert stored_tickers(bench.fake) == {"B"}


async def test_the_backlog_without_an_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal tells how much waits; nobody can say why."""
    bench.store.append([Entry("bybit", START_NS, f"{snapshot_line('A')}\n".encode(), 1)])
    bench.store.add_sink("cloud")
    result = await bench.run("backlog", "--format", "json")
    stores = json.loads(result.out)
    assert (stores["influxdb"]["points"], stores["influxdb"]["state"]) == (1, "unknown")
    assert "no agent" in stores["influxdb"]["why"]
    assert (stores["cloud"]["points"], stores["cloud"]["state"]) == (1, "off")
    assert stores["cloud"]["oldest_s"] > 0
    monkeypatch.delenv("INFLUXDB_V2_URL")
    table = (await bench.run("backlog")).out.splitlines()
    assert table[0].split() == ["store", "points", "bytes", "oldest_s", "state", "why"]
    assert table[2].split()[0] == "influxdb"
    assert table[2].endswith("off    it is not configured")


@pytest.mark.parametrize(
    ("same", "state"), [(True, "parked"), (False, "unknown")], ids=["ours", "of another journal"]
)
async def test_the_backlog_as_the_agent_tells_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, same: bool, state: str
) -> None:
    """State and reason come from the agent that runs on this journal, and from no other."""
    path = str(bench.store._path) if same else "/elsewhere.db"
    shipping = {"state": "parked", "last_error": "401 unauthorized access"}
    status = {"journal": {"path": path}, "shipping": shipping, "sinks": {}}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(status)

    app = web.Application()
    app.router.add_get("/status", answer)
    async with serving(app) as url:
        monkeypatch.setenv("PERPFLUX_HTTP__LISTEN", url.removeprefix("http://"))
        stores = json.loads((await bench.run("backlog", "--format", "json")).out)
    assert stores["influxdb"]["state"] == state
    assert ("unauthorized" in stores["influxdb"]["why"]) == same


async def test_a_store_is_forgotten_only_when_told(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configured: refused. Not any more: what it costs is said; the agent goes on beside it."""
    store.add_sink("cloud")
    bench.reject("A")
    monkeypatch.setenv("PERPFLUX_SINKS__CLOUD__URL", "http://127.0.0.1:1")
    refused = await bench.run("backlog", "--forget", "cloud")
    assert (refused.code, "[sinks.cloud]" in refused.err) == (2, True)
    monkeypatch.delenv("PERPFLUX_SINKS__CLOUD__URL")
    assert "it is not configured" in (await bench.run("backlog")).out
    forgotten = await bench.run("backlog", "--forget", "cloud")
    assert forgotten.code == 0
    assert "0 evicted, 1 not shipped any more" in forgotten.out
    assert store.sinks() == ["influxdb"]
    store.evict_some()
    assert bench.counts() == (0, 1, 0)
    # Added again it begins with all that is there.
    store.add_sink("cloud")
    assert store.ledger("cloud").pending == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--forget", "influxdb"), "the journal's own"),
        (("--forget", "cloud", "--verify"), "--forget stands alone"),
        (("--forget", "nobody"), "has no sink 'nobody'"),
    ],
)
async def test_what_cannot_be_forgotten_is_told(
    bench: Bench, arguments: tuple[str, ...], said: str
) -> None:
    """The main store's place stays; a name that is not there is no success."""
    failed = await bench.run("backlog", *arguments)
    assert failed.code in {1, 2}
    assert said in failed.err


async def test_a_store_the_agent_still_ships_to_is_not_forgotten(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The section is gone, but the agent has not been reloaded: it says how."""
    store.add_sink("cloud")
    status = {"sinks": {"cloud": {"shipping": {"state": "idle", "last_error": None}}}}
    monkeypatch.setattr(backlog_module, "running_status", lambda _: status)
    refused = await bench.run("backlog", "--forget", "cloud")
    assert (refused.code, "reload it first" in refused.err) == (2, True)
    assert store.sinks() == ["cloud", "influxdb"]


async def test_check_names_every_store_and_looks_for_its_token(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file that is not there is found before the start; it hints at that file alone."""
    monkeypatch.setenv("PERPFLUX_SINKS__OPEN__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PERPFLUX_SINKS__CLOUD__URL", "http://127.0.0.1:2")
    monkeypatch.setenv("PERPFLUX_SINKS__CLOUD__TOKEN_FILE", str(tmp_path / "token"))
    missing = await bench.run("check")
    assert missing.code == 78
    assert "token does not exist" in missing.err
    assert "INFLUXDB_V2_TOKEN" not in missing.err
    (tmp_path / "token").write_text("geheim\n", encoding="utf-8")
    checked = await bench.run("check")
    assert checked.code == 0
    assert "store          open: http://127.0.0.1:1, org perps, bucket perps\n" in checked.out
    assert "cloud: http://127.0.0.1:2, org perps, bucket perps, token found\n" in checked.out
    assert "geheim" not in checked.out
