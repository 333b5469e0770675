"""Documents say what the code does: tables are as made from it, what is to be typed works."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from agent import schema
from agent.cli.arguments import COMMANDS, parser
from agent.cli.completion import commands_of, shown
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from tests.influxd.server import InfluxServer
from tests.support.program import environment, perpflux, running
from tests.support.typed import mentioned, typed_lines

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]
HTTP = "http://127.0.0.1:9477"
COMMAND_S = 60
OF_THE_MACHINE: Final = "changes the machine, as root: tests/service does it in one of its own"
OF_ANY_SHELL: Final = "not ours, and tied to paths of the machine that installed the package"
ALLOWED: Final = {
    "apt-get": OF_THE_MACHINE,
    "systemctl": OF_THE_MACHINE,
    "journalctl": OF_THE_MACHINE,
    "mount": OF_THE_MACHINE,
    "docker": "needs a container engine: tests/service builds the image where there is one",
    "chmod": OF_ANY_SHELL,
    "cp": OF_ANY_SHELL,
    "mkdir": OF_ANY_SHELL,
    "mv": OF_ANY_SHELL,
    "printf": OF_ANY_SHELL,
    "sed": OF_ANY_SHELL,
    "source": "takes the reader's own shell; what it reads is run",
    "tail": OF_ANY_SHELL,
    "export": OF_ANY_SHELL,
    "editor": "waits for a person",
    "python3": "pandas is the reader's own",
}
"""What is not run, and why. Commands of perpflux, `make` and questions to the agent are no such."""
NOT_A_COMMAND: Final = {"COMMAND", "NAME", "needs", "watch"}
"""Placeholders, the beginning of an error message, and a command that is still to come."""
OF_A_NEW_SOURCE: Final = "PERPFLUX_DATA_SOURCES=acme perpflux once"
"""Typed when the source of CONTRIBUTING.md was added; a test of its own adds it and does so."""


@pytest.mark.parametrize("name", READMES)
def test_the_readme_lists_every_field_of_a_snapshot_with_its_unit(name: str) -> None:
    """The table of fields has each field of the schema once, in its order, with its unit."""
    text = (ROOT / name).read_text(encoding="utf-8")
    table = re.search(r"<!-- fields:begin -->\n(.*)<!-- fields:end -->", text, re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table[1], re.MULTILINE)
    assert [field for field, _ in rows] == list(schema.SNAPSHOT.field_names)
    if name == "README.md":
        assert rows == [(field.name, field.unit) for field in schema.SNAPSHOT.fields]


def test_both_readmes_have_the_same_commands_and_headings() -> None:
    """The Chinese README is equal in content: as many headings, the same code blocks."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    headings = [re.findall(r"^#+ ", text, re.MULTILINE) for text in (english, chinese)]
    assert headings[0] == headings[1]
    commands = [re.findall(r"`((?:make|perpflux) [^`]+)`", text) for text in (english, chinese)]
    assert set(commands[0]) == set(commands[1])


def test_what_is_to_be_typed_exists() -> None:
    """Every command of a shell block: accepted by the parser, a target, a route, or allowed."""
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    used = set()
    for typed in typed_lines():
        for name, *arguments in typed.commands:
            if name == "perpflux":
                assert accepted(arguments), typed
            elif name == "make":
                assert set(arguments) <= set(targets), typed
            elif name == ".venv/bin/pytest":
                paths = [word for word in arguments if word.startswith("tests/")]
                assert all((ROOT / path).exists() for path in paths), typed
            elif name == "curl":
                assert any(word.startswith(f"{HTTP}/") for word in arguments), typed
            else:
                assert name in ALLOWED, typed
                used.add(name)
    assert used == set(ALLOWED)


def accepted(arguments: list[str]) -> bool:
    """Whether the command line takes these."""
    try:
        parser().parse_args(arguments)
    except SystemExit as leaving:
        return not leaving.code
    return True


def test_what_is_mentioned_exists() -> None:
    """`perpflux …` in running text names a command there is, and options it takes."""
    parsers = commands_of(parser())
    for mention in mentioned():
        for _, *words in mention.commands:
            if not words or words[0] in NOT_A_COMMAND or words[0].startswith("--"):
                continue
            assert words[0] in COMMANDS, mention
            known = {option for each in shown(parsers[words[0]]) for option in each.option_strings}
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= known | {"--help"}, mention


@asynccontextmanager
async def world(folder: Path, influxdb: InfluxServer) -> AsyncIterator[dict[str, str]]:
    """A reader's folder after the first steps: venues, an InfluxDB, a journal with a past."""
    (folder / "operator_token").write_text(influxdb.token, encoding="ascii")
    (folder / "my.flux").write_text('import "array"\n\narray.from(rows: [{a: 1}])\n', "utf-8")
    async with SimulatedVenues.start(market=Market(1, refresh_s=5)) as venues:
        settings = {
            "PERPFLUX_VARIATIONAL__API_BASE": venues.url,
            "PERPFLUX_BYBIT__API_BASE": venues.url,
            "PERPFLUX_INFLUXDB__URL": influxdb.url,
            "PERPFLUX_INFLUXDB__ORG": "documents",
            "INFLUXDB_V2_TOKEN": influxdb.token,
        }
        made = await perpflux(folder, "bootstrap", **settings)
        assert made.code == 0, made.err
        cloud = '{"cloud": {"url": "http://127.0.0.1:9"}}'
        async with running(folder, PERPFLUX_SINKS=cloud, **settings) as program:
            await program.wait_for('"started"')
            await program.stop()
        yield settings


@pytest.mark.slow
@pytest.mark.influxdb
@pytest.mark.timeout(300)  # some thirty commands
async def test_every_command_of_the_documents_runs(tmp_path: Path, influxdb: InfluxServer) -> None:
    """As a shell runs it, pipes and files too, against simulated venues and a real InfluxDB."""
    lines = {
        typed.line: typed.document
        for typed in typed_lines()
        if any(command[0] == "perpflux" for command in typed.commands)
    }
    assert lines.pop(OF_A_NEW_SOURCE) == "CONTRIBUTING.md"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("perpflux", f'exec {sys.executable} -m agent "$@"'), ("sudo", 'exec "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    async with world(tmp_path, influxdb) as settings:
        path = f"{tools}:{os.environ['PATH']}"
        for line, document in lines.items():
            child = await asyncio.create_subprocess_exec(
                *("bash", "-euo", "pipefail", "-c", line),
                cwd=tmp_path,
                env={**environment(tmp_path, settings), "PATH": path},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(COMMAND_S):
                said, _ = await child.communicate()
            assert child.returncode == 0, f"{document}: {line}\n{said.decode()}"


@pytest.mark.slow
async def test_every_question_to_the_agent_is_answered(tmp_path: Path) -> None:
    """What the documents ask with curl, asked of a running program."""
    asked = {
        word.removeprefix(HTTP)
        for typed in typed_lines()
        for name, *arguments in typed.commands
        for word in arguments
        if name == "curl" and word.startswith(HTTP)
    }
    assert {"/status", "/metrics"} < asked
    async with running(tmp_path, "demo") as program, aiohttp.ClientSession() as session:
        address = re.search(r"http://127\.0\.0\.1:\d+", await program.wait_for('"started"'))
        assert address is not None
        await program.wait_for('"source_ready"')
        for path in sorted(asked):
            async with session.get(address[0] + path) as answer:
                assert answer.status == 200, path
        assert await program.stop() == 0
