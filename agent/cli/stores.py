"""What the commands about stores share: the door to one, and instants on the command line."""

from __future__ import annotations

from agent.clock import parse_rfc3339_ns
from agent.config import Loaded, StoreSink, TokenSource
from agent.errors import UsageError
from agent.influx import InfluxDoor
from agent.journal.database import MAIN_SINK


def door_to(loaded: Loaded, sink: str) -> InfluxDoor:
    """The door to a configured store; the caller closes it.

    Raises:
        UsageError: it is not configured, or takes no line protocol.
    """
    config = loaded.config
    store = config.influxdb if sink == MAIN_SINK else config.sinks.get(sink)
    token = loaded.token
    if store is None or (sink == MAIN_SINK and token is None):
        known = ", ".join([*([MAIN_SINK] if config.influxdb else []), *config.sinks]) or "none"
        raise UsageError("find store", f"{sink} is not configured", f"configured: {known}")
    if not isinstance(store, StoreSink):
        raise UsageError("find store", f"{sink} takes no line protocol", "name another --sink")
    if sink != MAIN_SINK or token is None:
        token = TokenSource(store.token_file, {})
    return InfluxDoor(str(store.url), store.org, store.bucket, token)


def instant(operation: str, text: str | None) -> int | None:
    """An RFC 3339 instant in ns; None for None. Raises UsageError."""
    if text is None:
        return None
    instant_ns = parse_rfc3339_ns(text)
    if instant_ns is None:
        raise UsageError(operation, f"{text!r} is no instant", "write it like 2026-01-06T00:00:00Z")
    return instant_ns
