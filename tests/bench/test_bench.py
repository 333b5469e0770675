"""What the benchmark compares is comparable, and its report says what was measured."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.line_protocol import Point, parse_lines
from bench import report
from bench.payloads import Documents, clean, patchy, unreadable
from bench.pipeline import Pipeline
from bench.report import BEGIN, END, Report, Table, Target
from bench.straightforward import Straightforward


def snapshots_in(body: bytes) -> dict[tuple[str, str], Point]:
    """The snapshot points of a gzip body by source and ticker."""
    points = parse_lines(gzip.decompress(body).decode())
    return {
        (point.tags["source"], point.tags["ticker"]): point
        for point in points
        if point.measurement == "snapshot"
    }


@pytest.mark.parametrize("versions", [clean, patchy])
def test_both_builds_give_the_same_points(
    tmp_path: Path, versions: Callable[[], list[Documents]]
) -> None:
    """A comparison of speed means something only where the work is the same."""
    documents = versions()[1]
    ours, theirs = Pipeline(tmp_path / "ours.db"), Straightforward(tmp_path / "theirs.db")
    ours.run(documents)
    theirs.run(documents)
    ours.close()
    theirs.close()
    expected, found = snapshots_in(theirs.body), snapshots_in(ours.body)
    assert found.keys() == expected.keys()
    for key, point in found.items():
        numbers = {name: float(text) for name, text in point.fields.items()}
        others = {name: float(text) for name, text in expected[key].fields.items()}
        # The other build rounds a stamp to milliseconds before it subtracts.
        assert numbers.pop("quote_age_ms", 0) == pytest.approx(others.pop("quote_age_ms", 0), abs=2)
        assert numbers == pytest.approx(others, rel=1e-9)


def test_payloads_are_repeatable_and_nasty() -> None:
    """The same bytes each time; a patchy tenth of the rows differs, an unreadable one is lost."""
    assert patchy() == patchy()
    for whole, holed in zip(clean(), patchy(), strict=True):
        before, after = json.loads(whole.variational), json.loads(holed.variational)
        pairs = zip(before["listings"], after["listings"], strict=True)
        changed = sum(one != other for one, other in pairs)
        assert 0.08 * len(before["listings"]) <= changed <= 0.1 * len(before["listings"]) + 1
    assert unreadable()[0].bybit != clean()[0].bybit


def test_a_target_says_whether_it_is_met() -> None:
    """At most and at least, with and without a stretch."""
    assert Target("a", 4.0, 4.7, stretch=4.0).row[-1] == "met, stretch too"
    assert Target("b", 4.5, 4.7, stretch=4.0).row[-1] == "met"
    assert Target("c", 5.0, 4.7).row[-1] == "**missed**"
    assert Target("d", 8.0, 8.0, at_least=True).met
    assert not Target("e", 7.9, 8.0, at_least=True).met


def test_a_report_replaces_only_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written by hand stays; the generated part is replaced as a whole."""
    document, results = tmp_path / "performance.md", tmp_path / "results.json"
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "RESULTS", results)
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    made = Report()
    made.add([Target("speed", 2.0, 3.0)], Table("Title", "Words.", ("a", "b"), [("1", "2")]))
    made.write()
    made.write()
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert text.count("| speed |") == text.count("| 1 | 2 |") == 1
    assert "old" not in text
    assert json.loads(results.read_text(encoding="utf-8"))["targets"][0]["met"] is True


def test_the_document_shows_the_recorded_results() -> None:
    """Document and JSON come from one run."""
    recorded = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    text = report.DOCUMENT.read_text(encoding="utf-8")
    for entry in recorded["targets"]:
        met = entry.pop("met")
        one = Target(**entry)
        assert one.met is met
        assert " | ".join(one.row) in text
