"""What the tests of the shipping loop share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.journal import Journal
from tests.shipping.fake_influxdb import FakeInfluxDB
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock whose sleeper does not wait."""
    return FakeClock()


@pytest.fixture
def fake(clock: FakeClock) -> FakeInfluxDB:
    """An InfluxDB."""
    return FakeInfluxDB(now_ns=clock.now_ns)


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    """A real journal."""
    journal = await Journal.open(
        tmp_path / "journal.db", bytes_max=2**30, age_max_s=604_800, clock=clock
    )
    yield journal
    await journal.close()
