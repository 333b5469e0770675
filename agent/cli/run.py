"""`perpflux run`: the agent until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
from collections.abc import Callable
from typing import Final

from agent import __version__
from agent.app import App
from agent.cli.output import complain
from agent.config import Loaded, environment, load
from agent.errors import EXIT_OK, ConfigError, PerpfluxError
from agent.log import get_logger, is_console, set_up
from agent.notify import VARIABLES, Notifier
from agent.supervision import Supervision

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_HISTORY: Final = "local history; perpflux export prints it"


def command(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; then stop within five seconds."""
    notifier = Notifier.of(environment(*VARIABLES), os.getpid())
    try:
        loaded = load(options.config)
        set_up(loaded.config.log.level, loaded.config.log.format)
        asyncio.run(run(loaded, [], lambda: load(options.config), notifier))
    except PerpfluxError as error:
        notifier.tell(STATUS=str(error))
        raise
    return EXIT_OK


async def run(
    loaded: Loaded,
    first_words: list[str],
    reread: Callable[[], Loaded],
    notifier: Notifier,
    history: str = _HISTORY,
) -> None:
    """The agent with this configuration.

    Args:
        loaded: the configuration.
        first_words: said before the banner.
        reread: reads the configuration anew, on SIGHUP.
        notifier: tells systemd, if there is one.
        history: what the journal is, and how to read it.
    """
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    log = get_logger()
    async with Supervision(notifier) as supervision, App(loaded) as app:
        await app.listen()
        if is_console(loaded.config.log.format):
            for line in first_words + banner(loaded, app.url, history):
                complain(line)
        else:
            log.info("started", **facts(loaded, app.url))
        for warning in loaded.warnings:
            log.warning("config_warning", text=warning)
        # What start-up made stays for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        supervision.start(app.line, app.stalled, app.running, stop)
        reloading = asyncio.create_task(_reload_on(hangup, app, reread, supervision))
        try:
            await app.run(stop)
        finally:
            reloading.cancel()
        log.info("stopping")
    log.info("stopped")


async def _reload_on(
    hangup: asyncio.Event, app: App, reread: Callable[[], Loaded], supervision: Supervision
) -> None:
    """Reload at each SIGHUP. A configuration that is refused changes nothing."""
    log = get_logger()
    while True:
        await hangup.wait()
        hangup.clear()
        supervision.reloading()
        try:
            loaded = reread()
            for change in await app.reload(loaded):
                tell = log.info if change.live else log.warning
                tell(
                    "config_changed" if change.live else "config_needs_restart",
                    key=change.key,
                    before=change.before,
                    after=change.after,
                )
            set_up(loaded.config.log.level, loaded.config.log.format)
            for warning in loaded.warnings:
                log.warning("config_warning", text=warning)
            log.info("reloaded", config=str(loaded.file or "defaults"))
        except ConfigError as error:
            log.error("reload_refused", error=error.subject, hint="it goes on as before")  # noqa: TRY400  # the operator's mistake, not ours
        except Exception:
            log.exception("reload_failed")
        finally:
            supervision.reloaded()


def facts(loaded: Loaded, url: str | None) -> dict[str, str]:
    """The banner as keys, for a log that programs read."""
    config = loaded.config
    return {
        "version": __version__,
        "config": str(loaded.file or "defaults"),
        "sources": ",".join(config.data_sources),
        "journal": str(config.journal.path),
        "influxdb": str(config.influxdb.url) if config.influxdb else "off",
        "sinks": ",".join(config.sinks),
        "http": url or "off",
    }


def banner(loaded: Loaded, url: str | None, history: str) -> list[str]:
    """The first lines for a person: where the data goes, what to open, what to do next."""
    config = loaded.config
    tickers = "all tickers" if config.tickers == "all" else ", ".join(config.tickers)
    lines = [
        f"perpflux {__version__}: {tickers} from {' and '.join(config.data_sources)}",
        f"  settings  {loaded.file or 'built-in defaults (deploy/perpflux.toml shows every key)'}",
        f"  journal   {config.journal.path}  ({history})",
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
    if config.sinks:
        lines.append(f"  stores    {', '.join(config.sinks)}  (perpflux backlog)")
    if url is not None:
        lines.append(f"  open      {url}  (live page; /status  /healthz  /readyz  /metrics)")
    return [*lines, "  stop      Ctrl-C", ""]
