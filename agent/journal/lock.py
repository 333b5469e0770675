"""One process per journal: an advisory lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.errors import JournalBusyError, JournalUnavailableError

_OPERATION: Final = "lock journal"
_PID_DIGITS_MAX: Final = 20


class JournalLock:
    """Holds `<path>.lock`, which names its holder's pid, until `release` or the process's end.

    The lock file stays behind on purpose: removing it would let two processes lock two files of
    one name.

    Raises:
        JournalBusyError: another process (or another Journal of this one) holds it.
        JournalUnavailableError: the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}.lock")
        try:
            self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self._file, error) from error
        try:
            self._take(path)
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self, path: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            digits = os.pread(self._fd, _PID_DIGITS_MAX, 0).decode("ascii", "replace").strip()
            holder = f"process {digits}" if digits.isdecimal() else "another process"
            raise JournalBusyError(
                _OPERATION,
                f"{path} is held by {holder}",
                "stop that one, or give this one its own journal.path",
            ) from None
        except OSError as error:
            raise _unusable(self._file, error) from error
        # On a full disk the holder has no name; it holds the lock all the same.
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _unusable(file: Path, error: OSError) -> JournalUnavailableError:
    return JournalUnavailableError(
        _OPERATION,
        f"{file}: {error.strerror}",
        "journal.path must lie in a folder this user can write, on a disk with room",
    )
