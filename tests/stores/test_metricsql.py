"""docs/stores.md: its MetricsQL runs on a real VictoriaMetrics, its promises name their tests."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from agent.queries import cookbook
from tests.cookbook.points import STOP, raw
from tests.stores.victoria import ADVISED, Victoria

TESTS: Final = Path(__file__).parent.parent
DOCUMENT: Final = (TESTS.parent / "docs" / "stores.md").read_text(encoding="utf-8")
TEXTS: Final = dict(re.findall(r"\*\*([a-z-]+)\*\*:.*?```promql\n(.*?)```", DOCUMENT, re.DOTALL))
CASES: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "expected.toml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def known(store: Victoria) -> Victoria:
    """VictoriaMetrics with the points of the cookbook."""
    assert store.write(*raw()).status == 204
    store.flush()
    return store


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_text_gives_the_expected_numbers(known: Victoria, name: str) -> None:
    """The labels and numbers of the case, and no other series."""
    case = CASES[name]
    result = known.query(TEXTS[name], **case.get("range", {"time": STOP}))
    given = {
        tuple(series["metric"][label] for label in case["labels"]): [
            float(value) for _, value in series.get("values") or [series["value"]]
        ]
        for series in result
    }
    wanted = {}
    for row in case["rows"]:
        labels = tuple(row[: len(case["labels"])])
        wanted[labels] = pytest.approx(row[len(labels) :], rel=1e-9, abs=1e-9)
    assert given == wanted
    assert len(result) == len(wanted)


def test_each_text_is_a_question_of_the_cookbook_and_has_its_numbers() -> None:
    """Ten of them; none without a test, none under a name the cookbook does not have."""
    assert set(TEXTS) == set(CASES)
    assert len(TEXTS) == DOCUMENT.count("```promql") == 10
    assert set(TEXTS) <= set(cookbook())


def test_what_differs_names_the_tests_that_show_it() -> None:
    """Every test named exists; a row about VictoriaMetrics stands on one, or on another row."""
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert named <= set(re.findall(r"def (test_\w+)\(", sources))
    table = DOCUMENT.partition("## What differs")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    bare = [row for row in rows if "`test_" not in row and "the same test" not in row]
    assert [row.split("|")[1].strip() for row in bare] == [
        "`perpflux query`, `backlog --verify`, `bootstrap`"
    ]


def test_the_settings_it_advises_are_those_that_are_tested() -> None:
    """A VictoriaMetrics as in the document is the one of the tests."""
    for name, value in ADVISED.items():
        assert f"-{name}={value}" in DOCUMENT
