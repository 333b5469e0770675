"""An aiohttp application on a free loopback port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

SHUTDOWN_S: Final = 0.1
"""Who hangs on purpose is not waited for."""


@asynccontextmanager
async def serving(app: web.Application, *, unpack: bool = True) -> AsyncIterator[str]:
    """Its base address, for the block.

    Args:
        app: what answers.
        unpack: False = bodies reach it as they were sent, compressed.
    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=SHUTDOWN_S, auto_decompress=unpack
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
