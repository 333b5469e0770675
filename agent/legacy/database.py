"""The file of the earlier collector: recognised, and given its `source` column and index.

Its one table is `snapshots`; `source` came later. Other programs may go on reading and writing the
table: all old columns stay as they are, and a row written without a source is Variational's.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clock import to_datetime
from agent.errors import LegacyDatabaseError

TABLE: Final = "snapshots"
SOURCE: Final = "variational"
"""Whose the rows without a source are: the earlier collector knew no other."""
VALUES: Final = (
    "mark_price bid_1k ask_1k bid_100k ask_100k mid spread_bps impact_buy_bps impact_sell_bps"
    " quote_age_ms funding_rate long_oi short_oi volume_24h"
).split()
"""Columns that are fields of a snapshot, under the same names."""
REQUIRED: Final = frozenset({"id", "ts", "ticker", "mark_price", "bid_1k", "ask_1k"})
"""A table with these columns is the collector's."""

BUSY_S: Final = 5.0
"""Longest wait for a lock of another program on the file."""
BACKUPS_MAX: Final = 1000
"""Copies that may be made within one second."""

_INDEX: Final = ("source", "ticker", "ts")
_ADD_SOURCE: Final = (
    f"ALTER TABLE {TABLE} ADD COLUMN source VARCHAR(20) NOT NULL DEFAULT '{SOURCE}'"
)
_ADD_INDEX: Final = f"CREATE INDEX ix_{TABLE}_source_ticker_ts ON {TABLE} (source, ticker, ts)"

_HINTS: Final = {
    sqlite3.SQLITE_BUSY: "another program writes to it: stop the earlier collector first",
    sqlite3.SQLITE_FULL: "make room on that disk; the file is as it was",
    sqlite3.SQLITE_READONLY: "file and folder must be writable for this user",
    sqlite3.SQLITE_CANTOPEN: "its folder must be writable for this user: SQLite locks beside it",
    sqlite3.SQLITE_NOTADB: "name the file that the earlier collector wrote",
    sqlite3.SQLITE_CORRUPT: "save what can be saved first: sqlite3 FILE .recover",
}


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done to a file.

    Args:
        done: in words, in order; () = it was up to date.
        backup: the copy made before; None = nothing was done.
        rows: how many rows it has.
    """

    done: tuple[str, ...]
    backup: Path | None
    rows: int


def migrate(path: Path, now_ns: int) -> Migration:
    """Add what is missing, in one transaction, after a copy of the file was made beside it.

    Args:
        path: the file.
        now_ns: wall clock, for the name of the copy.

    Raises:
        LegacyDatabaseError: it is no such database, or cannot be changed; it is as it was.
    """
    with (
        explained("migrate database", path),
        closing(connect(path, read_only=False)) as connection,
    ):
        connection.execute("BEGIN IMMEDIATE")
        try:
            columns = columns_of(connection, path)
            missing: dict[str, str] = {}
            if "source" not in columns:
                missing["column source"] = _ADD_SOURCE
            if _INDEX not in indexes_of(connection):
                missing["index (source, ticker, ts)"] = _ADD_INDEX
            (rows,) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()  # noqa: S608  # constants
            # Nobody else writes now, so that the copy is what is about to be changed.
            backup = _back_up(path, now_ns) if missing else None
            for statement in missing.values():
                connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
    return Migration(tuple(missing), backup, rows)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode. Raises LegacyDatabaseError when there is no such file."""
    if not path.is_file():
        raise LegacyDatabaseError("open database", f"{path} is no file", "check the path")
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S, isolation_level=None
    )
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def columns_of(connection: sqlite3.Connection, path: Path) -> set[str]:
    """The columns of its table. Raises LegacyDatabaseError when it is no such database."""
    (kind,) = connection.execute(
        "SELECT type FROM sqlite_master WHERE name = ?", (TABLE,)
    ).fetchone() or (None,)
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({TABLE})")}
    if kind == "table" and columns >= REQUIRED:
        return columns
    lacking = ", ".join(sorted(REQUIRED - columns))
    what = f"its table {TABLE} lacks {lacking}" if kind == "table" else f"it has no table {TABLE}"
    raise LegacyDatabaseError(
        "open database",
        f"{path} is not the earlier collector's: {what}",
        "name the file that the earlier collector wrote; this one was left as it is",
    )


def indexes_of(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """What each index of the table sorts by; indexes of only some rows are left out."""
    found = connection.execute(f"PRAGMA index_list({TABLE})").fetchall()
    return {
        tuple(row[2] for row in connection.execute("SELECT * FROM pragma_index_info(?)", (name,)))
        for _, name, _, _, is_partial in found
        if not is_partial
    }


def _back_up(path: Path, now_ns: int) -> Path:
    """A copy beside the file, under a name that was free; whole, or not there."""
    stamp = to_datetime(now_ns).strftime("%Y%m%dT%H%M%SZ")
    mode = path.stat().st_mode & 0o777
    for number in range(BACKUPS_MAX):
        backup = path.with_name(f"{path.name}.backup-{stamp}{f'-{number}' if number else ''}")
        try:
            os.close(os.open(backup, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
        except FileExistsError:
            continue
        try:
            with closing(connect(path, read_only=True)) as source, closing(_new(backup)) as copy:
                source.backup(copy)
        except BaseException:
            backup.unlink()
            raise
        return backup
    raise LegacyDatabaseError("back up database", f"{path} has too many copies", "move some away")


def _new(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@contextmanager
def explained(operation: str, path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system in words an operator can act on."""
    try:
        yield
    except sqlite3.Error as error:
        code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
        raise LegacyDatabaseError(operation, f"{path}: {error}", _HINTS.get(code, "")) from error
    except OSError as error:
        hint = "file and folder must be writable for this user"
        raise LegacyDatabaseError(operation, f"{path}: {error.strerror}", hint) from error
