"""What the forge runs is what everybody can run, and may do no more than it needs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_the_forge_runs_ci_run() -> None:
    """There is no second list of checks."""
    [workflow] = WORKFLOWS
    commands = re.findall(r"^\s+run: (.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
    assert sum(command.endswith(".ci/run") for command in commands) == 1
    assert not [command for command in commands if re.search(r"\b(pytest|make|ruff)\b", command)]


def test_workflows_are_bounded_and_pinned() -> None:
    """Actions are named by commit, permissions only read, and each job has an end."""
    for workflow in WORKFLOWS:
        text = workflow.read_text(encoding="utf-8")
        actions = re.findall(r"uses: (\S+)(.*)", text)
        assert actions
        for name, comment in actions:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name
            assert re.fullmatch(r" # v\d+(\.\d+)*", comment), name
        assert re.findall(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
        assert text.count("permissions:") == 1
        assert text.count("timeout-minutes:") == text.count("runs-on:") > 0
