"""What is now, for whoever asks or watches: the board in a thread of its own, and its watchers.

The event loop hands over batches and bytes, and is never kept waiting: rows are made and written
in the thread, and a watcher who does not keep up is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.board import Board, Row
from agent.clock import NS_PER_S, Clock
from agent.errors import JournalError
from agent.http.documents import board_json
from agent.http.parameters import Selection
from agent.http.worker import BusyError, Worker
from agent.journal import History
from agent.past import newest
from agent.poll import Poll
from agent.snapshot import Batch

WATCHERS_MAX: Final = 16
BEHIND_MAX: Final = 4
"""Messages that a watcher may be behind; then it is let go."""
RECALL_S: Final = 86_400
"""What is older is not shown after a start."""
WAITING_MAX: Final = 32
"""Requests for the board of now that may wait."""

_Key = tuple[str, str]


class Watcher:
    """One who is told of every poll.

    Attributes:
        messages: what is still to be sent to it; None = it is to go.
    """

    def __init__(self, let_go: Callable[[], None]) -> None:
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue(BEHIND_MAX)
        self._let_go = let_go

    def tell(self, message: bytes | None) -> None:
        """Have it sent; one who is too far behind is let go."""
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            self._let_go()


class _Group:
    """Watchers of the same rows: what is told them is written once."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.told: dict[_Key, Row] = {}


class Live:
    """The board, and who watches it.

    Args:
        intervals_s: by source that is polled now, how often, s.
        clock: where time comes from.
    """

    def __init__(self, intervals_s: Callable[[], Mapping[str, int]], clock: Clock) -> None:
        self._intervals_s = intervals_s
        self._clock = clock
        self._board = Board()
        """For the worker alone, but for its length."""
        self._worker = Worker("board", WAITING_MAX)
        self._groups: dict[Selection, _Group] = {}
        self._telling: asyncio.Task[None] | None = None
        self._news = False
        self._closed = False

    @property
    def sources(self) -> list[str]:
        """The names of those that are polled now, sorted."""
        return sorted(self._intervals_s())

    @property
    def row_count(self) -> int:
        """How many rows the board has."""
        return len(self._board)

    @property
    def watcher_count(self) -> int:
        """How many watch."""
        return sum(len(group.watchers) for group in self._groups.values())

    def take(self, poll: Poll) -> None:
        """A poll is stored: onto the board with it, and tell the watchers. Returns at once."""
        if poll.batch is not None and not self._closed:
            self.put(poll.batch)

    def put(self, batch: Batch) -> None:
        """Onto the board with it, and tell the watchers. Returns at once."""
        self._worker.begin(self._board.take, batch)
        if self._groups:
            self._news = True
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell(), name="tell watchers")

    def recall(self, journal: Path) -> None:
        """Begin with what the journal has of the last day: a venue that is down shows its age."""
        self._worker.begin(self._recall, journal, self.sources)

    def retain(self, sources: Iterable[str]) -> None:
        """Only these are polled from now on."""
        self._worker.begin(self._board.retain, tuple(sources))

    async def document(self, selection: Selection) -> str:
        """The rows of now, as `/api/snapshots` gives them.

        Raises:
            BusyError: too many ask at once.
        """
        return await self._worker.do(self._document, selection, self._intervals_s())

    async def join(self, selection: Selection, let_go: Callable[[], None]) -> Watcher:
        """Become a watcher; the first message is all there is. To be followed by `leave`.

        Raises:
            BusyError: there are `WATCHERS_MAX` already.
        """
        if self.watcher_count >= WATCHERS_MAX:
            raise BusyError(
                "watch", f"{WATCHERS_MAX} watch already", "close a page, or ask /api/snapshots"
            )
        watcher = Watcher(let_go)
        group = self._groups.setdefault(selection, _Group())
        # First of the group, so that nothing that comes meanwhile is missed.
        group.watchers.add(watcher)
        try:
            told = await self._worker.do(self._everything, selection, group, self._intervals_s())
            watcher.tell(told)
        except BaseException:
            self.leave(selection, watcher)
            raise
        return watcher

    def leave(self, selection: Selection, watcher: Watcher) -> None:
        """Watch no more."""
        group = self._groups[selection]
        group.watchers.discard(watcher)
        if not group.watchers:
            del self._groups[selection]

    def hang_up(self) -> None:
        """Have every watcher go."""
        for group in self._groups.values():
            for watcher in tuple(group.watchers):
                watcher.tell(None)

    async def close(self) -> None:
        """Take and tell nothing more."""
        self._closed = True
        if self._telling is not None:
            self._telling.cancel()
        await self._worker.close()

    async def _tell(self) -> None:
        """Tell every group what is new; polls that come meanwhile are told together."""
        while self._news:
            self._news = False
            for selection, group in tuple(self._groups.items()):
                changes = self._worker.begin(self._changes, selection, group, self._intervals_s())
                message = await asyncio.wrap_future(changes)
                if message is not None:
                    for watcher in tuple(group.watchers):
                        watcher.tell(message)

    # In the worker's thread, from here on.

    def _recall(self, journal: Path, sources: Iterable[str]) -> None:
        with suppress(JournalError), History(journal) as history:
            for batch in newest(history, sources, self._clock.now_ns() - RECALL_S * NS_PER_S):
                self._board.take(batch)

    def _document(self, selection: Selection, intervals_s: Mapping[str, int]) -> str:
        now_ns = self._clock.now_ns()
        rows = self._board.rows(now_ns, fields=selection.fields, chosen=selection.takes)
        return board_json(rows, selection.fields, now_ns=now_ns, intervals_s=intervals_s)

    def _everything(
        self, selection: Selection, group: _Group, intervals_s: Mapping[str, int]
    ) -> bytes:
        now_ns = self._clock.now_ns()
        rows = self._board.rows(now_ns, fields=selection.fields, chosen=selection.takes)
        if not group.told:
            group.told = _by_key(rows)
        text = board_json(rows, selection.fields, now_ns=now_ns, intervals_s=intervals_s)
        return event("all", text)

    def _changes(
        self, selection: Selection, group: _Group, intervals_s: Mapping[str, int]
    ) -> bytes | None:
        now_ns = self._clock.now_ns()
        rows = self._board.rows(now_ns, fields=selection.fields, chosen=selection.takes)
        before, group.told = group.told, _by_key(rows)
        new = [row for key, row in group.told.items() if before.get(key) != row]
        gone = before.keys() - group.told.keys()
        if not new and not gone:
            return None
        text = board_json(
            new, selection.fields, now_ns=now_ns, intervals_s=intervals_s, gone=sorted(gone)
        )
        return event("changes", text)


def _by_key(rows: Iterable[Row]) -> dict[_Key, Row]:
    return {(row.source, row.ticker): row for row in rows}


def event(name: str, data: str) -> bytes:
    """A server-sent event; the data is one line.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    """
    return f"event: {name}\ndata: {data}\n\n".encode()
