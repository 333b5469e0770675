"""Two agents at once, each with a journal of its own, write one series into one bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from agent.clock import NS_PER_S, SYSTEM_CLOCK, SystemClock, slot_at
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from agent.journal import History
from agent.line_protocol import Point, parse_lines
from tests.faults.agents import Agent
from tests.faults.judge import COUNTED, Identity, identity_of, read_back
from tests.influxd.server import InfluxServer

pytestmark = [pytest.mark.influxdb, pytest.mark.slow]

INTERVAL_S: Final = 2
WAIT_S: Final = 60
OF_THE_OBSERVER: Final = frozenset({"lag_ms", "quote_age_ms"})
"""Fields that say when this very agent got its answer."""


class SlotClock(SystemClock):
    """A venue whose figures change with the slots only."""

    def now_ns(self) -> int:
        """The beginning of the slot."""
        return slot_at(super().now_ns(), INTERVAL_S)


def taken(agent: Agent) -> dict[Identity, Point]:
    """The counted points of an agent's journal."""
    with History(agent.journal) as history:
        points = [point for record in history.records() for point in parse_lines(record.lines)]
    return {identity_of(point): point for point in points if point.measurement in COUNTED}


def published(fields: Mapping[str, str]) -> dict[str, float]:
    """What does not depend on who looked."""
    return {name: float(text) for name, text in fields.items() if name not in OF_THE_OBSERVER}


async def test_two_agents_write_one_identical_series(
    tmp_path: Path, influxdb: InfluxServer, new_bucket: Callable[..., str]
) -> None:
    """Each point is there once, whoever wrote it; when one agent dies no slot is missing."""
    bucket = new_bucket()
    market = Market(11, count=12, refresh_s=INTERVAL_S)
    async with SimulatedVenues.start(market=market, clock=SlotClock()) as venues:
        settings = {
            "PERPFLUX_TICKERS": "all",
            "PERPFLUX_VARIATIONAL__API_BASE": venues.url,
            "PERPFLUX_VARIATIONAL__POLL_INTERVAL_S": str(INTERVAL_S),
            "PERPFLUX_BYBIT__API_BASE": venues.url,
            "PERPFLUX_BYBIT__FUNDING_BACKFILL_DAYS": "0",
            "PERPFLUX_BYBIT__POLL_INTERVAL_S": str(INTERVAL_S),
            "PERPFLUX_INFLUXDB__URL": influxdb.url,
            "PERPFLUX_INFLUXDB__ORG": influxdb.org,
            "PERPFLUX_INFLUXDB__BUCKET": bucket,
            "INFLUXDB_V2_TOKEN": influxdb.write_token(bucket),
        }
        one, other = (Agent(tmp_path / name, settings) for name in ("one", "other"))
        async with one.running(), other.running():
            await asyncio.gather(*(stored_more(agent, slots=2) for agent in (one, other)))
            await one.kill()
            await stored_more(other, slots=2)
            await one.up()
            await asyncio.gather(*(stored_more(agent, slots=2) for agent in (one, other)))
            await one.stop_empty()
            await other.stop_empty()
    for agent in (one, other):
        ledger, _ = await agent.account()
        assert (ledger.pending, ledger.rejected, ledger.evicted) == (0, 0, 0)
    check(taken(one), taken(other), await asyncio.to_thread(read_back, influxdb, bucket, 0, None))


async def stored_more(agent: Agent, *, slots: int) -> None:
    """Until so many further polls of both sources are stored."""
    before = agent.status["ledger"]["stored"] if agent.status else 0
    # 12 listings and the platform at one venue, at least 10 contracts at the other.
    points = slots * 23
    await agent.until(
        lambda status: status["ledger"]["stored"] >= before + points, WAIT_S, "it stores"
    )


def check(
    one: Mapping[Identity, Point],
    other: Mapping[Identity, Point],
    found: Mapping[Identity, Mapping[str, str]],
) -> None:
    """The bucket holds what both took, once each, and neither said anything else."""
    counted = {identity: values for identity, values in found.items() if identity[0] in COUNTED}
    assert set(counted) == {*one, *other}
    series = {(measurement, tags) for measurement, tags, _ in counted}
    assert series == {(measurement, tags) for measurement, tags, _ in other}, "a series too many"
    both = one.keys() & other.keys()
    assert both, "they never met in a slot"
    assert other.keys() - one.keys(), "the kill cost the killed one nothing"
    for identity in both:
        assert published(one[identity].fields) == published(other[identity].fields)
    for identity, values in counted.items():
        takes = [each[identity].fields for each in (one, other) if identity in each]
        assert published(values) == published(takes[0])
        for name in OF_THE_OBSERVER & values.keys():
            assert float(values[name]) in {float(take[name]) for take in takes}
    stamps_ns = sorted({stamp_ns for _, _, stamp_ns in counted})
    steps = {later - sooner for sooner, later in pairwise(stamps_ns)}
    assert steps == {INTERVAL_S * NS_PER_S}, "a slot is missing"
    assert stamps_ns[-1] <= SYSTEM_CLOCK.now_ns()
