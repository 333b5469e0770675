"""The command line as a whole: what cannot be printed, opened or meant is one plain message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import check
from agent.cli.main import main

FULL = Path("/dev/full")
"""Takes nothing: https://man7.org/linux/man-pages/man4/full.4.html"""


def perpflux(folder: Path, stdout: int, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes there, buffered as in a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("arguments", [("check",), ("--help",), ("query", "--list")])
def test_a_full_disk_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Also where the last bytes are written at the very end."""
    with FULL.open("wb") as full:
        code, words = perpflux(tmp_path, full.fileno(), *arguments)
    assert code == 1
    assert words.splitlines()[-1] == (
        "perpflux: print: standard output: No space left on device (look after the disk it goes to)"
    )


@pytest.mark.parametrize("arguments", [("check",), ("--help",), ("query", "--list")])
def test_a_reader_that_went_away_is_no_trouble(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """`| head` and `| true`: nothing is said."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, words = perpflux(tmp_path, writing, *arguments)
    finally:
        os.close(writing)
    assert (code, [line for line in words.splitlines() if "pipe" in line.lower()]) == (1, [])
    assert "Traceback" not in words


def test_what_is_not_open_to_this_user_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ordinary user beside an installed service: no traceback, and who may."""

    def closed(_: object) -> int:
        raise PermissionError(13, "Permission denied", "/var/lib/private/perpflux.db")

    monkeypatch.setattr(check, "command", closed)
    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "perpflux: /var/lib/private/perpflux.db is not open to this user "
        "(run it as root, or as the user that the agent runs as)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--output", ""], "argument --output: '' names no file"),
        (["export", "--output", "/"], "argument --output: '/' names no file"),
        (["check", "--config", "."], "argument --config: '.' names no file"),
        (["rejected", "show", str(2**63)], f"argument ID: '{2**63}' is no number of a line"),
        (["rejected", "purge", "0"], "argument ID: '0' is no number of a line"),
        (["rejected", "purge", "9" * 9999], "is no number of a line"),
        (["rejected", "show", "\u0661\u00b2"], "is no number of a line"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the argument is named."""
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
