"""A venue that answers with recorded bodies, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses

URLS = {
    "bybit": "https://api.bybit.com",
    "variational": "https://omni-client-api.prod.ap-northeast-1.variational.io",
}
"""Where the sources ask by default."""
BYBIT_PATH = "/v5/market/tickers?category=linear"
VARIATIONAL_PATH = "/metadata/stats"


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know `stream_writer`, which aiohttp 3.14 demands.

    https://github.com/pnuckowski/aioresponses/issues/289
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


class Venue:
    """What is answered to each path of one source, and how often it was asked."""

    def __init__(self, source: str, mocked: aioresponses) -> None:
        self._source = source
        self._mocked = mocked

    def answer(
        self,
        path: str,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        repeat: bool = False,
    ) -> None:
        """Give this answer to the next GET of the path (to every one with `repeat`)."""
        self._mocked.get(
            URLS[self._source] + path,
            body=body,
            status=status,
            content_type=content_type,
            headers=dict(headers or {}),
            repeat=repeat,
            response_class=_Response,
        )

    def fail(self, path: str, error: Exception) -> None:
        """Raise this in the next GET of the path."""
        self._mocked.get(URLS[self._source] + path, exception=error)

    @property
    def asked(self) -> list[str]:
        """Path and query of every GET so far."""
        return [
            url.raw_path_qs for (_, url), calls in self._mocked.requests.items() for _ in calls
        ]


@contextmanager
def venue(source: str) -> Iterator[Venue]:
    """The source's venue; what it was not told to answer is a refused connection."""
    with aioresponses() as mocked:
        yield Venue(source, mocked)
