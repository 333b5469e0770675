"""What documents and the sample repeat of the code is built from it, and true."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf, isclose
from pathlib import Path

import pytest

from agent import schema
from agent.config import known_keys, load
from agent.config.keys import sections
from agent.config.values import TICKERS_MAX
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


@pytest.mark.parametrize("case", ["variational/golden", "bybit/golden", "bybit/order-book"])
def test_the_identities_hold_for_what_was_recorded(case: str) -> None:
    """What docs/data-model.md says a test of somebody's own may rely on."""
    found = [point.fields for point in points(CASES / case / "expected.lp")]
    rows = [{name: float(text) for name, text in row.items()} for row in found if "mid" in row]
    assert rows
    for row in rows:
        mid = row["mid"]
        assert row["best_bid"] <= row["best_ask"]
        assert row["bid_1k"] <= mid <= row["ask_1k"]
        assert isclose(row["spread_bps"], (row["ask_1k"] - row["bid_1k"]) / mid * 10**4)
        if "ask_100k" in row:
            assert row.get("bid_1m", 0) <= row["bid_100k"] <= row["bid_1k"]
            assert row["ask_1k"] <= row["ask_100k"] <= row.get("ask_1m", inf)
            impacts = row["impact_buy_bps"] + row["impact_sell_bps"]
            assert isclose(impacts, (row["ask_100k"] - row["bid_100k"]) / mid * 10**4)


def test_what_is_warned_about_is_told(tmp_path: Path) -> None:
    """The page on configuration has a row for each warning that there is, in their order."""
    names = [f"T{number}" for number in range(TICKERS_MAX - 1)]
    path = tmp_path / "perpflux.toml"
    path.write_text(
        f"tickers = {['ALL', *names]}\n[variational]\npoll_interval_s = 5\n"
        f'[bybit]\ndepth_tickers = {names}\n[http]\nlisten = "0.0.0.0:9477"\n',
        encoding="utf-8",
    )
    warnings = load(path, environ={"HOME": "/home/me"}).warnings
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    table = page.partition("| what | why |\n")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[1:]]
    assert len(rows) == len(warnings)
    for row, warning in zip(rows, warnings, strict=True):
        for key in re.findall(r"`([^`]+)`", row):
            assert key in warning
