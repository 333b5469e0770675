"""The journal's file in one process: locked, opened when it is needed, opened anew after an error.

Where the surroundings do not let it (no such folder, read-only, no room), an owner that is patient
starts all the same: every operation tries to open it, and fails until one succeeds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.errors import JournalError, JournalUnavailableError
from agent.journal.database import (
    explain,
    garbled_is_corrupt,
    is_corrupt,
    is_passing,
    open_database,
)
from agent.journal.lock import JournalLock

NOTES_MAX: Final = 100
"""Notes kept for the caller to log; of more, the oldest goes."""
EXAMINE_EVERY_S: Final = 60
"""A file that is opened again and again is looked through at most so often."""


class OpenFile:
    """A lock, a connection, and transactions on it. For one thread.

    Args:
        path: the file; its folder is made if need be.
        clock: names what is set aside.
        patient: whether to start also where the surroundings do not let it yet.

    Raises:
        JournalBusyError: another process holds it.
        JournalUnavailableError: it cannot be opened now, and `patient` is False.
        JournalError: it is another program's, or of a newer perpflux.
    """

    def __init__(self, path: Path, *, clock: Clock, patient: bool) -> None:
        self.notes: list[str] = []
        self._path = path
        self._clock = clock
        self._lock: JournalLock | None = None
        self._open_connection: sqlite3.Connection | None = None
        self._condemned = ""
        self._examined_ns: int | None = None
        self._closed = False
        try:
            self._connect()
        except BaseException as error:
            if patient and isinstance(error, JournalUnavailableError):
                return
            self._unlock()
            raise

    def close(self) -> None:
        """Fold the log into the file and let go of it. A second call does nothing.

        What cannot be folded in, on a full disk, stays in the log; the next open reads it there.
        """
        self._closed = True
        self._disconnect()
        self._unlock()

    def note(self, text: str) -> None:
        """Keep a line for the caller to log."""
        self.notes.append(text)
        del self.notes[:-NOTES_MAX]

    def _on_open(self, *, fresh: bool) -> None:
        """There is a new connection; `fresh`: to a file that was just begun."""

    @contextmanager
    def _session(self, operation: str, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """The connection, inside one transaction if `write`; all or nothing, errors explained."""
        connection = self._connect()
        try:
            with garbled_is_corrupt():
                if write:
                    connection.execute("BEGIN IMMEDIATE")
                yield connection
                if write:
                    connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                connection.rollback()
            if not isinstance(error, sqlite3.Error):
                raise
            if is_corrupt(error):
                self._condemned = str(error)
            if not is_passing(error):
                self._disconnect()
            raise explain(error, operation, self._path) from error

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise JournalError("use journal", f"{self._path} is closed")
        if self._open_connection is not None:
            return self._open_connection
        self._take_lock()
        connection, fresh = open_database(
            self._path,
            self._clock.now_ns(),
            self.notes,
            condemned=self._condemned,
            thorough=self._examination_due(),
        )
        self._condemned = ""
        self._open_connection = connection
        self._on_open(fresh=fresh)
        return connection

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalUnavailableError(
                "open journal",
                f"{self._path.parent}: {error.strerror}",
                "journal.path must lie in a folder this user can make or write",
            ) from error
        self._lock = JournalLock(self._path)

    def _examination_due(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        last_ns = self._examined_ns
        if last_ns is not None and now_ns - last_ns < EXAMINE_EVERY_S * NS_PER_S:
            return False
        self._examined_ns = now_ns
        return True

    def _disconnect(self) -> None:
        connection, self._open_connection = self._open_connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
