"""Documents say what the code does: tables made from the code stand in them as made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import schema

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]


@pytest.mark.parametrize("name", READMES)
def test_the_readme_lists_every_field_of_a_snapshot_with_its_unit(name: str) -> None:
    """The table of fields has each field of the schema once, in its order, with its unit."""
    text = (ROOT / name).read_text(encoding="utf-8")
    table = re.search(r"<!-- fields:begin -->\n(.*)<!-- fields:end -->", text, re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table[1], re.MULTILINE)
    assert [field for field, _ in rows] == list(schema.SNAPSHOT.field_names)
    if name == "README.md":
        assert rows == [(field.name, field.unit) for field in schema.SNAPSHOT.fields]


def test_both_readmes_have_the_same_commands_and_headings() -> None:
    """The Chinese README is equal in content: as many headings, the same code blocks."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    headings = [re.findall(r"^#+ ", text, re.MULTILINE) for text in (english, chinese)]
    assert headings[0] == headings[1]
    commands = [re.findall(r"`((?:make|perpflux) [^`]+)`", text) for text in (english, chinese)]
    assert set(commands[0]) == set(commands[1])
