"""The tables, made from the configuration's model, the schema and `origins`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.config.keys import KeyInfo, SectionInfo, sections
from agent.config.sample import toml
from agent.reload import FIXED
from agent.schema import MEASUREMENTS, SNAPSHOT, Field, Measurement
from deploy.docs.origins import ORIGINS

ROOT: Final = Path(__file__).parents[2]


def keys() -> str:
    """A heading and a table for each section of the configuration."""
    return "\n".join(_section(section) for section in sections())


def _section(section: SectionInfo) -> str:
    heading = f"`[{section.name}]`" if section.name else "Top level"
    if section.is_sink:
        kind = "NATS" if any(key.key.endswith("nats_url") for key in section.keys) else "store"
        heading += f": {kind}"
    words = [section.description.replace("\n\n", " ").replace("\n", " "), _reload(section)]
    rows = [
        (f"`{key.key}`", _prose(key.description), key.allowed, _default(key), f"`{key.variable}`")
        for key in section.keys
    ]
    table = _table(("key", "meaning", "allowed", "default", "environment variable"), rows)
    return f"## {heading}\n\n{' '.join(filter(None, words))}\n\n{table}"


def _reload(section: SectionInfo) -> str:
    if section.name.partition(".")[0] in FIXED:
        return "Needs a restart."
    return "Taken over by a reload."


def _default(key: KeyInfo) -> str:
    if key.key == "sinks":
        return "none"
    if key.default is None:
        return "must be given"
    return f"`{toml(key.default)}`"


def short(measurement: Measurement) -> str:
    """The fields of a measurement: name, unit, meaning."""
    rows = [(f"`{field.name}`", field.unit, _prose(field.meaning)) for field in measurement.fields]
    return _table(("field", "unit", "meaning"), rows)


def measurements() -> str:
    """A heading and a table for each measurement."""
    return "\n".join(_measurement(each) for each in MEASUREMENTS.values())


def _measurement(measurement: Measurement) -> str:
    tags = ", ".join(f"`{tag}`" for tag in measurement.tags)
    counted = "Counted in the ledger." if measurement.counted else "Not counted in the ledger."
    rows = [
        (f"`{field.name}`", field.unit, field.range, _prose(field.meaning), field.absent or "never")
        for field in measurement.fields
    ]
    table = _table(("field", "unit", "range", "meaning", "absent when"), rows)
    return f"## `{measurement.name}`\n\n{measurement.meaning} Tags: {tags}. {counted}\n\n{table}"


def origins() -> str:
    """A row for each field of a snapshot: what it is made of in each source."""
    rows = [(f"`{field.name}`", *_origin(field)) for field in SNAPSHOT.fields]
    return _table(("field", *ORIGINS), rows)


def _origin(field: Field) -> Iterator[str]:
    for source in ORIGINS.values():
        yield _prose(source.get(field.name, "absent"))


def layers() -> str:
    """A row for each module of `agent`, from the top layer down, with its first sentence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    rows = [
        (str(number), f"`{name}`", _prose(_first_sentence(name)))
        for number, layer in enumerate(contract["layers"], start=1)
        for name in re.findall(r"\w+", layer)
    ]
    return _table(("layer", "module", "what it is"), rows)


def _first_sentence(module: str) -> str:
    package = ROOT / "agent" / module / "__init__.py"
    path = package if package.exists() else ROOT / "agent" / f"{module}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _prose(text: str) -> str:
    return text.replace("|", r"\|")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(head), *(list(row) for row in rows)]
    lines = ["| " + " | ".join(row) + " |\n" for row in cells]
    return "".join([lines[0], "|" + "---|" * len(cells[0]) + "\n", *lines[1:]])
