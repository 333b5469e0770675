"""Who may ask, and what every answer says to a browser."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agent.errors import JournalError, PerpfluxError
from agent.http.parameters import BadRequestError
from agent.http.worker import BusyError

RETRY_AFTER_S: Final = 1

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer; the page brings a policy of its own.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP
"""


def is_loopback(host: str) -> bool:
    """Whether a host, as in a Host header or `http.listen`, means this machine alone."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.rpartition(":")[0] or header


def guard(listen_host: str) -> Middleware:
    """The middleware of a server that listens there.

    A server on loopback serves this machine alone. A web page elsewhere could have its own name
    lead to 127.0.0.1 and read along as the same origin (DNS rebinding); its name is in the Host
    header then. Who opens the server to a network has chosen to be read, under whatever name.
    """
    private = is_loopback(listen_host)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        named = request.headers.get("Host")
        if private and named is not None and not is_loopback(host_of(named)):
            return refusal(
                403,
                PerpfluxError(
                    "read request",
                    f"Host: {named[:80]!r} is not this machine",
                    "open it as http://localhost:PORT; a proxy in front must send Host: localhost",
                ),
            )
        try:
            return await handler(request)
        except BadRequestError as error:
            return refusal(400, error)
        except (BusyError, JournalError) as error:
            return refusal(503, error)

    return middleware


def refusal(status: int, error: PerpfluxError) -> web.Response:
    """Why not, and what to do, as JSON."""
    text = json.dumps({"error": error.subject, "hint": error.hint}) + "\n"
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}  # noqa: PLR2004
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """To every answer, whatever made it (a signal handler)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
