"""`perpflux backlog`: what waits for each store, and why; with --verify, is what is stored there?

A running agent knows why; without one the journal tells how much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agent.cli.output import complain, emit, say
from agent.cli.query import token_source
from agent.cli.stores import instant
from agent.clock import NS_PER_S, SYSTEM_CLOCK, slot_at, to_rfc3339
from agent.config import Config, load
from agent.errors import EXIT_FAILED, EXIT_OK, UsageError
from agent.formats import aligned
from agent.influx_api import InfluxApi
from agent.journal import Desk
from agent.journal.database import MAIN_SINK
from agent.readback import Readback, read_back
from agent.running import running_status

VERIFY_S: Final = 3600
"""How far --verify goes back by itself."""
SETTLE_S: Final = 60
"""What is younger may still be on its way into InfluxDB's indexes."""
_COLUMNS: Final = ("store", "points", "bytes", "oldest_s", "state", "why")


def command(options: argparse.Namespace) -> int:
    """Print a row per store, or compare, or forget one; 1 when points are missing in InfluxDB."""
    config = load(options.config).config
    if options.forget is not None:
        return _forget(config, options)
    if options.verify:
        return _verify(config, options)
    if options.since or options.until or options.token_file:
        raise UsageError("backlog", "a range and a token are for --verify", "add --verify")
    rows = list(_rows(config))
    if options.format == "json":
        say(json.dumps({str(row.pop("store")): row for row in rows}, indent=2))
        return EXIT_OK
    cells = [["-" if row[key] is None else str(row[key]) for key in _COLUMNS] for row in rows]
    for text in aligned([_COLUMNS, *cells]):
        emit(text)
    return EXIT_OK


def _rows(config: Config) -> Iterator[dict[str, Any]]:
    path = Path(config.journal.path)
    status = running_status(config)
    now_ns = SYSTEM_CLOCK.now_ns()
    with Desk(path, bytes_max=config.journal.bytes_max) as desk:
        for sink in desk.sinks():
            _, backlog = desk.accounts(sink)
            oldest_ns = backlog.oldest_ns
            state, why = _shipping(config, sink, status)
            yield {
                "store": sink,
                "points": backlog.points,
                "bytes": backlog.bytes,
                "oldest_s": None if oldest_ns is None else max(0, now_ns - oldest_ns) // NS_PER_S,
                "state": state,
                "why": why,
            }


def _shipping(config: Config, sink: str, status: dict[str, Any] | None) -> tuple[str, str | None]:
    """State of a sink and why, as the running agent says it."""
    if status is None:
        off = config.influxdb is None if sink == MAIN_SINK else sink not in config.sinks
        if off:
            return "off", "it is not configured"
        return "unknown", f"no agent of this journal answers at {config.http.listen or 'off'}"
    report = status if sink == MAIN_SINK else status["sinks"].get(sink)
    if report is None:
        return "unknown", "the running agent does not know it"
    return report["shipping"]["state"], report["shipping"]["last_error"]


def _forget(config: Config, options: argparse.Namespace) -> int:
    """Give a store up: told what that costs. Refused while anything is shipped to it."""
    name: str = options.forget
    if options.verify or options.since or options.until or options.token_file:
        raise UsageError("forget store", "--forget stands alone", "leave the other options out")
    if name == MAIN_SINK:
        raise UsageError("forget store", f"{name} is the journal's own", "its place always stays")
    if name in config.sinks:
        hint = f"take [sinks.{name}] out of the configuration and reload the agent first"
        raise UsageError("forget store", f"{name} is configured", hint)
    state, _ = _shipping(config, name, running_status(config))
    if state not in {"off", "unknown"}:
        hint = "reload it first: systemctl reload perpflux, or SIGHUP"
        raise UsageError("forget store", f"the running agent still ships to {name}", hint)
    with Desk(Path(config.journal.path), bytes_max=config.journal.bytes_max) as desk:
        ledger, backlog = desk.forget(name)
    say(
        f"{name} is forgotten: {ledger.stored} points were stored there, {ledger.rejected} "
        f"rejected, {ledger.evicted} evicted, {backlog.points} not shipped any more"
    )
    say("the journal keeps its points; a store of this name that is added gets them all")
    return EXIT_OK


def _verify(config: Config, options: argparse.Namespace) -> int:
    influxdb = config.influxdb
    if influxdb is None:
        raise UsageError("backlog", "no InfluxDB is configured", "add the section [influxdb]")
    now_ns = SYSTEM_CLOCK.now_ns()
    until_ns = instant("backlog", options.until) or now_ns - SETTLE_S * NS_PER_S
    since_ns = instant("backlog", options.since)
    if since_ns is None:
        since_ns = slot_at(until_ns, VERIFY_S) - VERIFY_S * NS_PER_S
    token = token_source(options.token_file, influxdb.token_file).read()

    async def compare() -> Readback:
        async with InfluxApi(str(influxdb.url), token) as api:
            return await read_back(
                api,
                influxdb.org,
                influxdb.bucket,
                journal=Path(config.journal.path),
                sink=MAIN_SINK,
                since_ns=since_ns,
                until_ns=until_ns,
            )

    found = asyncio.run(compare())
    said = f"{to_rfc3339(found.since_ns)} to {to_rfc3339(found.until_ns)}"
    say(f"{said}: {found.points} points acknowledged, {found.missing} of them missing")
    for gap in found.gaps:
        doubt = " (rejected lines of then are forgotten: it may be those)" if gap.unsure else ""
        complain(f"perpflux: {gap}{doubt}")
    if found.missing:
        complain("perpflux: `perpflux replay --since … --until …` sends them again")
    return EXIT_FAILED if found.missing else EXIT_OK
