"""What all tests share: a real InfluxDB, where one can be had."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from tests.influxd.server import InfluxServer, NoInfluxdError, open_server

REQUIRE_VARIABLE = "REQUIRE_EVERY_TEST"
"""Set by `.ci/run`: a test that cannot find what it needs fails instead of being skipped."""


def skip_loudly(reason: str) -> None:
    """Skip a test that cannot run here; where every test is required, fail it."""
    if os.environ.get(REQUIRE_VARIABLE):
        pytest.fail(f"required here, but {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """A real InfluxDB 2.8 for the whole session; tests take a bucket of their own."""
    try:
        server = open_server(tmp_path_factory.mktemp("influxd"))
    except NoInfluxdError as error:
        skip_loudly(f"there is no InfluxDB: {error}")
        raise AssertionError from error
    with server:
        yield server


@pytest.fixture(scope="session")
def _bucket_numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def new_bucket(influxdb: InfluxServer, _bucket_numbers: Iterator[int]) -> Callable[..., str]:
    """Makes a bucket with a name of its own; `retention_s` 0 = for ever."""

    def make(retention_s: int = 0) -> str:
        name = f"bucket-{os.getpid()}-{next(_bucket_numbers)}"
        influxdb.create_bucket(name, retention_s)
        return name

    return make
