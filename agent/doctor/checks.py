"""What there is to look at with a configuration."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from agent.clock import SYSTEM_CLOCK, Clock
from agent.config import Loaded, NatsSink
from agent.doctor.finding import Check, Finding, ok, skip, warn
from agent.doctor.machine import Machine
from agent.doctor.store import Store, may_write
from agent.doctor.venues import Venue
from agent.journal.database import MAIN_SINK
from agent.stores import targets


def checks_of(
    loaded: Loaded, token_file: Path | None = None, clock: Clock = SYSTEM_CLOCK
) -> list[Check]:
    """Every check, in the order of the report.

    Args:
        loaded: the configuration.
        token_file: an InfluxDB token that may read; None = look for one beside the agent's.
        clock: the machine's.
    """
    config = loaded.config

    async def configuration() -> Finding:
        text = f"{loaded.file or 'built-in defaults'}: {', '.join(config.data_sources)}"
        if loaded.warnings:
            return warn(f"{text}; {'; '.join(loaded.warnings)}", "`perpflux check` shows the rest")
        return ok(text)

    checks = [Check("configuration", configuration), *Machine(config, clock).checks()]
    for source in config.data_sources:
        checks += Venue(source, config, clock).checks()
    for name, (store, token) in targets(config, loaded.token).items():
        shown = name if name == MAIN_SINK else f"sinks.{name}"
        if isinstance(store, NatsSink):
            checks.append(Check(f"{shown}.write", partial(may_write, store, token)))
            continue
        checks += Store(
            name=shown,
            sink=name,
            store=store,
            token=token,
            journal=Path(config.journal.path),
            bytes_max=config.journal.bytes_max,
            age_max_s=config.journal.age_max_s,
            token_file=token_file,
            clock=clock,
        ).checks()
    if config.influxdb is None:
        checks.append(Check(MAIN_SINK, _no_influxdb))
    return checks


async def _no_influxdb() -> Finding:
    return skip(
        "none is configured: points are stored locally, and ship when one is",
        "add the section [influxdb]",
    )
