"""Configuration: TOML below the environment, checked once, frozen afterwards.

`load` finds, reads and checks it; everybody else is handed the part of `Config` that is theirs.
"""

from agent.config.keys import KeyInfo, known_keys
from agent.config.load import Loaded, environment, load
from agent.config.model import (
    BybitConfig,
    Config,
    HttpConfig,
    InfluxConfig,
    JournalConfig,
    LogConfig,
    NatsSink,
    SinkConfig,
    StoreSink,
    VariationalConfig,
)
from agent.config.secret import NoToken, TokenSource

__all__ = [
    "BybitConfig",
    "Config",
    "HttpConfig",
    "InfluxConfig",
    "JournalConfig",
    "KeyInfo",
    "Loaded",
    "LogConfig",
    "NatsSink",
    "NoToken",
    "SinkConfig",
    "StoreSink",
    "TokenSource",
    "VariationalConfig",
    "environment",
    "known_keys",
    "load",
]
