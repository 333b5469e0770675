"""A venue that answers with recorded bodies, without a network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses

from agent import schema
from agent.line_protocol import encode_batch, encode_point
from agent.poll import Poll
from agent.sources import SOURCES, HttpSource

CASES: Final = Path(__file__).parent.parent / "sources"
"""A folder per recorded case: `<source>/<case>/`."""
BYBIT_PATH: Final = "/v5/market/tickers?category=linear"
VARIATIONAL_PATH: Final = "/metadata/stats"
ANY_URL: Final = re.compile(r".*")


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know `stream_writer`, which aiohttp 3.14 demands.

    https://github.com/pnuckowski/aioresponses/issues/289
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


class Venue:
    """What is answered, and what was asked. A path is anything behind the host."""

    def __init__(self, mocked: aioresponses) -> None:
        self._mocked = mocked

    def answer(
        self,
        path: str | None = None,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        repeat: bool = False,
        wait: Callable[..., Any] | None = None,
    ) -> None:
        """Give this answer to the next GET of the path (None: of any), after `wait`.

        aioresponses takes bodies of up to 128 KiB.
        """
        self._mocked.get(
            _url(path),
            body=body,
            status=status,
            content_type=content_type,
            headers=dict(headers or {}),
            repeat=repeat,
            response_class=_Response,
            callback=wait,
        )

    def fail(self, error: Exception) -> None:
        """Raise this in the next GET."""
        self._mocked.get(ANY_URL, exception=error)

    @property
    def asked(self) -> list[str]:
        """Path and query of every GET so far, those of one path together."""
        return [url.raw_path_qs for (_, url), calls in self._mocked.requests.items() for _ in calls]

    @property
    def options(self) -> list[dict[str, Any]]:
        """What was given to aiohttp for each GET so far."""
        return [call.kwargs for calls in self._mocked.requests.values() for call in calls]


def _url(path: str | None) -> re.Pattern[str]:
    return ANY_URL if path is None else re.compile(rf"https://[^/]+{re.escape(path)}$")


@contextmanager
def venue() -> Iterator[Venue]:
    """A venue; what it was not told to answer is a refused connection."""
    with aioresponses() as mocked:
        yield Venue(mocked)


def read_case(source: str, name: str) -> dict[str, Any]:
    """The `case.toml` of a recorded case."""
    return tomllib.loads((CASES / source / name / "case.toml").read_text())


def recorded(source: str, case: str, name: str = "body.json") -> bytes:
    """A recorded body."""
    return (CASES / source / case / name).read_bytes()


def lines_of(poll: Poll) -> str:
    """The points that a poll gives, but for `poll` points."""
    lines = "" if poll.batch is None else encode_batch(poll.batch)
    if poll.platform:
        tags = {"source": poll.source}
        lines += encode_point(schema.PLATFORM, tags, poll.platform, poll.slot_ns)
    return lines


def new_source(name: str, **options: Any) -> HttpSource:
    """A source by its name in the configuration, with defaults where no option is given."""
    return SOURCES[name](**options)
