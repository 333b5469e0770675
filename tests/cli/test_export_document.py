"""docs/export.md does what it says: its commands and recipes are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agent import schema
from agent.cli import main
from agent.clock import NS_PER_S
from agent.journal import Entry
from tests.journal.make import store_at
from tests.support.clock import START_NS

TEXT = (Path(__file__).parent.parent.parent / "docs" / "export.md").read_text(encoding="utf-8")


def poll(number: int) -> Entry:
    """A poll of two tickers."""
    slot_ns = START_NS + number // 2 * NS_PER_S
    source = ("bybit", "variational")[number % 2]
    lines = "".join(
        f"snapshot,source={source},ticker={ticker} lag_ms=250,mid={number}.50,spread_bps=0.1"
        f" {slot_ns}\n"
        for ticker in ("BTC", "ETH")
    )
    return Entry(source, slot_ns, lines.encode(), 2)


@pytest.mark.slow
def test_commands_and_recipes_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there, in their order, each giving what the text around it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    store = store_at(tmp_path / "perpflux.db")
    store.append([poll(number) for number in range(8)])
    for line in re.findall(r"^perpflux (export .*)$", TEXT, re.MULTILINE):
        command, _, into = line.partition(" > ")
        assert main(shlex.split(command)) == 0
        out = capsys.readouterr().out
        if into:
            (tmp_path / into).write_text(out)
    store.close()
    said = {}
    for name, code in re.findall(r"<!-- recipe: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, f"docs/export.md: {name}", "exec"), {})  # our own text
        said[name] = capsys.readouterr().out
    assert len(said["parquet"].splitlines()) == 3 + 4  # a head, and a row per common stamp
    assert said["exact"] == f"{2 * sum(number + 0.5 for number in range(8)):.2f}\n"
    assert "variational" in said["csv"]
    assert said["plain"].splitlines()[-1] == "2026-09-21T15:00:03Z ETH 6.50"


def test_every_option_is_documented() -> None:
    """Each option that `export` takes stands in the table, and none besides."""
    table = re.search(r"^\| option .*?\n\n", TEXT, re.DOTALL | re.MULTILINE)
    assert table is not None
    named = set(re.findall(r"--[a-z]+", table[0]))
    from agent.cli.arguments import parser  # noqa: PLC0415  # only what this test asks

    (commands,) = (each for each in parser()._actions if each.choices)
    options = {
        name
        for action in commands.choices["export"]._actions  # type: ignore[index]
        for name in action.option_strings
    }
    assert named == options - {"-h", "--help", "--config"}
    assert "mid" in schema.SNAPSHOT.field_names
