"""The container's recipe, checked without a daemon: what it names exists, what it runs works.

Not proven here, for want of an engine: that the image builds. Its steps are those of `make run`.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.arguments import parser
from agent.config import known_keys
from tests.conftest import skip_loudly
from tests.support.program import running
from tests.support.recorded import recorded_venues

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "deploy/docker/Dockerfile"
PORT = "9477"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    pairs = [line.split(None, 1) for line in lines if line.strip()]
    return [(name, rest) for name, rest in pairs]


def of(name: str) -> Iterator[str]:
    """The arguments of every instruction of that name, in order."""
    return (rest for each, rest in instructions() if each == name)


def test_what_is_copied_exists_and_nothing_else_is_sent() -> None:
    """Sources of COPY are in the repository, and are what the ignore file lets through."""
    copied = {
        word.rstrip("/")
        for rest in of("COPY")
        if not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert all((ROOT / path).exists() for path in copied)
    ignored = (FILE.parent / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert sent == {path.split("/")[0] for path in copied}
    assert "*" in ignored


def test_it_runs_without_root_and_writes_into_its_volume_only() -> None:
    """A numeric user, who owns the one volume; the journal is in it; dependencies by hash."""
    user = list(of("USER"))[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (volumes,) = of("VOLUME")
    (volume,) = json.loads(volumes)
    owner, group = user.split(":")
    assert any(f"install -d -o {owner} -g {group} -m 0700 {volume}" in run for run in of("RUN"))
    variables = dict(pair.split("=", 1) for rest in of("ENV") for pair in shlex.split(rest))
    assert variables["STATE_DIRECTORY"] == volume
    known = {info.variable for info in known_keys().values()}
    assert {name for name in variables if name.startswith("PERPFLUX_")} <= known
    assert any("--require-hashes" in run for run in of("RUN"))
    stages = [rest.split()[0] for rest in of("FROM")]
    assert len(set(stages)) == 1
    assert "slim" in stages[0]


def test_its_command_line_is_the_programs() -> None:
    """ENTRYPOINT and CMD together are a command that exists."""
    (entry,) = of("ENTRYPOINT")
    command = list(of("CMD"))[-1]
    program, *arguments = json.loads(entry) + json.loads(command)
    assert program == "perpflux"
    assert parser().parse_args(arguments).command == "run"


@pytest.mark.slow
async def test_the_health_check_tells_whether_it_is_well(tmp_path: Path) -> None:
    """The recipe's own check: 0 while the program answers, 1 when it is gone."""
    (check,) = of("HEALTHCHECK")
    _, *arguments = json.loads(check.split("CMD", 1)[1])
    async with recorded_venues() as url:
        settings = {"PERPFLUX_VARIATIONAL__API_BASE": url, "PERPFLUX_BYBIT__API_BASE": url}
        async with running(tmp_path, **settings) as program:
            started = json.loads(await program.wait_for('"started"'))
            port = started["http"].rpartition(":")[2]
            here = [argument.replace(PORT, port) for argument in arguments]
            assert await exit_code(*here) == 0
            await program.stop()
            assert await exit_code(*here) == 1


async def exit_code(*arguments: str) -> int:
    """Run Python with these arguments."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stderr=asyncio.subprocess.DEVNULL
    )
    return await child.wait()


def test_hadolint_has_nothing_to_say() -> None:
    """The linter of Dockerfiles, with all its rules."""
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if tool is None:
        skip_loudly("there is no hadolint")
        raise AssertionError
    done = subprocess.run((tool, FILE), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
