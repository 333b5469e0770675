"""A throw-away machine with a real systemd: nspawn over an overlay of this one's root.

It shares nothing that is written, has a network of its own and ends with its block. Needs root,
overlayfs and Debian's systemd-container.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

REPOSITORY: Final = Path(__file__).parent.parent.parent
PACKAGE: Final = "systemd-container"
TOOLS: Final = ("systemd-nspawn", "nsenter", "setpriv", "unshare", "mount", "umount")
STAND: Final = "tests.service.stand"
BOOT_S: Final = 30
WAIT_S: Final = 30
COMMAND_S: Final = 60
TMPFS_BYTES: Final = 2 << 30
POLL_S: Final = 0.05
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "cat",
    "DEBIAN_FRONTEND": "noninteractive",
}
MASKED: Final = ("systemd-firstboot", "systemd-networkd", "systemd-timesyncd", "systemd-udevd")


class NoMachineError(Exception):
    """Why there can be none here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def provide_tools() -> None:
    """Install what is missing where this may be done. Raises NoMachineError."""
    if os.geteuid() != 0:
        raise NoMachineError("only root may start containers")
    if not all(map(shutil.which, TOOLS)) and shutil.which("apt-get"):
        get = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            (*get, "update"),
            (*get, "install", "-y", "--no-install-recommends", PACKAGE),
        ):
            subprocess.run(command, env=environment, capture_output=True, check=False)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise NoMachineError(f"{', '.join(missing)} cannot be had (apt install {PACKAGE})")


def wait_until(condition: Callable[[], Any], what: str, *, limit_s: float = WAIT_S) -> Any:
    """The condition's value once it is true; AssertionError with `what` after the limit."""
    deadline_s = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline_s, f"not within {limit_s} s: {what}"
        time.sleep(POLL_S)


class Machine:
    """A machine that runs. Made by `boot`.

    Attributes:
        root: its root directory, to put files into.
        upper: what it wrote over what it was made from.
    """

    def __init__(self, root: Path, upper: Path, leader: int) -> None:
        self.root = root
        self.upper = upper
        self._leader = leader

    @classmethod
    @contextmanager
    def boot(cls, folder: Path, *, name: str, layers: Sequence[Path] = ()) -> Iterator[Self]:
        """Boot one over this machine's root and the layers above it; it ends with the block.

        Args:
            folder: an empty one.
            name: its host name.
            layers: what other machines wrote (`upper`), the topmost first.

        Raises:
            NoMachineError: it cannot be started here.
        """
        with ExitStack() as stack:
            root, upper = _overlay(folder, layers, stack)
            _prepare(root)
            groups = _cgroups(name, stack)
            nspawn = stack.enter_context(_nspawn(root, name, groups, folder / "console"))
            leader = _leader_of(nspawn, folder / "console")
            stack.callback(_kill, leader)
            machine = cls(root, upper, leader)
            machine._wait_for_boot(folder / "console")
            yield machine

    def run(self, *command: str, check: bool = True, text: str = "") -> Outcome:
        """Run a command in it. With `check`, AssertionError when it fails."""
        done = subprocess.run(
            ("nsenter", "-t", str(self._leader), "-a", *command),
            env=ENVIRONMENT,
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str, *, check: bool = True) -> Outcome:
        """Run lines of sh; the first that fails ends them."""
        return self.run("sh", "-euc", script, check=check)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).out.strip()

    def journal(self, unit: str) -> str:
        """All that a unit and systemd about it have said."""
        return self.run("journalctl", "-o", "cat", "--no-pager", "-u", unit).out

    def wait_for_journal(self, unit: str, pattern: str) -> str:
        """The first line that holds the pattern, once there is one."""

        def found() -> str:
            match = re.search(f"^.*{pattern}.*$", self.journal(unit), re.MULTILINE)
            return match[0] if match else ""

        return str(wait_until(found, f"{pattern!r} in the journal of {unit}"))

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    @contextmanager
    def stand(self) -> Iterator[Stand]:
        """Simulated venues and a store in its network."""
        child = subprocess.Popen(
            ("nsenter", "-t", str(self._leader), "-n", sys.executable, "-m", STAND),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Stand(child)
        finally:
            child.kill()
            child.communicate()

    def _wait_for_boot(self, console: Path) -> None:
        def booted() -> bool:
            state = self.run("systemctl", "is-system-running", check=False).out.strip()
            return state in {"running", "degraded"}

        try:
            wait_until(booted, "boot", limit_s=BOOT_S)
        except AssertionError as error:
            raise NoMachineError(f"systemd did not come up: {console.read_text()}") from error


class Stand:
    """The venues and the store of a machine.

    Attributes:
        venues: address of both venues.
        influxdb: address of the store (org and bucket perps, token "secret").
    """

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        addresses = self._answer()
        self.venues: str = addresses["venues"]
        self.influxdb: str = addresses["influxdb"]

    def points(self) -> set[tuple[str, tuple[tuple[str, str], ...], int]]:
        """Identity of every point that is stored: measurement, tags, stamp (ns)."""
        return {
            (name, tuple((key, value) for key, value in tags), stamp)
            for name, tags, stamp in self._ask("points")
        }

    def set_down(self, *, down: bool) -> None:
        """Let the store answer 503, or work again."""
        self._ask("down" if down else "up")

    def _ask(self, command: str) -> Any:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{command}\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the stand ended"
        return json.loads(line)


def _overlay(folder: Path, layers: Sequence[Path], stack: ExitStack) -> tuple[Path, Path]:
    """Root directory and what is written; both are gone with the stack."""
    _mount(stack, "-t", "tmpfs", "-o", f"size={TMPFS_BYTES},mode=755", "perpflux-test", str(folder))
    root, upper, work = (folder / name for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        path.mkdir()
    lower = ":".join([*map(str, layers), "/"])
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    _mount(stack, "-t", "overlay", "-o", options, "perpflux-test", str(root))
    return root, upper


def _mount(stack: ExitStack, *arguments: str) -> None:
    done = subprocess.run(("mount", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMachineError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")
    stack.callback(subprocess.run, ("umount", "-l", arguments[-1]), check=False)


def _prepare(root: Path) -> None:
    """No first-boot questions, no services of the machine below, no index of manuals."""
    (root / "var/lib/man-db/auto-update").unlink(missing_ok=True)
    system = root / "etc/systemd/system"
    for name in MASKED:
        link = system / f"{name}.service"
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    configuration = root / "etc/systemd/journald.conf.d/perpflux-test.conf"
    configuration.parent.mkdir(exist_ok=True)
    configuration.write_text("[Journal]\nStorage=volatile\nRateLimitBurst=0\n", encoding="utf-8")


def _cgroups(name: str, stack: ExitStack) -> list[Path]:
    """A control group of its own in each hierarchy, else two systemds would share ours."""
    mounted = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    places = re.findall(r" (/sys/fs/cgroup\S*) \S+ .*- cgroup2? ", mounted)
    made = []
    for place in map(Path, places):
        group = place / f"perpflux-test-{name}-{os.getpid()}"
        if place.name == "cpuset":
            continue  # a new group there takes no process until it is given processors
        with suppress(OSError):
            group.mkdir()
            made.append(group)
            stack.callback(_remove_cgroup, group)
    return made


def _remove_cgroup(group: Path) -> None:
    def empty() -> bool:
        for path in sorted(group.rglob("*"), reverse=True):
            if path.is_dir():
                with suppress(OSError):
                    path.rmdir()
        with suppress(OSError):
            group.rmdir()
        return not group.exists()

    wait_until(empty, f"{group} is empty", limit_s=5)


@contextmanager
def _nspawn(
    root: Path, name: str, groups: Sequence[Path], console: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The container's starter; killed at the end, its processes before it."""
    enter = " ".join(f'echo $$ > "{group}/cgroup.procs";' for group in groups)
    # Should we be killed, so is unshare, so is its child, so is all that came from it.
    alone = "setpriv --pdeathsig KILL unshare --mount-proc --fork --pid --kill-child"
    script = f'{enter} exec {alone} systemd-nspawn "$@"'
    arguments = [
        *("-q", "-D", str(root), "--boot", f"--machine={name}", "--register=no", "--keep-unit"),
        *("--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
        *("--console=pipe", "systemd.unit=basic.target"),
    ]
    with console.open("wb") as out:
        child = subprocess.Popen(
            ("sh", "-c", script, "sh", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": _unified()},
        )
    try:
        yield child
    finally:
        with suppress(subprocess.TimeoutExpired):
            child.wait(5)
        child.kill()
        child.wait()


def _unified() -> str:
    """Whether the container's systemd is to have cgroup v2 alone, as its parent has."""
    return "1" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "0"


def _leader_of(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    """Process 1 of the container, seen from here."""

    def leader() -> int:
        if nspawn.poll() is not None:
            raise NoMachineError(f"systemd-nspawn: {console.read_text().strip()}")
        for pid in _descendants(nspawn.pid):
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
        return 0

    try:
        return int(wait_until(leader, "process 1", limit_s=BOOT_S))
    except AssertionError as error:
        raise NoMachineError(f"nothing was started: {console.read_text()}") from error


def _descendants(pid: int) -> Iterator[int]:
    """Children before their children."""
    with suppress(OSError):
        children = [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
        yield from children
        for child in children:
            yield from _descendants(child)


def _kill(leader: int) -> None:
    """End process 1; the kernel ends all others of its machine."""
    with suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)
