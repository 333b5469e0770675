"""A stream as a destination of the journal: every message acknowledged before a record counts.

What is interrupted is published again. The server drops what it has already, by the id of the
message (`messages`), for as long as its stream remembers ids (duplicate_window); later than that
the store drops it, where the same point overwrites itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final

from agent.clock import NS_PER_MS, SYSTEM_CLOCK, Clock
from agent.config import NatsSink
from agent.delivery import Delivered, Paused
from agent.fates import BackOff, Park
from agent.journal.records import Record, Rejected
from agent.stream.answers import NO_LEADER, meaning
from agent.stream.connection import REQUEST_S, Client, Connection, NatsError
from agent.stream.messages import BODY_BYTES_MAX, Message, messages_of

WINDOW: Final = 64
"""Messages that are published and not yet acknowledged."""
HEADERS_BYTES_MAX: Final = 1024
"""A message's headers and protocol, generously."""
STREAM_HEADER: Final = "Nats-Expected-Stream"


class Publisher:
    """Publishes to one stream. A `delivery.Destination`.

    Args:
        sink: which one.
        clock: measures the acknowledgements.
    """

    def __init__(self, sink: NatsSink, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._sink = sink
        self._clock = clock
        self._connection = Connection(sink, "perpflux publisher")

    async def deliver(self, records: Sequence[Record]) -> Delivered | Paused:
        """Publish them all; delivered when the stream has acknowledged every message."""
        start_ns = self._clock.monotonic_ns()
        try:
            client = await self._connection.client()
            # In a thread: a batch takes 30 ms, and the polls do not wait.
            messages, rejected = await asyncio.to_thread(
                self._messages, records, client.max_payload - HEADERS_BYTES_MAX
            )
            await self._publish(client, messages)
        except NatsError as error:
            return Paused(error.fate)
        write_ms = (self._clock.monotonic_ns() - start_ns) // NS_PER_MS
        return Delivered(tuple(rejected), write_ms if messages else None)

    async def doubt(self) -> Park | BackOff | None:
        """Why a message would not be taken now; None = it would be."""
        try:
            await self._connection.check()
        except NatsError as error:
            return error.fate
        return None

    async def close(self) -> None:
        """Close the connection; the next use makes another one."""
        await self._connection.close()

    def _messages(
        self, records: Sequence[Record], payload_max: int
    ) -> tuple[list[Message], list[Rejected]]:
        bytes_max = min(BODY_BYTES_MAX, payload_max)
        messages: list[Message] = []
        rejected: list[Rejected] = []
        for record in records:
            found, unfit = messages_of(
                record, subject=self._sink.subject, group=self._sink.group, bytes_max=bytes_max
            )
            messages += found
            rejected += unfit
        return messages, rejected

    async def _publish(self, client: Client, messages: Sequence[Message]) -> None:
        """Window by window. Raises NatsError for the first that is not taken."""
        for start in range(0, len(messages), WINDOW):
            window = messages[start : start + WINDOW]
            answers = await asyncio.gather(*(self._send(client, message) for message in window))
            troubles = [fate for fate in answers if fate is not None]
            if not troubles:
                continue
            parked = [fate for fate in troubles if isinstance(fate, Park)]
            trouble = (parked or troubles)[0]
            # There may be no stream, or it is choosing another leader.
            raise NatsError((trouble is NO_LEADER and await self.doubt()) or trouble)

    async def _send(self, client: Client, message: Message) -> Park | BackOff | None:
        """One message and its acknowledgement; what is in the way, or None."""
        headers = {**message.headers, STREAM_HEADER: self._sink.stream}
        try:
            # Twice bounded: nats-py bounds the answer only, not the way out.
            async with asyncio.timeout(REQUEST_S + 1):
                reply = await client.request(
                    message.subject, message.body, timeout=REQUEST_S, headers=headers
                )
        except Exception as error:  # noqa: BLE001  # the library raises what it meets
            if type(error).__name__ == "NoRespondersError":
                return NO_LEADER
            return self._connection.fate(error)
        return refusal(reply.data)


def refusal(data: bytes) -> Park | BackOff | None:
    """Why the stream did not take a message, by its answer; None = it has it. Pure."""
    try:
        answer = json.loads(data)
        error = answer.get("error")
        if error is None and isinstance(answer["seq"], int):
            return None
        return meaning(error.get("err_code"), f"{error['description']} ({error.get('err_code')})")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return BackOff("what answers is no JetStream: is another program listening there?")
