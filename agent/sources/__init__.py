"""The venues. Each is one file: where to ask, and how to read the answer.

`SOURCES` is the explicit table: a new source is a line in it, a file, and recorded cases in
`tests/sources/<name>/`.
"""

from __future__ import annotations

from typing import Final

from agent.sources.base import DataSourceClient, HttpSource
from agent.sources.bybit import BybitClient
from agent.sources.variational import VariationalClient

SOURCES: Final[dict[str, type[HttpSource]]] = {
    "variational": VariationalClient,
    "bybit": BybitClient,
}
"""Name in the configuration's `data_sources` (and `source` tag) to client."""

__all__ = ["SOURCES", "BybitClient", "DataSourceClient", "HttpSource", "VariationalClient"]
