"""The door to InfluxDB's write API: one request, one Answer; it decides nothing.

It sends through the official client's `WriteService`, which passes on a body that is already
compressed, once, and leaves the answer to us. What an answer means: `agent.fates`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import aiohttp
from pydantic import SecretStr

from agent.clock import NS_PER_MS, SYSTEM_CLOCK, Clock
from agent.errors import ConfigError
from agent.fates import TOKEN_UNREADABLE, Answer, shortened
from agent.influx_client import connect, service
from agent.retry_after import retry_after_s

__all__ = ["Answer", "InfluxDoor", "TokenSource"]

TIMEOUT_S: Final = 10
"""Bound on one write, from connecting to the end of the answer."""
ANSWER_BYTES_MIN: Final = 65_536
ANSWER_FACTOR: Final = 3
"""Bound on an answer: 64 KiB, and this many times what was sent, uncompressed: a 400 repeats each
bad line with its reason, and JSON escapes some of their characters."""
_CHUNK_BYTES: Final = 65_536
_REDIRECTS: Final = range(300, 400)


class TokenSource(Protocol):
    """Where the token is found."""

    def read(self) -> SecretStr:
        """The token as it is now. Raises ConfigError when there is none."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class InfluxDoor:
    """One bucket of one InfluxDB, to be written to.

    Args:
        url: base address, such as "http://127.0.0.1:8086".
        org: name or id.
        bucket: name or id.
        token: read on first use and anew at each probe; another token makes a new connection.
        timeout_s: bound on one request.
        clock: measures the answers and dates `Retry-After`.
    """

    def __init__(
        self,
        url: str,
        org: str,
        bucket: str,
        token: TokenSource,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._url = url
        self._org = org
        self._bucket = bucket
        self._token = token
        self._timeout_s = timeout_s
        self._clock = clock
        self._secret: SecretStr | None = None
        self._client: Any = None
        self._writes: Any = None

    async def write(self, body: bytes, *, gzip: bool) -> Answer:
        """Send line protocol, as it lies, once. Never raises for what the network does.

        Args:
            body: not empty.
            gzip: whether it is one gzip member.
        """
        if self._secret is None and (refusal := await self._take_token()):
            return refusal
        return await self._post(body, gzip=gzip)

    async def probe(self) -> Answer:
        """Ask with an empty body: token, org, bucket and permission are checked, nothing stored.

        It never says gzip: InfluxDB answers an empty body under it with a 500.
        """
        if refusal := await self._take_token():
            return refusal
        return await self._post(b"", gzip=False)

    async def close(self) -> None:
        """Close the connections. The door may be used again; it connects anew."""
        client, self._client, self._secret = self._client, None, None
        if client is not None:
            await client.close()

    async def _take_token(self) -> Answer | None:
        """Read the token; an Answer when there is none."""
        try:
            secret = self._token.read()
        except ConfigError as error:
            return Answer(None, TOKEN_UNREADABLE, str(error), None, 0)
        if secret != self._secret:
            await self.close()
            self._secret = secret
        return None

    async def _post(self, body: bytes, *, gzip: bool) -> Answer:
        start_ns = self._clock.monotonic_ns()
        trouble = ""
        reply: _Reply | None = None
        try:
            reply = await self._exchange(body, gzip=gzip)
        except TimeoutError:
            trouble = f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            trouble = f"no answer: {str(error) or type(error).__name__}"
        elapsed_ms = (self._clock.monotonic_ns() - start_ns) // NS_PER_MS
        if reply is None:
            return Answer(None, "", self._masked(shortened(trouble)), None, elapsed_ms)
        answer = answer_of(
            reply.status,
            reply.headers,
            reply.body,
            now_ns=self._clock.now_ns(),
            elapsed_ms=elapsed_ms,
        )
        return replace(answer, message=self._masked(answer.message))

    async def _exchange(self, body: bytes, *, gzip: bool) -> _Reply:
        if self._client is None:
            self._connect()
        options = {"content_encoding": "gzip"} if gzip else {}
        # Not preloaded: the client would read an answer of any size.
        response: aiohttp.ClientResponse = await self._writes.post_write_async(
            self._org,
            self._bucket,
            body,
            precision="ns",
            content_type="text/plain; charset=utf-8",
            _preload_content=False,
            **options,
        )
        async with response:
            answer = await _read(response, _answer_bytes_max(body, gzip=gzip))
            return _Reply(response.status, response.headers, answer)

    def _connect(self) -> None:
        assert self._secret is not None, "the token is taken before anything is sent"
        self._client = connect(self._url, self._secret, self._timeout_s)
        self._writes = service(self._client, "write_service", "WriteService")

    def _masked(self, text: str) -> str:
        """A proxy's page may show the request it got."""
        secret = self._secret.get_secret_value() if self._secret else ""
        return text.replace(secret, "***") if secret else text


def answer_of(
    status: int, headers: Mapping[str, str], body: bytes, *, now_ns: int, elapsed_ms: int
) -> Answer:
    """What an HTTP answer says. Pure.

    InfluxDB's own errors are `{"code": ..., "message": ...}`; of any other page the beginning is
    kept, of a redirect its aim.
    """
    text = body.decode("utf-8", "replace")
    code, message = "", shortened(text)
    location = headers.get("Location")
    if location and status in _REDIRECTS:
        message = shortened(f"redirects to {location}")
    # A body that is no such object is somebody else's page.
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        document = json.loads(text)
        code, message = str(document["code"]), str(document["message"])
    return Answer(
        status=status,
        code=code,
        message=message,
        retry_after_s=retry_after_s(headers.get("Retry-After"), now_ns),
        elapsed_ms=elapsed_ms,
    )


def _answer_bytes_max(body: bytes, *, gzip: bool) -> int:
    # A gzip member ends with the size of what it holds (RFC 1952, ISIZE).
    size = int.from_bytes(body[-4:], "little") if gzip else len(body)
    return ANSWER_BYTES_MIN + ANSWER_FACTOR * size


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The answer's body, cut at the bound; what is left then closes the connection."""
    chunks = bytearray()
    while len(chunks) < bytes_max:
        chunk = await response.content.read(min(_CHUNK_BYTES, bytes_max - len(chunks)))
        if not chunk:
            break
        chunks += chunk
    return bytes(chunks)
