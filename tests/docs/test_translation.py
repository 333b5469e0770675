"""README.zh-CN.md says what README.md says: section by section the same rows, items and names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = (
    re.split(r"^#+ .*$", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in ("README.md", "README.zh-CN.md")
)
SECTIONS = list(zip(ENGLISH, CHINESE, strict=True))
LINK = re.compile(r"\]\(([^)]+)\)|<(https?://[^>]+)>")
OTHER_LANGUAGE = {"README.md", "README.zh-CN.md"}


def links(text: str) -> set[str]:
    """Where a section leads, the way to the other language aside."""
    return {one or other for one, other in LINK.findall(text)} - OTHER_LANGUAGE


@pytest.mark.parametrize(("english", "chinese"), SECTIONS)
def test_a_section_has_the_same_parts(english: str, chinese: str) -> None:
    """As many rows and items, the same blocks of code and links, the same names in backquotes."""
    for line in (r"^\|", r"^- ", r"^\d+\. "):
        counts = [len(re.findall(line, text, re.MULTILINE)) for text in (english, chinese)]
        assert counts[0] == counts[1], line
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert fenced.findall(english) == fenced.findall(chinese)
    assert links(english) == links(chinese)
    names = [set(re.findall(r"`([^`\n]+)`", fenced.sub("", text))) for text in (english, chinese)]
    assert names[0] == names[1]
