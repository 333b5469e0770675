"""`perpflux run`: the agent until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import signal
from typing import Final

from agent import __version__
from agent.app import App
from agent.cli.output import complain
from agent.config import Loaded, load
from agent.errors import EXIT_OK
from agent.log import get_logger, is_console, set_up

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def command(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; then stop within five seconds."""
    faulthandler.enable()
    loaded = load(options.config)
    set_up(loaded.config.log.level, loaded.config.log.format)
    asyncio.run(run(loaded, []))
    return EXIT_OK


async def run(loaded: Loaded, first_words: list[str]) -> None:
    """The agent with this configuration; `first_words` are said before the banner."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    log = get_logger()
    async with App(loaded) as app:
        await app.listen()
        if is_console(loaded.config.log.format):
            for line in first_words + banner(loaded, app.url):
                complain(line)
        else:
            log.info("started", **facts(loaded, app.url))
        for warning in loaded.warnings:
            log.warning("config_warning", text=warning)
        # What start-up made stays for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await app.run(stop)
        log.info("stopping")
    log.info("stopped")


def facts(loaded: Loaded, url: str | None) -> dict[str, str]:
    """The banner as keys, for a log that programs read."""
    config = loaded.config
    return {
        "version": __version__,
        "config": str(loaded.file or "defaults"),
        "sources": ",".join(config.data_sources),
        "journal": str(config.journal.path),
        "influxdb": str(config.influxdb.url) if config.influxdb else "off",
        "http": url or "off",
    }


def banner(loaded: Loaded, url: str | None) -> list[str]:
    """The first lines for a person: where the data goes, what to open, what to do next."""
    config = loaded.config
    tickers = "all tickers" if config.tickers == "all" else ", ".join(config.tickers)
    lines = [
        f"perpflux {__version__}: {tickers} from {' and '.join(config.data_sources)}",
        f"  settings  {loaded.file or 'built-in defaults (deploy/perpflux.toml shows every key)'}",
        f"  journal   {config.journal.path}  (local history; perpflux export prints it)",
    ]
    if config.influxdb is not None:
        lines.append(
            f"  InfluxDB  {config.influxdb.url}, org {config.influxdb.org}, "
            f"bucket {config.influxdb.bucket}"
        )
    else:
        lines.append(
            "  InfluxDB  none yet. To add one: section [influxdb] in perpflux.toml, or set "
            "INFLUXDB_V2_URL, INFLUXDB_V2_ORG, INFLUXDB_V2_TOKEN; what is stored here ships then"
        )
    if url is not None:
        lines.append(f"  open      {url}/status  /healthz  /readyz  /metrics")
    return [*lines, "  stop      Ctrl-C", ""]
