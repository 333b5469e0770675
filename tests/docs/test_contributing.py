"""CONTRIBUTING.md is true: a source that is added the way it says works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ["agent", "deploy", "docs", "tests", "README.md", "CONTRIBUTING.md", "pyproject.toml"]
TESTS = ["tests/sources", "tests/config/test_keys.py", "tests/docs/test_built.py"]
OTHERS = "not bybit and not variational"


def changed(text: str, diff: str) -> str:
    """The text with the lines of a diff's `-` taken out and those of its `+` put in."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, before
    return text.replace(before, after)


def test_the_changes_fit_the_files_they_name() -> None:
    """Each diff of the page has its place in the file, once: the page is not out of date."""
    blocks = BLOCK.findall(PAGE)
    assert {kind for kind, _, _ in blocks} == {"python", "diff", "json", "toml", "text"}
    for kind, name, body in blocks:
        if kind == "diff":
            changed((ROOT / name).read_text(encoding="utf-8"), body)
        else:
            assert not (ROOT / name).exists()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the source of the page added."""
    copy = tmp_path_factory.mktemp("house")
    for name in COPIED:
        path, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=ignored)
        else:
            shutil.copy2(path, copy / name)
    for kind, name, body in BLOCK.findall(PAGE):
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = changed(path.read_text(encoding="utf-8"), body) if kind == "diff" else body
        path.write_text(text, encoding="utf-8")
    run(copy, "-m", "deploy.docs")
    return copy


def run(house: Path, *arguments: str) -> str:
    """What Python prints when it runs these in the copy."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_new_source_passes_what_every_source_passes(house: Path) -> None:
    """Contract, recorded case, configuration and documents: all tests that look at sources."""
    out = run(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, "-k", OTHERS)
    assert "passed" in out
    assert "acme" in (house / "docs/data-model.md").read_text(encoding="utf-8")
    assert "[acme]" in (house / "deploy/perpflux.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_new_source_is_as_clean_as_the_others(house: Path) -> None:
    """What the page shows passes ruff, its layout included, mypy and the import contracts."""
    files = [name for _, name, _ in BLOCK.findall(PAGE) if name.endswith(".py")]
    run(house, "-m", "ruff", "check", "--no-cache", *files)
    run(house, "-m", "ruff", "format", "--no-cache", "--check", *files)
    run(house, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "agent/sources/acme.py")


@pytest.mark.slow
def test_the_new_source_can_be_configured(house: Path) -> None:
    """The program takes it by its name, as the page says, and says its keys."""
    code = "import os, sys; os.environ['PERPFLUX_DATA_SOURCES'] = 'acme'; "
    code += "from agent.cli.main import main; sys.exit(main(['check']))"
    assert "acme" in run(house, "-c", code)
