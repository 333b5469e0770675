"""What the documents tell a reader to type: the command lines in their shell blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.program import REPOSITORY

DOCUMENTS: Final = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")], key=str)
SHELLS: Final = {"sh", "bash", "shell", "console"}
_FENCE: Final = re.compile(r"\s*(?:```+|~~~+)\s*(\w*)")
_ENDS: Final = {"|", "||", "&&", ";", "&", "<(", ")"}
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_INLINE: Final = re.compile(r"(?<!`)`(perpflux [^`]+)`(?!`)")


class Typed(NamedTuple):
    """A line as it stands in a document."""

    document: str
    line: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each simple command; redirections, assignments and `sudo` are left out."""
        return [*_commands(self.line)]


def typed_lines() -> list[Typed]:
    """Every line of every shell block; one that goes on below is one line."""
    return [Typed(path.name, line) for path in DOCUMENTS for line in _lines(path)]


def mentioned() -> list[Typed]:
    """Every `perpflux …` in running text and tables."""
    found = []
    for path in DOCUMENTS:
        for text in _prose(path):
            found += [Typed(path.name, line) for line in _INLINE.findall(text)]
    return found


def _blocks(path: Path) -> Iterator[tuple[str | None, str]]:
    """Each line with the language of the block it stands in; None = in none."""
    language: str | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = _FENCE.match(line)
        if fence:
            language = (fence[1] or "text") if language is None else None
        else:
            yield language, line


def _prose(path: Path) -> Iterator[str]:
    """Paragraphs and rows of tables: a mention may go over the end of a line."""
    lines = [line if language is None else "" for language, line in _blocks(path)]
    yield from ("\n".join(lines)).replace("\n\n", "\0").replace("\n", " ").split("\0")


def _lines(path: Path) -> Iterator[str]:
    begun = ""
    for language, line in _blocks(path):
        if language not in SHELLS:
            continue
        text = begun + line.strip().removeprefix("$ ")
        begun = ""
        if text.endswith("\\"):
            begun = text.removesuffix("\\")
        elif text and not text.startswith("#"):
            yield text


def _commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if token in _ENDS:
            if words:
                yield words
            words = []
        elif token.startswith((">", "<")):
            next(tokens)
        elif words or not (_ASSIGNMENT.match(token) or token == "sudo"):
            words.append(token)
    if words:
        yield words
