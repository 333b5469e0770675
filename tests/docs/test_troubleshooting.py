"""docs/troubleshooting.md speaks of what the program really says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from agent import schema
from agent.config import known_keys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE) if row != "you see"]
QUOTED = re.findall(r"`([^`]+)`", "\n".join(ROWS))
OF_OTHERS = {"Watchdog timeout"}
FIELDS = {
    f"{each.name}.{field.name}" for each in schema.MEASUREMENTS.values() for field in each.fields
}


@cache
def said() -> str:
    """Everything that program and Makefile say, texts that are split over lines put together."""
    files = [*sorted((ROOT / "agent").rglob("*.py")), ROOT / "Makefile"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r"\"\s*\n\s*f?\"", "", code)


@pytest.mark.parametrize("text", sorted(set(QUOTED) - OF_OTHERS))
def test_quoted_texts_are_the_programs(text: str) -> None:
    """What a reader would search for by copying from the terminal is what the code says."""
    known = text in FIELDS or text in known_keys()
    assert known or text in said(), text


def test_there_are_rows() -> None:
    """The page has tables, and they quote."""
    assert len(ROWS) > 30
    assert len(QUOTED) > 30
