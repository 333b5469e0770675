"""Reads live snapshots and says when the venues drift apart. Needs nats-py, nothing else.

python strategy.py nats://127.0.0.1:4222 perps.points BTC 5
"""

import asyncio
import gzip
import re
import sys
from decimal import Decimal

import nats

SNAPSHOT = re.compile(r"snapshot,source=([^, ]+),ticker=([^, ]+) (\S+) (\d+)")


async def main(server: str, subject: str, ticker: str, gap_bps: Decimal) -> None:
    """Print a line for every slot in which the two mids are that far apart (basis points)."""
    client = await nats.connect(server)
    mids: dict[tuple[str, str], Decimal] = {}
    # Plain messages, live: from now on, as fast as they come. The past is in the stream.
    subscription = await client.subscribe(f"{subject}.*.*")
    async for message in subscription.messages:
        lines = gzip.decompress(message.data).decode()
        for source, name, fields, slot_ns in SNAPSHOT.findall(lines):
            values = dict(pair.split("=") for pair in fields.split(","))
            if name != ticker or "mid" not in values:
                continue
            mids = {key: mid for key, mid in mids.items() if key[1] == slot_ns}
            mids[source, slot_ns] = Decimal(values["mid"])
            if len(mids) == 2:
                bybit, variational = mids["bybit", slot_ns], mids["variational", slot_ns]
                gap = (bybit - variational) / variational * 10_000
                if abs(gap) >= gap_bps:
                    print(f"{slot_ns} {ticker} {gap:.2f} bps", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], gap_bps=Decimal(sys.argv[4])))
