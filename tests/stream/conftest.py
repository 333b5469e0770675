"""A real NATS server with JetStream, where one can be had; and records to send through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import nats
import pytest

from agent.config import NatsSink
from tests.conftest import skip_loudly
from tests.debian.package import NoProgramError
from tests.natsd.server import NatsServer, open_nats

STREAM = "perps"
SUBJECT = "perps.points"


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the whole session; tests take a stream of their own."""
    try:
        with open_nats(tmp_path_factory.mktemp("nats")) as server:
            yield server
    except NoProgramError as error:
        skip_loudly(f"there is no nats-server: {error}")


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[Any]:
    """The server seen by a client of the test; no stream is there."""
    client = await nats.connect(nats_server.url)
    context = client.jetstream()
    for info in await context.streams_info():
        await context.delete_stream(str(info.config.name))
    yield context
    await client.close()


@pytest.fixture
def sink(nats_server: NatsServer) -> Callable[..., NatsSink]:
    """A `[sinks.NAME]` for the server, with these keys changed."""

    def make(**keys: str) -> NatsSink:
        given = {"nats_url": nats_server.url, "stream": STREAM, "subject": SUBJECT, **keys}
        return NatsSink.model_validate(given)

    return make
