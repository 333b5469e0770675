"""An export into a file: it appears when it is whole, and an interrupted one can be gone on with.

Until then it is FILE.part (for parquet a folder), and FILE.state says up to which record of the
journal the part is on the disk. What a resumed export writes is, byte for byte, what an
uninterrupted one would have: the records are those that were there when it began.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from agent import __version__
from agent.cli.asked import Asked
from agent.cli.output import complain
from agent.cli.progress import Progress
from agent.errors import PerpfluxError, UsageError
from agent.journal import History
from agent.parquet import ParquetGroups

CHECKPOINT_BYTES: Final = 8 * 2**20
"""So much of a text is written between two notes of how far it came."""
_OPERATION: Final = "export"


class _Part(Protocol):
    """What is there of a file so far."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to put it on the disk."""

    def add(self, lines: Iterator[str]) -> None:
        """More, of one record."""

    def checkpoint(self) -> int:
        """Put it on the disk; from where to go on."""

    def finish(self, path: Path) -> None:
        """Make the file of it."""

    def close(self) -> None:
        """Let go of it as it lies."""


class _Text:
    """A text format: a file that is cut at `size` and goes on there."""

    def __init__(self, part: Path, asked: Asked, size: int) -> None:
        self._asked = asked
        self._path = part
        self._file = part.open("r+b" if size else "wb")
        self._file.truncate(size)
        self._file.seek(size)
        self._noted = size
        if not size:
            self._write(iter(()), is_first=True)

    @property
    def is_due(self) -> bool:
        return self._file.tell() - self._noted >= CHECKPOINT_BYTES

    def add(self, lines: Iterator[str]) -> None:
        self._write(lines, is_first=False)

    def _write(self, lines: Iterator[str], *, is_first: bool) -> None:
        self._file.write("".join(self._asked.pieces(lines, is_first=is_first)).encode())

    def checkpoint(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._noted = self._file.tell()
        return self._noted

    def finish(self, path: Path) -> None:
        self.checkpoint()
        self._path.replace(path)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """A folder of row groups."""

    def __init__(self, part: Path, asked: Asked, groups: int) -> None:
        self._folder = part
        self._groups = ParquetGroups(part, asked.sheet, groups)

    @property
    def is_due(self) -> bool:
        return self._groups.is_full

    def add(self, lines: Iterator[str]) -> None:
        self._groups.add(lines)

    def checkpoint(self) -> int:
        self._groups.end_group()
        return self._groups.groups

    def finish(self, path: Path) -> None:
        self.checkpoint()
        joined = self._folder / "joined"
        self._groups.join(joined)
        joined.replace(path)
        shutil.rmtree(self._folder)

    def close(self) -> None:
        """Nothing is open."""


def write_file(
    history: History,
    asked: Asked,
    path: Path,
    journal: str,
    resume: bool,  # noqa: FBT001
) -> None:
    """Write the points into a file, or go on with it.

    Raises:
        UsageError: the file is there already, or what is there is of another export.
        PerpfluxError: the disk does not let it.
    """
    part, state_file = (path.with_name(f"{path.name}.{end}") for end in ("part", "state"))
    begin = {"perpflux": __version__, "journal": journal, "asked": asked.document()}
    state = _read_state(state_file) if resume else None
    if state is None and path.exists():
        if resume:
            complain(f"perpflux: {path} is whole; nothing was done")
            return
        raise UsageError(_OPERATION, f"{path} is there already", "remove it, or name another")
    if state is not None:
        _check(history, begin, state, path)
    else:
        first, last = history.extent(asked.since_ns, asked.until_ns) or (1, 0)
        state = {**begin, "first": first, "last": last, "place": 0, "damaged": 0}
    try:
        _write(history, asked, path, part, state_file, state)
    except OSError as error:
        hint = "look after the disk, then go on with --resume"
        raise PerpfluxError(_OPERATION, f"{path}: {error.strerror}", hint) from error
    except KeyboardInterrupt:
        complain(f"perpflux: stopped; go on with --resume, or remove {part} and {state_file}")
        raise


def _write(
    history: History,
    asked: Asked,
    path: Path,
    part: Path,
    state_file: Path,
    state: dict[str, Any],
) -> None:
    history.damaged = state["damaged"]
    seqs = state["first"], state["last"]
    if state["place"] == 0:
        _remove(part)
        state_file.unlink(missing_ok=True)
    kind: type[_Parquet | _Text] = _Parquet if asked.format == "parquet" else _Text
    target: _Part = kind(part, asked, state["place"])
    with closing(target), Progress.on_terminal("export", seqs[1] - seqs[0] + 1) as progress:
        for record in asked.records(history, seqs, progress):
            target.add(asked.lines(record))
            if target.is_due:
                state["place"] = target.checkpoint()
                state |= {"first": record.seq + 1, "seq": record.seq, "damaged": history.damaged}
                state["crc32"] = history.crc32_of(record.seq)
                _save_state(state_file, state)
        target.finish(path)
    state_file.unlink(missing_ok=True)


def _check(history: History, begin: dict[str, Any], state: dict[str, Any], path: Path) -> None:
    """Whether what is there is the beginning of what is asked for. Raises UsageError."""
    other = next((key for key in begin if state.get(key) != begin[key]), None)
    if other is not None:
        was = json.dumps(state.get(other))
        hint = "ask for the same, or leave --resume out and begin anew"
        raise UsageError(_OPERATION, f"{path} was begun with another {other}: {was}", hint)
    if history.crc32_of(state["seq"]) != state["crc32"]:
        raise UsageError(
            _OPERATION,
            f"the journal no longer has the record where {path} stopped",
            "leave --resume out and begin anew",
        )


def _read_state(file: Path) -> dict[str, Any] | None:
    """How far it came; None = there is nothing to go on with."""
    try:
        state = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        hint = "leave --resume out and begin anew"
        raise UsageError(_OPERATION, f"{file} cannot be read: {error}", hint) from error
    return state if isinstance(state, dict) else None


def _save_state(file: Path, state: dict[str, Any]) -> None:
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as text:
        json.dump(state, text)
        text.flush()
        os.fsync(text.fileno())
    new.replace(file)


def _remove(part: Path) -> None:
    with suppress(FileNotFoundError):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()
