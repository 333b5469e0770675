"""Whatever is asked of the HTTP side, the event loop, and so the polls, are not kept waiting."""

from __future__ import annotations

import asyncio
import statistics
import sys
from typing import Final

import pytest

from agent.clock import SYSTEM_CLOCK
from tests.http.bench import Bench
from tests.http.test_api import keep
from tests.support.batches import batch_of

SECONDS: Final = 90
"""Polls of the full universe in the journal."""
ROWS: Final = (("bybit", 600, 1), ("variational", 555, 20))
LAG_MS_MAX: Final = 1000
"""On a machine with five times as much to do as it can: still no slot is missed."""
LAG_MS_TYPICAL_MAX: Final = 25
TICK_S: Final = 0.005
NUMBERS: Final = dict.fromkeys(
    (
        "mark_price index_price last_price best_bid best_ask bid_1k ask_1k bid_100k ask_100k mid"
        " spread_bps spread_100k_bps basis_bps funding_rate funding_interval_s funding_apr"
        " next_funding_s long_oi oi_usd volume_24h volume_24h_usd"
    ).split(),
    "107084.25",
)
ASKER: Final = """
import sys, threading, urllib.request
def ask(path):
    with urllib.request.urlopen(sys.argv[1] + path) as answer:
        if path == "/api/stream":
            for _ in range(30):
                answer.readline()
        else:
            answer.read()
paths = 4 * ["/api/history?since=2026-09-21T14:58:00Z&points=2000&ticker=T001", "/api/snapshots"]
threads = [threading.Thread(target=ask, args=[path]) for path in [*paths, "/api/stream"]]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.slow
async def test_the_loop_turns_while_everything_is_asked_at_once(bench: Bench) -> None:
    """History, snapshots and a stream of the full universe: the loop is late by milliseconds."""
    batches = [
        batch_of(source, {f"T{index:03d}": NUMBERS for index in range(count)}, slot_s)
        for slot_s in range(-SECONDS, 0)
        for source, count, every_s in ROWS
        if slot_s % every_s == 0
    ]
    keep(bench, *batches)
    for batch in batches[-25:]:
        bench.live.put(batch)
    asker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKER, bench.url, stderr=asyncio.subprocess.PIPE
    )
    asking = asyncio.create_task(asker.communicate())
    lags_ms = []
    slot_s = 0
    every = {f"T{index:03d}": NUMBERS for index in range(600)}
    while not asking.done():
        begun_ns = SYSTEM_CLOCK.monotonic_ns()
        await asyncio.sleep(TICK_S)
        lags_ms.append((SYSTEM_CLOCK.monotonic_ns() - begun_ns) / 1e6 - 1000 * TICK_S)
        if len(lags_ms) % 20 == 0:
            slot_s += 1
            bench.clock.step_wall(1)
            bench.live.put(batch_of("bybit", every, slot_s))
    _, said = await asking
    assert asker.returncode == 0, said.decode()
    assert len(lags_ms) > 20
    assert max(lags_ms) < LAG_MS_MAX
    assert statistics.median(lags_ms) < LAG_MS_TYPICAL_MAX
