"""What a command does with a journal that a running agent holds: looks, and small transactions.

The agent keeps nothing of this in memory, so SQLite's own locks are enough: each change is one
transaction that waits its turn (at most `database.BUSY_S`). Spans and records that are there stay
as they are; new records come behind the newest, where the agent finds them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.errors import JournalError, JournalUnavailableError
from agent.journal import refusals, retention, room, rows
from agent.journal.database import (
    APPLICATION_ID,
    MAIN_SINK,
    SCHEMA_VERSION,
    connect,
    explain,
    garbled_is_corrupt,
)
from agent.journal.records import Backlog, Entry, Ledger, Record, Rejected, RejectedRow
from agent.journal.spans import OPEN_END
from agent.journal.tables import (
    append,
    count,
    forget_sink,
    head,
    ledger_of,
    sink_names,
    spans_of,
    sum_of,
)
from agent.journal.view import View

ROW_BYTES: Final = 200
"""What a record takes in the file beside its fragment: its row, two indexes, unused room."""
FULL_PARTS: Final = (9, 10)
"""Of `bytes_max`: beyond it nothing is appended here, so that the agent has the rest."""
_OPERATION: Final = "use journal"
_STATE: Final = "SELECT value FROM state WHERE key = ?"


class Desk(View):
    """A journal's accounts and rejected lines. A context manager, for one thread.

    Args:
        path: the file.
        bytes_max: of the journal: bounds the rejected lines that are kept.

    Raises:
        JournalError: there is no such journal, or it cannot be read. Every method raises it too.
    """

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        super().__init__(path, _OPERATION)
        self._bytes_max = bytes_max
        try:
            with garbled_is_corrupt():
                (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise explain(error, _OPERATION, path) from error
        if (application_id, version) != (APPLICATION_ID, SCHEMA_VERSION):
            self.close()
            raise JournalError(_OPERATION, f"{path} is no journal of this version of perpflux")

    def sinks(self) -> list[str]:
        """The names of all sinks, sorted."""
        with self._look() as connection:
            return sink_names(connection)

    def accounts(self, sink: str) -> tuple[Ledger, Backlog]:
        """Where the points of a sink are, and what waits, at one instant."""
        with self._look(sink) as connection:
            return _accounts(connection, sink)

    def rejected(self, sink: str, limit: int, after_id: int = 0) -> list[RejectedRow]:
        """The oldest `limit` rejected lines of the sink with an id above `after_id`."""
        with self._look(sink) as connection:
            return refusals.read_from(connection, sink, limit, after_id)

    def last_rejected_id(self, sink: str) -> int:
        """The id of the newest rejected line of the sink; 0 when it has none."""
        with self._look(sink) as connection:
            newest = refusals.read(connection, sink, 1, None)
        return newest[0].id if newest else 0

    def state(self, key: str) -> str | None:
        """What the agent remembers under a key; None = nothing."""
        with self._look() as connection:
            row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def record(self, seq: int) -> Record | None:
        """A record; None when it is no longer there, or damaged."""
        with self._look() as connection:
            row = connection.execute(f"{rows.READ} WHERE seq = ?", (seq,)).fetchone()
        unpacked = None if row is None else rows.unpack(row)
        return None if unpacked is None else unpacked[0]

    def replayed(
        self, sink: str, ids: Sequence[int], refused: Mapping[int, Sequence[Rejected]], at_ns: int
    ) -> int:
        """These rejected lines were sent again: what is not refused anew counts as stored.

        A row that is no longer there was dealt with by somebody else and is passed over.

        Args:
            sink: whose.
            ids: the rows that were sent.
            refused: by id, the lines that were refused again; they become rows of their own.
            at_ns: wall clock, their time.

        Returns:
            The points that are stored now.
        """
        stored = 0
        again: list[Rejected] = []
        with self._change(sink) as connection:
            for number in ids:
                row = refusals.take(connection, sink, number)
                if row is None:
                    continue
                lines = refused.get(number, ())
                again += [
                    Rejected(line.line, line.reason, line.points, row.rejected.seq)
                    for line in lines
                ]
                stored += row.rejected.points - sum(line.points for line in lines)
            count(connection, sink, stored=stored, rejected=-stored)
            room = refusals.text_bytes_max(self._bytes_max, len(sink_names(connection)))
            refusals.keep(connection, sink, again, at_ns=at_ns, text_bytes_max=room)
        return stored

    def get_state(self, key: str) -> str | None:
        """A small fact kept over restarts; None when there is none."""
        with self._look() as connection:
            (value,) = connection.execute(_STATE, (key,)).fetchone() or (None,)
        return value if value is None else str(value)

    def append(
        self, entries: Sequence[Entry], *, at_ns: int, key: str, before: str | None, after: str
    ) -> None:
        """Add a record per entry, and keep a fact with them, in one transaction.

        Nothing that a store has still to get makes way for it, and the agent has room left.

        Args:
            entries: in their order; may be none.
            at_ns: wall clock, when they are taken.
            key: of the fact.
            before: its value so far, None = there is none: so that two callers do not do the same.
            after: its new value.

        Raises:
            JournalUnavailableError: there is no room, in the journal or on its disk.
            JournalError: the fact has another value by now. Nothing is changed then.
        """
        with self._change() as connection:

            def claim(size: int) -> None:
                self._claim_room(connection, size + len(entries) * ROW_BYTES)

            (value,) = connection.execute(_STATE, (key,)).fetchone() or (None,)
            if value != before:
                raise JournalError(_OPERATION, f"another {key} is under way", "let it finish")
            if entries:
                append(connection, entries, now_ns=at_ns, claim=claim)
            connection.execute("REPLACE INTO state (key, value) VALUES (?, ?)", (key, after))

    def _claim_room(self, connection: sqlite3.Connection, size: int) -> None:
        shortage = room.shortage(self._path)
        if shortage is not None:
            raise JournalUnavailableError(
                _OPERATION, f"the disk of {self._path} has {shortage}", "make room on that disk"
            )
        first_seq = retention.unshipped_from(connection)
        waiting = sum_of(connection, [(first_seq, OPEN_END)]).bytes
        waiting += max(0, head(connection)[0] - first_seq + 1) * ROW_BYTES
        if (waiting + size) * FULL_PARTS[1] > self._bytes_max * FULL_PARTS[0]:
            raise JournalUnavailableError(
                _OPERATION,
                f"{self._path} is full of points that no store has yet",
                "have them shipped (`perpflux backlog` says what waits), or raise "
                "journal.bytes_max; then do this again",
            )

    def purge(self, sink: str, ids: Sequence[int] | None) -> int:
        """Forget rejected lines (None = all); they still count as rejected. How many there were."""
        with self._change(sink) as connection:
            if ids is None:
                return refusals.forget(connection, sink, 2**63 - 1)
            taken = [refusals.take(connection, sink, number) for number in ids]
            gone = [row.rejected.seq for row in taken if row is not None]
            if gone:
                refusals.remember_forgotten(connection, sink, max(gone))
            return len(gone)

    def forget(self, sink: str) -> tuple[Ledger, Backlog]:
        """Forget a sink that nothing is shipped to; its accounts, as they were at that instant.

        The records stay as long as the journal's bounds allow. Raises JournalError for the main
        sink as well.
        """
        if sink == MAIN_SINK:
            raise JournalError(_OPERATION, f"{sink} is the journal's own", "forget another one")
        with self._change(sink) as connection:
            accounts = _accounts(connection, sink)
            forget_sink(connection, sink)
        return accounts

    @contextmanager
    def _look(self, sink: str | None = None) -> Iterator[sqlite3.Connection]:
        """The connection, within one view of the journal."""
        with self._explained(), self._transaction(self._connection, "BEGIN") as connection:
            self._require(connection, sink)
            yield connection

    @contextmanager
    def _change(self, sink: str | None = None) -> Iterator[sqlite3.Connection]:
        """A connection that writes, inside one transaction."""
        with self._explained():
            connection = connect(self._path)
            try:
                connection.execute("PRAGMA synchronous = FULL").close()
                with self._transaction(connection, "BEGIN IMMEDIATE"):
                    self._require(connection, sink)
                    yield connection
            finally:
                connection.close()

    @contextmanager
    def _transaction(
        self, connection: sqlite3.Connection, begin: str
    ) -> Iterator[sqlite3.Connection]:
        connection.execute(begin).close()
        try:
            yield connection
        except BaseException:
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
        connection.execute("COMMIT").close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with garbled_is_corrupt():
                yield
        except sqlite3.Error as error:
            raise explain(error, _OPERATION, self._path) from error

    def _require(self, connection: sqlite3.Connection, sink: str | None) -> None:
        names = sink_names(connection)
        if sink is not None and sink not in names:
            known = ", ".join(names)
            raise JournalError(_OPERATION, f"{self._path} has no sink {sink!r}", f"one of {known}")


def _accounts(connection: sqlite3.Connection, sink: str) -> tuple[Ledger, Backlog]:
    waiting = sum_of(connection, spans_of(connection, sink))
    backlog = Backlog(waiting.points, waiting.bytes, waiting.oldest_ns)
    return ledger_of(connection, sink), backlog
