"""Making a stream where no server is."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from agent.config import NatsSink
from agent.errors import PerpfluxError
from agent.stream.setup import TRIES_MAX, TRY_EVERY_S, make_stream
from tests.support.clock import FakeClock


async def test_it_waits_for_the_server_and_says_so_once() -> None:
    """So many tries, one line in the log, then an error that names the server."""
    clock = FakeClock()
    sink = NatsSink(nats_url="nats://127.0.0.1:1", stream="perps", subject="perps.points")
    with capture_logs() as logs, pytest.raises(PerpfluxError, match=r"127\.0\.0\.1:1"):
        await make_stream(sink, replicas=1, bytes_max=2**20, age_max_s=60, clock=clock)
    assert clock.slept_s == [TRY_EVERY_S] * (TRIES_MAX - 1)
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["stream_down"]
