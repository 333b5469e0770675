"""What InfluxDB says about a Flux text, in words that show the line and what to do. Pure."""

from __future__ import annotations

import re
from typing import Final

from agent.fates import shortened

_PLACE: Final = re.compile(r"error @(\d+):(\d+)-(\d+):(\d+): ")
_PREFIX: Final = re.compile(r"^(?:compilation failed: |runtime error: )+")

_HINTS: Final = (
    (
        re.compile(r"could not find bucket"),
        "is the name right, and may the token read it? give one that may with --token-file",
    ),
    (re.compile(r"organization name .* not found"), "put influxdb.org right"),
    (
        re.compile(r"undefined identifier v\b"),
        "v.… is known to Grafana and InfluxDB's own pages only: write range and bucket out",
    ),
    (re.compile(r"undefined identifier"), "a typing mistake, or an import is missing"),
    (re.compile(r"empty range"), "--start must lie before --stop"),
    (re.compile(r"unbounded read"), "add |> range(start: -1h) after from(...)"),
    (re.compile(r"column .* does not exist|does not exist in table"), "no such field or tag"),
    (re.compile(r"type conflict|cannot unify|expected \w+ but found"), "the types do not fit"),
    (re.compile(r"memory"), "ask for less: fewer fields, fewer tickers or a shorter range"),
)
_STATUS_HINTS: Final = {
    401: "the token is wrong or was deleted; give one that may read with --token-file",
    403: "the token may not read; give one that may with --token-file",
    404: "check influxdb.url, influxdb.org and influxdb.bucket",
    429: "InfluxDB has too much to do; try again later",
}


def explained(status: int, message: str, flux: str) -> tuple[str, str]:
    """What is wrong, with the line of the text it is in, and what to do ("" = no idea).

    Args:
        status: HTTP status of the answer; 200 = the error came after the first rows.
        message: InfluxDB's words.
        flux: the text that was sent.
    """
    hint = next((words for pattern, words in _HINTS if pattern.search(message)), "")
    hint = hint or _STATUS_HINTS.get(status, "")
    place = _PLACE.search(message)
    if place is None:
        return shortened(_PREFIX.sub("", message)), hint
    line, column, last_line, last_column = (int(number) for number in place.groups())
    reason = shortened(message[place.end() :])
    lines = flux.splitlines()
    if not 0 < line <= len(lines):
        return f"line {line}, column {column}: {reason}", hint
    text = lines[line - 1].expandtabs(1)
    width = last_column - column if last_line == line else len(text) - column + 1
    shown = f"    {text}\n    {' ' * (column - 1)}{'^' * max(width, 1)}"
    return f"line {line}, column {column}: {reason}\n{shown}", hint
