"""What stands around the service in its network: simulated venues and a store.

`python -m tests.service.stand` prints both addresses as JSON, then answers lines on its standard
input: `points` prints the stored identities; `down` and `up` make the store fail and work.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass

from agent.clock import SYSTEM_CLOCK
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault

DOWN = Fault(503, "later")


@dataclass
class Store(FakeInfluxDB):
    """A store that can be out of order for a while."""

    down: bool = False

    def _fault_for(self, body: bytes) -> Fault | None:
        return DOWN if self.down and body else super()._fault_for(body)


async def main() -> None:
    """Serve until the standard input ends."""
    store = Store(now_ns=SYSTEM_CLOCK.now_ns)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with SimulatedVenues.start(market=Market(1)) as venues, store.serve() as url:
        _say({"venues": venues.url, "influxdb": url})
        async for line in reader:
            command = line.decode().strip()
            if command == "points":
                _say([[name, sorted(tags), stamp] for name, tags, stamp in store.bucket.points])
            else:
                store.down = command == "down"
                _say(command)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
