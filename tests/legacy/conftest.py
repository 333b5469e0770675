"""The earlier collector's database, made from its own statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parent / "legacy-snapshots.sql"
NUMBER_COLUMNS = ("ts", "ticker", "mark_price", "bid_1k", "ask_1k", "volume_24h")

Insert = Callable[..., None]


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    """The recorded database: one row, no column `source`."""
    path = tmp_path / "legacy.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SAMPLE.read_text(encoding="utf-8"))
    return path


@pytest.fixture
def insert(legacy: Path) -> Insert:
    """Adds a row as the earlier collector does; columns by name."""

    def add(**columns: Any) -> None:
        columns = {"ts": "2026-01-06 10:00:00.000000", "ticker": "BTC", **columns}
        write(legacy, tuple(columns), [tuple(columns.values())])

    return add


def write(path: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Add rows."""
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO snapshots ({', '.join(names)}) VALUES ({marks})"
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(statement, rows)
        connection.commit()


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What the file answers."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
