"""The documents that everything is measured with: both venues' whole universe, from seeds.

Each comes in several versions that take turns, so that no cache sees the same bytes again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.support.payloads import bybit_document, variational_document

BYBIT_ROWS: Final = 600
VARIATIONAL_ROWS: Final = 555
VERSIONS: Final = 4
NASTY_SHARE: Final = 0.1

Row = dict[str, Any]

_BYBIT_LOSES: Final = (
    "markPrice indexPrice fundingRate nextFundingTime openInterestValue bid1Price turnover24h"
).split()
_VARIATIONAL_LOSES: Final = "mark_price funding_rate open_interest quotes volume_24h".split()
_TIERS: Final = "base size_1k size_100k size_1m".split()


class Documents(NamedTuple):
    """Both venues' answers to one poll."""

    bybit: bytes
    variational: bytes

    @property
    def size_bytes(self) -> int:
        """Both together."""
        return len(self.bybit) + len(self.variational)


def clean(
    *, bybit_rows: int = BYBIT_ROWS, variational_rows: int = VARIATIONAL_ROWS
) -> list[Documents]:
    """As the venues answer on a good day."""
    return [
        Documents(
            bybit_document(bybit_rows, seed=seed), variational_document(variational_rows, seed=seed)
        )
        for seed in range(VERSIONS)
    ]


def patchy() -> list[Documents]:
    """A tenth of the rows lacks something: a key is missing, null or "", a quote or a tier."""
    return [
        Documents(
            _changed(documents.bybit, _bybit_rows, _BYBIT_LOSES, seed),
            _changed(documents.variational, _listings, _VARIATIONAL_LOSES, seed),
        )
        for seed, documents in enumerate(clean())
    ]


def unreadable() -> list[Documents]:
    """A tenth of the rows breaks the venue's own format: each row must be looked at by itself."""
    return [
        Documents(
            bybit_document(BYBIT_ROWS, seed=seed, nasty_share=NASTY_SHARE),
            variational_document(VARIATIONAL_ROWS, seed=seed, nasty_share=NASTY_SHARE),
        )
        for seed in range(VERSIONS)
    ]


def _bybit_rows(document: Row) -> list[Row]:
    return list(document["result"]["list"])


def _listings(document: Row) -> list[Row]:
    return list(document["listings"])


def _changed(body: bytes, rows_of: Callable[[Row], list[Row]], keys: list[str], seed: int) -> bytes:
    rng = random.Random(seed)  # repeatable on purpose
    document = json.loads(body)
    rows = rows_of(document)
    for row in rng.sample(rows, round(len(rows) * NASTY_SHARE)):
        _lose(rng, row, rng.choice(keys))
    return json.dumps(document, separators=(",", ":")).encode()


def _lose(rng: random.Random, row: Row, key: str) -> None:
    """One value missing, null or empty; of the quotes one tier, or when they were made."""
    if key == "quotes":
        row = row["quotes"]
        key = rng.choice([*_TIERS, "updated_at"])
    empty = {} if key in _TIERS or key == "open_interest" else ""
    if rng.random() < 1 / 3:
        row.pop(key, None)
    else:
        row[key] = rng.choice([None, empty])
