"""How far back a bucket takes points, learned from its own refusals: what is older is not sent.

A token that may only write cannot ask for the retention; the refusal of one old point tells it.
The bound is counted on from the server's clock by the monotonic one, so a step of ours expires
nothing; and it is believed for a while only, so that a longer retention is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.fates import TooOld
from agent.journal.records import Record, Rejected

TRUST_S: Final = 600
"""After so long an old batch is sent again, to see whether it is still refused."""


class Horizon:
    """What one bucket refuses for its age.

    Args:
        clock: its monotonic part only.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: TooOld | None = None
        self._told_ns = 0

    @property
    def bound_ns(self) -> int | None:
        """Stamps before this are too old now (ns since the epoch); None = nothing is known."""
        since_ns = self._clock.monotonic_ns() - self._told_ns
        if self._told is None or since_ns >= TRUST_S * NS_PER_S:
            return None
        return self._told.bound_ns + since_ns

    def learn(self, told: TooOld) -> None:
        """The server has just said so."""
        self._told, self._told_ns = told, self._clock.monotonic_ns()

    def forget(self) -> None:
        """It is another bucket from now on."""
        self._told = None

    def split(self, records: Sequence[Record]) -> tuple[Sequence[Record], list[Rejected]]:
        """The records to send, and a refusal for each of the others."""
        bound_ns = self.bound_ns
        if self._told is None or bound_ns is None:
            return records, []
        reason = f"not sent: older than the bucket's retention of {self._told.duration}"
        return (
            [record for record in records if record.slot_ns >= bound_ns],
            [
                Rejected("", reason, record.points, record.seq)
                for record in records
                if record.slot_ns < bound_ns
            ],
        )
