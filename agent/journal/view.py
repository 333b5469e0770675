"""A journal's file, opened to look at it while an agent may hold it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Self

from agent.errors import JournalError
from agent.journal.database import connect, explain


class View:
    """A read-only connection for one thread. A context manager.

    Args:
        path: the file.
        operation: what its errors say that was tried.

    Raises:
        JournalError: there is no journal, or it cannot be opened.
    """

    def __init__(self, path: Path, operation: str) -> None:
        self._path = path
        if not path.exists():
            raise JournalError(operation, f"{path} does not exist", "start `perpflux run` first")
        try:
            self._connection = connect(path, read_only=True)
        except sqlite3.Error as error:
            raise explain(error, operation, path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
