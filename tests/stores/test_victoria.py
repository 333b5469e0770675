"""What a real VictoriaMetrics answers: each row of the table in docs/stores.md."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.auditor import Auditor, Target
from agent.clock import NS_PER_MS, NS_PER_S, parse_rfc3339_ns
from agent.config import NoToken, StoreSink
from agent.delivery import Delivered, Paused, WriteApi
from agent.fates import BackOff, Park
from agent.influx import InfluxDoor
from agent.journal import Journal
from agent.shipper import ShipperStatus
from tests.shipping.bench import record
from tests.stores.victoria import ADVISED, Victoria, victoria, vmauth
from tests.support.clock import FakeClock
from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = pytest.mark.slow

WAIT_S: Final = 30
DAY_S: Final = 86_400
HALF_DIGIT: Final = Decimal("1e-12")
"""How far a number may be off, as a part of itself."""


@pytest.fixture
def now_s() -> int:
    """A slot of a moment ago; a store refuses what is far from its own clock."""
    return int(time.time()) - 10


class Secret:
    """A token."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> SecretStr:
        """The token."""
        return SecretStr(self._text)


def line(name: str, value: str, stamp_s: int, field: str = "mid") -> str:
    """A snapshot of a ticker."""
    return f"snapshot,source=bybit,ticker={name} {field}={value} {stamp_s * NS_PER_S}"


async def doubt(url: str, token: Secret | NoToken) -> Park | BackOff | None:
    """What an empty body says."""
    destination = WriteApi(InfluxDoor(url, "perps", "perps", token))
    try:
        return await destination.doubt()
    finally:
        await destination.close()


async def deliver(url: str, token: Secret | NoToken, *lines: str) -> Delivered | Paused:
    """What comes of a batch."""
    destination = WriteApi(InfluxDoor(url, "perps", "perps", token))
    try:
        return await destination.deliver([record(1, lines)])
    finally:
        await destination.close()


def values(store: Victoria, ticker: str) -> dict[str, tuple[str, ...]]:
    """The values of a ticker by metric."""
    found = store.series(f'{{ticker="{ticker}"}}')
    return {series.labels["__name__"]: series.values for series in found}


async def test_every_published_number_arrives_in_victoriametrics(
    tmp_path: Path, store: Victoria
) -> None:
    """The same payloads end to end: a metric per field, exact stamps, numbers to 12 digits."""
    async with recorded_venues() as url:
        settings = {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_VARIATIONAL__API_BASE": url,
            "PERPFLUX_BYBIT__API_BASE": url,
            "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
            "PERPFLUX_SINKS__VICTORIA__URL": store.url,
        }
        done = await perpflux(tmp_path, "once", **settings)
    assert (done.code, done.err) == (0, "")
    exported = await perpflux(tmp_path, "export", **settings)
    published = [
        json.loads(text, parse_float=str, parse_int=str) for text in exported.out.splitlines()
    ]
    compared = 0
    for point in published:
        stamp_ns = parse_rfc3339_ns(point.pop("ts"))
        assert stamp_ns is not None
        measurement = point.pop("measurement")
        tags = {key: point.pop(key) for key in ("source", "ticker") if key in point}
        if measurement not in {"snapshot", "platform"}:
            continue
        chosen = ",".join(f'{key}="{value}"' for key, value in tags.items())
        for name, text in point.items():
            (series,) = store.series(f"{measurement}_{name}{{{chosen}}}")
            kept = dict(zip(series.stamps_ms, series.values, strict=True))
            given = Decimal(kept[stamp_ns // NS_PER_MS])
            assert abs(given - Decimal(text)) <= abs(Decimal(text)) * HALF_DIGIT, (name, text)
            compared += 1
    assert compared > 40


def test_a_bad_line_is_dropped_in_silence(store: Victoria, now_s: int) -> None:
    """It answers 204 and stores the others; only its log tells of the bad one."""
    answer = store.write(line("BAD", "", now_s), line("GOOD", "1.5", now_s))
    assert answer.status == 204
    assert "cannot unmarshal InfluxDB line" in store.log_tail()
    assert values(store, "BAD") == {}
    assert values(store, "GOOD") == {"snapshot_mid": ("1.5",)}


def test_nan_is_dropped_in_silence_and_infinity_is_kept(store: Victoria, now_s: int) -> None:
    """A field that is no number is left out of a point; Inf is a value like another."""
    answer = store.write(line("ODD", "NaN,last_price=1.5", now_s), line("INF", "Inf", now_s))
    assert answer.status == 204
    assert values(store, "ODD") == {"snapshot_last_price": ("1.5",)}
    assert values(store, "INF") == {"snapshot_mid": ("+Inf",)}


def test_there_are_no_types_and_a_text_becomes_zero(store: Victoria, now_s: int) -> None:
    """Integers are numbers; the text of an event is 0; nothing conflicts with what is there."""
    assert store.write(line("TYPES", "5i", now_s)).status == 204
    assert store.write(line("TYPES", "5.5", now_s + 1)).status == 204
    assert store.write(line("TYPES", '"text"', now_s + 2)).status == 204
    assert values(store, "TYPES") == {"snapshot_mid": ("5", "5.5", "0")}


async def test_an_empty_body_is_welcome_without_a_token(store: Victoria) -> None:
    """The probe of a parked store works; no token is asked for, and org and bucket are ignored."""
    assert await doubt(store.url, NoToken()) is None
    assert await doubt(store.url, Secret("any")) is None
    assert store.ask("/api/v2/write?org=other&bucket=other", b"").status == 204


async def test_a_path_before_the_write_api_is_kept(store: Victoria, now_s: int) -> None:
    """As vminsert of a cluster has it: .../insert/0/influx/api/v2/write."""
    outcome = await deliver(f"{store.url}/influx", NoToken(), line("PATH", "1.5", now_s))
    assert isinstance(outcome, Delivered)
    assert values(store, "PATH") == {"snapshot_mid": ("1.5",)}


async def test_vmauth_takes_the_token_and_a_wrong_one_parks(
    tmp_path: Path, store: Victoria, now_s: int
) -> None:
    """Vmauth answers a wrong token with a 400 that shows it: nothing is lost, nothing shown."""
    lines = [line(f"AUTH{number}", "1.5", now_s) for number in range(3)]
    with vmauth(tmp_path, store, "secret") as url:
        assert isinstance(await deliver(url, Secret("secret"), *lines), Delivered)
        paused = await deliver(url, Secret("geheim"), *lines)
        assert isinstance(paused, Paused)
        assert isinstance(paused.fate, Park)
        assert "geheim" not in paused.fate.reason
        assert "400" in paused.fate.reason
        missing = await deliver(url, NoToken(), *lines)
        assert isinstance(missing, Paused)
        assert isinstance(missing.fate, Park)
        assert "401" in missing.fate.reason
    assert values(store, "AUTH0") == {"snapshot_mid": ("1.5",)}


def test_what_is_too_old_or_far_ahead_is_dropped_in_silence(tmp_path: Path) -> None:
    """Its retention is a month unless set; two days ahead of its clock is too far."""
    now_s = int(time.time())
    with victoria(tmp_path, {}) as store:
        for stamp_s in (now_s - 40 * DAY_S, now_s, now_s + 3 * DAY_S):
            assert store.write(line("AGE", "1.5", stamp_s)).status == 204
        (series,) = store.series('{ticker="AGE"}')
        assert series.stamps_ms == (now_s * 1000,)
        assert store.counter('vm_rows_ignored_total{reason="small_timestamp"}') == 1
        assert store.counter('vm_rows_ignored_total{reason="big_timestamp"}') == 1


def test_a_point_sent_twice_is_there_once_with_deduplication(
    tmp_path: Path, store: Victoria, now_s: int
) -> None:
    """As advised (1 ms) identical points are one; without it both are kept."""
    for _ in range(2):
        assert store.write(line("TWICE", "1.5", now_s)).status == 204
        store.flush()
    assert values(store, "TWICE") == {"snapshot_mid": ("1.5",)}
    with victoria(tmp_path, {"retentionPeriod": ADVISED["retentionPeriod"]}) as other:
        for _ in range(2):
            assert other.write(line("TWICE", "1.5", now_s)).status == 204
            other.flush()
        assert values(other, "TWICE") == {"snapshot_mid": ("1.5", "1.5")}


def test_stamps_are_cut_to_milliseconds(store: Victoria, now_s: int) -> None:
    """Slots are whole seconds and settlements whole hours: only events lose something."""
    text = f"snapshot,source=bybit,ticker=FINE mid=1.5 {now_s * NS_PER_S + 123_456_789}"
    assert store.write(text).status == 204
    (series,) = store.series('{ticker="FINE"}')
    assert series.stamps_ms == (now_s * 1000 + 123,)


def test_numbers_keep_twelve_digits(store: Victoria, now_s: int) -> None:
    """Eleven significant digits come back as they were; beyond, one part in 10^12 may be off."""
    sent = [f"{48_841_857_225 + 7 * number}"[:5] + ".857225"[:7] for number in range(50)]
    store.write(*(line("DIGITS", text, now_s - number) for number, text in enumerate(sent)))
    long = "107084.123456789012345"
    store.write(line("LONG", long, now_s))
    (series,) = store.series('{ticker="DIGITS"}')
    assert [Decimal(text) for text in series.values] == [Decimal(text) for text in reversed(sent)]
    (given,) = map(Decimal, values(store, "LONG")["snapshot_mid"])
    assert 0 < abs(given - Decimal(long)) <= Decimal(long) * HALF_DIGIT


def test_a_killed_server_forgets_what_it_acknowledged_last(tmp_path: Path, now_s: int) -> None:
    """It has no log of what it took: SIGKILL costs the last seconds, SIGTERM nothing."""
    with victoria(tmp_path) as store:
        assert store.write(line("SAFE", "1.5", now_s)).status == 204
        store.end(signal.SIGTERM)
        store.start()
        assert store.write(line("LOST", "1.5", now_s)).status == 204
        store.end(signal.SIGKILL)
        store.start()
        assert values(store, "SAFE") == {"snapshot_mid": ("1.5",)}
        assert values(store, "LOST") == {}


async def test_what_a_crash_of_the_store_lost_is_replayed(tmp_path: Path) -> None:
    """`perpflux replay --sink` sends what the journal has; a point that was there stays one."""
    journal, data = tmp_path / "journal", tmp_path / "data"
    journal.mkdir()
    with victoria(data) as store:
        async with recorded_venues() as url:
            settings = {
                "PERPFLUX_TICKERS": "BTC",
                "PERPFLUX_DATA_SOURCES": "bybit",
                "PERPFLUX_BYBIT__API_BASE": url,
                "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
                "PERPFLUX_SINKS__VICTORIA__URL": store.url,
            }
            assert (await perpflux(journal, "once", **settings)).code == 0
        store.end(signal.SIGKILL)
        store.start()
        since = ["--since", "2026-01-01T00:00:00Z"]
        done = await perpflux(journal, "replay", "--sink", "victoria", *since, **settings)
        assert done.code == 0, done.err
        (series,) = store.series('snapshot_mark_price{source="bybit"}')
        assert len(series.values) == 1


async def test_what_it_has_cannot_be_looked_at(store: Victoria, tmp_path: Path) -> None:
    """It knows no Flux: said once, and shipping is all there is to go by."""
    clock, path = FakeClock(), tmp_path / "journal.db"
    journal = await Journal.open(path, bytes_max=2**30, age_max_s=DAY_S, clock=clock)
    auditor = Auditor("victoria", journal, path, host="h", clock=clock)
    shipping = ShipperStatus("idle", None, None, None, None, 0)
    try:
        with capture_logs() as logs:
            for _ in range(3):
                await auditor.look(Target(StoreSink(url=store.url), NoToken(), shipping))
                clock.advance(3600 + 300)
    finally:
        await journal.close()
    assert [(log["event"], log["log_level"]) for log in logs] == [("schema_unchecked", "info")]
    assert auditor.status["preflight"]["state"] == "unchecked"
    assert auditor.status["readback"] is None


async def test_a_store_without_room_is_waited_for(tmp_path: Path, now_s: int) -> None:
    """Short of disk it answers 503 and takes nothing: everything is kept and tried again."""
    with victoria(tmp_path, {"storage.minFreeDiskSpaceBytes": str(10**15)}) as store:
        async with asyncio.timeout(WAIT_S):
            while True:  # it looks once a second
                paused = await deliver(store.url, NoToken(), line("FULL", "1.5", now_s))
                if isinstance(paused, Paused):
                    break
                await asyncio.sleep(0.1)
        assert isinstance(paused.fate, BackOff)
        assert "503" in paused.fate.reason
        assert "read-only" in paused.fate.reason


async def test_a_store_beside_influxdb_that_was_away_catches_up(
    tmp_path: Path, store: Victoria
) -> None:
    """The real program: VictoriaMetrics is down for a while, then gets all, and is told apart."""
    name = f"AWAY{time.monotonic_ns()}"
    with victoria(tmp_path / "away") as away:
        away.end()
        async with recorded_venues() as url:
            settings = {
                "PERPFLUX_TICKERS": name,
                "PERPFLUX_DATA_SOURCES": "bybit",
                "PERPFLUX_BYBIT__SYMBOLS": json.dumps({name: "BTCUSDT"}),
                "PERPFLUX_BYBIT__API_BASE": url,
                "PERPFLUX_BYBIT__DEPTH_TICKERS": "[]",
                "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
                "PERPFLUX_SINKS__NEAR__URL": store.url,
                "PERPFLUX_SINKS__AWAY__URL": away.url,
            }
            async with running(tmp_path, "run", **settings) as program:
                told = json.loads(await program.wait_for("shipping_down"))
                assert told["sink"] == "away"
                async with asyncio.timeout(WAIT_S):
                    while not values(store, name):  # noqa: ASYNC110  # another process's doing
                        await asyncio.sleep(0.1)
                away.start()
                assert json.loads(await program.wait_for("shipping_up"))["sink"] == "away"
                assert await program.stop() == 0
        near, far = (
            each.series(f'snapshot_mark_price{{ticker="{name}"}}') for each in (store, away)
        )
        assert set(near[0].stamps_ms) == set(far[0].stamps_ms)
        assert meaning_of_the_log("".join(program.lines)) == {"away"}


def meaning_of_the_log(text: str) -> set[str]:
    """The stores of which the log says that they were away."""
    said = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {each["sink"] for each in said if each.get("event") == "shipping_down"}
