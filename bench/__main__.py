"""`make bench`: measures everything side by side and writes docs/performance.md.

python -m bench                 about 8 minutes
python -m bench --brief         about a minute, prints only
python -m bench --minutes 60    watches the running program for an hour
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import sections
from bench.report import Report

ROUNDS: Final = 60
ROUNDS_BRIEF: Final = 10
MINUTES: Final = 4
MINUTES_BRIEF: Final = 0.25
SLOW_ROUNDS: Final = 15
"""Of what takes long: the straightforward build over HTTP, polls of 10,000 points."""


def main() -> None:
    """Run all sections; write the report, or print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--brief", action="store_true", help="fewer rounds; print, write nothing")
    parser.add_argument("--minutes", type=float, help="how long `perpflux run` is watched")
    parser.add_argument("--day", action="store_true", help="export a whole day, a poll a minute")
    options = parser.parse_args()
    rounds = ROUNDS_BRIEF if options.brief else ROUNDS
    minutes = options.minutes or (MINUTES_BRIEF if options.brief else MINUTES)
    slow_rounds = min(rounds, SLOW_ROUNDS)
    report = Report()
    runs: tuple[Callable[[Path], None], ...] = (
        lambda folder: sections.pipelines(report, folder, rounds),
        lambda folder: sections.tight_loop(report, folder, rounds),
        lambda folder: sections.loopback(report, folder, slow_rounds),
        lambda folder: sections.encoding(report, folder, rounds),
        lambda folder: sections.disk(report, folder),
        lambda folder: sections.scaling(report, folder, slow_rounds, day=options.day),
        lambda folder: sections.process(report, folder, minutes),
        lambda folder: sections.server(report, folder, rounds),
    )
    with tempfile.TemporaryDirectory(prefix="perpflux-bench-") as name:
        for number, run in enumerate(runs):
            folder = Path(name) / str(number)
            folder.mkdir()
            run(folder)
    sys.stdout.write(report.markdown)
    if not options.brief:
        report.write()


if __name__ == "__main__":
    main()
