"""The one door to the venues: a GET under one deadline, with a bound on the answer's size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from isal import isal_zlib

from agent import __version__
from agent.clock import NS_PER_MS, Clock
from agent.errors import SourceError, SourceFailure

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Both venues' largest answers are below 0.4 MB."""
KEEP_ALIVE_MARGIN_S: Final = 30
"""Added to the poll interval, so that a connection outlives the pause between two polls."""
CONNECTIONS_MAX: Final = 16
DNS_CACHE_S: Final = 60
_CHUNK_BYTES: Final = 64 * 1024
_GZIP: Final = 31
"""isal's and zlib's name for a gzip header with the largest window."""
HEADERS: Final = {
    "User-Agent": f"perpflux/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole.

    Args:
        status: HTTP status.
        headers: its headers (names in any case).
        body: decompressed bytes, at most `ANSWER_BYTES_MAX`.
        received_ns: wall clock when the last byte was there.
        latency_ms: from sending to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_ns: int
    latency_ms: int

    @property
    def media_type(self) -> str:
        """Content type without parameters, lower case; "" when there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def description(self) -> str:
        """Type and size in words, for errors."""
        return f"{self.media_type or 'of no type'}, {len(self.body)} bytes"


def open_session(poll_interval_s: int) -> aiohttp.ClientSession:
    """A session for all sources; `poll_interval_s` is the longest of theirs.

    It keeps no cookies, and connections for longer than the pause between two polls.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=CONNECTIONS_MAX,
            keepalive_timeout=poll_interval_s + KEEP_ALIVE_MARGIN_S,
            ttl_dns_cache=DNS_CACHE_S,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Fetcher:
    """GETs of one source over a shared session; one in flight per URL.

    Args:
        source: its name, for errors.
        session: from `open_session`, or any other.
        timeout_s: deadline over the whole answer.
        clock: where time comes from.
    """

    def __init__(
        self, source: str, session: aiohttp.ClientSession, timeout_s: float, clock: Clock
    ) -> None:
        self._source = source
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._timeout_s = timeout_s
        self._clock = clock
        self._flights: dict[str, asyncio.Task[Reply]] = {}

    async def get(self, url: str) -> Reply:
        """The answer to a GET; a caller that asks for a URL in flight shares its answer.

        Raises:
            SourceError: not reached, not whole before the deadline, or too large.
        """
        flight = self._flights.get(url)
        if flight is None:
            flight = self._flights[url] = asyncio.create_task(self._get(url))
            flight.add_done_callback(lambda landed: self._landed(url, landed))
        return await asyncio.shield(flight)

    def _landed(self, url: str, flight: asyncio.Task[Reply]) -> None:
        del self._flights[url]
        if not flight.cancelled():
            flight.exception()  # looked at, also when everybody who waited was cancelled

    async def close(self) -> None:
        """End what is in flight."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _get(self, url: str) -> Reply:
        started_ns = self._clock.monotonic_ns()
        try:
            async with self._session.get(
                url,
                headers=HEADERS,
                timeout=self._timeout,
                allow_redirects=False,
                auto_decompress=False,  # `_read` does it, within bounds
                raise_for_status=False,
            ) as response:
                body = await self._read(response)
        except TimeoutError as error:
            raise self._error(
                SourceFailure.TIMED_OUT,
                f"no whole answer from {url} within {self._timeout_s:g} s",
                f"check the network, or raise {self._source}.timeout_s",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(
                SourceFailure.UNREACHABLE,
                f"{url}: {_words(error)}",
                f"check network, DNS and {self._source}.api_base",
            ) from error
        return Reply(
            status=response.status,
            headers=response.headers,
            body=body,
            received_ns=self._clock.now_ns(),
            latency_ms=(self._clock.monotonic_ns() - started_ns) // NS_PER_MS,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, decompressed as it comes in, so that a small bomb stays small."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"gzip", "identity"}:
            raise self._unreadable(response, f"comes as {encoding[:40]}, which was not asked for")
        unpack = isal_zlib.decompressobj(wbits=_GZIP) if encoding == "gzip" else None
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            if unpack is None:
                body += chunk
            elif unpack.eof:
                raise self._unreadable(response, "goes on after the end of its gzip body")
            else:
                try:
                    body += unpack.decompress(chunk, ANSWER_BYTES_MAX - len(body) + 1)
                except isal_zlib.error as error:  # type: ignore[misc]  # its stub names an instance
                    raise self._unreadable(response, "has a damaged gzip body") from error
            if len(body) > ANSWER_BYTES_MAX:
                raise self._error(
                    SourceFailure.TOO_LARGE,
                    f"{response.url} answers with more than {ANSWER_BYTES_MAX} bytes",
                    f"check {self._source}.api_base: a venue's answer is below 0.5 MB",
                )
        if unpack is not None and (not unpack.eof or unpack.unused_data):
            raise self._unreadable(response, "has a gzip body that is cut off or goes on")
        return bytes(body)

    def _unreadable(self, response: aiohttp.ClientResponse, problem: str) -> SourceError:
        return self._error(
            SourceFailure.UNREADABLE,
            f"{response.url} {problem}",
            f"a proxy may stand between; check {self._source}.api_base",
        )

    def _error(self, kind: SourceFailure, subject: str, hint: str = "") -> SourceError:
        return SourceError(f"poll {self._source}", subject, hint, kind=kind)


def _words(error: BaseException) -> str:
    """The library's words for what happened; never empty."""
    return str(error) or type(error).__name__
