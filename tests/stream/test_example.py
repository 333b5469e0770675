"""The example in the documents runs as it stands, against a real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config import NatsSink
from agent.stream.publisher import Publisher
from tests.stream.conftest import STREAM, SUBJECT
from tests.stream.make import SLOT_NS, poll, record

EXAMPLE = Path(__file__).parents[2] / "docs/examples/strategy.py"
WAIT_S = 30


@pytest.mark.slow
async def test_the_strategy_sees_both_venues_of_a_slot(
    jetstream: Any, sink: Callable[..., NatsSink]
) -> None:
    """It says so once for the slot in which the mids are 20 bps apart, and for no other."""
    await jetstream.add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
    config = sink()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLE), config.nats_url, SUBJECT, "BTC", "20"),
        stdout=asyncio.subprocess.PIPE,
    )
    publisher = Publisher(config)
    assert child.stdout is not None
    try:
        said = asyncio.create_task(child.stdout.readline())
        slot_ns = SLOT_NS
        async with asyncio.timeout(WAIT_S):
            while not said.done():  # it may not listen yet
                slot_ns += 1_000_000_000
                for source, mid in [("bybit", "100.2"), ("variational", "100")]:
                    lines = [
                        f"snapshot,source={source},ticker=BTC lag_ms=1,mid={mid} {slot_ns}",
                        f"snapshot,source={source},ticker=ETH lag_ms=1,mid=5 {slot_ns}",
                        poll("one", source=source, slot_ns=slot_ns),
                    ]
                    await publisher.deliver([record(lines, source=source, slot_ns=slot_ns)])
                await asyncio.wait([said], timeout=0.1)
        words = said.result().decode().split()
        assert int(words[0]) <= slot_ns
        assert words[1:] == ["BTC", "20.00", "bps"]
    finally:
        child.kill()
        await child.wait()
        await publisher.close()


def test_it_is_as_short_as_it_is_said_to_be() -> None:
    """Thirty lines of code: no more stands between a strategy and the numbers."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", '"""'))]
    assert len(code) <= 31
