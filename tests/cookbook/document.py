"""The part of docs/flux.md that is made from the cookbook and its known answers.

`python -m tests.cookbook.document` puts it there; a test compares.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agent.queries import Recipe, cookbook
from agent.queries.rows import Column, Row
from agent.queries.writers import TableWriter

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parent.parent / "docs/flux.md"
BEGIN: Final = "<!-- cookbook:begin -->\n"
END: Final = "<!-- cookbook:end -->\n"
SAMPLE_ROWS_MAX: Final = 3
SAMPLE_COLUMNS_MAX: Final = 12
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def expected() -> dict[str, dict[str, Any]]:
    """The known answers by entry."""
    return tomllib.loads((HERE / "expected.toml").read_text(encoding="utf-8"))


def with_cookbook(text: str) -> str:
    """The document with the part between the marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{''.join(_cookbook())}{END}{after}"


def _cookbook() -> Iterator[str]:
    yield "\n| question | name |\n|---|---|\n"
    for name, recipe in cookbook().items():
        yield f"| {recipe.question} | [{name}](#{name}) |\n"
    answers = expected()
    for name, recipe in cookbook().items():
        yield f"\n### {name}\n\n**{recipe.question}**\n"
        if recipe.notes:
            yield f"\n{recipe.notes}\n"
        yield from _sample(recipe, answers[name])
        yield f"\n<details><summary>Flux</summary>\n\n```flux\n{recipe.text}```\n\n</details>\n"
    yield "\n"


def _sample(recipe: Recipe, answer: dict[str, Any]) -> Iterator[str]:
    """What it prints for the known points: command and first rows."""
    params = "".join(f" --param {name}='{text}'" for name, text in answer.get("params", {}).items())
    start = f" --start {answer['start']}" if "start" in answer else ""
    rows = answer["rows"][:SAMPLE_ROWS_MAX]
    numeric = [
        all(_NUMBER.fullmatch(cell) or not cell for cell in cells)
        for cells in zip(*rows, strict=True)
    ]
    columns = tuple(
        Column(name, "double" if number else "string")
        for name, number in zip(recipe.columns, numeric, strict=True)
    )[:SAMPLE_COLUMNS_MAX]
    writer = TableWriter()
    for cells in rows:
        writer.add(Row(columns, tuple(cell or None for cell in cells[:SAMPLE_COLUMNS_MAX])))
    more = len(recipe.columns) > SAMPLE_COLUMNS_MAX or len(answer["rows"]) > SAMPLE_ROWS_MAX
    yield f"\n```text\n$ perpflux query {recipe.name}{start}{params}\n{writer.end()}"
    yield "...\n```\n" if more else "```\n"


if __name__ == "__main__":
    DOCUMENT.write_text(with_cookbook(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
