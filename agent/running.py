"""Asks the agent that runs on a journal how it is; a command has no other way to know."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final

from agent.config import Config

ASK_S: Final = 3
"""How long a running agent may take to answer."""
STATUS_BYTES_MAX: Final = 1 << 20


def running_status(config: Config) -> dict[str, Any] | None:
    """The status of the agent that runs on this journal; None = none answers."""
    if config.http.address is None:
        return None
    host, port = config.http.address
    asked = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        asked.request("GET", "/status")
        document = json.loads(asked.getresponse().read(STATUS_BYTES_MAX))
        same = document["journal"]["path"] == str(config.journal.path)
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
        return None
    finally:
        asked.close()
    return document if same else None
