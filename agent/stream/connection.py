"""The one door to NATS: a connection that is made when it is needed, to whichever server answers.

nats-py does not connect again by itself here: whoever uses the door comes again after a failure,
and waits in between; so there is one retry, and one place that says what is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from agent.config import NatsSink
from agent.fates import BackOff, Park
from agent.log import get_logger
from agent.stream import credentials
from agent.stream.answers import meaning, of_error

CONNECT_S: Final = 3
"""For one server."""
REQUEST_S: Final = 5
CLOSE_S: Final = 1
PING_EVERY_S: Final = 5
PINGS_MAX: Final = 2
"""A server that is silent for so many of them is gone."""
SERVERS_MAX: Final = 16

Client = Any
"""nats.aio.client.Client, which is imported when it is needed: it takes 0.2 s."""


class NatsError(Exception):
    """It is not to be had now; `fate` says for how long. For use within this package."""

    def __init__(self, fate: Park | BackOff) -> None:
        super().__init__(fate.reason)
        self.fate = fate


class Connection:
    """To the servers of a sink.

    Args:
        sink: where they are.
        name: how it is called in the server's own monitoring.
    """

    def __init__(self, sink: NatsSink, name: str) -> None:
        self._sink = sink
        self._name = name
        self._client: Client = None
        self._known: list[str] = []
        self._said = ""
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """The connection, made anew where it was lost. Raises NatsError."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
            return self._client

    async def close(self) -> None:
        """Let go of it; `client` makes another one."""
        client, self._client = self._client, None
        if client is None:
            return
        await _within(client.flush)
        await _within(client.close)

    def fate(self, error: BaseException) -> Park | BackOff:
        """What an error means, with what the server said meanwhile."""
        said, self._said = self._said, ""
        return of_error(error, said=said)

    async def check(self) -> Any:
        """What the server says of the stream. Raises NatsError."""
        client = await self.client()
        manager = client.jetstream(timeout=REQUEST_S)
        try:
            info = await manager.stream_info(self._sink.stream)
        except Exception as error:
            raise NatsError(self._explain(error)) from error
        wanted = f"{self._sink.subject}.>"
        if wanted not in (info.config.subjects or []) and ">" not in (info.config.subjects or []):
            held = ", ".join(info.config.subjects or ["none"])
            reason = f"stream {self._sink.stream} holds {held}, not {wanted}"
            raise NatsError(Park(reason, "add the subject to the stream, or put subject right"))
        return info

    def _explain(self, error: Exception) -> Park | BackOff:
        # nats-py leaves these without a word.
        if type(error).__name__ == "ServiceUnavailableError" and not getattr(
            error, "err_code", None
        ):
            return BackOff("no JetStream answers: is it enabled, and has the cluster a leader?")
        return self.fate(error)

    async def _connect(self) -> Client:
        library = await asyncio.get_running_loop().run_in_executor(None, nats_library)
        options = self._credentials()
        fate: Park | BackOff = BackOff("there is no server to ask")
        servers = dict.fromkeys([*self._sink.servers, *self._known])
        for server in servers:
            client = library()
            try:
                async with asyncio.timeout(CONNECT_S):
                    await client.connect(
                        server,
                        name=self._name,
                        error_cb=self._heard,
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=CONNECT_S,
                        ping_interval=PING_EVERY_S,
                        max_outstanding_pings=PINGS_MAX,
                        **options,
                    )
            except Exception as error:  # noqa: BLE001  # the library raises what it meets
                # nats-py waits for ever to flush to a server that it never reached.
                await _within(client.close)
                text = str(error) or f"no answer within {CONNECT_S} s"
                fate = meaning(
                    None, f"{server}: {text}", said=self._said and f"{server}: {self._said}"
                )
                self._said = ""
                continue
            found = [each.geturl() for each in client.servers]
            self._known = [url for url in found if url not in self._sink.servers][:SERVERS_MAX]
            self._said = ""
            return client
        raise NatsError(fate)

    async def _heard(self, error: Exception) -> None:
        """The library's own channel for what no request is answered with."""
        self._said = str(error)
        get_logger().debug("nats", name=self._name, error=self._said)

    def _credentials(self) -> dict[str, Any]:
        path = self._sink.credentials_file
        if path is None:
            return {}
        try:
            return credentials.read(path)
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            hint = "put credentials_file right; it is read again at each try"
            raise NatsError(Park(f"credentials_file {path}: {words}", hint)) from None


async def _within(ending: Callable[[], Awaitable[None]]) -> None:
    """Do this, but not for long: whatever comes of it, the connection is over."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await ending()


def nats_library() -> Any:
    """The class that is used. Importing it takes 0.2 s: only where there is a stream.

    Raises:
        NatsError: it is not installed.
    """
    try:
        from nats.aio.client import Client as Library  # noqa: PLC0415  # see above
    except ImportError as error:
        hint = "install the extra: pip install 'perpflux[nats]'"
        raise NatsError(Park(f"nats-py is missing: {error}", hint)) from error
    return Library
