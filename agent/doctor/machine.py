"""The checks of this machine: journal, disk, systemd, the agent that runs here."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.config import Config, TokenSource, environment
from agent.doctor.finding import Check, Finding, fail, ok, skip, warn
from agent.errors import ConfigError
from agent.journal import Desk
from agent.journal.census import extent
from agent.journal.database import MAIN_SINK, fault_of
from agent.journal.room import shortage
from agent.running import running_status

UNIT_FILES: Final = (
    Path("/etc/systemd/system/perpflux.service"),
    Path("/usr/lib/systemd/system/perpflux.service"),
)
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
_CREDENTIAL: Final = "influx_token"
_LOAD_LINE: Final = f"LoadCredential={_CREDENTIAL}:"
_WRITABLE: Final = (
    "journal.path must lie in a folder this user may write; in a container or a unit file, "
    "mount it writable"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, with one configuration."""

    config: Config
    clock: Clock = SYSTEM_CLOCK

    def checks(self) -> list[Check]:
        """What is looked at, in the order of the report."""
        readable = "journal.file"
        return [
            Check("agent.running", self.running),
            Check(readable, self.journal_file),
            Check("journal.ledger", self.ledger, (readable,)),
            Check("journal.disk", self.disk),
            Check("systemd.credential", self.credential),
        ]

    async def running(self) -> Finding:
        """What the agent says that runs on this journal."""
        status = await asyncio.to_thread(running_status, self.config)
        if status is None:
            return skip(
                f"no agent of this journal answers at {self.config.http.listen or '(http is off)'}",
                "`perpflux run` starts one, `systemctl status perpflux` tells about the service",
            )
        return _running(status)

    async def journal_file(self) -> Finding:
        """Whether the journal is whole, and may be written."""
        return await asyncio.to_thread(self._journal_file)

    async def ledger(self) -> Finding:
        """What was refused or evicted."""
        return await asyncio.to_thread(self._ledger)

    async def disk(self) -> Finding:
        """Whether the journal has room to grow to its bound."""
        return await asyncio.to_thread(self._disk)

    async def credential(self) -> Finding:
        """Whether systemd hands the token over."""
        return await asyncio.to_thread(credential, UNIT_FILES)

    @property
    def _path(self) -> Path:
        return Path(self.config.journal.path)

    def _journal_file(self) -> Finding:
        path = self._path
        writable = _may_be_written(path)
        if not path.exists():
            return (
                ok(f"{path} is not made yet; its folder may be written")
                if writable
                else fail(f"{path} cannot be made", _WRITABLE)
            )
        if fault := fault_of(path):
            return fail(
                f"{path} is damaged: {fault}",
                "restart the agent: it sets the file aside and begins a fresh one; look after the "
                "disk",
            )
        if not writable:
            return fail(f"{path} cannot be written", _WRITABLE)
        slots = extent(path)
        reach_s = 0 if slots is None else max(0, self.clock.now_ns() - slots[0]) // NS_PER_S
        size = sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
        return ok(f"{path} is whole: {size // 1024:,} KiB, {reach_s // 60:,} minutes of history")

    def _ledger(self) -> Finding:
        if not self._path.exists():
            return skip("there is no journal yet")
        configured = {*self.config.sinks} | ({MAIN_SINK} if self.config.influxdb else set())
        texts: list[str] = []
        advice = ""
        with Desk(self._path, bytes_max=self.config.journal.bytes_max) as desk:
            for sink in desk.sinks():
                ledger, backlog = desk.accounts(sink)
                texts.append(
                    f"{sink}: {ledger.collected} collected = {ledger.stored} stored + "
                    f"{ledger.rejected} rejected + {ledger.evicted} evicted + "
                    f"{ledger.pending} pending"
                )
                if ledger.pending and backlog.oldest_ns is not None:
                    age_s = max(0, self.clock.now_ns() - backlog.oldest_ns) // NS_PER_S
                    texts[-1] += f", the oldest for {age_s} s"
                if ledger.rejected:
                    advice = f"`perpflux rejected list --sink {sink}` says why"
                elif ledger.evicted and sink in configured:
                    advice = advice or "points went unshipped: raise journal.bytes_max"
        return warn("; ".join(texts), advice) if advice else ok("; ".join(texts))

    def _disk(self) -> Finding:
        folder = _existing(self._path)
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        path = self._path
        used = sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
        wanted = max(0, self.config.journal.bytes_max - used)
        text = f"{free // 2**20:,} MiB free, the journal may take {wanted // 2**20:,} MiB more"
        if short := shortage(folder):
            return fail(f"{short}; the journal cannot grow", "make room on that disk")
        if free < wanted:
            return warn(text, "make room, or lower journal.bytes_max: then the oldest goes first")
        return ok(text)


def _running(status: dict[str, Any]) -> Finding:
    """What a running agent's status comes to."""
    shipping, state = status["shipping"], status["state"]
    said = [f"version {status['version']}", f"up {status['uptime_s']} s", f"state {state}"]
    said += [
        f"{name}: {each['last_error']}"
        for name, each in status["sources"].items()
        if each["state"] == "failing"
    ]
    if shipping["last_error"]:
        said.append(f"shipping {shipping['state']}: {shipping['last_error']}")
    text = ", ".join(said)
    if state == "failing":
        return fail(text, "the checks below and the agent's log say why")
    troubled = state != "ok" or shipping["last_error"]
    return warn(text, "the checks below say why") if troubled else ok(text)


def credential(unit_files: tuple[Path, ...]) -> Finding:
    """Whether systemd hands the token to the service, or to us."""
    variables = environment(CREDENTIALS_VARIABLE)
    if variables:
        try:
            place, _ = TokenSource(None, variables).find()
        except ConfigError as error:
            return fail(error.subject, "write the token into the file that LoadCredential= names")
        return ok(f"{place} can be read")
    unit = next((path for path in unit_files if path.is_file()), None)
    if unit is None:
        return skip("perpflux is not installed as a service here")
    lines = unit.read_text(encoding="utf-8", errors="replace").splitlines()
    named = [line.removeprefix(_LOAD_LINE) for line in lines if line.startswith(_LOAD_LINE)]
    if not named:
        return skip(f"{unit} loads no credential {_CREDENTIAL}")
    return _of_service(Path(named[-1].strip().replace("%N", unit.stem)))


def _of_service(source: Path) -> Finding:
    """Whether the file is there that systemd reads the token from."""
    try:
        empty = not source.read_bytes().strip()
    except FileNotFoundError:
        empty = True
    except OSError:
        return skip(f"{source} is for root alone", "run `sudo perpflux doctor` to look at it")
    if empty:
        return warn(
            f"{source} is missing or empty: the service collects, and ships nothing",
            f"write the token into {source}, then `systemctl restart perpflux`",
        )
    return ok(f"the service gets {source}")


def _existing(path: Path) -> Path:
    """The file, or the nearest folder above it that is there, as far as this user sees."""
    return next((each for each in (path, *path.parents) if os.access(each, os.F_OK)), Path("/"))


def _may_be_written(path: Path) -> bool:
    """Whether this user may write the file and beside it; also false on a read-only disk."""
    there = _existing(path)
    folder = there if there != path else path.parent
    return os.access(folder, os.W_OK | os.X_OK) and (there != path or os.access(path, os.W_OK))
