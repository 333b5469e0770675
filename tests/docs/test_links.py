"""Documents refer to each other without dead ends."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNTOUCHED = {".venv", ".git", "build", "dist"}
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not any(part in UNTOUCHED or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(?!https?://)(\S+)", re.MULTILINE)
HTML = re.compile(r"(?:src|href)=\"(?!https?://)([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)? *$", re.MULTILINE)


@cache
def prose(path: Path) -> str:
    """The text without its code blocks."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link may name after `#`, by the forge's rule for headings."""
    found: list[str] = []
    for heading in HEADING.findall(prose(path)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other))
        found.append(f"{slug}-{count}" if count else slug)
    return frozenset(found) | frozenset(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", prose(path)))


def dead(path: Path) -> list[str]:
    """The links of a document that lead nowhere."""
    text = prose(path)
    targets = [*LINK.findall(text), *REFERENCE.findall(text), *HTML.findall(text)]
    return [target for target in targets if not leads(path, target)]


def leads(path: Path, target: str) -> bool:
    """Whether a relative link in a document names a file of the project, and a heading in it."""
    name, _, anchor = target.partition("#")
    to = (path.parent / name).resolve() if name else path
    if not to.exists() or not to.is_relative_to(ROOT):
        return False
    return not anchor or to.suffix != ".md" or anchor in anchors(to)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_anchors_lead_somewhere(name: str) -> None:
    """Each relative link names a file of this project, each anchor a heading of that file."""
    assert dead(ROOT / name) == []


def test_a_dead_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a missing file, a missing heading, a file outside."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, three\n[a](#one-two-three) [b](page.md#no) [c](gone.md) [d](../out.md)\n"
        "```\n[e](in-code.md)\n```\n[f](https://example.com/gone.md)\n",
        encoding="utf-8",
    )
    assert dead(page) == ["page.md#no", "gone.md", "../out.md"]


def test_the_index_names_every_document() -> None:
    """docs/README.md leads to each page of docs/, so that none is forgotten."""
    index = ROOT / "docs/README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(prose(index))}
    pages = {path for path in (ROOT / "docs").glob("*.md") if path != index}
    assert pages <= linked
