"""docs/reliability.md promises nothing without a test, and leaves no scenario out."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Final

from tests.faults.scenarios import SCENARIOS
from tests.faults.world import COLUMNS

TESTS: Final = Path(__file__).parent.parent
DOCUMENT: Final = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
CASES: Final = TESTS / "shipping" / "cases"


def test_every_test_it_names_exists() -> None:
    """A promise is as good as its test."""
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert named
    assert named - set(re.findall(r"def (test_\w+)\(", sources)) == set()


def test_every_promise_names_a_test() -> None:
    """No row of the table of promises stands on words alone."""
    promises = DOCUMENT.partition("## Promises")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert rows
    assert [row for row in rows if "`test_" not in row and "fault run" not in row] == []


def test_it_shows_every_scenario_with_nothing_lost() -> None:
    """The figures are those of all scenarios there are."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in DOCUMENT.splitlines()
        if line.startswith("| ")
    ]
    figures = {row[0]: dict(zip(COLUMNS, row[1:-1], strict=True)) for row in rows if len(row) > 3}
    assert figures.pop("scenario") == dict(zip(COLUMNS, COLUMNS, strict=True))
    assert list(figures) == [scenario.name for scenario in SCENARIOS]
    for name, row in figures.items():
        assert (row["lost"], row["altered"], row["invented"]) == ("0", "0", "0"), name


def test_it_counts_the_cases_right() -> None:
    """The size of the shared table is the one that is there."""
    requests = tomllib.loads((CASES / "requests.toml").read_text(encoding="utf-8"))["case"]
    lines = json.loads((CASES / "lines.json").read_text(encoding="utf-8"))
    assert f"holds {len(requests)} requests" in DOCUMENT
    assert f"holds {len(lines)} lines" in DOCUMENT
