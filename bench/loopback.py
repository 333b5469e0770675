"""Both builds with their network: asking the venues and writing to the sink over loopback."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any, Final

import httpx
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from pydantic import SecretStr

from agent.clock import NS_PER_S
from agent.influx import InfluxDoor
from agent.journal.fragment import join
from agent.shipper import BATCH_BYTES_MAX, BATCH_POINTS_MAX
from agent.sources import BybitClient, VariationalClient
from agent.sources.fetch import open_session
from bench.counterparts import BYBIT_PATH, VARIATIONAL_PATH
from bench.payloads import Documents
from bench.pipeline import FIRST_SLOT_NS, SINK, entries_of, open_store, unbounded
from bench.straightforward import GZIP_LEVEL, Straightforward

HTTP_NO_CONTENT: Final = 204
ORG: Final = "bench"
BUCKET: Final = "bench"
TOKEN: Final = "bench-token"  # the sink takes any


class FixedToken:
    """The token of the sink."""

    def read(self) -> SecretStr:
        """Always the same."""
        return SecretStr(TOKEN)


class OurRound:
    """GET, pipeline and write with the program's own clients."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._store = open_store(path)
        self._loop = asyncio.new_event_loop()
        self._slot_ns = FIRST_SLOT_NS
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self._session = open_session(1)
        self._sources = [
            BybitClient(api_base=self._url, session=self._session, budget=unbounded()),
            VariationalClient(api_base=self._url, poll_interval_s=1, session=self._session),
        ]
        self._door = InfluxDoor(self._url, ORG, BUCKET, FixedToken())

    def close(self) -> None:
        """Let go of the connections and the journal."""
        self._loop.run_until_complete(self._door.close())
        self._loop.run_until_complete(self._session.close())
        self._loop.close()
        self._store.close()

    def run(self, _: int) -> None:
        """One poll of both venues, to the sink's 204."""
        self._slot_ns += NS_PER_S
        self._loop.run_until_complete(self._poll())

    async def _poll(self) -> None:
        polls = [await source.poll("all", self._slot_ns) for source in self._sources]
        self._store.append(entries_of(polls))
        records = self._store.next_batch(SINK, "newest", BATCH_POINTS_MAX, BATCH_BYTES_MAX)
        body = join((record.fragment, record.crc32, record.size) for record in records)
        answer = await self._door.write(body, gzip=True)
        assert answer.status == HTTP_NO_CONTENT, answer
        self._store.settle(SINK, records, [])


class StraightforwardRound:
    """The same with httpx and the official client's `WriteApi`."""

    def __init__(self, url: str, path: Path) -> None:
        self._work = Straightforward(path)
        self._venues = httpx.Client(base_url=url)
        self._influxdb: Any = InfluxDBClient(url, TOKEN, org=ORG, enable_gzip=True)
        configuration = self._influxdb.api_client.configuration
        # The client compresses with level 9; 6 is in its favour.
        configuration.update_request_body = lambda _, body: gzip.compress(body, GZIP_LEVEL)
        self._writes = self._influxdb.write_api(write_options=SYNCHRONOUS)

    def close(self) -> None:
        """Let go of the connections and the journal."""
        self._venues.close()
        self._influxdb.close()
        self._work.close()

    def run(self, _: int) -> None:
        """One poll of both venues, to the sink's 204."""
        documents = Documents(
            self._venues.get(BYBIT_PATH, params={"category": "linear"}).content,
            self._venues.get(VARIATIONAL_PATH).content,
        )
        self._work.append(self._work.snapshots(documents))
        last_id, points = self._work.next_points()
        self._writes.write(BUCKET, record=points)
        self._work.acknowledge(last_id)
