"""What documents and the sample repeat of the code is built from it, and true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import schema
from agent.config import known_keys
from agent.config.keys import sections
from agent.line_protocol import Point, parse_lines
from agent.sources import SOURCES
from agent.sources.bybit import depth
from deploy.docs.build import ROOT, files
from deploy.docs.origins import ORIGINS

CASES = ROOT / "tests/sources"
FURTHER_KEYS = {"bybit": depth.READ_KEYS}
"""Of documents that are not searched for unknown keys."""
RANGES: dict[str, Callable[[float], bool]] = {
    schema.ABOVE_ZERO: lambda number: number > 0,
    schema.ZERO_OR_MORE: lambda number: number >= 0,
    schema.ANY_SIGN: lambda _: True,
    schema.ZERO_OR_ONE: lambda number: number in {0, 1},
    schema.ONE: lambda number: number == 1,
}


def points(path: Path) -> list[Point]:
    """What a recorded case must come to."""
    return list(parse_lines(path.read_text(encoding="utf-8")))


def is_known(source: str, key: str) -> bool:
    """Whether the source reads a key, or a table of that name, from its venue's documents."""
    known = SOURCES[source]._known_keys | FURTHER_KEYS.get(source, frozenset())
    return key in known or any(each.endswith(f".{key}") for each in known)


@pytest.mark.parametrize("name", list(files()))
def test_what_is_committed_is_what_is_built(name: str) -> None:
    """`make docs` would change nothing."""
    assert (ROOT / name).read_text(encoding="utf-8") == files()[name], "run `make docs`"


def test_every_key_is_in_one_section() -> None:
    """The tables of the configuration have each key, once but for those of both kinds of sink."""
    named = [key.key for section in sections() for key in section.keys]
    assert sorted(named) == sorted(known_keys())


def test_every_section_is_explained() -> None:
    """Each section says what it is for; only the top level needs no words."""
    assert [section.name for section in sections() if not section.description] == [""]


def test_origins_are_those_of_the_sources() -> None:
    """Each source has a column, and none names a field that is not in the schema."""
    assert list(ORIGINS) == list(SOURCES)
    for origins in ORIGINS.values():
        assert set(origins) <= set(schema.SNAPSHOT.field_names)


@pytest.mark.parametrize("source", SOURCES)
def test_origins_name_keys_that_are_read(source: str) -> None:
    """What stands in backquotes is a key of the venue's documents that the source knows."""
    for text in ORIGINS[source].values():
        for key in re.findall(r"`([^`]+)`", text):
            assert is_known(source, key), key


@pytest.mark.parametrize("source", SOURCES)
def test_origins_are_complete(source: str) -> None:
    """The fields that a source is said to have are those that its recorded answers come to."""
    seen: set[str] = set()
    for path in CASES.glob(f"{source}/*/expected.lp"):
        for point in points(path):
            seen |= point.fields.keys() if point.measurement == "snapshot" else set()
    assert seen == set(ORIGINS[source])


@pytest.mark.parametrize("source", SOURCES)
def test_ranges_hold_for_what_was_recorded(source: str) -> None:
    """What the venues really sent comes to numbers within the ranges of the schema."""
    found = points(CASES / source / "golden/expected.lp")
    assert found
    for point in found:
        fields = schema.MEASUREMENTS[point.measurement].fields
        ranges = {field.name: field.range for field in fields}
        for name, text in point.fields.items():
            assert RANGES[ranges[name]](float(text)), (point.measurement, name, text)


HEADINGS = {"variational": "Variational Omni", "bybit": "Bybit"}


@pytest.mark.parametrize(("source", "heading"), list(HEADINGS.items()))
def test_the_page_on_sources_explains_keys_that_are_read(source: str, heading: str) -> None:
    """Each key in its tables of keys is one that the source reads."""
    page = (ROOT / "docs/sources.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = section.partition("| key | meaning | unit |\n")[2].partition("\n\n")[0]
    keys = re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in table.splitlines()))
    assert len(keys) > 5
    for key in keys:
        assert is_known(source, key), key
