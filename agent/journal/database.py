"""The SQLite file: made, examined, set aside when it is corrupt, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Final

from agent.clock import to_datetime
from agent.errors import JournalError, JournalUnavailableError

SCHEMA_VERSION: Final = 1
VERSION_MAX: Final = 1000
"""A version beyond is none: a bit in the header flipped."""
APPLICATION_ID: Final = 0x70706678
"""In the file's header: the letters `ppfx`."""
MAIN_SINK: Final = "influxdb"
"""The sink that is always there, also when no InfluxDB is configured."""

CHECK_S: Final = 2.0
"""Longest examination when opening; what it has not reached by then is found when it is read."""
BUSY_S: Final = 5.0
"""Longest wait for a lock of another program on the file."""
SYNCHRONOUS: Final = "FULL"
"""What was acknowledged survives a loss of power; NORMAL may lose the last commits."""
WAL_BYTES_MAX: Final = 16 * 2**20
"""What the write-ahead log is cut down to after a checkpoint."""
CHECKPOINT_PAGES: Final = 1000
ASIDE_MAX: Final = 3
"""Corrupt files kept for the operator; of more, the oldest goes."""
_NAMES_MAX: Final = 1000
"""Files that may be set aside under one second's name."""

_COMPANIONS: Final = ("", "-wal", "-shm")
_BEGINNING_BYTES: Final = 4096
"""So much of a file shows what it is: a page of SQLite."""
_MAGIC: Final = b"SQLite format 3\x00"
_WAL_MODE: Final = b"\x02\x02"
"""Bytes 18 and 19 of the header. https://www.sqlite.org/fileformat2.html#the_database_header"""
_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""First bytes of a write-ahead log. https://www.sqlite.org/fileformat2.html#the_write_ahead_log"""

SCHEMA: Final = f"""
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    slot_ns INTEGER NOT NULL,
    appended_ns INTEGER NOT NULL,
    points INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    points_total INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL,
    damaged INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    fragment BLOB NOT NULL
);
CREATE INDEX record_slot ON record (slot_ns);
CREATE INDEX record_appended ON record (appended_ns);
CREATE TABLE sink (
    name TEXT PRIMARY KEY,
    born_total INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    evicted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE span (
    sink TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (sink, first_seq)
) WITHOUT ROWID;
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    line TEXT NOT NULL,
    reason TEXT NOT NULL,
    points INTEGER NOT NULL,
    rows_total INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL
);
CREATE INDEX rejected_sink ON rejected (sink);
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
"""`record.points_total` and `bytes_total` (compressed) count from the journal's beginning and take
their own record in. The newest record is never removed, so they and `seq` go on for ever. The
totals of `rejected` are its sink's own."""

_SHAPE: Final = (
    'SELECT object.type, object.name, field.name, field.type, field."notnull", field.pk, key.name'
    " FROM sqlite_master AS object"
    " LEFT JOIN pragma_table_info(object.name) AS field"
    " LEFT JOIN pragma_index_info(object.name) AS key"
)
"""Every table with its columns, every index with what it sorts by."""

_FAULTS: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""While examining: SQLITE_ERROR stands for a schema or a format that SQLite cannot read."""
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OUTSIDE: Final = _PASSING | {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_IOERR,
}
"""Not the file's fault: its surroundings do not let it."""

_OWN_PATH: Final = "give perpflux a journal.path of its own; this file was left as it is"
_FOLDER_HINT: Final = (
    "journal.path must lie in a folder this user can write; in a container or a unit file, "
    "mount it writable"
)
_HINTS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full or a quota is used up: make room, or lower "
    "journal.bytes_max; nothing half-written is left and appending goes on by itself",
    sqlite3.SQLITE_READONLY: _FOLDER_HINT,
    sqlite3.SQLITE_CANTOPEN: _FOLDER_HINT,
    sqlite3.SQLITE_PERM: _FOLDER_HINT,
    sqlite3.SQLITE_AUTH: _FOLDER_HINT,
    sqlite3.SQLITE_CORRUPT: "the file will be set aside and a fresh one begun; look after the disk",
    sqlite3.SQLITE_NOTADB: "the file will be set aside and a fresh one begun; look after the disk",
    sqlite3.SQLITE_IOERR: "the disk or file system fails, or is full: see the kernel's log; "
    "a local file system is needed, not a network share",
    sqlite3.SQLITE_BUSY: "another program keeps the file locked: close it (a database browser, "
    "a backup)",
    sqlite3.SQLITE_LOCKED: "another program keeps the file locked: close it",
}


def explain(error: sqlite3.Error, operation: str, path: Path) -> JournalError:
    """The error in words an operator can act on. Pure."""
    code = _code(error)
    kind = JournalUnavailableError if code in _OUTSIDE else JournalError
    hint = _HINTS.get(code, "run `perpflux doctor`; report it if it stays")
    return kind(operation, f"{path}: {error}", hint)


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether SQLite itself says that the file is broken."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def garbled_is_corrupt() -> Iterator[None]:
    """Where SQLite quotes a damaged schema, Python cannot read the message: that is corruption."""
    try:
        yield
    except UnicodeDecodeError as error:
        corrupt = sqlite3.DatabaseError("the schema is garbled")
        corrupt.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise corrupt from error


def is_passing(error: sqlite3.Error) -> bool:
    """Whether the connection is as good as before: it had no room, or was not let in."""
    return _code(error) in _PASSING


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 when the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode to a file that exists; text that is no UTF-8 is replaced."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S, isolation_level=None
    )
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def open_database(
    path: Path, now_ns: int, notes: list[str], *, condemned: str = "", thorough: bool = True
) -> tuple[sqlite3.Connection, bool]:
    """Open the journal file, or set a corrupt one aside and begin a fresh one.

    Args:
        path: the file; its folder exists.
        now_ns: wall clock, for the name of a file set aside.
        notes: gets a line for the log about each thing set aside.
        condemned: what is already known to be wrong with the file; "" = examine it.
        thorough: look at all its pages too, for at most `CHECK_S`.

    Returns:
        The connection, and whether the file is a fresh one.

    Raises:
        JournalError: the file is another program's or of a newer perpflux (it is left as it is),
            or cannot be opened or made.
    """
    try:
        there = [c for c in _COMPANIONS if _companion(path, c).exists()]
        fault = condemned
        if there and not fault:
            main = "" in there
            if main:
                _refuse_foreign(path)
            fault = _fault(path, now_ns, notes, thorough) if main else "its main file is gone"
        if fault and there:
            aside = _set_aside(path, _COMPANIONS, now_ns)
            notes.append(
                f"the journal {path} was unusable ({fault}) and is now {aside}; a fresh one was "
                f"begun (to save what can be saved: sqlite3 {aside} .recover)"
            )
        fresh = not path.exists()
        return _prepare(path, fresh=fresh), fresh
    except sqlite3.Error as error:
        raise explain(error, "open journal", path) from error
    except OSError as error:
        raise JournalUnavailableError(
            "open journal", f"{path}: {error.strerror}", _FOLDER_HINT
        ) from error


def fault_of(path: Path) -> str:
    """What is wrong with a journal, as far as `CHECK_S` allows to look; "" when nothing is.

    Changes nothing, so that it may be asked beside a running agent.

    Raises:
        JournalError: it cannot be opened, or is another program's.
    """
    _refuse_foreign(path)
    try:
        with garbled_is_corrupt(), closing(connect(path, read_only=True)) as connection:
            return _examine(connection, path, thorough=True)
    except sqlite3.Error as error:
        if _code(error) in _FAULTS:
            return str(error)
        raise explain(error, "examine journal", path) from error


def _prepare(path: Path, *, fresh: bool) -> sqlite3.Connection:
    if fresh:  # SQLite gives its companions the same mode
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    connection = connect(path)
    try:
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}").close()
        connection.execute("PRAGMA journal_mode = WAL").close()
        connection.execute("PRAGMA secure_delete = OFF").close()
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}").close()
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").close()
        if fresh:
            connection.execute("BEGIN IMMEDIATE")
            _make_schema(connection)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_schema(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        connection.execute(statement).close()


def _shape(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    return set(connection.execute(_SHAPE))


def _refuse_foreign(path: Path) -> None:
    """Raise JournalError for what never was a journal: a device, a text. It is left as it is."""
    if not (path.is_file() or path.is_dir()):
        raise JournalError("open journal", f"{path} is no plain file", _OWN_PATH)
    if path.is_file():
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES)
        if not beginning.startswith(_MAGIC) and _is_text(beginning):
            raise JournalError("open journal", f"{path} is a text", _OWN_PATH)


def _is_text(beginning: bytes) -> bool:
    """Whether these are somebody's words; a broken database has zeros in it."""
    try:
        words = getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return bool(words) and "\0" not in words


def _fault(path: Path, now_ns: int, notes: list[str], thorough: bool) -> str:  # noqa: FBT001
    """What is wrong with a file that exists; "" when nothing is."""
    with path.open("rb") as file:
        header = file.read(20)
    if not header:
        return "it is empty"
    if not header.startswith(_MAGIC):
        return "it is no SQLite database"
    _check_log(path, now_ns, notes)
    try:
        with garbled_is_corrupt(), closing(connect(path, read_only=True)) as connection:
            fault = _examine(connection, path, thorough)
    except sqlite3.Error as error:
        if _code(error) in _FAULTS:
            return str(error)
        raise
    return fault or ("" if header.endswith(_WAL_MODE) else "its header is damaged")


def _check_log(path: Path, now_ns: int, notes: list[str]) -> None:
    """Set an unreadable write-ahead log aside: SQLite would throw it away without a word."""
    log = _companion(path, "-wal")
    with suppress(FileNotFoundError), log.open("rb") as file:
        magic = file.read(4)
        if magic and magic not in _WAL_MAGIC:
            aside = _set_aside(path, ("-wal",), now_ns)
            notes.append(
                f"the journal's log {log} was unreadable and is now {aside}-wal; what was taken "
                "since the last checkpoint is lost, the rest is kept (look after the disk)"
            )


def _examine(connection: sqlite3.Connection, path: Path, thorough: bool) -> str:  # noqa: FBT001
    """What is wrong inside, as far as `CHECK_S` allows to look; "" when nothing is."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if application_id != APPLICATION_ID:
        if tables and "span" not in tables:
            raise JournalError(
                "open journal",
                f"{path} is a database of another program",
                _OWN_PATH,
            )
        return "its header is damaged" if tables else "no journal was made in it"
    if not 0 < version <= VERSION_MAX:
        return "its header is damaged"
    if version > SCHEMA_VERSION:
        raise JournalError(
            "open journal",
            f"{path} has schema {version}, this perpflux knows {SCHEMA_VERSION}",
            "run the newer perpflux that wrote it, or give this one another journal.path; "
            "the file was left as it is",
        )
    with closing(sqlite3.connect(":memory:")) as model:
        _make_schema(model)
        if not _shape(model) <= _shape(connection):
            return "a table, a column or an index is missing"
    return _check_pages(connection) if thorough else ""


def _check_pages(connection: sqlite3.Connection) -> str:
    watchdog = Timer(CHECK_S, connection.interrupt)
    watchdog.start()
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return "" if verdict == "ok" else str(verdict)
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_INTERRUPT:
            return ""
        raise
    finally:
        watchdog.cancel()
        watchdog.join()


def _set_aside(path: Path, companions: tuple[str, ...], now_ns: int) -> Path:
    """Rename the file and what belongs to it; returns the new name of the main file."""
    stem = f"{path.name}.corrupt-"
    stamp = to_datetime(now_ns).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{stem}{stamp}{f'-{n}' if n else ''}" for n in range(_NAMES_MAX))
    aside = next(
        file
        for file in map(path.with_name, names)
        if not any(_companion(file, c).exists() for c in _COMPANIONS)
    )
    for companion in companions:
        with suppress(FileNotFoundError):
            _companion(path, companion).rename(_companion(aside, companion))
    kept = {
        file.name.removesuffix("-wal").removesuffix("-shm")
        for file in path.parent.iterdir()
        if file.name.startswith(stem)
    }
    for name in sorted(kept)[:-ASIDE_MAX]:
        for companion in _COMPANIONS:
            path.with_name(name + companion).unlink(missing_ok=True)
    return aside


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
