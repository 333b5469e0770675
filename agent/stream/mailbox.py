"""Where a shipper takes from when it fills a store from a stream: in the place of the journal.

A durable pull consumer gives the messages; several programs that use the same one share them. What
is taken is leased: acknowledged when its store has answered for it, given back when the store is
not to be had, and given to somebody else by the server when nothing is heard of it for
`ACK_WAIT_S`. So a message may be written twice, which changes nothing in the store, and none is
lost.

What a store refuses for good, and what is no message of ours, is kept in a journal of our own.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from agent.config import NatsSink
from agent.errors import JournalError
from agent.fates import BackOff, Park, back_off_s
from agent.journal import Journal
from agent.journal.database import MAIN_SINK
from agent.journal.records import Backlog, Entry, Lane, Record, Rejected
from agent.log import get_logger
from agent.stream.connection import REQUEST_S, Client, Connection, NatsError
from agent.stream.messages import record_of

ACK_WAIT_S: Final = 30
"""Whoever is not heard of for so long has lost what he held."""
OPEN_S: Final = 15
"""For the consumer to be looked up, or made, and our inbox to be listened on."""
KEEP_EVERY_S: Final = 10
HELD_MAX: Final = 256
"""Messages taken and not yet acknowledged, of this program."""
HELD_OF_ALL_MAX: Final = 4_096
"""The same of all who share the consumer."""
PULL_BYTES_MAX: Final = 16 * 2**20
PULL_S: Final = 2
"""How long one request for messages stands; a lost one is missed for so long."""
PULL_MARGIN_S: Final = 1
GIVE_BACK_S: Final = 1
"""What is given back comes again after so long, to whoever asks."""
ODD_BYTES_MAX: Final = 48 * 1024
"""Of a message that cannot be read, so much is kept."""

SOURCE: Final = "stream"
_ACK, _NAK, _PROGRESS = b"+ACK", b"-NAK", b"+WPI"
"""https://docs.nats.io/reference/reference-protocols/nats_api_reference"""
_EXPIRED: Final = frozenset({"404", "408"})
"""A request ended without harm."""


@dataclass(slots=True)
class _Held:
    """A message: what it says, where to acknowledge it, and whether the shipper has it."""

    record: Record
    reply: str
    leased: bool = False


class Mailbox:
    """A stream's durable consumer as a `shipper.Journal`; the sink's name is of no account.

    Args:
        sink: the stream.
        durable: the consumer's name: who gives the same one shares the messages.
        box: keeps what is refused, and the ledger.
        clock: where time comes from.

    Attributes:
        error: why nothing comes from the stream; None = it does.
        again: messages that were given out before, by anybody, since the start.
        beat_ns: monotonic clock of the last turn.
    """

    def __init__(
        self, sink: NatsSink, durable: str, box: Journal, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.error: str | None = None
        self.again = 0
        self.beat_ns = clock.monotonic_ns()
        self._sink = sink
        self._durable = durable
        self._box = box
        self._clock = clock
        self._log = get_logger()
        self._connection = Connection(sink, f"perpflux sink {durable}")
        self._client: Client = None
        self._inbox = ""
        self._held: dict[int, _Held] = {}
        self._odd: dict[int, tuple[str, bytes, str]] = {}
        """Messages that cannot be read: where to acknowledge, what it is, why."""
        self._bell = asyncio.Event()
        self._stirred = asyncio.Event()
        """Something is wanted, or there is room again."""
        self._over = asyncio.Event()
        """The request for messages that stood has ended."""
        self._wanted = False
        self._due = 0
        """Messages that the request may still bring."""
        self._kept_ns = clock.monotonic_ns()
        self._attempts = 0

    async def run(self) -> None:
        """Take messages as long as a shipper wants them, until cancelled. No failure ends it."""
        while True:
            try:
                await self._turn()
            except NatsError as error:
                self._fail(error.fate)
                await self._clock.sleep(back_off_s(self._attempts - 1, 0.5))
            except Exception as error:  # noqa: BLE001  # a bug here must not end it
                self._log.exception("stream_crashed", stream=self._sink.stream)
                self._fail(BackOff(f"{type(error).__name__}: {error}"))
                await self._clock.sleep(back_off_s(self._attempts - 1, 0.5))

    @property
    def taken(self) -> int:
        """Points in hand: given to us and not yet acknowledged."""
        return sum(held.record.points for held in self._held.values())

    async def close(self) -> None:
        """Give everything back and let go of the connection."""
        await self.release(MAIN_SINK)
        await self._connection.close()

    # --- what a shipper asks of the journal ---

    def subscribe(self) -> asyncio.Event:
        """Set whenever a message comes; there is one bell."""
        return self._bell

    async def backlog(self, sink: str) -> Backlog:  # noqa: ARG002  # there is one
        """What is here; asking says that more is wanted."""
        self._wanted = True
        self._stirred.set()
        records = [held.record for held in self._held.values()]
        return Backlog(
            sum(record.points for record in records),
            sum(len(record.fragment) for record in records),
            min((record.appended_ns for record in records), default=None),
        )

    async def next_batch(
        self,
        sink: str,  # noqa: ARG002  # there is one
        *,
        lane: Lane,  # noqa: ARG002  # a stream is in order
        points_max: int,
        bytes_max: int,
    ) -> list[Record]:
        """Lease the next messages, at least one if any is here."""
        batch: list[Record] = []
        points = size = 0
        for held in self._held.values():
            if held.leased:
                continue
            points += max(1, held.record.points)
            size += len(held.record.fragment)
            if batch and (points > points_max or size > bytes_max):
                break
            held.leased = True
            batch.append(held.record)
        return batch

    async def settle(
        self,
        sink: str,  # noqa: ARG002  # there is one
        records: Sequence[Record],
        rejected: Sequence[Rejected],
    ) -> None:
        """The store has answered: count, keep what it refused, then acknowledge."""
        seqs = [record.seq for record in records if record.seq in self._held]
        known = [self._held[seq].record for seq in seqs]
        refused = [
            entry_of(record, lines)
            for record in known
            if (lines := [line for line in rejected if line.seq == record.seq])
        ]
        points = sum(record.points for record in known)
        stored = points - sum(entry.points for entry, _ in refused)
        await self._box.account(MAIN_SINK, max(0, stored), refused)
        await self._answer([self._held.pop(seq).reply for seq in seqs], _ACK)
        self._stirred.set()

    async def release(self, sink: str, records: Sequence[Record] | None = None) -> None:  # noqa: ARG002
        """Give these back, and whatever nobody has begun with; nothing more is wanted for now."""
        self._wanted = False
        given = {record.seq for record in records or ()}
        back = [
            seq
            for seq, held in self._held.items()
            if records is None or seq in given or not held.leased
        ]
        await self._answer([self._held.pop(seq).reply for seq in back], _given_back())

    # --- the stream's side ---

    async def _turn(self) -> None:
        """One request for messages, or a wait until one is of use."""
        self.beat_ns = self._clock.monotonic_ns()
        client = await self._open()
        await self._keep()
        await self._set_aside()
        room = HELD_MAX - len(self._held) - len(self._odd)
        if not self._wanted or room <= 0:
            self._stirred.clear()
            await _within(PULL_S, self._stirred)
            return
        self._over.clear()
        self._due = room
        request = {
            "batch": room,
            "expires": PULL_S * NS_PER_S,
            "max_bytes": PULL_BYTES_MAX,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._sink.stream}.{self._durable}"
        try:
            async with asyncio.timeout(REQUEST_S):
                await client.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        except Exception as error:
            raise NatsError(self._connection.fate(error)) from error
        await _within(PULL_S + PULL_MARGIN_S, self._over)
        if client.is_closed:
            raise NatsError(BackOff("the connection was lost"))

    async def _open(self) -> Client:
        """The connection, with the consumer there and our inbox listened on."""
        client = await self._connection.client()
        if client is self._client:
            return client
        await self._connection.check()
        try:
            async with asyncio.timeout(OPEN_S):
                await self._make_consumer(client)
                self._inbox = client.new_inbox()
                await client.subscribe(self._inbox, cb=self._take)
        except NatsError:
            raise
        except Exception as error:
            raise NatsError(self._connection.fate(error)) from error
        self._client = client
        if self._attempts:
            self._log.info("stream_up", stream=self._sink.stream, attempts=self._attempts)
        self._attempts, self.error = 0, None
        return client

    async def _make_consumer(self, client: Client) -> None:
        """Make the durable consumer where it is not there. Raises also what nats-py does."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: PLC0415  # nats-py
        from nats.js.errors import NotFoundError  # noqa: PLC0415  # the same

        manager = client.jetstream(timeout=REQUEST_S)
        try:
            found = (await manager.consumer_info(self._sink.stream, self._durable)).config
        except NotFoundError:
            wanted = ConsumerConfig(
                durable_name=self._durable,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                deliver_policy=DeliverPolicy.ALL,
                max_deliver=-1,
                max_ack_pending=HELD_OF_ALL_MAX,
                filter_subject=f"{self._sink.subject}.>",
            )
            await manager.add_consumer(self._sink.stream, wanted)
            return
        if found.deliver_subject or found.ack_policy != AckPolicy.EXPLICIT:
            reason = f"consumer {self._durable} of {self._sink.stream} pushes, or needs no acks"
            raise NatsError(Park(reason, "name another one with --durable"))

    async def _take(self, message: Any) -> None:
        """Whatever comes to our inbox: messages, and words about the request that stood."""
        headers: Mapping[str, str] = message.headers or {}
        status = headers.get("Status")
        if status is not None and not message.reply:
            if status != "100":
                self._end_of_request(status, headers.get("Description", ""))
            return
        seq = message.metadata.sequence.stream
        self.again += message.metadata.num_delivered > 1
        self._due -= 1
        if self._due <= 0:
            self._over.set()
        if not self._wanted:
            await self._answer([message.reply], _given_back())
        elif seq in self._held:
            # Its lease had run out: acknowledge it where it was given out last.
            self._held[seq].reply = message.reply
        else:
            self._hold(seq, message.reply, headers, message.data)

    def _hold(self, seq: int, reply: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            record = record_of(seq, headers, body, appended_ns=self._clock.now_ns())
        except ValueError as error:
            self._odd[seq] = reply, body, str(error)
            self._over.set()
            return
        self._held[seq] = _Held(record, reply)
        self._bell.set()

    def _end_of_request(self, status: str, description: str) -> None:
        if status not in _EXPIRED:
            self._log.debug("request_ended", status=status, text=description)
        if status == "503" or "deleted" in description.lower():
            self._client = None  # look again whether the consumer is there
        self._over.set()

    async def _keep(self) -> None:
        """Say of everything held that it is still worked on."""
        if self._clock.monotonic_ns() - self._kept_ns >= KEEP_EVERY_S * NS_PER_S:
            self._kept_ns = self._clock.monotonic_ns()
            await self._answer([held.reply for held in self._held.values()], _PROGRESS)

    async def _set_aside(self) -> None:
        """Keep what cannot be read, then acknowledge it; where the disk refuses, try later."""
        for seq, (reply, body, reason) in list(self._odd.items()):
            entry = Entry(SOURCE, self._clock.now_ns(), f"{odd_line(body)}\n".encode(), 0)
            line = Rejected(odd_line(body), reason, 0, seq)
            with suppress(JournalError):
                await self._box.account(MAIN_SINK, 0, [(entry, [line])])
                del self._odd[seq]
                await self._answer([reply], _ACK)
                self._log.warning(
                    "message_unreadable", stream=self._sink.stream, seq=seq, reason=reason
                )

    async def _answer(self, replies: Sequence[str], word: bytes) -> None:
        """Tell the server; what it does not hear, it gives out again."""
        if self._client is None:
            return
        with suppress(Exception):
            async with asyncio.timeout(REQUEST_S):
                for reply in replies:
                    await self._client.publish(reply, word)

    def _fail(self, fate: Park | BackOff) -> None:
        self._client = None
        self._attempts += 1
        if self.error is None:
            hint = fate.hint if isinstance(fate, Park) else ""
            self._log.warning("stream_down", stream=self._sink.stream, error=fate.reason, hint=hint)
        self.error = fate.reason


def entry_of(record: Record, rejected: Sequence[Rejected]) -> tuple[Entry, Sequence[Rejected]]:
    """What is kept of a message: its refused lines, as a record of the box. Pure."""
    lines = [
        line
        if line.line
        else Rejected(odd_line(record.fragment), line.reason, line.points, line.seq)
        for line in rejected
    ]
    text = "".join(f"{line.line}\n" for line in lines).encode("utf-8", "backslashreplace")
    return Entry(SOURCE, record.slot_ns, text, sum(line.points for line in lines)), lines


def odd_line(body: bytes) -> str:
    """What cannot be read, as a comment of line protocol: a store passes it over. Pure."""
    return f"# base64 {b64encode(body[:ODD_BYTES_MAX]).decode()}"


def _given_back() -> bytes:
    return _NAK + b" " + json.dumps({"delay": GIVE_BACK_S * NS_PER_S}).encode()


async def _within(duration_s: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(duration_s):
            await event.wait()
