"""What it means when a NATS server does not take or give a message: pure, a closed set of fates.

Codes are those of JetStream (https://github.com/nats-io/nats-server/blob/main/server/errors.json).
What is not known here backs off; nothing is given up for what a server says.
"""

from __future__ import annotations

from typing import Final

from agent.fates import BackOff, Park, shortened

FULL_RETRY_S: Final = 5
"""A full stream gets room as fast as its age bound or an operator makes it."""

NO_LEADER: Final = BackOff("nobody answers for the stream: it has no leader now")

NO_STREAM: Final = 10059
OTHER_STREAM: Final = 10060
SEALED: Final = 10109
NO_JETSTREAM: Final = frozenset({10035, 10039, 10076})
"""Not in this account, or not at all."""
TOO_LARGE: Final = 10054
FULL: Final = frozenset({10002, 10023, 10028, 10047, 10077})
"""Limits of account, memory, disk, stream."""

_MAKE: Final = "make it: `perpflux sink --make-stream`, or put stream right"
_HINTS: Final = {
    NO_STREAM: _MAKE,
    OTHER_STREAM: "another stream has this subject: put stream or subject right",
    SEALED: "the stream is sealed: name another one",
    TOO_LARGE: "the stream's max_msg_size is below 512 KiB: raise it",
    **dict.fromkeys(NO_JETSTREAM, "enable JetStream on the server (`jetstream {}`) and account"),
}
_UNWELCOME: Final = {
    "authorization violation": "credentials_file is missing, wrong or expired",
    "authorization failed": "credentials_file is missing, wrong or expired",
    "authentication": "credentials_file is missing, wrong or expired",
    "permissions violation": "the user may not use this subject, or not $JS.API.> and _INBOX.>",
    "secure connection": "the server wants TLS, or has none: tls:// or nats:// in nats_url",
    "certificate verify failed": "the server's certificate is not of an authority known here",
}


def meaning(code: int | None, text: str, *, said: str = "") -> Park | BackOff:
    """Why it was not taken or given, and what to do.

    Args:
        code: JetStream's own number; None = there was none.
        text: what the server or the client library says.
        said: what the server said beside the answer, such as a violated permission; "" = nothing.
    """
    reason = shortened(said or text)
    for words, hint in _UNWELCOME.items():
        if words in reason.lower():
            return Park(reason, hint)
    if code in _HINTS:
        return Park(reason, _HINTS[code])
    return BackOff(reason, FULL_RETRY_S if code in FULL else None)


def of_error(error: BaseException, *, said: str = "") -> Park | BackOff:
    """The meaning of what nats-py raised."""
    code = getattr(error, "err_code", None)
    text = getattr(error, "description", None) or str(error) or type(error).__name__
    return meaning(code, f"{text} ({code})" if code else text, said=said)
