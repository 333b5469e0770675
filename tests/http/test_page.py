"""The live page as a document: whole, by itself, and let in by its own policy."""

from __future__ import annotations

import base64
import hashlib
import re

import aiohttp

from agent.http.page import SCRIPTS, load
from tests.http.bench import Bench

ELSEWHERE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/\d{4}/)[a-z0-9-]+\.[a-z]", re.ASCII)
"""An address on the network; the name of the SVG namespace is none."""


async def test_the_page_is_served_with_a_policy_for_just_its_own_parts(bench: Bench) -> None:
    """Style and script are let in by their hashes, nothing else is, and nothing inline."""
    async with aiohttp.ClientSession() as session, session.get(f"{bench.url}/") as answer:
        html, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert answer.content_type == "text/html"
    inline = re.findall(r"<(style|script)[^>]*>(.*?)</\1>", html, re.DOTALL)
    assert [name for name, _ in inline] == ["style", "script"]
    for name, source in inline:
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"<[^>]+\s(?:on[a-z]+|style)=", html.replace(inline[1][1], ""))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No font, script or picture comes over the network."""
    html = load().html
    assert not ELSEWHERE.search(html)
    assert "import " not in html
    assert "innerHTML" not in html.replace("there is no innerHTML", "")


def test_every_script_is_joined_in() -> None:
    """The script of the page is all its files, in their order."""
    html = load().html
    heads = ["// The live page.", "function price(", "new EventSource(", "function arrange("]
    places = [html.index(head) for head in [*heads, "function drawPlot(", "setInterval(draw"]]
    assert places == sorted(places)
    assert len(places) == len(SCRIPTS)
