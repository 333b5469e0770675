"""Whatever happens between the agent and InfluxDB, and to either: nothing is lost.

The short form of the fault runs; `make faults` plays the long one.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import skip_loudly
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import Report, Scenario

# All scenarios are played, side by side, in the time of the first test.
pytestmark = [pytest.mark.influxdb, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_lost(scenario: Scenario, reports: Mapping[str, Report]) -> None:
    """Every point is stored once or accounted for, none is altered or invented; it comes back."""
    report = reports[scenario.name]
    if report.cannot:
        skip_loudly(report.cannot)
    assert not report.wrong, report.wrong
    assert report.verdict is not None
    assert report.verdict.stored > 0
    assert report.reads > 0
