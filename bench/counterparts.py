"""Both venues and a sink in a process of their own, answering with prepared bytes.

So that what is measured is the collector: a simulated market would cost more than it. Run as
`python -m bench.counterparts`; the first line of its output is the address, and it ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from agent.clock import NS_PER_S
from agent.demo.documents import answer as demo_answer
from agent.demo.market import Market
from bench.payloads import clean

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
BYBIT_PATH: Final = "/v5/market/tickers"
VARIATIONAL_PATH: Final = "/metadata/stats"
BOOK_PATH: Final = "/v5/market/orderbook"
BOOK_INSTANT_NS: Final = 1_790_002_800 * NS_PER_S
SETTLED_PATH: Final = "/v5/market/funding/history"
CONTRACTS_PATH: Final = "/v5/market/instruments-info"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Counterparts:
    """Answers GETs with the next prepared document, and takes every write."""

    def __init__(self) -> None:
        self._writes = 0
        self._bytes = 0
        self._first_write_ns: int | None = None

    def application(self) -> web.Application:
        """The server's routes."""
        documents = clean()
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get(BYBIT_PATH, _rotating([each.bybit for each in documents]))
        app.router.add_get(VARIATIONAL_PATH, _rotating([each.variational for each in documents]))
        app.router.add_get(CONTRACTS_PATH, _rotating([_contracts(documents[0].bybit)]))
        app.router.add_get(SETTLED_PATH, _rotating([_listing([])]))
        app.router.add_get(BOOK_PATH, _books())
        app.router.add_post("/api/v2/write", self._write)
        app.router.add_get("/count", self._count)
        return app

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body:
            self._writes += 1
            self._bytes += len(body)
            self._first_write_ns = self._first_write_ns or time.monotonic_ns()
        return web.Response(status=204)

    async def _count(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"writes": self._writes, "bytes": self._bytes, "first_write_ns": self._first_write_ns}
        )


def _listing(rows: list[dict[str, object]]) -> bytes:
    """Bybit's envelope around one page."""
    result = {"category": "linear", "list": rows, "nextPageCursor": ""}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": 0}).encode()


def _contracts(tickers: bytes) -> bytes:
    """The list of contracts that goes with these tickers."""
    rows: list[dict[str, object]] = [
        {
            "symbol": row["symbol"],
            "contractType": "LinearPerpetual",
            "baseCoin": row["symbol"].removesuffix("USDT"),
            "quoteCoin": "USDT",
            "fundingInterval": 480,
            "deliveryTime": "0",
        }
        for row in json.loads(tickers)["result"]["list"]
    ]
    return _listing(rows)


def _books() -> Handler:
    """An order book by symbol and depth, made once."""
    market = Market(1)
    made: dict[str, Handler] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        if path not in made:
            made[path] = _rotating([demo_answer(market, path, BOOK_INSTANT_NS)])
        return await made[path](request)

    return answer


def _rotating(documents: list[bytes]) -> Handler:
    plain = itertools.cycle(documents)
    packed = itertools.cycle([gzip.compress(document, 6) for document in documents])

    async def answer(request: web.Request) -> web.Response:
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=next(plain), content_type="application/json")
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=next(packed), headers=headers)

    return answer


async def serve() -> None:
    """Serve on a free loopback port until standard input ends."""
    runner = web.AppRunner(Counterparts().application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


@contextmanager
def counterparts() -> Iterator[str]:
    """The process while the block runs; its address."""
    command = [sys.executable, "-m", "bench.counterparts"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.stdin.close()


def count(url: str) -> dict[str, int | None]:
    """What the sink has got so far."""
    with urllib.request.urlopen(f"{url}/count", timeout=10) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    asyncio.run(serve())
