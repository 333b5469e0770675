"""The range of a query, as values of its parameters `start` and `stop`. Pure."""

from __future__ import annotations

import re
from typing import Final

from agent.clock import (
    INSTANT_MAX_NS,
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    parse_rfc3339_ns,
    to_rfc3339,
)
from agent.errors import UsageError
from agent.queries.recipe import DURATION, Recipe

_DAY_S: Final = 86_400
_UNITS_NS: Final = {
    "ns": 1,
    "us": NS_PER_US,
    "µs": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": _DAY_S * NS_PER_S,
    "w": 7 * _DAY_S * NS_PER_S,
}
_PART: Final = rf"([0-9]{{1,12}})({'|'.join(_UNITS_NS)})"
_DURATION: Final = re.compile(rf"-?((?:{_PART})+)", re.ASCII)
_WRITTEN: Final = re.compile(DURATION, re.ASCII)
"""Any duration of Flux: months and years too."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NOW: Final = "now()"
_HINT: Final = "write an instant such as 2026-01-06T00:00:00Z, or a duration such as -7d"


def duration_ns(text: str) -> int | None:
    """A duration such as 1h30m or -1h30m in ns, without its sign; None = it is none.

    Months and years are none: how long they are depends on where they begin.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return sum(int(number) * _UNITS_NS[unit] for number, unit in re.findall(_PART, match[1]))


def range_values(
    recipe: Recipe, start: str | None, stop: str | None, *, now_ns: int
) -> dict[str, str]:
    """Values for the recipe's `start` and `stop`; what is None stays as the text has it.

    Durations count back, with or without a sign. Once `stop` is given, a duration of `start`, also
    the text's own, counts from it, where Flux would count from now.

    Raises:
        UsageError: one of them is unusable, or start is not before stop.
    """
    if stop is None:
        if start is None:
            return {}
        back = _WRITTEN.fullmatch(start) is not None
        return {"start": f"-{start.removeprefix('-')}" if back else start}
    stop_ns = _instant_ns("--stop", stop, now_ns, now_ns)
    if start is None:
        start = recipe.parameters["start"].default if "start" in recipe.parameters else _NOW
    start_ns = _instant_ns("--start", start, stop_ns, now_ns)
    if start_ns >= stop_ns:
        raise UsageError(f"query {recipe.name}", f"--start {start} is not before --stop {stop}")
    return {"start": to_rfc3339(start_ns), "stop": to_rfc3339(stop_ns)}


def _instant_ns(option: str, text: str, base_ns: int, now_ns: int) -> int:
    """An instant, `now()`, or a duration from `base_ns`."""
    if text == _NOW:
        return now_ns
    length_ns = duration_ns(text)
    if length_ns is None:
        instant_ns = parse_rfc3339_ns(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    else:
        instant_ns = base_ns - length_ns
    if instant_ns is None or not 0 <= instant_ns <= INSTANT_MAX_NS:
        raise UsageError("query", f"{option} cannot be {text[:80]!r}", _HINT)
    return instant_ns
