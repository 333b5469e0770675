"""The plan is a test: sizes; one door for time, environment and print; what is forbidden."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MODULES = sorted((ROOT / "agent").rglob("*.py"))

CLOCK_CALLS = re.compile(
    r"\btime\.(time|time_ns|monotonic|monotonic_ns|sleep)\b|\bdatetime\.(now|utcnow|today)\b"
)
DOORS = {
    "time": (CLOCK_CALLS, {"agent/clock.py"}),
    "environment": (re.compile(r"\bos\.(environ|getenv)\b"), {"agent/config/load.py"}),
    "print": (re.compile(r"(?<![\w.])print\("), {"agent/cli/output.py"}),
}
# Spelled apart, so that this file does not name them either.
FORBIDDEN = re.compile(
    "|".join(["pypi" + r"\.org", "crates" + r"\.io", "npm" + r"js\.", "/wo" + "rk/"])
)


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tracked_files() -> list[Path]:
    """Every file that git tracks or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_small(module: Path) -> None:
    """A module has at most 400 lines, a function at most 70: each fits in one head."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX
    for node in functions(module):
        assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("door", DOORS)
def test_time_environment_and_print_have_one_door_each(door: str) -> None:
    """Only one file reads the clock, one the environment, one prints."""
    pattern, allowed = DOORS[door]
    found = {
        str(module.relative_to(ROOT))
        for module in MODULES
        if pattern.search(module.read_text(encoding="utf-8"))
    }
    assert found <= allowed


def test_every_test_states_its_rule() -> None:
    """A test without a docstring does not say what it proves."""
    for module in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in functions(module):
            if node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{module.name}: {node.name}"


def test_nothing_names_a_registry_or_a_path_of_a_machine() -> None:
    """The project stands by itself: no registry's host, no path of where it was made."""
    for path in tracked_files():
        if path.name in {"go.sum", "go.mod"}:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found = FORBIDDEN.search(text)
        assert not found, f"{path.relative_to(ROOT)}: {found[0] if found else ''}"
