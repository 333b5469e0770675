"""What the commands about stores share: the way to one, and instants on the command line."""

from __future__ import annotations

from agent.clock import parse_rfc3339_ns
from agent.config import Loaded
from agent.delivery import Destination
from agent.errors import UsageError
from agent.stores import destination, targets


def destination_of(loaded: Loaded, sink: str) -> Destination:
    """The way to a configured store; the caller closes it.

    Raises:
        UsageError: it is not configured.
    """
    configured = targets(loaded.config, loaded.token)
    if sink not in configured:
        known = ", ".join(configured) or "none"
        raise UsageError("find store", f"{sink} is not configured", f"configured: {known}")
    return destination(*configured[sink])


def instant(operation: str, text: str | None) -> int | None:
    """An RFC 3339 instant in ns; None for None. Raises UsageError."""
    if text is None:
        return None
    instant_ns = parse_rfc3339_ns(text)
    if instant_ns is None:
        raise UsageError(operation, f"{text!r} is no instant", "write it like 2026-01-06T00:00:00Z")
    return instant_ns
