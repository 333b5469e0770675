"""The HTTP side: health, readiness, metrics and status tell the truth."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.errors import PerpfluxError
from tests.http.bench import Bench


async def test_health_says_which_loop_stalls(bench: Bench) -> None:
    """/healthz is 200 while all loops turn, else 503 and their names."""
    assert await bench.get("/healthz") == (200, "ok\n")
    bench.stalled = ["bybit"]
    assert await bench.get("/healthz") == (503, "stalled: bybit\n")


async def test_readiness_is_whether_the_journal_takes_writes(bench: Bench) -> None:
    """/readyz is 503 with the reason while the journal refuses."""
    assert await bench.get("/readyz") == (200, "ok\n")
    bench.status["journal"] = {"takes_writes": False, "last_error": "no space left"}
    assert await bench.get("/readyz") == (503, "the journal takes no writes: no space left\n")


async def test_status_is_the_document(bench: Bench) -> None:
    """/status is JSON, as it was made."""
    async with aiohttp.ClientSession() as session, session.get(bench.url + "/status") as answer:
        assert await answer.json() == bench.status


async def test_metrics_are_prometheus_text(bench: Bench) -> None:
    """Prometheus' own parser reads every figure of the ledger, per sink, and of the sources."""
    _, text = await bench.get("/metrics")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["perpflux_points_collected_total", "influxdb"] == 10
    assert values["perpflux_points_pending", "influxdb"] == 2
    assert values["perpflux_points_stored_total", "cloud"] == 4
    assert values["perpflux_sink_up", "influxdb"] == 0
    assert values["perpflux_sink_up", "cloud"] == 1
    assert values["perpflux_source_up", "bybit"] == 1
    assert values["perpflux_source_failures", "variational"] == 2
    assert ("perpflux_source_age_seconds", "variational") not in values
    assert values["perpflux_info", "1.2.3"] == 1
    assert values["perpflux_journal_held_points",] == 3


async def test_the_server_is_read_only(bench: Bench) -> None:
    """Nothing but GET and HEAD is served."""
    async with aiohttp.ClientSession() as session, session.post(bench.url + "/status") as answer:
        assert answer.status == 405


async def test_an_address_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A port that another program holds gives one plain message."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PerpfluxError, match=rf"127\.0\.0\.1:{port}.*set http\.listen"):
            await Bench(tmp_path).server.start("127.0.0.1", port)
