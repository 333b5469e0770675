"""The floor of free disk: below it the journal lives on the pages its file already has."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from agent.errors import JournalUnavailableError

FREE_BYTES_MIN: Final = 64 * 2**20
FREE_PARTS_MIN: Final = 100
"""The floor is 64 MiB, on a small disk the hundredth part of it: others need to write as well."""
SPARE_BYTES: Final = 256 * 1024
"""What an append may take beside its fragments: rows, indexes, partly filled pages."""


def shortage(path: Path) -> str | None:
    """How short the disk of this file is, in words; None = there is room, or nobody can tell."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    free_bytes = disk.f_bavail * disk.f_frsize
    floor_bytes = min(FREE_BYTES_MIN, disk.f_blocks * disk.f_frsize // FREE_PARTS_MIN)
    if free_bytes >= floor_bytes:
        return None
    return f"{free_bytes // 1024:,} KiB free of the {floor_bytes // 1024:,} KiB left to others"


def missing(connection: sqlite3.Connection, size: int) -> int:
    """How many free pages (bytes) the file lacks to take this much more; 0 or less = none."""
    (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(size + SPARE_BYTES - free_pages * page_bytes)


def fits(connection: sqlite3.Connection, size: int) -> bool:
    """Whether so many bytes more need no larger file."""
    return missing(connection, size) <= 0


def refusal(path: Path, words: str) -> JournalUnavailableError:
    """Why nothing is appended."""
    return JournalUnavailableError(
        "append to journal",
        f"the disk of {path} has {words}, and all that could go is still to be shipped",
        "make room on that disk; appending goes on by itself",
    )
