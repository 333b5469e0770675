"""The program as a user runs it, against recorded venues."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.program import perpflux, running
from tests.support.recorded import recorded_venues

pytestmark = pytest.mark.slow


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, str]]:
    """Settings that point both sources at the recorded venues, for BTC."""
    async with recorded_venues() as url:
        yield {
            "PERPFLUX_TICKERS": "BTC",
            "PERPFLUX_VARIATIONAL__API_BASE": url,
            "PERPFLUX_BYBIT__API_BASE": url,
        }


def objects(text: str) -> list[dict[str, Any]]:
    """JSON lines with exact numbers."""
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]


async def test_once_prints_the_golden_numbers(tmp_path: Path, venues: dict[str, str]) -> None:
    """`perpflux once --format jsonl` gives the recorded venues' numbers, to the digit."""
    outcome = await perpflux(tmp_path, "once", "--format", "jsonl", **venues)
    assert (outcome.code, outcome.err) == (0, "")
    points = {(each["measurement"], each["source"]): each for each in objects(outcome.out)}
    omni, bybit = points["snapshot", "variational"], points["snapshot", "bybit"]

    assert omni["mark_price"] == Decimal("93787.9606019699")
    assert round(omni["spread_bps"], 6) == Decimal("0.430920")
    assert round(omni["spread_100k_bps"], 6) == Decimal("1.463420")
    assert round(omni["spread_1m_bps"], 6) == Decimal("6.492843")
    assert omni["funding_rate"] == omni["funding_apr"] == Decimal("0.037347")
    assert omni["funding_interval_s"] == 28800
    assert round(omni["oi_usd"], 2) == Decimal("196286089.53")
    assert points["platform", "variational"]["markets"] == 486

    assert bybit["best_bid"] == Decimal("107089.10")
    assert bybit["bid_1k"] == bybit["bid_100k"] == Decimal("80427.80")
    assert bybit["ask_1k"] == bybit["ask_100k"] == Decimal("80427.90")
    assert round(bybit["spread_bps"], 7) == Decimal("0.0124335")  # 0.1 / 80427.85
    assert "bid_1m" not in bybit
    assert bybit["funding_apr"] == Decimal("0.00001938") * 1095
    assert bybit["oi_usd"] == Decimal("2726536988.40")
    assert bybit["volume_24h_usd"] == Decimal("10983940889.6900")
    assert bybit["ts"].endswith("Z")


async def test_once_says_what_failed_and_exits_1(tmp_path: Path, venues: dict[str, str]) -> None:
    """One dead source: the other's snapshot is printed, the failure has a hint, the exit is 1."""
    venues["PERPFLUX_BYBIT__API_BASE"] = "http://127.0.0.1:9"
    outcome = await perpflux(tmp_path, "once", "--format", "jsonl", **venues)
    assert outcome.code == 1
    assert {each["source"] for each in objects(outcome.out)} == {"variational"}
    assert re.search(r"perpflux: poll bybit: http://127\.0\.0\.1:9.*check network", outcome.err)


async def test_an_unlisted_ticker_is_named(tmp_path: Path, venues: dict[str, str]) -> None:
    """A typing mistake in `tickers` costs nothing else and is named by each source."""
    venues["PERPFLUX_TICKERS"] = "BTC,BCT"
    outcome = await perpflux(tmp_path, "once", "--format", "lp", **venues)
    assert "variational has no readable listing of 'BCT'" in outcome.err
    assert "bybit has no readable row for symbol 'BCTUSDT'" in outcome.err
    assert outcome.out.count("snapshot,") == 2


async def test_export_gives_what_was_collected(tmp_path: Path, venues: dict[str, str]) -> None:
    """The journal is the local history: all formats, chosen by source, ticker, measurement."""
    once = await perpflux(tmp_path, "once", "--format", "lp", **venues)
    whole = await perpflux(tmp_path, "export", "--format", "lp")
    assert set(once.out.splitlines()) < set(whole.out.splitlines())
    chosen = ("--source", "bybit", "--ticker", "BTC", "--measurement", "snapshot")
    assert len(objects((await perpflux(tmp_path, "export", *chosen)).out)) == 1
    header, row = (await perpflux(tmp_path, "export", "--format", "csv", *chosen)).out.splitlines()
    assert header.startswith("ts,measurement,source,ticker,lag_ms")
    assert ",107084.00," in row
    future = await perpflux(tmp_path, "export", "--since", "2100-01-01T00:00:00Z")
    assert (future.code, future.out) == (0, "")


async def test_run_says_once_that_a_source_is_down_and_goes_on(
    tmp_path: Path, venues: dict[str, str]
) -> None:
    """A source that cannot be reached is one warning with a hint; the other is collected."""
    venues["PERPFLUX_BYBIT__API_BASE"] = "http://127.0.0.1:9"
    venues["PERPFLUX_VARIATIONAL__POLL_INTERVAL_S"] = "1"
    async with running(tmp_path, **venues) as program:
        started = json.loads(await program.wait_for('"started"'))
        down = json.loads(await program.wait_for('"source_down"'))
        assert (down["source"], down["hint"]) == (
            "bybit",
            "check network, DNS and bybit.api_base",
        )
        async with aiohttp.ClientSession() as session:
            status: dict[str, Any] = {"ledger": {"collected": 0}}
            while status["ledger"]["collected"] < 6:
                async with session.get(started["http"] + "/status") as answer:
                    status = await answer.json()
        assert status["sources"]["bybit"]["state"] == "failing"
        assert status["sources"]["variational"]["state"] == "ok"
        assert status["state"] == "degraded"
        assert await program.stop() == 0
        assert "".join(program.lines).count("source_down") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(
    tmp_path: Path, venues: dict[str, str], number: signal.Signals
) -> None:
    """SIGTERM and SIGINT: exit 0 within five seconds, the journal closed (no log left over)."""
    async with running(tmp_path, **venues) as program:
        await program.wait_for('"started"')
        assert await program.stop(number) == 0
        assert '"stopped"' in program.lines[-1]
    assert not (tmp_path / "perpflux.db-wal").exists()


async def test_a_second_run_names_the_first(tmp_path: Path, venues: dict[str, str]) -> None:
    """One process per journal: the second exits 1 and names the first by its process id."""
    async with running(tmp_path, **venues) as program:
        await program.wait_for('"started"')
        second = await perpflux(tmp_path, "run", **venues)
        assert second.code == 1
        assert str(program.child.pid) in second.err
        assert "Traceback" not in second.err


async def test_demo_runs_without_network(tmp_path: Path) -> None:
    """`perpflux demo` collects from simulated venues into a journal of its own."""
    async with running(tmp_path, "demo") as program:
        await program.wait_for('"source_ready"')
        await program.wait_for('"source_ready"')
        assert await program.stop() == 0
    demo = str(tmp_path / "perpflux.db.demo")
    out = (await perpflux(tmp_path, "export", PERPFLUX_JOURNAL__PATH=demo)).out
    assert {each["source"] for each in objects(out) if "source" in each} >= {"variational", "bybit"}


async def test_wrong_usage_is_2_and_a_bad_configuration_78(tmp_path: Path) -> None:
    """Exit codes of the contract, each with a message that says what to do, no traceback."""
    assert (await perpflux(tmp_path, "fly")).code == 2
    since = await perpflux(tmp_path, "export", "--since", "yesterday")
    assert (since.code, since.out) == (2, "")
    assert "write it like" in since.err
    bad = await perpflux(tmp_path, "check", PERPFLUX_BYBIT__POLL_INTERVAL="0")
    assert bad.code == 78
    assert "PERPFLUX_BYBIT__POLL_INTERVAL_S" in bad.err
    (tmp_path / "perpflux.toml").write_text("[bybit]\npoll_interval_s = 0\n", encoding="utf-8")
    bad = await perpflux(tmp_path, "run")
    assert (bad.code, bad.out) == (78, "")
    assert "perpflux.toml" in bad.err
    assert "bybit.poll_interval_s" in bad.err
    assert "Traceback" not in bad.err


async def test_check_needs_no_network_and_shows_no_secret(tmp_path: Path) -> None:
    """`perpflux check` reads the token, says where everything goes, and never prints it."""
    (tmp_path / "token").write_text("very-secret-token", encoding="utf-8")
    good = await perpflux(
        tmp_path,
        "check",
        PERPFLUX_INFLUXDB__URL="http://127.0.0.1:9",
        PERPFLUX_INFLUXDB__TOKEN_FILE=str(tmp_path / "token"),
    )
    assert good.code == 0
    assert "http://127.0.0.1:9" in good.out
    assert "very-secret-token" not in good.out + good.err
    assert not (tmp_path / "perpflux.db").exists()
    missing = await perpflux(tmp_path, "check", PERPFLUX_INFLUXDB__URL="http://127.0.0.1:9")
    assert missing.code == 78
    assert "INFLUXDB_V2_TOKEN" in missing.err
