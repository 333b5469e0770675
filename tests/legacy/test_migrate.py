"""The earlier collector's database gets its column and index, or stays exactly as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import LegacyDatabaseError
from agent.legacy import database as database_module
from agent.legacy import migrate
from tests.legacy.conftest import Insert, ask
from tests.support.clock import START_NS

OLD_COLUMNS = (
    "id, ts, ticker, mark_price, bid_1k, ask_1k, bid_100k, ask_100k, mid, spread_bps,"
    " impact_buy_bps, impact_sell_bps, quote_age_ms, funding_rate, long_oi, short_oi, volume_24h,"
    " quotes_updated_at, raw_json"
)
OLD_ROWS = f"SELECT {OLD_COLUMNS} FROM snapshots"
SHAPE = "SELECT sql FROM sqlite_master ORDER BY name"


def backups(path: Path) -> list[Path]:
    """Copies beside the file."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def test_the_column_and_the_index_are_added(legacy: Path) -> None:
    """Rows that are there are Variational's, and the index is on source, ticker and time."""
    migration = migrate(legacy, START_NS)
    assert migration.done == ("column source", "index (source, ticker, ts)")
    assert migration.rows == 1
    assert ask(legacy, "SELECT id, source FROM snapshots") == [(1, "variational")]
    plan = ask(
        legacy,
        "EXPLAIN QUERY PLAN SELECT ts FROM snapshots WHERE source = 'bybit' AND ticker = 'BTC'"
        " ORDER BY ts",
    )
    assert "ix_snapshots_source_ticker_ts (source=? AND ticker=?)" in plan[0][3]


def test_the_old_columns_read_and_write_as_before(legacy: Path, insert: Insert) -> None:
    """A program that knows nothing of `source` goes on: its rows are Variational's."""
    before = ask(legacy, OLD_ROWS)
    migrate(legacy, START_NS)
    assert ask(legacy, OLD_ROWS) == before
    insert(mark_price="1.5")
    assert ask(legacy, "SELECT source, mark_price FROM snapshots WHERE id = 2") == [
        ("variational", 1.5)
    ]


def test_a_second_migration_changes_nothing(legacy: Path) -> None:
    """Not a byte, and no second copy."""
    migrate(legacy, START_NS)
    before, copies = legacy.read_bytes(), backups(legacy)
    assert migrate(legacy, START_NS).backup is None
    assert (legacy.read_bytes(), backups(legacy)) == (before, copies)


def test_half_of_it_is_completed(legacy: Path) -> None:
    """Where somebody has added the column already, only the index is made."""
    with closing(sqlite3.connect(legacy)) as connection:
        connection.execute("ALTER TABLE snapshots ADD COLUMN source TEXT")
    assert migrate(legacy, START_NS).done == ("index (source, ticker, ts)",)


def test_the_copy_is_the_file_before(legacy: Path) -> None:
    """Same schema, same rows; an older copy of the same second is not overwritten."""
    shape, rows = ask(legacy, SHAPE), ask(legacy, OLD_ROWS)
    older = legacy.with_name("legacy.db.backup-20260921T150000Z")
    older.write_text("precious")
    backup = migrate(legacy, START_NS).backup
    assert backup == legacy.with_name("legacy.db.backup-20260921T150000Z-1")
    assert (ask(backup, SHAPE), ask(backup, OLD_ROWS)) == (shape, rows)
    assert older.read_text() == "precious"


def test_what_fails_midway_changes_nothing(legacy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both statements or neither: the column goes again when the index cannot be made."""
    monkeypatch.setattr(database_module, "_ADD_INDEX", "CREATE INDEX ix_snapshots_ts ON no (no)")
    before = ask(legacy, SHAPE)
    with pytest.raises(LegacyDatabaseError, match="migrate database"):
        migrate(legacy, START_NS)
    assert ask(legacy, SHAPE) == before


def test_a_copy_that_fails_is_not_left_behind(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a copy would pass for a whole one; and without a copy nothing is changed."""

    def full(_: Path) -> sqlite3.Connection:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(database_module, "_new", full)
    before = ask(legacy, SHAPE)
    with pytest.raises(LegacyDatabaseError, match=r"disk is full \(make room"):
        migrate(legacy, START_NS)
    assert (ask(legacy, SHAPE), backups(legacy)) == (before, [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is no file"),
        (b"", "it has no table snapshots"),
        (b"not a database, but long enough to be taken for one" * 30, "name the file that"),
        ("CREATE TABLE other (id)", "it has no table snapshots"),
        ("CREATE VIEW snapshots AS SELECT 1 AS id", "it has no table snapshots"),
        ("CREATE TABLE snapshots (id, ts, ticker)", "lacks ask_1k, bid_1k, mark_price"),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str | None, words: str
) -> None:
    """By both commands, in words, and left as it is."""
    path = tmp_path / "other.db"
    if isinstance(content, str):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(content)
    elif content is not None:
        path.write_bytes(content)
    before = path.read_bytes() if path.exists() else None
    for command in ("migrate-sqlite", "import-sqlite"):
        assert main([command, str(path)]) == 1
        assert words in capsys.readouterr().err
    assert (path.read_bytes() if path.exists() else None) == before
    assert backups(path) == []


def test_a_file_that_is_being_written_is_not_touched(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the earlier collector is in a transaction, the operator is told to stop it."""
    monkeypatch.setattr(database_module, "BUSY_S", 0.01)
    with closing(sqlite3.connect(legacy, isolation_level=None)) as collector:
        collector.execute("BEGIN IMMEDIATE")
        with pytest.raises(LegacyDatabaseError, match="stop the earlier collector"):
            migrate(legacy, START_NS)
    assert backups(legacy) == []


def test_the_command_says_what_it_did(legacy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was added and where the copy is; the second time that nothing was to do."""
    assert main(["migrate-sqlite", str(legacy)]) == 0
    said = capsys.readouterr().out
    assert "column source and index (source, ticker, ts) added; 1 rows" in said
    assert str(backups(legacy)[0]) in said
    assert main(["migrate-sqlite", str(legacy)]) == 0
    assert "is up to date (1 rows); nothing was changed" in capsys.readouterr().out
