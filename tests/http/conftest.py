"""The bench, listening."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench that listens."""
    made = Bench(tmp_path)
    made.url = await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.close()
    await made.live.close()
