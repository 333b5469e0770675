"""docs/architecture.md draws the code as it is."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
DRAWING = re.findall(r"^```mermaid\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
NODE = r"(\w+)(?:\[[^\]]*\]|\(\[[^\]]*\]\)|\[\(.*?\)\])?"
ARROW = re.compile(rf"^\s*{NODE}\s+(==|--|-\.)(?:[^>]*?)(?:==|--|\.-)?>\s+{NODE}\s*$")
OUTSIDE = {"venues", "store", "nats"}


def modules() -> set[str]:
    """The top-level modules of the program."""
    return {path.stem for path in (ROOT / "agent").iterdir() if not path.name.startswith("_")}


@cache
def imported(module: str) -> frozenset[str]:
    """The top-level modules of the program that one of them imports, its own aside."""
    folder = ROOT / "agent" / module
    files = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
                found |= {name.split(".")[1] for name in names if name.startswith("agent.")}
    return frozenset(found & modules() - {module})


def arrows() -> list[tuple[str, str, str]]:
    """From, kind of line and to, of each arrow of the drawing."""
    lines = [line for line in DRAWING.splitlines() if ">" in line and "flowchart" not in line]
    matches = [ARROW.match(line) for line in lines]
    assert all(matches), lines
    return [(match[1], match[2], match[3]) for match in matches if match]


def test_the_drawing_names_modules() -> None:
    """Every box is a module of the program, or stands outside of it."""
    named = {end for start, _, stop in arrows() for end in (start, stop)}
    assert len(named) > 10
    assert named <= modules() | OUTSIDE


@pytest.mark.parametrize(("start", "line", "stop"), arrows())
def test_arrows_are_in_the_code(start: str, line: str, stop: str) -> None:
    """A line joins modules of which one imports the other; a dotted one, two that a third joins."""
    if {start, stop} & OUTSIDE:
        return
    joined = stop in imported(start) or start in imported(stop)
    if line == "-.":
        assert not joined
        assert any({start, stop} <= imported(each) for each in ("app", "stores"))
    else:
        assert joined
