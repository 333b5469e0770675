"""The short fault runs: played once for the whole session, side by side; a table at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.world import SHORT, Report, run_all, table
from tests.influxd.server import InfluxServer

DEFAULT_SEED = 1

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def reports(
    request: pytest.FixtureRequest,
    influxdb: InfluxServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Report]:
    """What came of each scenario that was chosen, by its name."""
    chosen = {item.name for item in request.session.items}
    scenarios = [each for each in SCENARIOS if f"test_nothing_is_lost[{each.name}]" in chosen]
    # pytest-randomly shows this number in the head of its report; `-p randomly_seed=N` repeats it.
    seed = getattr(request.config.option, "randomly_seed", DEFAULT_SEED)
    folder = tmp_path_factory.mktemp("faults")
    found = asyncio.run(run_all(scenarios, influxdb, folder, SHORT, seed))
    request.config.stash[_FIGURES] = [f"seed {seed}", *table(found)]
    return {report.name: report for report in found}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, also when all is well."""
    figures = terminalreporter.config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("fault runs")
        for line in figures:
            terminalreporter.write_line(line)
