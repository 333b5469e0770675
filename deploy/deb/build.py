"""Builds dist/perpflux_VERSION_ARCHITECTURE.deb; two builds of one commit give the same bytes.

The package is a tree in /opt/perpflux that is a virtual environment of whatever python3 the
machine has: the site-packages of several Pythons lie side by side, filled with the wheels that
requirements/run.txt locks by hash. What is equal in them is stored once (hard links).

    python deploy/deb/build.py [--architecture amd64|arm64] [--version 0.1.0] [--output dist]

Needs dpkg-deb, and to run in the environment that `make run` has made.
"""
# ruff: noqa: INP001, S603  # a script; it runs pip, git and dpkg-deb with arguments of its own

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = ROOT / "deploy/deb"
sys.path.insert(0, str(ROOT))

from agent import __version__  # noqa: E402  # found by the line above
from agent.cli.arguments import parser  # noqa: E402  # the same
from agent.cli.completion import SCRIPTS as COMPLETIONS  # noqa: E402  # the same
from deploy.deb.documents import man_page  # noqa: E402  # the same

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""Debian 12, Ubuntu 24.04, Debian 13, Ubuntu 26.04."""
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""What wheels may ask for: glibc 2.28, which every system above has."""
LEFTOVERS: Final = ("bin", "*.dist-info/RECORD", "*.dist-info/REQUESTED", "*.dist-info/INSTALLER")
"""What pip adds for its own use; dpkg knows the files."""
HOME: Final = "opt/perpflux"
JOURNAL_LINE: Final = 'path = ""\n'
STORE_LINE: Final = '# token_file = ""\n'
"""The first is that of [influxdb]."""
CONFFILES: Final = ("/etc/perpflux/perpflux.toml", "/etc/default/perpflux")
COMPLETION_FILES: Final = {
    "bash": "bash-completion/completions/perpflux",
    "zsh": "zsh/vendor-completions/_perpflux",
    "fish": "fish/vendor_completions.d/perpflux.fish",
}
"""Where the shells of Debian look below /usr/share."""
SCRIPTS: Final = ("postinst", "prerm", "postrm")


def main() -> None:
    """Build one package and print its path."""
    options = _options()
    epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH") or _commit_time_s())
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch_s)
    os.environ["DPKG_DEB_THREADS_MAX"] = "1"  # the number of threads would show in the bytes
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="perpflux-deb-") as folder:
        tree = Path(folder) / "tree"
        _install_packages(tree, Path(folder), options.architecture, options.pythons)
        _install_files(tree, options.version, epoch_s)
        _write_control(tree, options.architecture, options.version)
        _settle(tree, epoch_s)
        output = options.output / f"perpflux_{options.version}_{options.architecture}.deb"
        options.output.mkdir(parents=True, exist_ok=True)
        pack = ("dpkg-deb", "--root-owner-group", f"-Z{options.compression}", "--build")
        _run(*pack, str(tree), str(output))
    sys.stdout.write(f"{output}\n")


def _options() -> argparse.Namespace:
    to = argparse.ArgumentParser(description="Build the Debian package.")
    to.add_argument("--architecture", choices=MACHINES, default=_own_architecture())
    to.add_argument("--version", default=__version__)
    to.add_argument("--output", type=Path, default=ROOT / "dist")
    to.add_argument("--pythons", nargs="+", choices=PYTHONS, default=PYTHONS)
    to.add_argument("--compression", choices=("xz", "gzip", "none"), default="xz")
    return to.parse_args()


def _own_architecture() -> str:
    machine = os.uname().machine
    return next((name for name, value in MACHINES.items() if value == machine), "amd64")


def _commit_time_s() -> str:
    """When the source was last changed; what is not committed does not count."""
    return _run("git", "-C", str(ROOT), "log", "-1", "--format=%ct").strip()


def _install_packages(tree: Path, folder: Path, architecture: str, pythons: Sequence[str]) -> None:
    pip = (sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check")
    wheel = ("wheel", "--no-deps", "--no-build-isolation", "--no-index")
    _run(*pip, *wheel, "--wheel-dir", str(folder), str(ROOT))
    places = [f"--platform={name}_{MACHINES[architecture]}" for name in PLATFORMS]

    def fill(python: str) -> Path:
        target = tree / HOME / f"lib/python{python}/site-packages"
        kind = ("--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *places)
        into = ("install", "--no-deps", "--no-compile", *kind, "--target", str(target))
        lock = ROOT / "requirements/run.txt"
        _run(*pip, *into, "--require-hashes", "--requirement", str(lock))
        # By name, not by path: pip would write the path down.
        _run(*pip, *into, "--no-index", "--find-links", str(folder), f"perpflux=={__version__}")
        for pattern in LEFTOVERS:
            for path in target.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return target

    seen: dict[str, Path] = {}
    with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
        for target in side_by_side.map(fill, pythons):
            _share(target, seen)


def _share(target: Path, seen: dict[str, Path]) -> None:
    """Store what another Python's tree holds already as a hard link."""
    for path in sorted(target.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(target))
        key = hashlib.sha256(name.encode() + b"\0" + path.read_bytes()).hexdigest()
        if key in seen:
            path.unlink()
            path.hardlink_to(seen[key])
        else:
            seen[key] = path


def _install_files(tree: Path, version: str, epoch_s: int) -> None:
    home = tree / HOME
    _write(home / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    _write(
        home / "bin/perpflux",
        f"#!/{HOME}/bin/python -I\nfrom agent.cli import entry_point\n\nentry_point()\n",
    )
    (home / "bin/perpflux").chmod(0o755)
    (home / "bin/python").symlink_to("/usr/bin/python3")
    command = tree / "usr/bin/perpflux"
    command.parent.mkdir(parents=True)
    command.symlink_to(f"/{HOME}/bin/perpflux")

    sample = (ROOT / "deploy/perpflux.toml").read_text(encoding="utf-8")
    assert sample.count(JOURNAL_LINE) == 1, "one journal.path in the sample"
    # So that `perpflux export` and its like find the service's journal, and its token.
    own = sample.replace(JOURNAL_LINE, 'path = "/var/lib/perpflux/perpflux.db"\n')
    own = own.replace(STORE_LINE, '# token_file = "/etc/perpflux/influx_token"\n', 1)
    _write(tree / "etc/perpflux/perpflux.toml", own)
    _write(tree / "etc/default/perpflux", (HERE / "default").read_text(encoding="utf-8"))

    unit = (ROOT / "deploy/systemd/perpflux.service").read_text(encoding="utf-8")
    for name in ("perpflux.service", "perpflux@.service"):
        _write(tree / "usr/lib/systemd/system" / name, unit)

    date = datetime.fromtimestamp(epoch_s, UTC).date().isoformat()
    share = tree / "usr/share"
    _write_gzip(share / "man/man1/perpflux.1.gz", man_page(parser(), version, date))
    for shell, name in COMPLETION_FILES.items():
        _write(share / name, COMPLETIONS[shell](parser()))
    documents = share / "doc/perpflux"
    _write(documents / "copyright", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    _write_gzip(documents / "changelog.gz", changes)
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    _write(documents / "operations.md", guide)


def _write_control(tree: Path, architecture: str, version: str) -> None:
    control = tree / "DEBIAN"
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    inodes = {path.stat().st_ino: path.stat().st_size for path in files}
    text = (HERE / "control").read_text(encoding="utf-8")
    for name, value in {
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "SIZE_KIB": str(sum(inodes.values()) // 1024),
        "PYTHON_MIN": PYTHONS[0],
        "PYTHON_BELOW": f"3.{int(PYTHONS[-1].partition('.')[2]) + 1}~",
    }.items():
        text = text.replace(f"@{name}@", value)
    _write(control / "control", text)
    _write(control / "conffiles", "".join(f"{name}\n" for name in CONFFILES))
    for name in SCRIPTS:
        _write(control / name, (HERE / name).read_text(encoding="utf-8"))
        (control / name).chmod(0o755)
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{path.relative_to(tree)}\n"
        for path in sorted(files)
        if f"/{path.relative_to(tree)}" not in CONFFILES
    ]
    _write(control / "md5sums", "".join(sums))


def _settle(tree: Path, epoch_s: int) -> None:
    """One time and plain modes for everything, whoever unpacked it when."""
    for path in [*tree.rglob("*"), tree]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _run(*command: str) -> str:
    """What a command prints; its failure ends the build with its own words."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed with exit code {done.returncode}: {' '.join(command)}")
    return done.stdout


if __name__ == "__main__":
    main()
