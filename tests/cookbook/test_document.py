"""docs/flux.md says what the cookbook does, and what stands in it runs."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.queries import cookbook
from tests.conftest import skip_loudly
from tests.cookbook.conftest import BUCKET
from tests.cookbook.document import DOCUMENT, with_cookbook
from tests.influxd.server import InfluxServer
from tests.support.program import environment, perpflux

TEXT = DOCUMENT.read_text(encoding="utf-8")
COMMANDS = [
    re.sub(r"\s+#.*", "", line)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("perpflux query")
]
PYTHON = dict(re.findall(r"<!-- python: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))


def test_the_document_is_made_from_the_cookbook() -> None:
    """Questions, sample answers and Flux in the document are those that are tested.

    `python -m tests.cookbook.document` makes that part anew.
    """
    assert with_cookbook(TEXT) == TEXT
    assert set(re.findall(r"^### (.+)$", TEXT, re.MULTILINE)) == set(cookbook())


@pytest.mark.slow
@pytest.mark.influxdb
@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_runs(tmp_path: Path, known: InfluxServer, command: str) -> None:
    """Each `perpflux query` of the document ends well as it stands there."""
    text = f'bucket = "perps"\nfrom(bucket: "{BUCKET}") |> range(start: 0) |> first()\n'
    (tmp_path / "my.flux").write_text(text, encoding="utf-8")
    settings = environment(tmp_path, _settings(known))
    line = command.replace("perpflux", shlex.join([sys.executable, "-m", "agent"]), 1)
    child = await asyncio.create_subprocess_shell(
        line,
        cwd=tmp_path,
        env=settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await child.communicate()
    assert (child.returncode, err) == (0, b"")


@pytest.mark.slow
@pytest.mark.influxdb
@pytest.mark.parametrize("name", sorted(PYTHON))
async def test_python_in_the_document_runs(tmp_path: Path, known: InfluxServer, name: str) -> None:
    """The recipes for other programs run on the known points and print a price or a carry."""
    if name == "pandas" and find_spec("pandas") is None:
        skip_loudly("pandas is not installed")
    code = PYTHON[name].replace(
        ".filled({", f'.filled({{"bucket": "{BUCKET}", "stop": "2026-01-06T12:00:00Z", '
    )
    code = code.replace('"start": "-1h"', '"start": "2026-01-06T11:00:00Z"')
    code = code.replace('"hold_days"', '"start": "2026-01-06T11:50:00Z", "hold_days"')
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env=environment(tmp_path, _settings(known)) | {"PYTHONWARNINGS": "default"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    assert {"pandas": b"100359", "plain": b"BTC 80.0"}[name] in out


@pytest.mark.slow
async def test_every_name_in_a_command_is_in_the_cookbook(tmp_path: Path) -> None:
    """No command of the document asks for an entry or a parameter that is gone."""
    for command in COMMANDS:
        if "my.flux" not in command and "--list" not in command:
            arguments = shlex.split(command.split(" > ")[0])[1:]
            assert (await perpflux(tmp_path, *arguments, "--show")).code == 0


def _settings(known: InfluxServer) -> dict[str, str]:
    return {
        "INFLUXDB_V2_URL": known.url,
        "INFLUXDB_V2_ORG": known.org,
        "INFLUXDB_V2_TOKEN": known.token,
        "PERPFLUX_INFLUXDB__BUCKET": BUCKET,
    }
