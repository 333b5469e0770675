"""The journal: the one hand-off between collecting and shipping, and the local history.

`Journal` takes polls and gives batches; `History` reads what lies in it; `Desk` is for commands
that look at, or deal with, the accounts while an agent runs. Records are numbered
(`seq`); each sink has a short list of seq spans that it has still to get, and counters that
together with those spans account for every point (the ledger law).
"""

from agent.journal.desk import Desk
from agent.journal.journal import Journal
from agent.journal.reader import History, HistoryRecord
from agent.journal.records import (
    Backlog,
    Entry,
    Evicted,
    Lane,
    Ledger,
    Record,
    Rejected,
    RejectedRow,
)

__all__ = [
    "Backlog",
    "Desk",
    "Entry",
    "Evicted",
    "History",
    "HistoryRecord",
    "Journal",
    "Lane",
    "Ledger",
    "Record",
    "Rejected",
    "RejectedRow",
]
