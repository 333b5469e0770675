"""Every file that is built, as text: the sample configuration whole, of documents their tables.

A document is written by hand but for what stands between `<!-- NAME:begin -->` and
`<!-- NAME:end -->`, where NAME is one of `TABLES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from agent import schema
from agent.config.sample import sample
from deploy.docs import tables

ROOT: Final = tables.ROOT
SAMPLE: Final = "deploy/perpflux.toml"

TABLES: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "README.md": {"fields": lambda: tables.short(schema.SNAPSHOT)},
    "docs/architecture.md": {"layers": tables.layers},
    "docs/configuration.md": {"keys": tables.keys},
    "docs/data-model.md": {
        "measurements": tables.measurements,
        "origins": tables.origins,
    },
}
"""Document, name of a table in it, and what makes it."""


def files() -> dict[str, str]:
    """The text of each built file by its path below the root of the project."""
    return {SAMPLE: sample(), **{name: _document(name) for name in TABLES}}


def _document(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    for table, make in TABLES[name].items():
        begin, end = f"<!-- {table}:begin -->\n", f"<!-- {table}:end -->"
        pattern = f"(?<={re.escape(begin)}).*(?={re.escape(end)})"
        made = make()
        text, count = re.subn(pattern, lambda _, made=made: made, text, flags=re.DOTALL)
        assert count == 1, f"one table {table} in {name}"
    return text
