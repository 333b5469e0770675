"""Sends records of the past again, for a command: the journal's accounts are not its affair.

A command that is waited for tries a few times, as the shipper does, and then says what is in the
way; what was sent is stored, and sending it twice changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.clock import SYSTEM_CLOCK, Clock
from agent.delivery import Delivered, Destination
from agent.errors import InfluxDBError
from agent.fates import BackOff, Park, back_off_s
from agent.horizon import Horizon
from agent.journal.records import Record

TRIES_MAX: Final = 5
"""Of one batch: about a quarter of a minute."""
WAIT_S_MAX: Final = 60
"""Between two tries, whatever a server asks for."""
BATCH_LINES_MAX: Final = 5_000
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Compressed; the first of the two bounds that is met ends a batch."""

Numbered = tuple[Record, int]
"""A record and how many lines it has."""


class Resender:
    """Sends to one store.

    Args:
        destination: where to; it is not closed here.
        clock: where time comes from.
        rand: a random number, 0 ≤ x < 1, for the jitter.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._destination = destination
        self._clock = clock
        self._rand = rand
        self._horizon = Horizon(clock)

    async def send(self, records: list[Record]) -> Delivered:
        """See these to their end; what is refused is in the answer.

        Raises:
            InfluxDBError: it does not take them now; how much of them it has is not known.
        """
        live, expired = self._horizon.split(records)
        fate: Park | BackOff = BackOff("")
        for attempt in range(TRIES_MAX):
            outcome = await self._destination.deliver(live) if live else Delivered((), None)
            if isinstance(outcome, Delivered):
                if outcome.too_old is not None:
                    self._horizon.learn(outcome.too_old)
                return Delivered((*expired, *outcome.rejected), outcome.write_ms)
            fate = outcome.fate
            if isinstance(fate, Park):
                raise InfluxDBError("send again", fate.reason, fate.hint)
            if attempt + 1 < TRIES_MAX:
                wait_s = max(back_off_s(attempt, self._rand()), fate.retry_after_s or 0)
                await self._clock.sleep(min(wait_s, WAIT_S_MAX))
        raise InfluxDBError("send again", fate.reason, "try again later")


def in_batches(records: Iterable[Numbered]) -> Iterator[list[Record]]:
    """As many as fit into a request, at least one."""
    batch: list[Record] = []
    lines_sum = bytes_sum = 0
    for record, lines in records:
        lines_sum += lines
        bytes_sum += len(record.fragment)
        if batch and (lines_sum > BATCH_LINES_MAX or bytes_sum > BATCH_BYTES_MAX):
            yield batch
            batch, lines_sum, bytes_sum = [], lines, len(record.fragment)
        batch.append(record)
    if batch:
        yield batch
