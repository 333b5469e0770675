"""How fast a real InfluxDB takes what we send, beside how fast we make it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import SecretStr

from agent.clock import NS_PER_S
from agent.influx import InfluxDoor
from bench.payloads import clean
from bench.pipeline import Pipeline
from tests.influxd.server import InfluxServer, NoInfluxdError, open_server

HTTP_NO_CONTENT: Final = 204
POLLS: Final = 60
BUCKET: Final = "bench"


class Speed(NamedTuple):
    """What the server took, one request after the other.

    Attributes:
        points: how many.
        points_per_s: by the wall clock.
    """

    points: int
    points_per_s: float


class _Token(NamedTuple):
    token: str

    def read(self) -> SecretStr:
        """The server's own."""
        return SecretStr(self.token)


def speed(folder: Path) -> Speed | str:
    """Write polls of both venues' whole universe; a text says why there is no server."""
    try:
        server = open_server(folder / "influxd")
    except NoInfluxdError as error:
        return str(error)
    with server:
        server.create_bucket(BUCKET)
        return asyncio.run(_write(server, *_bodies(folder)))


def _bodies(folder: Path) -> tuple[list[bytes], int]:
    pipeline = Pipeline(folder / "pipeline.db")
    versions = clean()
    bodies, points = [], 0
    for number in range(POLLS):
        pipeline.run(versions[number % len(versions)])
        bodies.append(pipeline.body)
        points += pipeline.points
    pipeline.close()
    return bodies, points


async def _write(server: InfluxServer, bodies: list[bytes], points: int) -> Speed:
    door = InfluxDoor(server.url, server.org, BUCKET, _Token(server.token))
    await door.probe()
    started_ns = time.monotonic_ns()
    for body in bodies:
        answer = await door.write(body, gzip=True)
        assert answer.status == HTTP_NO_CONTENT, answer
    elapsed_ns = time.monotonic_ns() - started_ns
    await door.close()
    return Speed(points, points * NS_PER_S / elapsed_ns)
