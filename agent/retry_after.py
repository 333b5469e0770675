"""The header in which a server says how long to wait. Pure."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from agent.clock import NS_PER_S

RETRY_AFTER_S_MAX: Final = 3600
_SECONDS_DIGITS_MAX: Final = 9


def retry_after_s(value: str | None, now_ns: int) -> int | None:
    """A `Retry-After` header in seconds from `now_ns`, 0 to 3600; None = there is none.

    Seconds or an HTTP date: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:_SECONDS_DIGITS_MAX]), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until_s = int(until.replace(tzinfo=until.tzinfo or UTC).timestamp())
    return min(max(0, until_s - now_ns // NS_PER_S), RETRY_AFTER_S_MAX)
