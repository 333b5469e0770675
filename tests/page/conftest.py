"""A browser, and a page to look at, for the whole module."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import skip_loudly
from tests.page.browser import Page, browser
from tests.page.stand import Stand

NONE_TO_BE_HAD = 69


def chromium() -> Path:
    """The browser's program; the test is skipped where there is none."""
    finder = Path(__file__).parent / "chromium"
    found = subprocess.run([finder], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode == NONE_TO_BE_HAD:
        skip_loudly("there is no Chromium")
    assert found.returncode == 0, "tests/page/chromium failed"
    return Path(found.stdout.strip())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """The page's server, an hour behind it."""
    made = Stand(tmp_path_factory.mktemp("stand"))
    await made.fill()
    made.url = await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.close()
    await made.live.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A browser's tab."""
    async with browser(chromium(), tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(tab: Page, stand: Stand) -> AsyncIterator[Page]:
    """The page, just opened on a wide dark screen; nothing may be complained of in the end."""
    await tab.size(1600, 900)
    await tab.prefer(color_scheme="dark")
    await tab.open("about:blank")
    tab.complaints.clear()
    await tab.open(stand.url)
    await tab.until("document.querySelectorAll('#rows tr').length > 20")
    yield tab
    assert tab.complaints == []
