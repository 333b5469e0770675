"""Asks the agent that runs on a journal how it is; a command has no other way to know."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final

from agent.config import Config

ASK_S: Final = 3
"""How long a running agent may take to answer."""
DOCUMENT_BYTES_MAX: Final = 8 * 2**20


def running_status(config: Config) -> dict[str, Any] | None:
    """The status of the agent that runs on this journal; None = none answers."""
    document = running_document(config, "/status")
    try:
        same = document is not None and document["journal"]["path"] == str(config.journal.path)
    except (TypeError, KeyError):
        return None
    return document if same else None


def running_document(config: Config, path: str, *, exact: bool = False) -> dict[str, Any] | None:
    """A JSON object of whoever listens where the agent should; None = there is none.

    Args:
        config: says where.
        path: of the document.
        exact: give numbers as their texts.
    """
    if config.http.address is None:
        return None
    host, port = config.http.address
    asked = http.client.HTTPConnection(host, port, timeout=ASK_S)
    numbers: dict[str, Any] = {"parse_float": str, "parse_int": str} if exact else {}
    try:
        asked.request("GET", path)
        answer = asked.getresponse()
        document = json.loads(answer.read(DOCUMENT_BYTES_MAX), **numbers)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        asked.close()
    return document if isinstance(document, dict) and answer.status == http.client.OK else None
