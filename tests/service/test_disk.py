"""docs/operations.md says how large the disk must be: measured from the journal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import BybitConfig
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from agent.journal import Journal
from agent.scheduler import DataCollectorScheduler
from agent.sources import SOURCES, BybitClient, HttpSource, VariationalClient
from tests.support.clock import FakeClock

GUIDE = Path(__file__).parent.parent.parent / "docs/operations.md"
POLLS = {2: 400, 10: 200, 100: 60, 500: 30}
"""Polls that are measured, by tickers: enough that the file's first pages do not count."""
TOLERANCE = 0.3
"""How well a market compresses differs."""


def table() -> dict[tuple[str, int], int]:
    """Bytes per poll by source and tickers, as the guide has them."""
    found = re.search(
        r"<!-- sizes:begin -->\n(.*)<!-- sizes:end -->", GUIDE.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()
    ]
    counts = [int(cell.split()[0]) for cell in header[1:]]
    return {
        (source, count): int(cell)
        for source, *cells in rows
        for count, cell in zip(counts, cells, strict=True)
    }


def client_of(source: str, url: str, clock: FakeClock) -> HttpSource:
    """The source, polled every second, with order books as they are read by default."""
    if source == "bybit":
        deep = BybitConfig().depth_tickers
        return BybitClient(api_base=url, poll_interval_s=1, depth_tickers=deep, clock=clock)
    return VariationalClient(api_base=url, poll_interval_s=1, clock=clock)


async def bytes_per_poll(file: Path, source: str, count: int) -> float:
    """What a poll of so many tickers adds to the file, everything included."""
    clock = FakeClock()
    journal = await Journal.open(file, bytes_max=2**40, age_max_s=10**6, clock=clock)
    async with SimulatedVenues.start(market=Market(1, count=count), clock=clock) as venues:
        client = client_of(source, venues.url, clock)
        scheduler = DataCollectorScheduler([client], "all", store=journal, clock=clock)
        for _ in range(POLLS[count]):
            (poll,) = await scheduler.run_once()
            assert poll.ok
            clock.advance(1)
        await client.close()
    await journal.close()
    size_bytes = file.stat().st_size  # noqa: ASYNC240  # nothing else runs
    return size_bytes / POLLS[count]


@pytest.mark.slow
@pytest.mark.parametrize("count", POLLS)
@pytest.mark.parametrize("source", SOURCES)
async def test_the_guide_tells_what_a_poll_takes(tmp_path: Path, source: str, count: int) -> None:
    """Each figure of the table is what the journal of a simulated market takes, within 30 %."""
    measured = await bytes_per_poll(tmp_path / "journal.db", source, count)
    assert table()[source, count] == pytest.approx(measured, rel=TOLERANCE)
