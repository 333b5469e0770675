"""The fast clock is fast, and the agent runs by it as by any other."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import pytest

from bench.endurance import LOOKS, FastClock


async def test_a_fast_clock_is_fast_in_all_it_says() -> None:
    """Wall clock, monotonic clock and waiting keep the same pace."""
    clock = FastClock(1000)
    wall_ns, monotonic_ns = clock.now_ns(), clock.monotonic_ns()
    async with asyncio.timeout(5):
        await clock.sleep(60)
    assert clock.now_ns() - wall_ns >= 60 * 10**9
    assert clock.monotonic_ns() - monotonic_ns >= 60 * 10**9


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_half_a_minute_of_it_loses_nothing() -> None:
    """Points are stored, none is lost, and the growth is said at the end."""
    command = [sys.executable, "-m", "bench.endurance", "--hours", "0.01", "--speed", "10"]
    ran = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    *looks, growth = ran.stdout.splitlines()
    stored = [int(each.replace(",", "")) for each in re.findall(r"stored ([\d,]+)", ran.stdout)]
    assert len(looks) == LOOKS
    assert stored == sorted(stored)
    assert stored[-1] > 0
    assert all(look.endswith("lost 0") for look in looks)
    assert re.fullmatch(r"in the second half [+-][\d.]+ KiB a minute of its clock", growth)
