"""Who may ask, and what a browser is told."""

from __future__ import annotations

import aiohttp
import pytest

from agent.http.guard import HEADERS, host_of, is_loopback
from tests.http.bench import Bench

HERE = ["localhost", "LOCALHOST.", "perpflux.localhost", "127.0.0.1", "127.8.8.8", "[::1]", "::1"]
ELSEWHERE = [
    "",
    "0.0.0.0",
    "192.0.2.7",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil",
]  # names, nothing listens


@pytest.mark.parametrize(("hosts", "here"), [(HERE, True), (ELSEWHERE, False)])
def test_what_means_this_machine(hosts: list[str], here: bool) -> None:  # noqa: FBT001  # a case
    """Loopback addresses and localhost's names do, others only look like it."""
    assert {is_loopback(host) for host in hosts} == {here}


def test_a_host_header_may_have_a_port() -> None:
    """Names, IPv4 and bracketed IPv6, with and without one."""
    assert [host_of(header) for header in ("a:1", "a", "[::1]:9477", "[::1]", "127.0.0.1:80")] == [
        "a",
        "a",
        "[::1]",
        "[::1]",
        "127.0.0.1",
    ]


@pytest.mark.parametrize("path", ["/", "/status", "/api/snapshots", "/metrics", "/nothing"])
async def test_a_foreign_name_reads_nothing(bench: Bench, path: str) -> None:
    """On loopback only this machine's own names are served, so that no web page reads along."""
    async with aiohttp.ClientSession() as session:
        async with session.get(bench.url + path, headers={"Host": "evil.example:9477"}) as answer:
            assert answer.status == 403
            assert "localhost" in (await answer.json())["hint"]
        async with session.get(bench.url + path, headers={"Host": "localhost:9477"}) as answer:
            assert answer.status in {200, 404}


async def test_a_server_that_is_open_to_a_network_has_any_name(bench: Bench) -> None:
    """Who listens on more than loopback is asked under names that nobody here knows."""
    await bench.server.close()
    url = await bench.server.start("0.0.0.0", 0)  # what is tested
    url = url.replace("0.0.0.0", "127.0.0.1")  # what is tested
    headers = {"Host": "perpflux.example"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/healthz", headers=headers) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/status", "/api/stream", "/api/stream?x=1", "/nothing"])
async def test_every_answer_tells_the_browser_to_be_careful(bench: Bench, path: str) -> None:
    """No sniffing, no referrer, no storing; and a policy without anything inline."""
    async with aiohttp.ClientSession() as session, session.get(bench.url + path) as answer:
        for name in HEADERS:
            assert name in answer.headers
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "Access-Control-Allow-Origin" not in answer.headers
