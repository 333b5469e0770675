"""The machine's name is a tag of many points, so it is looked at before the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.app import App
from agent.config import load
from agent.errors import PerpfluxError


@pytest.mark.parametrize("name", ["back\\slash", "new\nline", "x" * 257])
async def test_a_name_that_cannot_be_a_tag_is_said_at_the_start(tmp_path: Path, name: str) -> None:
    """InfluxDB would refuse every point that carries it; nothing is opened."""
    journal = tmp_path / "journal.db"
    loaded = load(environ={"PERPFLUX_JOURNAL__PATH": str(journal)})
    with pytest.raises(PerpfluxError, match="cannot be the tag `host`"):
        await App(loaded, host=name).__aenter__()
    assert not journal.exists()
