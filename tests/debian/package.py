"""Programs out of Debian packages for the tests, unpacked beside the system; see `unpack`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

UNPACK: Final = Path(__file__).with_name("unpack")
UNPACK_S_MAX: Final = 300
EXIT_MISSING: Final = 69
"""What `unpack` says where the package cannot be had here."""


class NoProgramError(Exception):
    """The program cannot be had on this machine; the text says what is missing."""


def program(package: str, name: str) -> Path:
    """The path of a program: from PATH, else out of the package, which is fetched once.

    Raises:
        NoProgramError: there is neither.
    """
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    command = [str(UNPACK), package, name]
    done = subprocess.run(command, capture_output=True, timeout=UNPACK_S_MAX, check=False)
    if done.returncode == EXIT_MISSING:
        raise NoProgramError(f"{name} is not on PATH, and {done.stderr.decode().strip()}")
    assert done.returncode == 0, done.stderr.decode()
    return Path(done.stdout.decode().splitlines()[-1])
