"""The official client, as both doors to InfluxDB hold it: imported late, certificates read once."""

from __future__ import annotations

import ssl
from functools import cache
from importlib import import_module
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from agent import __version__

CONNECTIONS_MAX: Final = 2
_SERVICES: Final = "influxdb_client.service"


def prepare() -> None:
    """Do now, in any thread, what would stop the first request for a quarter of a second."""
    _client_class()
    import_module(f"{_SERVICES}.write_service")
    _tls()


def connect(url: str, token: SecretStr | None, timeout_s: float) -> Any:
    """An `InfluxDBClientAsync`; nothing is sent yet. Close it with `await client.close()`.

    Args:
        url: base address, such as "http://127.0.0.1:8086".
        token: None = none.
        timeout_s: bound on a request, from connecting to the end of the answer.
    """
    client = _client_class()(
        url,
        token=token.get_secret_value() if token else "",
        enable_gzip=False,
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        connection_pool_maxsize=CONNECTIONS_MAX,
        # A redirect would take the token somewhere else.
        allow_redirects=False,
        ssl_context=_tls(),
    )
    client.api_client.user_agent = f"perpflux/{__version__}"
    return client


def service(client: Any, module: str, name: str) -> Any:
    """One of the client's services, such as `WriteService`, imported when it is first used."""
    return getattr(import_module(f"{_SERVICES}.{module}"), name)(client.api_client)


def _client_class() -> Any:
    # Importing the client takes 0.2 s and 13 MB, which only those pay who use it.
    return import_module("influxdb_client.client.influxdb_client_async").InfluxDBClientAsync


@cache
def _tls() -> ssl.SSLContext:
    """What is trusted, for every connection: the client would read all certificates for each."""
    return ssl.create_default_context()
