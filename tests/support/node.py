"""Others' checkers that run on Node: packages from npm and the scripts in `npm/` that use them.

The packages are pinned in `npm/package-lock.json` and go into the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.conftest import skip_loudly

NPM: Final = Path(__file__).with_name("npm")
INSTALL_TIMEOUT_S: Final = 300
CHECK_TIMEOUT_S: Final = 120


@cache
def modules() -> Path:
    """The folder that `node_modules` was installed into; once for each lock file."""
    inputs = [NPM / name for name in ("package.json", "package-lock.json", ".npmrc")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "perpflux" / f"npm-{digest[:12]}"
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            skip_loudly("node and npm are not installed")
            raise AssertionError
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            for path in inputs:
                shutil.copy(path, work)
            done = subprocess.run(
                [npm, "ci"], cwd=work, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False
            )
            if done.returncode:
                skip_loudly(f"npm ci failed: {done.stderr.decode()[-500:]}")
            made = Path(work) / "made"
            made.mkdir()
            shutil.move(Path(work) / "node_modules", made)
            # Another process may have been faster: its folder is as good.
            if not folder.is_dir():
                made.rename(folder)
    return folder


def node(script: str, *arguments: str, stdin: object = None) -> Any:
    """What a script of `npm/` prints, read as JSON."""
    done = subprocess.run(
        ["node", str(NPM / script), str(modules()), *arguments],
        input=json.dumps(stdin).encode(),
        capture_output=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
