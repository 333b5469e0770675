"""Makes the stream that a `[sinks.NAME]` names, for those who have no other tool at hand."""

from __future__ import annotations

from typing import Final

from agent.clock import SYSTEM_CLOCK, Clock
from agent.config import NatsSink
from agent.errors import PerpfluxError
from agent.fates import Park
from agent.log import get_logger
from agent.stream.connection import REQUEST_S, Connection, NatsError

DUPLICATE_WINDOW_S: Final = 3600
"""How long the server remembers ids: an agent may be away for so long and add nothing twice."""
TRIES_MAX: Final = 15
TRY_EVERY_S: Final = 2
"""A cluster that starts, or has just lost a server, needs some seconds; systemd waits for 60."""

_PASSING: Final = frozenset({None, 10004, 10005, 10008})
"""No answer, incomplete, no peers yet, no leader yet."""


async def make_stream(
    sink: NatsSink, *, replicas: int, bytes_max: int, age_max_s: int, clock: Clock = SYSTEM_CLOCK
) -> bool:
    """Make the stream where there is none of its name; whether it was made.

    It refuses what is over its bounds (`discard: new`), and the agents' journals keep that.

    Args:
        sink: names stream and subject.
        replicas: servers that hold each message, 1 to 5.
        bytes_max: bound on its size.
        age_max_s: how long a message is kept.
        clock: waits for a cluster that has no leader yet, half a minute in all.

    Raises:
        PerpfluxError: the servers are not to be had, or refuse.
    """
    connection = Connection(sink, "perpflux make-stream")
    try:
        for attempt in range(TRIES_MAX):
            try:
                return await _make(connection, sink, replicas, bytes_max, age_max_s)
            except Exception as error:
                passing = getattr(error, "err_code", None) in _PASSING
                fate = error.fate if isinstance(error, NatsError) else connection.fate(error)
                if isinstance(fate, Park) or not passing or attempt + 1 == TRIES_MAX:
                    hint = fate.hint if isinstance(fate, Park) else "see the server's limits"
                    subject = f"{sink.stream}: {fate.reason}"
                    raise PerpfluxError("make stream", subject, hint) from error
                if not attempt:
                    log = get_logger()
                    log.warning("stream_down", stream=sink.stream, error=fate.reason, hint="")
            await clock.sleep(TRY_EVERY_S)
    finally:
        await connection.close()
    raise AssertionError("the last try returns or raises")


async def _make(
    connection: Connection, sink: NatsSink, replicas: int, bytes_max: int, age_max_s: int
) -> bool:
    client = await connection.client()
    from nats.js.api import DiscardPolicy, StorageType, StreamConfig  # noqa: PLC0415  # nats-py
    from nats.js.errors import NotFoundError  # noqa: PLC0415  # the same

    manager = client.jetstream(timeout=REQUEST_S)
    try:
        await manager.stream_info(sink.stream)
    except NotFoundError:
        wanted = StreamConfig(
            name=sink.stream,
            subjects=[f"{sink.subject}.>"],
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_bytes=bytes_max,
            max_age=age_max_s,
            discard=DiscardPolicy.NEW,
            duplicate_window=min(DUPLICATE_WINDOW_S, age_max_s),
        )
        await manager.add_stream(wanted)
        return True
    return False
