"""The kinds of value that keys take: their checks, and what is allowed in words.

A kind's `Allowed` text stands in error messages and in the documentation, so that both say the
same. pydantic turns ValueError into a problem that shows the value, `_refuse` into one that does
not. No `from __future__ import annotations`: models evaluate annotations.
"""

import re
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

TICKERS_MAX: Final = 1000
POLL_INTERVAL_MIN_S: Final = 1
POLL_INTERVAL_MAX_S: Final = 3600
BACKFILL_MAX_DAYS: Final = 365
TIMEOUT_MAX_S: Final = 60
JOURNAL_MIN_BYTES: Final = 1 << 20
JOURNAL_MAX_BYTES: Final = 1 << 50
JOURNAL_AGE_MIN_S: Final = 60
JOURNAL_AGE_MAX_S: Final = 3_153_600_000
"""100 years: as nanoseconds it still fits SQLite's integers."""
NATS_SERVERS_MAX: Final = 16
TEXT_CHARS_MAX: Final = 256
PORT_MAX: Final = 65_535

REASON: Final = "reason"
"""Type of the errors whose message is the whole predicate: they never carry the value itself."""

_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""With underscore: container networks name hosts so."""
_NO_SPACE: Final = re.compile(r"[!-~]+")
INFLUX_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_-]{86}==")
"""How InfluxDB 2 writes a token: 64 bytes in base64."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a key takes, in words an operator reads: type, unit, range.

    `filled_in`: the model wants a value, but `load` makes one up where the key is "" or missing.
    """

    text: str
    filled_in: bool = False


def _refuse(predicate: str) -> PydanticCustomError:
    return PydanticCustomError(REASON, "{predicate}", {"predicate": predicate})


def _no_bool(value: object) -> object:
    """`true` is no 1, whatever Python thinks."""
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - pydantic collects ValueError, a TypeError escapes
    return value


def _check_host(host: str, *, is_ipv6: bool) -> None:
    """Raises ValueError unless `host` is a name, an IPv4 or (without its brackets) IPv6 address."""
    if is_ipv6:
        IPv6Address(host)
    elif _HOST.fullmatch(host) is None:
        raise ValueError


def _url(schemes: tuple[str, ...], text: str) -> str:
    """The URL without trailing slash. Raises ValueError."""
    if any(mark in text for mark in "@?#"):
        raise _refuse("holds a user name, password, query or fragment (not shown here)")
    if _NO_SPACE.fullmatch(text) is None:
        raise ValueError
    parts = urlsplit(text)
    # `port` raises ValueError for what is no port.
    if parts.scheme not in schemes or parts.port == 0:
        raise ValueError
    _check_host(parts.hostname or "", is_ipv6="[" in parts.netloc)
    return text.rstrip("/")


def _http_url(text: str) -> str:
    return _url(("http", "https"), text)


def _nats_urls(text: str) -> str:
    """One URL, or several of one cluster with commas between."""
    urls = text.split(",")
    if len(urls) > NATS_SERVERS_MAX:
        raise ValueError
    return ",".join(_url(("nats", "tls"), url.strip()) for url in urls)


def _path(value: object) -> object:
    """Expands `~`; relative paths stay relative to the working directory. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if INFLUX_TOKEN.fullmatch(value.strip()):
        raise _refuse("looks like a token itself (not shown here)")
    if not value.isprintable():
        raise _refuse("is no path (not shown here)")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise _refuse("begins with ~, but that home directory is not known") from None


def _path_or_none(value: object) -> object:
    """TOML and the environment have no null: empty text stands for it."""
    return None if value == "" else _path(value)


def _journal_path(value: object) -> object:
    if value == "":
        raise _refuse("has no default: STATE_DIRECTORY, XDG_STATE_HOME and HOME are all unset")
    return _path(value)


def _plain_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _list_or_nothing(value: object) -> object:
    """An empty variable is an empty list."""
    return [] if value == "" else value


def each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names. Raises where one comes twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _refuse(f"names {', '.join(twice)} more than once")
    return names


def at_least_one(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names; after their own check, so that a bad one is not also called an empty list.

    Raises ValueError.
    """
    if not names:
        raise ValueError
    return names


def _all_or_names(value: object) -> object:
    """`["all"]` is what `all` becomes in a comma-separated variable; it means the same."""
    return "all" if value == ["all"] else value


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) <= PORT_MAX):
        raise ValueError
    is_ipv6 = host.startswith("[") and host.endswith("]")
    if is_ipv6:
        host = host[1:-1]
    _check_host(host, is_ipv6=is_ipv6)
    return host, int(port)


def _listen(text: str) -> str:
    if text:
        split_address(text)
    return text


def _sink_name(name: str) -> str:
    """`influxdb` is the main store's name in /status and the ledger."""
    if name == "influxdb":
        raise ValueError
    return name


def _is_all(value: object) -> str:
    return "all" if isinstance(value, str) else "names"


Ticker = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Tickers = Annotated[
    Annotated[
        tuple[Ticker, ...],
        Field(max_length=TICKERS_MAX),
        AfterValidator(at_least_one),
        AfterValidator(each_once),
        Tag("names"),
    ]
    | Annotated[Literal["all"], Tag("all")],
    Discriminator(_is_all),
    BeforeValidator(_all_or_names),
    Allowed(
        f'"all", or a list of 1 to {TICKERS_MAX} different names, 1 to 32 of A-Z a-z 0-9 . _ - each'
    ),
]
DepthTickers = Annotated[
    tuple[Ticker, ...],
    BeforeValidator(_list_or_nothing),
    Field(max_length=TICKERS_MAX),
    AfterValidator(each_once),
    Allowed(f"list of up to {TICKERS_MAX} different tickers, 1 to 32 of A-Z a-z 0-9 . _ - each"),
]
Symbols = Annotated[
    dict[Ticker, Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,32}$")]],
    Field(max_length=TICKERS_MAX),
    Allowed(
        f"table of up to {TICKERS_MAX}, ticker = SYMBOL (1 to 32 of A-Z 0-9 -); "
        "in the environment a JSON object"
    ),
]
SinkName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$"), AfterValidator(_sink_name)]
HttpUrl = Annotated[
    str,
    AfterValidator(_http_url),
    Allowed("http:// or https:// with a host, without user name, query or fragment"),
]
NatsUrl = Annotated[
    str,
    AfterValidator(_nats_urls),
    Allowed(
        "nats:// or tls:// with a host, without user name, query or fragment; up to "
        f"{NATS_SERVERS_MAX} of one cluster, with commas between"
    ),
]
Group = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$"), Allowed("1 to 32 of A-Z a-z 0-9 _ -")
]
Stream = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$"), Allowed("1 to 64 of A-Z a-z 0-9 _ -")
]
Subject = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=TEXT_CHARS_MAX),
    Allowed(
        f"words of A-Z a-z 0-9 _ - joined by dots, no wildcards, up to {TEXT_CHARS_MAX} characters"
    ),
]
PollInterval = Annotated[
    int,
    BeforeValidator(_no_bool),
    Field(ge=POLL_INTERVAL_MIN_S, le=POLL_INTERVAL_MAX_S),
    Allowed(f"whole seconds, {POLL_INTERVAL_MIN_S} to {POLL_INTERVAL_MAX_S}"),
]
Timeout = Annotated[
    float,
    BeforeValidator(_no_bool),
    Field(gt=0, le=TIMEOUT_MAX_S, allow_inf_nan=False),
    Allowed(f"seconds, above 0, up to {TIMEOUT_MAX_S}"),
]
BackfillDays = Annotated[
    int,
    BeforeValidator(_no_bool),
    Field(ge=0, le=BACKFILL_MAX_DAYS),
    Allowed(f"whole days, 0 to {BACKFILL_MAX_DAYS}"),
]
JournalBytes = Annotated[
    int,
    BeforeValidator(_no_bool),
    Field(ge=JOURNAL_MIN_BYTES, le=JOURNAL_MAX_BYTES),
    Allowed(f"bytes, {JOURNAL_MIN_BYTES} to {JOURNAL_MAX_BYTES}"),
]
JournalAge = Annotated[
    int,
    BeforeValidator(_no_bool),
    Field(ge=JOURNAL_AGE_MIN_S, le=JOURNAL_AGE_MAX_S),
    Allowed(f"whole seconds, {JOURNAL_AGE_MIN_S} to {JOURNAL_AGE_MAX_S}"),
]
JournalPath = Annotated[
    Path, BeforeValidator(_journal_path), Allowed("path of a file", filled_in=True)
]
OptionalPath = Annotated[
    Path | None, BeforeValidator(_path_or_none), Allowed('path of a file; "" = not set')
]
Text = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_CHARS_MAX),
    AfterValidator(_plain_text),
    Allowed(f"1 to {TEXT_CHARS_MAX} printable characters"),
]
ListenAddress = Annotated[
    str,
    AfterValidator(_listen),
    Allowed('host:port or [IPv6]:port, port 0 = any free one; "" = off'),
]
Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(_lower),
    Allowed("debug, info, warning or error"),
]
Format = Annotated[
    Literal["auto", "console", "json"],
    BeforeValidator(_lower),
    Allowed("auto, console or json"),
]
Category = Annotated[Literal["linear"], Allowed("linear")]
