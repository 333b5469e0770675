"""Takes the picture of the README: `python -m tests.page.screenshot`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from tests.page.browser import browser
from tests.page.conftest import chromium
from tests.page.stand import Stand

PICTURE: Final = Path(__file__).parent.parent.parent / "docs/img/live-page.png"
WIDTH, HEIGHT = 1280, 660


async def main() -> None:
    """The page with an hour of the simulated market, dark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stand = Stand(folder, seed=7)
        await stand.fill()
        stand.url = await stand.server.start("127.0.0.1", 0)
        async with browser(chromium(), folder / "profile") as page:
            await page.size(WIDTH, HEIGHT)
            await page.prefer(color_scheme="dark", reduced_motion="reduce")
            await page.open(f"{stand.url}/#sort=-carry_apr&show=bybit+BTC")
            await page.until("document.querySelectorAll('#plots polyline').length === 5")
            PICTURE.parent.mkdir(exist_ok=True)
            PICTURE.write_bytes(await page.screenshot())
        await stand.server.close()
        await stand.live.close()


if __name__ == "__main__":
    asyncio.run(main())
