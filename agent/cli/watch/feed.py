"""What `perpflux watch` shows, from a running agent, or from the journal without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.board import Board, Row, read_batch
from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock, parse_rfc3339_ns
from agent.config import Config
from agent.errors import LineProtocolError, PerpfluxError
from agent.journal import Desk, History
from agent.journal.census import extent
from agent.journal.database import MAIN_SINK
from agent.journal.records import venue_of
from agent.running import running_document, running_status

FIELDS: Final = ("mid", "spread_bps", "spread_100k_bps", "gap_bps", "funding_apr", "carry_apr")
_INSTANTS: Final = ("quotes_updated_at", "next_settlement", "gap_ts")
SNAPSHOTS: Final = f"/api/snapshots?fields={','.join((*FIELDS, *_INSTANTS))}"
LOOK_BACK_STEPS: Final = 3
"""So many polls of the slowest source are read for a first table; a failed one hides nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known at an instant.

    Args:
        now_ns: the wall clock, ns since the epoch (the agent's, where one answers).
        rows: sorted by ticker, then source.
        intervals_s: how often each source is polled, s.
        ledger: of the main store, by name of the count; {} = not known.
        shipping: how shipping to it is, in words.
        origin: where all this is from, in words.
    """

    now_ns: int
    rows: list[Row]
    intervals_s: Mapping[str, int]
    ledger: Mapping[str, int]
    shipping: str
    origin: str


class Feed:
    """Reads one frame after another; without an agent only what is new in the journal.

    Args:
        config: where agent and journal are.
        clock: where time comes from.
    """

    def __init__(self, config: Config, clock: Clock = SYSTEM_CLOCK) -> None:
        self._config = config
        self._clock = clock
        self._path = Path(config.journal.path)
        self._intervals_s: dict[str, int] = {
            name: getattr(config, name).poll_interval_s for name in config.data_sources
        }
        self._board = Board()
        self._seen_seq = 0

    def read(self) -> Frame:
        """What is now.

        Raises:
            JournalError: no agent answers, and there is no journal.
            PerpfluxError: the agent says what this version does not understand.
        """
        status = running_status(self._config)
        told = None if status is None else running_document(self._config, SNAPSHOTS, exact=True)
        if status is None or told is None:
            return self._of_journal()
        try:
            return self._of_agent(status, told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PerpfluxError(
                "watch",
                f"the agent's answer is not understood: {error!r}",
                "agent and command are of different versions: restart the agent",
            ) from error

    def _of_agent(self, status: Mapping[str, Any], told: Mapping[str, Any]) -> Frame:
        host, port = self._config.http.address or ("", 0)
        return Frame(
            _required_instant(told["now"]),
            [_row(each) for each in told["snapshots"]],
            {name: int(each["poll_interval_s"]) for name, each in told["sources"].items()},
            status["ledger"],
            _shipping(status),
            f"agent at {host}:{port}, {status['state']}",
        )

    def _of_journal(self) -> Frame:
        self._take_news()
        now_ns = self._clock.now_ns()
        with Desk(self._path, bytes_max=self._config.journal.bytes_max) as desk:
            ledger, backlog = desk.accounts(MAIN_SINK)
        waiting = f"{backlog.points:,} points wait" if backlog.points else "nothing waits"
        return Frame(
            now_ns,
            self._board.rows(now_ns, fields=FIELDS),
            self._intervals_s,
            {
                "collected": ledger.collected,
                "stored": ledger.stored,
                "rejected": ledger.rejected,
                "evicted": ledger.evicted,
                "pending": ledger.pending,
            },
            waiting,
            "from the journal, no agent answers",
        )

    def _take_news(self) -> None:
        """Have the board take the polls that the journal got since the last look."""
        with History(self._path) as history:
            whole = history.extent()
            slots = extent(self._path)
            if whole is None or slots is None:
                return
            if self._seen_seq:
                records = history.records(seqs=(self._seen_seq + 1, whole[1]))
            else:
                step_s = max(self._intervals_s.values())
                since_ns = slots[1] - LOOK_BACK_STEPS * step_s * NS_PER_S
                records = history.records(since_ns=since_ns)
            for record in records:
                if venue_of(record.source) != record.source:
                    continue
                try:
                    batch = read_batch(record.source, record.slot_ns, record.lines)
                except LineProtocolError:
                    continue
                if batch is not None:
                    self._board.take(batch)
            self._seen_seq = whole[1]


def _row(told: Mapping[str, str]) -> Row:
    """A row of `/api/snapshots`, whose numbers were read as texts."""
    return Row(
        told["source"],
        told["ticker"],
        _required_instant(told["ts"]),
        _instant(told.get("quotes_updated_at")),
        {name: told[name] for name in FIELDS if name in told},
        _instant(told.get("gap_ts")),
        _instant(told.get("next_settlement")),
    )


def _instant(text: Any) -> int | None:
    return parse_rfc3339_ns(text) if isinstance(text, str) else None


def _required_instant(text: Any) -> int:
    instant_ns = _instant(text)
    if instant_ns is None:
        raise ValueError(f"{text!r} is no instant")
    return instant_ns


def _shipping(status: Mapping[str, Any]) -> str:
    """How it ships: state, what is in the way, since when something waits."""
    shipping, pending = status["shipping"], status["ledger"]["pending"]
    if shipping["state"] == "off":
        return "no InfluxDB configured"
    words = f"InfluxDB {shipping['state']}"
    if pending and shipping["oldest_pending_s"] is not None:
        words += f", {pending:,} points wait, the oldest {shipping['oldest_pending_s']} s"
    return words + (f": {shipping['last_error']}" if shipping["last_error"] else "")
