"""`perpflux demo`: the agent against simulated venues on a loopback port. Only URLs differ."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.cli.run import run
from agent.config import Config, Loaded, load
from agent.demo.market import Market
from agent.demo.venues import SimulatedVenues
from agent.errors import EXIT_OK
from agent.log import set_up
from agent.notify import Notifier

POLL_INTERVAL_S: Final = 5
"""Variational's simulated document changes this often, so that something moves."""
JOURNAL_SUFFIX: Final = ".demo"
_VARIABLE: Final = "PERPFLUX_JOURNAL__PATH"


def command(options: argparse.Namespace) -> int:
    """Run the agent against venues of our own until stopped."""
    loaded = load(options.config)
    set_up(loaded.config.log.level, loaded.config.log.format)
    asyncio.run(_demo(loaded, options.seed, ship=options.ship))
    return EXIT_OK


async def _demo(loaded: Loaded, seed: int, *, ship: bool) -> None:
    async with SimulatedVenues.start(market=Market(seed, refresh_s=POLL_INTERVAL_S)) as venues:
        words = [f"DEMO: simulated venues at {venues.url}; prices are made up.", ""]

        def demo(loaded: Loaded) -> Loaded:
            return replace(loaded, config=simulated(loaded.config, venues.url, ship=ship))

        simulation = demo(loaded)
        history = f"the demo's own; to read it: export {_VARIABLE}={simulation.config.journal.path}"
        await run(simulation, words, lambda: demo(load(loaded.file)), Notifier(), history)


def simulated(config: Config, url: str, *, ship: bool) -> Config:
    """The configuration with the venues' addresses replaced and a journal of its own.

    Made-up prices reach the configured InfluxDB only when `ship` says so.
    """
    journal = Path(f"{config.journal.path}{JOURNAL_SUFFIX}")
    return config.model_copy(
        update={
            "variational": config.variational.model_copy(
                update={"api_base": url, "poll_interval_s": POLL_INTERVAL_S}
            ),
            "bybit": config.bybit.model_copy(update={"api_base": url}),
            "journal": config.journal.model_copy(update={"path": journal}),
            "influxdb": config.influxdb if ship else None,
            "sinks": config.sinks if ship else {},
        }
    )
