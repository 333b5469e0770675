"""What Bybit means when it does not answer with data. Pure.

Codes: https://bybit-exchange.github.io/docs/v5/error . Limits and the three causes of HTTP 403:
https://bybit-exchange.github.io/docs/v5/rate-limit .
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from agent.errors import SourceError, SourceFailure
from agent.sources.fetch import Reply

BAN_SILENCE_S: Final = 600
"""After "access too frequent" nothing may be asked for ten minutes."""
REGION_SILENCE_S: Final = 3600
"""A geoblock is permanent: say so and look again rarely."""
REFUSED_SILENCE_S: Final = 60
RATE_SILENCE_S: Final = 2
"""First pause after a rate limit; doubles to `RATE_SILENCE_MAX_S`."""
RATE_SILENCE_MAX_S: Final = 60

OK: Final = 0
SYMBOL_INVALID: Final = 10001
RATE_LIMITED: Final = 10006
_REGION_CODES: Final = frozenset({10009, 10010, 10024})
_TRANSIENT_CODES: Final = frozenset({429, 10000, 10016})
_TEXT_MAX: Final = 120
_PAGE_BYTES_MAX: Final = 4096
"""Of a page that comes with HTTP 403, this much is searched for its cause."""


def check_status(reply: Reply, rate_pause_s: int) -> None:
    """Raise what an HTTP status other than 200 means.

    Args:
        reply: the answer.
        rate_pause_s: the silence that a rate limit asks for.
    """
    said = f"HTTP {reply.status}"
    if reply.status == HTTPStatus.OK:
        return
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise _rate_limited(said, rate_pause_s)
    if reply.status != HTTPStatus.FORBIDDEN:
        hint = "check bybit.api_base, or wait: the venue may be down"
        raise _failure(SourceFailure.REFUSED, said, hint)
    text = reply.body[:_PAGE_BYTES_MAX].decode("utf-8", "replace").lower()
    if "access too frequent" in text:
        raise _failure(
            SourceFailure.BANNED,
            f"{said}: this address asks too often and is banned",
            f"nothing is asked for {BAN_SILENCE_S} s; see what else uses this address",
            BAN_SILENCE_S,
        )
    if "cloudfront" in text or "block access from your country" in text:
        raise _geoblocked(said)
    raise _failure(
        SourceFailure.REFUSED,
        f"{said} without a known cause",
        "check bybit.api_base, and that no proxy adds a body to the request",
        REFUSED_SILENCE_S,
    )


def check_code(code: int, message: str, rate_pause_s: int) -> None:
    """Raise what a `retCode` other than 0 means; `rate_pause_s` as in `check_status`."""
    said = f"retCode {code}: {message[:_TEXT_MAX]}"
    if code == OK:
        return
    if code == RATE_LIMITED:
        raise _rate_limited(said, rate_pause_s)
    if code in _REGION_CODES:
        raise _geoblocked(said)
    transient = code in _TRANSIENT_CODES
    hint = "it heals by itself" if transient else "see the venue's table of error codes"
    raise _failure(SourceFailure.REFUSED, said, hint)


def _rate_limited(said: str, pause_s: int) -> SourceError:
    hint = "the agent slows down by itself; see what else uses this address"
    return _failure(SourceFailure.RATE_LIMITED, said, hint, pause_s)


def _geoblocked(said: str) -> SourceError:
    return _failure(
        SourceFailure.GEOBLOCKED,
        f"{said}: the venue does not serve this region",
        "set bybit.api_base to the host of your region; asked again once an hour",
        REGION_SILENCE_S,
    )


def _failure(kind: SourceFailure, subject: str, hint: str, silence_s: int = 0) -> SourceError:
    return SourceError("poll bybit", subject, hint, kind=kind, silence_s=silence_s)
