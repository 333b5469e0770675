"""Logging, set up once: readable on a terminal, JSON lines otherwise, always on stderr.

Event names are constant, everything else is a key. Loops log failures; nobody else does.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


Style = Literal["auto", "console", "json"]


def is_console(style: Style) -> bool:
    """Whether logs are for a person; "auto" is console on a terminal."""
    return style == "console" or (style == "auto" and sys.stderr.isatty())


def set_up(level: str = "info", style: Style = "auto") -> None:
    """Send logs of this level and above to stderr."""
    console = is_console(style)
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.format_exc_info,
    ]
    if console:
        processors[-1] = structlog.dev.set_exc_info
        # Plain tracebacks: the pretty ones print local variables, secrets among them.
        renderer: Any = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=16,
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries speak only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def get_logger() -> Any:
    """The logger of a loop."""
    return structlog.get_logger()
