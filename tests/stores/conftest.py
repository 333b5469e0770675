"""What the tests of other stores share: a real VictoriaMetrics, where one can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_loudly
from tests.debian.package import NoProgramError
from tests.stores.victoria import Victoria, victoria


@pytest.fixture(scope="session")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("victoria")


@pytest.fixture(scope="session")
def store(_folder: Path) -> Iterator[Victoria]:
    """One for the whole session, set up as docs/stores.md advises; a test takes its own names."""
    try:
        running = victoria(_folder)
        server = running.__enter__()
    except NoProgramError as error:
        skip_loudly(f"there is no VictoriaMetrics: {error}")
        raise AssertionError from error
    try:
        yield server
    finally:
        running.__exit__(None, None, None)
