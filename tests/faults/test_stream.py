"""Whoever is killed between venue and InfluxDB: through the stream nothing is lost either.

The short form; `make faults` plays the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import skip_loudly
from tests.debian.package import NoProgramError
from tests.faults import stream
from tests.influxd.server import InfluxServer

ROUNDS = 6


@pytest.mark.influxdb
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_is_lost_through_the_stream(
    tmp_path: Path, influxdb: InfluxServer, request: pytest.FixtureRequest
) -> None:
    """SIGKILL of leader, agents and sinks: lost, altered, invented and twice are all nought."""
    seed = getattr(request.config.option, "randomly_seed", 1)
    try:
        outcome = await stream.run(influxdb, tmp_path, rounds=ROUNDS, seed=seed)
    except NoProgramError as error:
        skip_loudly(f"there is no nats-server: {error}")
        raise AssertionError from error
    assert not outcome.wrong, f"{outcome}\n{outcome.wrong}"
    assert set(outcome.kills) == set(stream.VICTIMS)
    assert outcome.verdict.stored == outcome.distinct > 0
    assert outcome.taken > outcome.distinct, "the agents never met in a slot"
