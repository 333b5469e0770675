"""What can go wrong, in words an operator can act on.

An error names the operation, its subject and a hint: `read configuration: perpflux.toml:
bybit.poll_interval_s is 0; allowed: 1 to 3600 (raise it)`. Loops log errors, nobody else does.
"""

from __future__ import annotations

from enum import StrEnum

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
"""Bad configuration, as in sysexits.h (EX_CONFIG)."""


class PerpfluxError(Exception):
    """A failure with a subject and a hint.

    Args:
        operation: what was being done, e.g. "open journal".
        subject: what it was done to, and what is wrong with it.
        hint: what the operator can do; "" when there is nothing to do.
    """

    exit_code = EXIT_FAILED

    def __init__(self, operation: str, subject: str, hint: str = "") -> None:
        super().__init__(operation, subject, hint)
        self.operation = operation
        self.subject = subject
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.operation}: {self.subject}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(PerpfluxError):
    """The configuration is unusable; every problem found is in `subject`, one a line."""

    exit_code = EXIT_CONFIG


class UsageError(PerpfluxError):
    """The command line asks for something that does not exist."""

    exit_code = EXIT_USAGE


class JournalError(PerpfluxError):
    """The journal cannot take or give records."""


class JournalUnavailableError(JournalError):
    """The disk, the folder or another program does not let it now; the journal itself is fine."""


class JournalBusyError(JournalError):
    """Another process holds the journal."""


class InfluxDBError(PerpfluxError):
    """InfluxDB did not answer, or refused what it was asked (queries and management)."""


class LegacyDatabaseError(PerpfluxError):
    """The earlier collector's database cannot be read, or is something else."""


class LineProtocolError(PerpfluxError):
    """A value or a line that InfluxDB's line protocol cannot carry."""


class SourceError(PerpfluxError):
    """A venue did not give what was asked.

    Args:
        operation: what was being done, e.g. "poll bybit".
        subject: what went wrong, in one line.
        hint: what the operator can do.
        kind: one of the closed set below; metrics and logs use it.
        silence_s: seconds during which nothing may be asked again; 0 = ask in the next slot.
    """

    def __init__(
        self,
        operation: str,
        subject: str,
        hint: str = "",
        *,
        kind: SourceFailure,
        silence_s: int = 0,
    ) -> None:
        super().__init__(operation, subject, hint)
        self.kind = kind
        self.silence_s = silence_s


class SourceFailure(StrEnum):
    """Why a poll failed."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    GEOBLOCKED = "geoblocked"
    CRASHED = "crashed"
    """A defect of ours: the poll raised something unforeseen."""
    SILENT = "silent"
    """Nothing was asked: an earlier answer demands silence."""
