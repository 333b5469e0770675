"""What every source must do: one suite over all of `SOURCES`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import schema
from agent.clock import NS_PER_S, slot_at
from agent.errors import SourceFailure
from agent.snapshot import Snapshot
from agent.sources import SOURCES, DataSourceClient, HttpSource
from agent.sources.conduct import SILENCE_MAX_S
from tests.support.clock import FakeClock
from tests.support.influx_lines import read_lines
from tests.support.venue import CASES, Venue, lines_of, new_source, recorded, venue

UNIFIED = {"ts", "source", "ticker", "quotes_updated_at", *schema.SNAPSHOT.field_names}
BODIES = {
    source: [path.read_bytes() for path in sorted((CASES / source).glob("*/body.json"))]
    for source in SOURCES
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A source, its venue and its clock."""

    name: str
    client: HttpSource
    venue: Venue
    clock: FakeClock

    def answer_well(self, *, repeat: bool = False) -> None:
        """The recorded answer, to whatever is asked next."""
        self.venue.answer(body=recorded(self.name, "golden"), repeat=repeat)


@pytest.fixture(params=SOURCES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each source in turn."""
    clock = FakeClock()
    with venue() as mocked:
        async with new_source(request.param, clock=clock) as client:
            yield Bench(request.param, client, mocked, clock)


def test_it_is_a_data_source_of_its_name(bench: Bench) -> None:
    """Name in the configuration, `source` tag and `source_name` are the same."""
    assert isinstance(bench.client, DataSourceClient)
    assert bench.client.source_name == bench.name
    assert 1 <= bench.client.poll_interval_s <= 3600


async def test_fetch_stats_gives_the_unified_snapshot(bench: Bench) -> None:
    """Every key of the contract, of its type; numbers are Decimal, instants aware UTC."""
    bench.answer_well()
    stats = await bench.client.fetch_stats("BTC")
    assert stats is not None
    assert stats.keys() == UNIFIED
    assert (stats["source"], stats["ticker"]) == (bench.name, "BTC")
    for name, value in stats.items():
        if value is None or name in {"source", "ticker"}:
            continue
        if name in {"ts", "quotes_updated_at"}:
            assert isinstance(value, datetime)
            assert value.utcoffset() == timedelta(0)
        else:
            assert type(value) is (int if name in {"lag_ms", "quote_age_ms"} else Decimal)
    assert stats["mark_price"] > 0


async def test_fetch_stats_is_none_for_a_ticker_that_is_not_there(bench: Bench) -> None:
    """None when the source gave none; that is not a failure of the source."""
    bench.answer_well()
    assert await bench.client.fetch_stats("NOPE") is None


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 200, "body": b"<html>"},
        {"status": 200, "body": b""},
        {"status": 204},
        TimeoutError(),
        aiohttp.ClientConnectionError("refused"),
        aiohttp.ClientPayloadError("cut off"),
        ConnectionResetError(104, "reset"),
    ],
    ids=repr,
)
async def test_a_failure_is_none_and_nothing_is_raised(
    bench: Bench, failure: dict[str, Any] | Exception
) -> None:
    """Whatever the venue does wrong: fetch_stats is None, fetch_all empty, poll says what."""
    for _ in range(3):
        if isinstance(failure, Exception):
            bench.venue.fail(failure)
        else:
            bench.venue.answer(**failure)
    assert await bench.client.fetch_stats("BTC") is None
    assert await bench.client.fetch_all(["BTC"]) == []
    poll = await bench.client.poll(["BTC"], 0)
    assert poll.batch is None
    assert not poll.ok
    assert not poll.platform
    [problem], [report] = poll.problems, poll.reports
    assert problem.hint
    assert (report.ok, report.rows) == (False, 0)


async def test_a_failure_says_what_it_was(bench: Bench) -> None:
    """Out of time and out of reach are told apart; the text is never empty."""
    bench.venue.fail(TimeoutError())
    bench.venue.fail(aiohttp.ClientConnectionError())
    [late] = (await bench.client.poll(["BTC"], 0)).problems
    [gone] = (await bench.client.poll(["BTC"], 0)).problems
    assert (late.kind, gone.kind) == (SourceFailure.TIMED_OUT, SourceFailure.UNREACHABLE)
    assert "within 5 s" in str(late)
    assert "ClientConnectionError" in str(gone)


async def test_fetch_all_gives_snapshots(bench: Bench) -> None:
    """A list of Snapshots of the current slot, for names and for "all"."""
    bench.answer_well(repeat=True)
    for tickers in (["BTC"], ["BTC", "NOPE"], "all"):
        snapshots = await bench.client.fetch_all(tickers)
        assert isinstance(snapshots, list)
        [snapshot] = snapshots
        assert isinstance(snapshot, Snapshot)
        assert snapshot.slot_ns == slot_at(bench.clock.now_ns(), bench.client.poll_interval_s)


async def test_what_is_asked(bench: Bench) -> None:
    """A GET without a body or redirects, by our own name, gzip welcome, within the deadline."""
    bench.answer_well()
    await bench.client.fetch_stats("BTC")
    [options] = bench.venue.options
    assert options["headers"]["User-Agent"].startswith("perpflux/")
    assert options["headers"]["Accept-Encoding"] == "gzip"
    assert options["allow_redirects"] is False
    assert options["timeout"].total == 5
    assert not {"data", "json"} & options.keys()


async def test_a_slash_at_the_end_of_the_base(bench: Bench) -> None:
    """A base URL means the same with and without a slash at its end."""
    bench.answer_well(repeat=True)
    await bench.client.fetch_stats("BTC")
    async with new_source(
        bench.name, api_base="https://other.example/", clock=bench.clock
    ) as other:
        await other.fetch_stats("BTC")
    first, second = bench.venue.asked
    assert first == second


async def test_silence(bench: Bench) -> None:
    """While silence is demanded nothing is asked; after it things go on by themselves."""
    bench.answer_well(repeat=True)
    bench.client.conduct.be_silent(bench.clock.now_ns(), 30)
    poll = await bench.client.poll(["BTC"], 0)
    [problem], [report] = poll.problems, poll.reports
    assert problem.kind is SourceFailure.SILENT
    assert "for another 30 s" in str(problem)
    assert (report.ok, report.latency_ms, report.bytes) == (False, None, 0)
    bench.clock.advance(29.5)
    assert await bench.client.fetch_stats("BTC") is None
    assert bench.venue.asked == []
    bench.clock.advance(0.5)
    assert await bench.client.fetch_stats("BTC") is not None
    assert bench.client.conduct.silent_until_ns == 0


async def test_silence_survives_a_restart(bench: Bench) -> None:
    """`conduct.silent_until_ns` is all that has to be kept."""
    bench.answer_well(repeat=True)
    bench.client.conduct.be_silent(bench.clock.now_ns(), 600)
    async with new_source(bench.name, clock=bench.clock) as restarted:
        restarted.conduct.silent_until_ns = bench.client.conduct.silent_until_ns
        bench.clock.advance(599)
        assert await restarted.fetch_stats("BTC") is None
        assert bench.venue.asked == []
        bench.clock.advance(1)
        assert await restarted.fetch_stats("BTC") is not None


async def test_a_stepping_clock_does_not_silence_for_ever(bench: Bench) -> None:
    """A clock that steps back far ends a silence instead of making it days long."""
    bench.answer_well()
    bench.client.conduct.be_silent(bench.clock.now_ns(), 600)
    bench.clock.step_wall(-SILENCE_MAX_S)
    assert await bench.client.fetch_stats("BTC") is not None


async def test_an_unlisted_ticker_is_said_once(bench: Bench) -> None:
    """Every poll lacks it, the first one says so."""
    bench.answer_well(repeat=True)
    notices = [(await bench.client.poll(["BTC", "NOPE"], 0)).notices for _ in range(3)]
    assert len(notices[0]) == 1
    assert "NOPE" in notices[0][0]
    assert notices[1:] == [(), ()]


async def test_unknown_keys_are_said_once_an_hour_at_most(bench: Bench) -> None:
    """Looked for in the first answer and once an hour; each unknown key is said once."""
    with_keys = recorded(bench.name, "unknown-keys")
    bench.venue.answer(body=with_keys)
    [first] = (await bench.client.poll(["BTC"], 0)).notices
    assert "unknown key" in first
    more = with_keys.replace(b'"mark', b'"quite_new":0,"mark').replace(b"brand_new", b"newer")
    more = more.replace(b"nextPageCursor", b"newer")
    bench.venue.answer(body=more, repeat=True)
    assert (await bench.client.poll(["BTC"], 0)).notices == ()
    bench.clock.advance(3600)
    [later] = (await bench.client.poll(["BTC"], 0)).notices
    assert "sends 2 unknown key(s)" in later
    assert "quite_new" in later
    bench.clock.advance(3600)
    assert (await bench.client.poll(["BTC"], 0)).notices == ()


async def test_unknown_keys_without_end_are_bounded(bench: Bench) -> None:
    """A flood of unknown keys is one notice of a bounded length."""
    keys = ",".join(f'"{"k" * 200}{index}":0' for index in range(300))
    bench.venue.answer(
        body=recorded(bench.name, "golden").replace(b"{", b"{%s," % keys.encode(), 1)
    )
    [notice] = (await bench.client.poll(["BTC"], 0)).notices
    assert "300 unknown key(s)" in notice
    assert len(notice) < 1000


async def test_nonsense_under_a_key_that_nobody_reads(bench: Bench) -> None:
    """What cannot even be decoded, but is not read either, costs nothing."""
    nonsense = b'{"unread":["\xff",1e999,%s],' % (b"9" * 5000)
    body = recorded(bench.name, "golden").replace(b"{", nonsense, 1)
    bench.venue.answer(body=body)
    poll = await bench.client.poll(["BTC"], 0)
    assert (poll.ok, poll.notices) == (True, ())
    assert poll.batch is not None


async def test_close_ends_what_is_in_flight(bench: Bench) -> None:
    """A client can be closed at any time, also twice; a request under way ends."""
    arrived, never = asyncio.Event(), asyncio.Event()

    async def wait(*_: object, **__: object) -> None:
        arrived.set()
        await never.wait()

    bench.venue.answer(wait=wait)
    fetching = asyncio.create_task(bench.client.fetch_stats("BTC"))
    async with asyncio.timeout(5):
        await arrived.wait()
        await bench.client.close()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    await bench.client.close()


async def test_a_poll_that_is_cancelled_leaves_nothing_behind(bench: Bench) -> None:
    """The request of a cancelled poll goes on, fails, and nobody complains; the next poll works."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def fail_once(*_: object, **__: object) -> None:
        if not arrived.is_set():
            arrived.set()
            await go_on.wait()
            raise aiohttp.ClientConnectionError

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench.venue.answer(body=recorded(bench.name, "golden"), wait=fail_once)
    fetching = asyncio.create_task(bench.client.fetch_stats("BTC"))
    async with asyncio.timeout(5):
        await arrived.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        go_on.set()
        assert bench.client._fetcher is not None
        await asyncio.wait(bench.client._fetcher._flights.values())
    gc.collect()
    assert complaints == []
    assert await bench.client.fetch_stats("BTC") is not None


async def test_a_shared_session_stays_open(bench: Bench) -> None:
    """A source closes the session it opened, and no other."""
    bench.answer_well(repeat=True)
    async with aiohttp.ClientSession() as session:
        async with new_source(bench.name, session=session, clock=bench.clock) as client:
            assert await client.fetch_stats("BTC") is not None
        assert not session.closed
    own = new_source(bench.name, clock=bench.clock)
    await own.close()  # nothing was opened yet
    await own.fetch_stats("BTC")
    assert own._session is not None
    await own.close()
    assert own._session.closed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("107089.10", "107089.10"),
        ("0", "0"),
        ("-0.00", "-0.00"),
        ("1E-7", "0.0000001"),
        ("1.5e+3", "1500"),
        (5, "5"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (Decimal("2.50"), "2.50"),
        ("1" * 36, "1" * 36),
        ("", None),
        (None, None),
        (True, None),
        (False, None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("-inf", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e999999", None),
        ("1_000", None),
        ("1,5", None),
        ("0x1F", None),
        (" 1", None),
        ("1\n", None),
        ("\u0661", None),
        ("text", None),
        ([], None),
        ({"a": 1}, None),
        (b"1", None),
        ("1" * 100, None),
    ],
)
def test_to_decimal(bench: Bench, value: object, expected: str | None) -> None:
    """Exact, also for floats (by their shortest text); what is no number is None, never 0."""
    number = bench.client._to_decimal(value)
    assert (None if number is None else f"{number:f}") == expected


async def test_time_goes_by_slots(bench: Bench) -> None:
    """Two fetches within one slot have one stamp, the next slot has the next."""
    bench.answer_well(repeat=True)
    interval_s = bench.client.poll_interval_s
    stamps_ns = []
    for pause_s in (0, interval_s * 0.9, interval_s * 0.1):
        bench.clock.advance(pause_s)
        [snapshot] = await bench.client.fetch_all(["BTC"])
        stamps_ns.append(snapshot.slot_ns)
    assert stamps_ns[0] == stamps_ns[1] == stamps_ns[2] - interval_s * NS_PER_S


@st.composite
def _damaged(draw: st.DrawFn, source: str) -> bytes:
    """A recorded body with a few bytes taken out or put in."""
    body = draw(st.sampled_from(BODIES[source]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        gone = draw(st.one_of(st.integers(0, 8), st.integers(0, len(body))))
        token = draw(st.sampled_from(_TOKENS) | st.binary(max_size=4))
        body = body[:at] + token + body[at + gone :]
    return body


_TOKENS = [b"", b'"', b"null", b"{}", b"[" * 3000, b"]", b'"1e400"', b"-1", b"1" * 5000, b"\xff"]
_TOKENS += [b"\\ud800", b"\\n", b"\\\\", b'"",', b'"0"', b"99999999999999999999", b"true", b","]


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
async def test_no_body_whatever_raises(source: str, data: st.DataObject) -> None:
    """Damaged anyhow, an answer is lines that InfluxDB takes, or a problem, or both."""
    body = data.draw(_damaged(source))
    with venue() as mocked:
        mocked.answer(body=body)
        async with new_source(source, clock=FakeClock()) as client:
            poll = await client.poll("all", 0)
    assert poll.ok or poll.problems
    assert len(read_lines(lines_of(poll))) == len(poll.batch or ()) + bool(poll.platform)
    assert poll.reports[0].rows == len(poll.batch or ())


def test_the_suite_sees_every_source() -> None:
    """The table of sources and the folders of recorded cases name the same venues."""
    assert set(SOURCES) == {path.name for path in Path(CASES).iterdir() if path.is_dir()} - {
        "__pycache__"
    }
