"""`perpflux sink`: fills a store from a stream until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
from pathlib import Path

from agent import __version__
from agent.cli.output import complain
from agent.cli.run import STOP_SIGNALS
from agent.cli.stores import destination_of
from agent.config import Loaded, NatsSink, environment, load
from agent.errors import EXIT_OK, PerpfluxError, UsageError
from agent.log import get_logger, is_console, set_up
from agent.notify import VARIABLES, Notifier
from agent.sink import Sink
from agent.stream.setup import make_stream
from agent.supervision import Supervision


def command(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; then stop within five seconds."""
    notifier = Notifier.of(environment(*VARIABLES), os.getpid())
    try:
        loaded = load(options.config)
        set_up(loaded.config.log.level, loaded.config.log.format)
        name, stream = stream_of(loaded, options.stream)
        asyncio.run(_run(loaded, name, stream, options, notifier))
    except PerpfluxError as error:
        notifier.tell(STATUS=str(error))
        raise
    return EXIT_OK


def stream_of(loaded: Loaded, name: str | None) -> tuple[str, NatsSink]:
    """The configured stream of this name; without a name, the only one. Raises UsageError."""
    streams = {
        each: sink for each, sink in loaded.config.sinks.items() if isinstance(sink, NatsSink)
    }
    if name is None and len(streams) == 1:
        return next(iter(streams.items()))
    if name in streams:
        return name, streams[name]
    known = ", ".join(streams) or "none: add a [sinks.NAME] with nats_url"
    subject = "no stream is named" if name is None else f"{name} is no configured stream"
    raise UsageError("find stream", subject, f"configured: {known}")


async def _run(
    loaded: Loaded, name: str, stream: NatsSink, options: argparse.Namespace, notifier: Notifier
) -> None:
    store = options.store
    if isinstance(loaded.config.sinks.get(store), NatsSink):
        raise UsageError("find store", f"{store} is a stream", "name a store with --store")
    destination = destination_of(loaded, store)
    log = get_logger()
    journal = loaded.config.journal
    if options.make_stream:
        made = await make_stream(
            stream,
            replicas=options.replicas,
            bytes_max=journal.bytes_max,
            age_max_s=journal.age_max_s,
        )
        log.info("stream_made" if made else "stream_found", stream=stream.stream)
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # A hangup of the terminal ends nothing, as with `perpflux run`.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    durable = options.durable or f"perpflux-{store}"
    box = Path(journal.path).with_name(f"sink-{name}-{store}.db")
    sink = Sink(stream, store, destination, durable=durable, box=box, bounds=journal)
    async with Supervision(notifier) as supervision, sink:
        if is_console(loaded.config.log.format):
            complain(f"perpflux {__version__}: stream {stream.stream} into {store}, as {durable}")
            complain(f"  ledger and refused lines  {box}\n  stop                      Ctrl-C\n")
        else:
            log.info(
                "started", version=__version__, stream=stream.stream, store=store, box=str(box)
            )
        gc.collect()
        gc.freeze()
        supervision.start(sink.line, sink.stalled, sink.running, stop)
        await sink.run(stop)
        log.info("stopping", **await sink.state())
    log.info("stopped")
