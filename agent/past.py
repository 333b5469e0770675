"""The past from the journal: rows as the board had them, thinned, and what was last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from agent.board import BOARD_FIELDS, Board, Row, read_batch
from agent.clock import NS_PER_S
from agent.journal import History
from agent.journal.reader import HistoryRecord
from agent.line_protocol import escape_tag
from agent.snapshot import Batch


def step_s_of(since_ns: int, until_ns: int, points: int) -> int:
    """Whole seconds between points so that there are at most `points` (2 or more) of them."""
    return max(1, -(-(until_ns - since_ns) // ((points - 1) * NS_PER_S)))


def rows(
    history: History,
    since_ns: int,
    until_ns: int,
    step_s: int,
    *,
    sources: Collection[str],
    tickers: Collection[str] | None,
    fields: Sequence[str],
    chosen: Callable[[str, str], bool],
) -> Iterator[Row]:
    """The rows of one slot a step, in the order of time.

    Sources are compared within a step, where they have a slot in common.

    Args:
        history: the journal.
        since_ns: first slot, ns since the epoch.
        until_ns: the slot to stop before.
        step_s: length of a step, s, 1 or more.
        sources: every source there is; one that is not chosen is read only to compare with it.
        tickers: read only these; None = all.
        fields: which numbers to give.
        chosen: whether to give the row of a source and ticker.

    Raises:
        JournalError: the journal cannot be read.
    """
    compared = any(field.name in fields for field in BOARD_FIELDS)
    read = [name for name in sources if compared or _any_chosen(chosen, name, tickers)]
    for records in history.thinned(since_ns, until_ns, step_s * NS_PER_S, read):
        board = Board()
        for record in records:
            batch = read_batch(record.source, record.slot_ns, _lines(record, tickers))
            if batch is not None:
                board.take(batch)
        now_ns = max((record.slot_ns for record in records), default=0)
        yield from board.rows(now_ns, fields=fields, chosen=chosen)


def newest(history: History, sources: Iterable[str], since_ns: int) -> Iterator[Batch]:
    """What each source gave last, if its slot is since_ns or later (ns). Raises JournalError."""
    for source in sources:
        record = history.newest(source, since_ns)
        batch = record and read_batch(record.source, record.slot_ns, record.lines)
        if batch:
            yield batch


def _any_chosen(
    chosen: Callable[[str, str], bool], source: str, tickers: Collection[str] | None
) -> bool:
    return tickers is None or any(chosen(source, ticker) for ticker in tickers)


def _lines(record: HistoryRecord, tickers: Collection[str] | None) -> str:
    """The snapshot lines of these tickers; found without looking at the other lines."""
    if tickers is None:
        return record.lines
    text = f"\n{record.lines}"
    found = []
    for ticker in tickers:
        head = f"\nsnapshot,source={escape_tag(record.source)},ticker={escape_tag(ticker)} "
        begin = text.find(head)
        if begin >= 0:
            found.append(text[begin + 1 : text.index("\n", begin + 1)])
    return "\n".join(found)
