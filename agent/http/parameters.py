"""What the `/api` may be asked for: query parameters, checked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.board import FIELD_NAMES
from agent.clock import NS_PER_S, parse_rfc3339_ns, to_rfc3339
from agent.errors import PerpfluxError
from agent.snapshot import is_tag

TICKERS_MAX: Final = 100
TICKER_CHARS_MAX: Final = 64
RANGE_MAX_S: Final = 7 * 86_400
RANGE_S: Final = 3600
"""Without `since`: the last hour."""
POINTS_MIN: Final = 2
POINTS_MAX: Final = 2000
POINTS: Final = 240
"""Without `points`: so many of each ticker and source."""
_SHOWN_CHARS_MAX: Final = 60
"""Of what was sent, so much is repeated in an error."""

INSTANT_FIELDS: Final = ("quotes_updated_at", "next_settlement", "gap_ts")
"""Instants that a row has beside `ts`."""
FIELDS: Final = (*FIELD_NAMES, *INSTANT_FIELDS)


class BadRequestError(PerpfluxError):
    """A parameter that cannot be served: which, what it was, and what is allowed."""

    def __init__(self, name: str, problem: str, allowed: str) -> None:
        super().__init__("read query", f"{name}: {problem}", allowed)


Query = Mapping[str, Sequence[str]]
"""The parameters as they came: every value of each name."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows, and what of them.

    Args:
        sources: these; None = all.
        tickers: these; None = all.
        fields: names of `FIELDS`, each once.
    """

    sources: frozenset[str] | None = None
    tickers: frozenset[str] | None = None
    fields: tuple[str, ...] = FIELDS

    def takes(self, source: str, ticker: str) -> bool:
        """Whether that row is chosen."""
        return (self.sources is None or source in self.sources) and (
            self.tickers is None or ticker in self.tickers
        )


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the past: since_ns <= slot < until_ns, at most `points` slots of a source."""

    since_ns: int
    until_ns: int
    points: int


def selection(query: Query, sources: Collection[str], *, also: Collection[str] = ()) -> Selection:
    """The rows that are asked for.

    Args:
        query: the parameters.
        sources: the names that `source` can have.
        also: names of parameters that are read elsewhere.

    Raises:
        BadRequestError: a parameter is unknown, there twice, or has a value it cannot have.
    """
    _known(query, ("source", "ticker", "fields", *also))
    named = _listed(query, "source", lambda name: name in sources, f"one of {', '.join(sources)}")
    tickers = _listed(
        query,
        "ticker",
        lambda name: len(name) <= TICKER_CHARS_MAX and is_tag(name),
        f"tickers such as BTC, with commas between them, at most {TICKERS_MAX}",
    )
    if tickers is not None and len(tickers) > TICKERS_MAX:
        raise BadRequestError("ticker", f"{len(tickers)} of them", f"at most {TICKERS_MAX}")
    fields = _listed(
        query,
        "fields",
        lambda name: name in FIELDS,
        f"of {', '.join(FIELDS)}; commas between several",
    )
    return Selection(
        None if named is None else frozenset(named),
        None if tickers is None else frozenset(tickers),
        FIELDS if fields is None else tuple(dict.fromkeys(fields)),
    )


def span(query: Query, now_ns: int) -> Span:
    """The part of the past that is asked for. Raises BadRequestError."""
    until_ns = _instant(query, "until", now_ns)
    since_ns = _instant(query, "since", max(0, until_ns - RANGE_S * NS_PER_S))
    if since_ns >= until_ns:
        problem = f"{to_rfc3339(since_ns)} is not before until, {to_rfc3339(until_ns)}"
        raise BadRequestError("since", problem, "an instant before until (default: now)")
    if until_ns - since_ns > RANGE_MAX_S * NS_PER_S:
        problem = f"{(until_ns - since_ns) // NS_PER_S} s before until"
        raise BadRequestError("since", problem, f"at most {RANGE_MAX_S} s before until")
    text = _one(query, "points")
    allowed = f"a whole number from {POINTS_MIN} to {POINTS_MAX}"
    if text is None:
        return Span(since_ns, until_ns, POINTS)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(POINTS_MAX))):
        raise BadRequestError("points", f"{_shown(text)} is none", allowed)
    if not POINTS_MIN <= int(text) <= POINTS_MAX:
        raise BadRequestError("points", f"{text} is out of range", allowed)
    return Span(since_ns, until_ns, int(text))


def _known(query: Query, names: Collection[str]) -> None:
    for name in query:
        if name not in names:
            raise BadRequestError(_shown(name), "no such parameter", f"one of {', '.join(names)}")


def _one(query: Query, name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise BadRequestError(name, "there more than once", "once; commas between several values")
    return values[0] if values else None


def _listed(query: Query, name: str, fits: Callable[[str], bool], allowed: str) -> list[str] | None:
    """The values between commas; None = not asked for, or empty."""
    text = _one(query, name)
    if not text:
        return None
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if not fits(value):
            raise BadRequestError(name, f"{_shown(value)} is none", allowed)
    return values


def _instant(query: Query, name: str, default_ns: int) -> int:
    text = _one(query, name)
    if not text:
        return default_ns
    # In a URL a bare plus is a space, as in "+02:00".
    instant_ns = parse_rfc3339_ns(text.replace(" ", "+"))
    if instant_ns is None:
        raise BadRequestError(
            name, f"{_shown(text)} is none", "an instant such as 2026-01-06T00:00:00Z"
        )
    return instant_ns


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARS_MAX])
