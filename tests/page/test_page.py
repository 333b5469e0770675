"""The live page in a real browser: what a trader, a phone and a screen reader find."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from agent.clock import NS_PER_S
from agent.http import Live
from agent.snapshot import Batch
from tests.http.bench import Bench
from tests.page.browser import Page
from tests.page.stand import Stand, contrast
from tests.support.batches import batch_of
from tests.support.clock import START_NS

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROWS: Final = 23
DASH, MINUS = "\u2013", "\u2212"
"""As the page writes what is not known, and what is below zero."""
CONTRAST_MIN: Final = 4.5
"""WCAG 2.1, level AA, for text: https://www.w3.org/TR/WCAG21/#contrast-minimum ."""
PICTURE_BYTES_MIN: Final = 15_000
"""An empty page of this size is a tenth of it."""
HEAVY_MS: Final = 200
"""What a poll of the full universe may hold the page up for; on a busy machine."""


async def texts(page: Page, column: int, row: int | None = None) -> Any:
    """The texts of a column's cells, or of one of them."""
    script = (
        f"[...document.querySelectorAll('#rows tr')].map((row) => row.cells[{column}].innerText)"
    )
    found = await page.run(script)
    return found if row is None else found[row]


async def click(page: Page, selector: str) -> None:
    """Click the first such element."""
    await page.run(f"document.querySelector({json.dumps(selector)}).click()")


def number(text: str) -> float:
    """What a cell says; a dash is below everything."""
    return float("-inf") if text == DASH else float(text.replace(MINUS, "-").replace(",", ""))


async def test_the_table_is_full_and_nothing_is_wide(page: Page) -> None:
    """Every ticker of every source has a row with the numbers that the API gives."""
    assert await page.run("document.querySelectorAll('#rows tr').length") == ROWS
    assert await page.run("document.getElementById('connection').textContent") == "live"
    api = await page.run(
        "fetch('/api/snapshots?ticker=BTC&source=variational').then((answer) => answer.json())"
    )
    (row,) = api["snapshots"]
    tickers, sources = await texts(page, 0), await texts(page, 1)
    at = list(zip(tickers, sources, strict=True)).index(("BTC", "variational"))
    assert number(await texts(page, 2, at)) == pytest.approx(row["mid"], abs=0.006)
    assert number(await texts(page, 5, at)) == pytest.approx(row["gap_bps"], abs=0.006)
    assert number(await texts(page, 6, at)) == pytest.approx(100 * row["funding_apr"], abs=0.006)
    assert number(await texts(page, 7, at)) == pytest.approx(100 * row["carry_apr"], abs=0.006)
    facts = await page.run("document.getElementById('facts').innerText")
    assert "1,958,412 collected = 1,958,389 stored" in facts
    assert await page.run("document.documentElement.scrollWidth <= innerWidth")


async def test_a_store_in_trouble_is_told_by_its_colour(page: Page, stand: Stand) -> None:
    """Whatever is not shipping or idle is trouble, in words and in colour, with the reason."""
    told = "[...document.querySelectorAll('#facts dd')][3]"
    assert await page.run(f"[{told}.textContent, {told}.dataset.tone]") == ["idle", "good"]
    good = stand.status
    trouble = {"state": "backing_off", "last_error": "no answer"}
    stand.status = {**good, "shipping": {**good["shipping"], **trouble}}
    await page.open(stand.url)
    await page.until(f"{told} && {told}.dataset.tone === 'bad'")
    assert await page.run(f"{told}.textContent") == "backing_off: no answer"
    stand.status = good


async def test_a_header_sorts_and_says_so(page: Page) -> None:
    """Once down, again up; what is not known comes last either way; the address remembers it."""
    for wanted in ("descending", "ascending"):
        await click(page, "th[data-key=spread_100k_bps] button")
        assert await page.run(
            "[...document.querySelectorAll('[aria-sort]')].map("
            "(head) => head.dataset.key + head.getAttribute('aria-sort'))"
        ) == [f"spread_100k_bps{wanted}"]
        await page.until(f"document.querySelector('#rows tr').cells[4].innerText !== '{DASH}'")
        found = [number(text) for text in await texts(page, 4)]
        known = [each for each in found if each != float("-inf")]
        assert found[: len(known)] == sorted(known, reverse=wanted == "descending")
        assert len(known) < len(found)
    assert "sort=spread_100k_bps" in await page.run("location.hash")


async def test_a_filter_leaves_what_fits(page: Page) -> None:
    """By parts of tickers, by source, and by being there on both; a slash leads to the field."""
    await page.key("/")
    assert await page.run("document.activeElement.id") == "filter"
    for letter in "eth so":
        await page.key(letter)
    await page.until("document.querySelectorAll('#rows tr').length === 4")
    assert sorted(set(await texts(page, 0))) == ["ETH", "SOL"]
    assert await page.run("document.getElementById('count').textContent") == f"4 of {ROWS} rows"
    await page.run(
        "const field = document.getElementById('filter'); field.value = 'nobody';"
        " field.dispatchEvent(new Event('input'))"
    )
    assert "No row fits" in await page.run("document.getElementById('empty').innerText")
    await page.run("field.value = ''; field.dispatchEvent(new Event('input'))")
    await click(page, "#paired")
    await page.until(f"document.querySelectorAll('#rows tr').length === {ROWS - 1}")


async def test_the_stream_updates_a_cell(page: Page, stand: Stand) -> None:
    """A poll's new number stands in its cell without anybody's doing."""
    bybit, _ = await stand.polls(0)
    assert bybit.batch is not None
    at = (await texts(page, 0)).index("BTC")
    for slot_s, mid in ((1, "77777.125"), (2, "77778.125")):
        stand.live.put(with_mid(bybit.batch, slot_s, mid))
        shown = f"{float(mid):,.2f}".replace(".12", ".13")
        cell = f"document.querySelectorAll('#rows tr')[{at}].cells[2]"
        await page.until(f"{cell}.innerText === {json.dumps(shown)}")
        await page.until(f"{cell}.classList.contains('new')")


def with_mid(batch: Batch, slot_s: int, mid: str) -> Batch:
    """The batch so many seconds later, with another mid for BTC."""
    mids = list(batch.columns["mid"])
    mids[list(batch.tickers).index("BTC")] = mid
    return Batch(
        source=batch.source,
        slot_ns=START_NS + slot_s * NS_PER_S,
        received_ns=START_NS + slot_s * NS_PER_S,
        tickers=batch.tickers,
        columns={**batch.columns, "mid": mids},
        quotes_updated_ns=batch.quotes_updated_ns,
    )


async def test_a_row_shows_its_last_hour(page: Page) -> None:
    """Three plots with a line for each source, told in words too; and every number there is."""
    at = (await texts(page, 0)).index("ETH")
    await page.run(f"document.querySelectorAll('#rows th button')[{at}].click()")
    await page.until("document.querySelectorAll('#plots polyline').length === 5")
    title = await page.run("document.getElementById('detail-title').textContent")
    assert title == "ETH, the last hour"
    points = await page.run(
        "[...document.querySelectorAll('#plots polyline')].map("
        "(line) => line.getAttribute('points').split(' ').length)"
    )
    assert min(points) > 100
    told = await page.run("document.querySelector('#plots svg').getAttribute('aria-label')")
    assert told.startswith("Spread 1k, last hour, bps: bybit from ")
    await click(page, "#all summary")
    await page.until("document.querySelectorAll('#all-rows tr').length > 25")
    await click(page, "#close")
    await page.until("document.getElementById('detail').hidden")
    assert await page.run("document.activeElement.textContent") == "ETH"


async def test_a_cut_is_said_and_mended(page: Page, stand: Stand) -> None:
    """Without the agent the page says since when, and goes on by itself when it is back."""
    host, port = stand.url.removeprefix("http://").split(":")
    await click(page, "#all summary")
    await page.until("document.querySelectorAll('#all-rows tr').length > 25")
    await stand.server.close()
    await page.until("document.getElementById('connection').dataset.state === 'cut'")
    said = await page.run("document.getElementById('alert').innerText")
    assert "What is shown is old" in said
    assert await page.run("document.querySelectorAll('#rows tr').length") == ROWS
    await click(page, "#all summary")  # closed and opened again, it asks again
    await click(page, "#all summary")
    assert await page.run("document.querySelectorAll('#all-rows tr').length") > 25
    await stand.server.start(host, int(port))
    await page.until("document.getElementById('connection').dataset.state === 'live'")
    assert await page.run("document.getElementById('alert').hidden")
    page.complaints.clear()  # the browser says itself that it could not connect


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_dark_and_light_can_be_read(page: Page, scheme: str) -> None:
    """Every text has the contrast that is asked of text, on its own ground."""
    await page.prefer(color_scheme=scheme)
    await page.until("document.querySelectorAll('#plots polyline').length === 5")
    pairs = await page.run(
        """[...document.querySelectorAll('body *')].filter((each) =>
             each.offsetParent && !each.closest('svg')
             && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
           .map((each) => {
             let behind = each;
             const clear = (node) => getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)';
             while (behind !== document.body && clear(behind)) behind = behind.parentElement;
             const ground = getComputedStyle(behind).backgroundColor;
             return [each.outerHTML.slice(0, 80), getComputedStyle(each).color, ground];
           })"""
    )
    assert len(pairs) > 100
    for what, colour, ground in pairs:
        if "rgba" not in ground:  # a cell that is fading
            assert contrast(colour, ground) >= CONTRAST_MIN, what
    assert {contrast(ground, "rgb(0, 0, 0)") < 2 for _, _, ground in pairs[:1]} == {
        scheme == "dark"
    }
    assert len(await page.screenshot()) > PICTURE_BYTES_MIN


@pytest.mark.parametrize("width", [360, 390])
async def test_it_fits_a_phone(page: Page, width: int) -> None:
    """On a narrow screen nothing sticks out, and the numbers that matter most are there."""
    await page.size(width, 800)
    await page.until(f"innerWidth === {width}")
    assert await page.run("document.documentElement.scrollWidth") <= width
    assert (
        await page.run(
            "(() => { const box = document.getElementById('table');"
            " return box.scrollWidth - box.clientWidth; })()"
        )
        == 0
    )
    shown = await page.run(
        "[...document.querySelectorAll('#heads th')].filter((head) => head.offsetParent)"
        ".map((head) => head.dataset.key)"
    )
    assert shown == ["ticker", "source", "mid", "spread_bps", "gap_bps", "funding_apr", "age"]
    assert len(await page.screenshot()) > PICTURE_BYTES_MIN


async def test_a_screen_reader_is_told_what_is_what(page: Page) -> None:
    """Headings, the named table and its headers, fields, states and plots have roles and names."""
    await page.until("document.querySelectorAll('#plots polyline').length === 5")
    found = await page.accessible()
    names: dict[str, list[str]] = {}
    for role, name in found:
        names.setdefault(role, []).append(name)
    assert names["heading"][:2] == ["perpflux", "Now"]
    assert any(name.startswith("Each ticker of each source") for name in names["table"])
    assert [name for name in names["columnheader"] if name][:3] == ["Ticker", "Source", "Mid"]
    assert len([name for name in names["rowheader"] if name]) >= ROWS
    assert {"Ticker", "Source"} <= {*names["searchbox"], *names["combobox"]}
    assert "on both sources" in names["checkbox"]
    assert len([name for name in names["image"] if "last hour" in name]) == 3
    assert "Now" in names["region"]
    assert len(names["status"]) == 2


async def test_who_wants_no_motion_gets_none(page: Page) -> None:
    """With reduced motion nothing is animated."""
    await page.prefer(color_scheme="dark", reduced_motion="reduce")
    script = (
        "(() => { const cell = document.querySelector('#rows td'); cell.classList.add('new');"
        " return getComputedStyle(cell).animationName; })()"
    )
    assert await page.run(script) == "none"


async def test_the_full_universe_is_usable(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """600 and 555 rows: a page of them is drawn at a time, and a poll does not hold it up."""
    full = Bench(tmp_path_factory.mktemp("full"))
    full.status = {**full.status, "host": "h", "state": "ok"}
    fill(full.live, 0)
    url = await full.server.start("127.0.0.1", 0)
    await page.open(url)
    await page.until("document.getElementById('count').textContent === '1155 rows'")
    await page.until("document.querySelectorAll('#rows tr').length === 50")
    await page.run(
        "globalThis.slow_ms = [0]; new PerformanceObserver((list) => slow_ms.push("
        "...list.getEntries().map((each) => each.duration))).observe({type: 'longtask'})"
    )
    for slot_s in (1, 2, 3):
        fill(full.live, slot_s)
        await page.until(
            f"document.querySelector('#rows tr').cells[2].innerText === '{100 + slot_s}.0000'"
        )
    assert max(await page.run("slow_ms")) < HEAVY_MS
    await click(page, "#forth")
    await page.until("document.getElementById('page').textContent === 'Page 2 of 24'")
    await page.open("about:blank")
    await full.server.close()
    await full.live.close()
    await asyncio.sleep(0)
    page.complaints.clear()  # its history has no journal behind it


def fill(live: Live, slot_s: int) -> None:
    """A poll of everything on both sources, with the slot in the mid."""
    for source, count in (("bybit", 600), ("variational", 555)):
        row = {"mid": str(100 + slot_s), "spread_bps": "1.5", "funding_apr": "0.1"}
        live.put(batch_of(source, {f"T{index:03d}": row for index in range(count)}, slot_s))
