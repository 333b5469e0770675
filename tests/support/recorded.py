"""A loopback server that answers like the venues, with recorded bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.support.loopback import serving

SETTLEMENT_MS = 8 * 3_600_000
FOLDER = Path(__file__).parent.parent / "e2e" / "recorded"


@asynccontextmanager
async def recorded_venues() -> AsyncIterator[str]:
    """Base URL of both venues; they know BTC only, as recorded."""

    def body(name: str) -> web.Response:
        return web.Response(body=(FOLDER / name).read_bytes(), content_type="application/json")

    async def stats(_: web.Request) -> web.Response:
        return body("variational-btc-2026-01-06.json")

    async def tickers(request: web.Request) -> web.Response:
        known = request.query.get("symbol") == "BTCUSDT"
        name = "bybit-tickers-btcusdt-2025-11-04" if known else "bybit-error-10001"
        return body(f"{name}.json")

    async def orderbook(request: web.Request) -> web.Response:
        known = request.query.get("symbol") == "BTCUSDT"
        return body(f"bybit-{'orderbook-btcusdt-2026-09-20' if known else 'error-10001'}.json")

    async def funding(request: web.Request) -> web.Response:
        """Settled every eight hours, newest first, as far as `endTime` and `limit` say."""
        end_ms, limit = int(request.query["endTime"]), int(request.query["limit"])
        if request.query.get("symbol") != "BTCUSDT":
            return body("bybit-error-10001.json")
        newest_ms = end_ms // SETTLEMENT_MS * SETTLEMENT_MS
        rows = [
            {
                "symbol": "BTCUSDT",
                "fundingRate": "0.0001",
                "fundingRateTimestamp": str(newest_ms - index * SETTLEMENT_MS),
            }
            for index in range(limit)
        ]
        result = {"category": "linear", "list": rows}
        return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": end_ms})

    app = web.Application()
    app.router.add_get("/metadata/stats", stats)
    app.router.add_get("/v5/market/tickers", tickers)
    app.router.add_get("/v5/market/funding/history", funding)
    app.router.add_get("/v5/market/orderbook", orderbook)
    async with serving(app) as url:
        yield url
