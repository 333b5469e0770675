"""The package, built once, and machines with it installed."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import skip_loudly
from tests.service.machine import REPOSITORY, Machine, NoMachineError, provide_tools

BUILD = (sys.executable, "deploy/deb/build.py", "--compression", "none")
BUILD_S = 250
DEB = "/srv/perpflux.deb"

Boot = Callable[..., AbstractContextManager[Machine]]


def build(folder: Path, *arguments: str) -> Path:
    """Build a package into the folder. Raises RuntimeError with the builder's words."""
    done = subprocess.run(
        (*BUILD, "--output", str(folder), *arguments),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, for every Python it serves."""
    if shutil.which("dpkg-deb") is None:
        skip_loudly("there is no dpkg-deb")
    try:
        return build(tmp_path_factory.mktemp("deb"))
    except RuntimeError as error:
        skip_loudly(f"the package cannot be built: {error}")
        raise AssertionError from error


@pytest.fixture(scope="session")
def _machines(tmp_path_factory: pytest.TempPathFactory) -> Boot:
    numbers = itertools.count()

    def boot(*layers: Path) -> AbstractContextManager[Machine]:
        folder = tmp_path_factory.mktemp("machine")
        return Machine.boot(folder, name=f"perpflux{next(numbers)}", layers=layers)

    return boot


@pytest.fixture(scope="session")
def installed(deb: Path, _machines: Boot) -> Iterator[Machine]:
    """A machine on which the package was installed and nothing else was done."""
    try:
        provide_tools()
        with _machines() as machine:
            shutil.copy(deb, machine.root / DEB.lstrip("/"))
            machine.run("apt-get", "install", "-y", "-q", DEB)
            yield machine
    except NoMachineError as error:
        skip_loudly(f"no container with systemd can run here: {error}")


@pytest.fixture
def fresh(installed: Machine, _machines: Boot) -> Iterator[Machine]:
    """A machine of the test's own without the package."""
    del installed  # where none can run, that says so
    with _machines() as made:
        yield made


@pytest.fixture
def machine(installed: Machine, _machines: Boot) -> Iterator[Machine]:
    """A machine of the test's own with the package installed, at `DEB` too."""
    with _machines(installed.upper) as made:
        yield made
