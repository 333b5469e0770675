"""`make faults`: the long fault runs. `--short` plays what the test suite plays."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.faults import stream
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import LONG, SHORT, Report, run_all, table
from tests.influxd.server import open_server

STREAM_NAME: Final = "stream: leader, agents and sinks killed"
STREAM_ROUNDS: Final = {True: 6, False: 60}
"""Kills of the short and of the long run."""


def main() -> int:
    """Play the scenarios, print the figures; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--jobs", type=int, default=None, help="scenarios side by side")
    parser.add_argument("--listings", type=int, default=None, help="tickers of each venue")
    parser.add_argument(
        "--only", action="append", help="scenarios whose name holds this; repeatable"
    )
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    scale = SHORT if options.short else LONG
    scale = replace(
        scale,
        jobs=options.jobs or scale.jobs,
        listings=options.listings or scale.listings,
    )
    wanted = options.only or [""]
    chosen = [each for each in SCENARIOS if any(text in each.name for text in wanted)]
    sys.stdout.write(f"seed {seed}, {len(chosen)} scenarios, {scale}\n")
    with tempfile.TemporaryDirectory() as name, open_server(Path(name) / "influxd") as server:
        reports = asyncio.run(run_all(chosen, server, Path(name), scale, seed, _tell))
        streamed = None
        if any(text in STREAM_NAME for text in wanted):
            rounds = STREAM_ROUNDS[options.short]
            streamed = asyncio.run(
                stream.run(server, Path(name) / "stream", rounds=rounds, seed=seed)
            )
    for line in table(reports) if reports else ():
        sys.stdout.write(f"{line}\n")
    if streamed is not None:
        sys.stdout.write(f"\n{STREAM_NAME}: {streamed}\n")
    wrong = [report for report in reports if report.wrong]
    for report in wrong:
        sys.stdout.write(f"\n{report.name}:\n{report.wrong}\n")
    if streamed is not None and streamed.wrong:
        sys.stdout.write("\n".join(["", STREAM_NAME, *streamed.wrong, ""]))
    return int(bool(wrong) or bool(streamed and streamed.wrong))


def _tell(report: Report) -> None:
    """Say at once that a scenario is over: a long run is watched."""
    sys.stderr.write(f"{'WRONG' if report.wrong else 'good'}: {report.name}\n")


if __name__ == "__main__":
    sys.exit(main())
