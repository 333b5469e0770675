"""What the tests of shipping build with: records, and a door without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from agent.clock import NS_PER_S, Clock
from agent.fates import Answer
from agent.influx import answer_of
from agent.journal.fragment import compress, crc32
from agent.journal.records import Record
from tests.shipping.fake_influxdb import FakeInfluxDB
from tests.support.clock import START_NS, FakeClock


def snapshot_line(ticker: str, value: str = "1.5", stamp_ns: int = START_NS) -> str:
    """A counted line."""
    return f"snapshot,source=bybit,ticker={ticker} lag_ms=12,mid={value} {stamp_ns}"


def poll_line(stamp_ns: int = START_NS) -> str:
    """A line that the ledger does not count."""
    return f"poll,source=bybit,host=h,endpoint=tickers ok=1,rows=2 {stamp_ns}"


def record(seq: int, lines: Iterable[str], *, points: int | None = None) -> Record:
    """A record as the journal gives it; every `snapshot` line counts."""
    lines = list(lines)
    data = "".join(f"{line}\n" for line in lines).encode()
    return Record(
        seq=seq,
        source="bybit",
        slot_ns=START_NS,
        appended_ns=START_NS + NS_PER_S,
        points=sum(line.startswith("snapshot") for line in lines) if points is None else points,
        size=len(data),
        crc32=crc32(data),
        fragment=compress(data),
    )


class DirectDoor:
    """A door that hands what is sent to the fake itself. `busy` is set while it hangs."""

    def __init__(self, fake: FakeInfluxDB, clock: Clock | None = None) -> None:
        self.token = "secret"
        self.busy = asyncio.Event()
        self._fake = fake
        self._clock = clock or FakeClock()

    async def write(self, body: bytes, *, gzip: bool) -> Answer:
        """Send a body."""
        headers = {"Authorization": f"Token {self.token}"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        query = {"org": "perps", "bucket": "perps", "precision": "ns"}
        reply = self._fake.respond(headers, query, body)
        if reply.hangs:
            self.busy.set()
            await asyncio.Event().wait()
        if reply.status is None:
            return Answer(None, "", "no answer: Server disconnected", None, 7)
        now_ns = self._clock.now_ns()
        return answer_of(reply.status, reply.headers, reply.body, now_ns=now_ns, elapsed_ms=7)

    async def probe(self) -> Answer:
        """Send an empty body."""
        return await self.write(b"", gzip=False)

    async def close(self) -> None:
        """There is no connection."""


def stored_tickers(fake: FakeInfluxDB) -> set[str]:
    """The `ticker` tags of what the fake holds."""
    return {dict(tags)["ticker"] for _, tags, _ in fake.bucket.points if "ticker" in dict(tags)}
