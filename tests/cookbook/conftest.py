"""A real InfluxDB that holds the known points."""

from __future__ import annotations

import os

import pytest

from tests.cookbook.points import raw, rollup
from tests.influxd.server import InfluxServer

BUCKET = f"cookbook-{os.getpid()}"


@pytest.fixture(scope="package")
def known(influxdb: InfluxServer) -> InfluxServer:
    """The server with the known points in BUCKET and its rollup."""
    for bucket, lines in ((BUCKET, raw()), (f"{BUCKET}_1m", rollup())):
        influxdb.create_bucket(bucket)
        answer = influxdb.write(bucket, lines)
        assert answer.status == 204, answer.body
    return influxdb
