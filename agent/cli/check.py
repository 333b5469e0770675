"""`perpflux check`: is the configuration right? No network, nothing is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.cli.output import complain, say
from agent.config import NatsSink, SinkConfig, TokenSource, load
from agent.errors import EXIT_OK, ConfigError
from agent.stream import credentials


def command(options: argparse.Namespace) -> int:
    """Print what would be done; problems end with exit code 78."""
    loaded = load(options.config)
    config = loaded.config
    tickers = "all" if config.tickers == "all" else ", ".join(config.tickers)
    say(f"configuration  {loaded.file or 'built-in defaults'}: ok")
    say(f"tickers        {tickers}")
    for name in config.data_sources:
        source = getattr(config, name)
        say(f"source         {name}, every {source.poll_interval_s} s from {source.api_base}")
    say(f"journal        {config.journal.path}")
    if config.influxdb is None:
        say("influxdb       none: points are stored locally and ship when the section appears")
    else:
        where = f"org {config.influxdb.org}, bucket {config.influxdb.bucket}"
        say(f"influxdb       {config.influxdb.url}, {where}")
        if loaded.token is not None:
            loaded.token.read()
            say("token          found")
    for sink, store in config.sinks.items():
        _say_sink(sink, store)
    say(f"http           {config.http.listen or 'off'}")
    for warning in loaded.warnings:
        complain(f"warning: {warning}")
    return EXIT_OK


def _say_sink(name: str, sink: SinkConfig) -> None:
    """Where it is; its token is looked for as well. Raises ConfigError."""
    if isinstance(sink, NatsSink):
        where = f"{sink.nats_url}, stream {sink.stream}, {sink.subject}.SOURCE.{sink.group}"
        if sink.credentials_file is not None:
            _read_credentials(name, sink.credentials_file)
            where += ", credentials found"
    else:
        where = f"{sink.url}, org {sink.org}, bucket {sink.bucket}"
        if sink.token_file is not None:
            TokenSource(sink.token_file, {}).read()
            where += ", token found"
    say(f"store          {name}: {where}")


def _read_credentials(name: str, path: Path) -> None:
    """Raises ConfigError."""
    try:
        credentials.read(path)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        subject = f"sinks.{name}.credentials_file {path}: {words}"
        raise ConfigError("read credentials", subject, "put the file right") from None
