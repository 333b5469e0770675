"""The same work as one would first write it.

A pydantic model with Decimals per row and per snapshot, a row per snapshot in SQLite (the model as
JSON), a `Point` each, gzip 6. It is written with care, not to lose: models are validated straight
from the bytes, SQLite gets one transaction and `executemany`, and is as durable as ours. Its points
are ours: `tests/bench`.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from influxdb_client.client.write.point import Point
from pydantic import BaseModel, BeforeValidator, Field

from agent.clock import NS_PER_MS, NS_PER_S
from bench.payloads import Documents
from bench.pipeline import FIRST_SLOT_NS, RECEIVED_AFTER_NS
from bench.timing import Stages

GZIP_LEVEL: Final = 6
BATCH_ROWS_MAX: Final = 5_000
SECONDS_PER_YEAR: Final = 31_536_000
USDT: Final = "USDT"

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, source TEXT, ticker TEXT, slot_ns INTEGER, snapshot TEXT
);
"""


def _known(value: Any) -> Any:
    return None if value == "" else value


Number = Annotated[Decimal | None, BeforeValidator(_known)]


class Contract(BaseModel):
    """A row of Bybit."""

    symbol: str
    last_price: Number = Field(None, alias="lastPrice")
    index_price: Number = Field(None, alias="indexPrice")
    mark_price: Number = Field(None, alias="markPrice")
    bid: Number = Field(None, alias="bid1Price")
    ask: Number = Field(None, alias="ask1Price")
    open_interest: Number = Field(None, alias="openInterest")
    oi_value: Number = Field(None, alias="openInterestValue")
    single_oi_value: Number = Field(None, alias="singleOpenInterestValue")
    volume: Number = Field(None, alias="volume24h")
    turnover: Number = Field(None, alias="turnover24h")
    funding_rate: Number = Field(None, alias="fundingRate")
    interval_h: Number = Field(None, alias="fundingIntervalHour")
    next_funding_ms: Number = Field(None, alias="nextFundingTime")


class Contracts(BaseModel):
    """`result` of Bybit."""

    rows: list[Contract] = Field(alias="list")


class BybitAnswer(BaseModel):
    """Bybit's envelope."""

    time: int
    result: Contracts


class Quote(BaseModel):
    """A tier of Variational."""

    bid: Number = None
    ask: Number = None


class Quotes(BaseModel):
    """Variational's tiers."""

    updated_at: Annotated[datetime | None, BeforeValidator(_known)] = None
    base: Quote | None = None
    size_1k: Quote | None = None
    size_100k: Quote | None = None
    size_1m: Quote | None = None


class OpenInterest(BaseModel):
    """Variational's two sides."""

    long_open_interest: Number = None
    short_open_interest: Number = None


class Listing(BaseModel):
    """A market of Variational."""

    ticker: str
    mark_price: Number = None
    volume_24h: Number = None
    open_interest: OpenInterest | None = None
    funding_rate: Number = None
    funding_interval_s: int | None = None
    quotes: Quotes | None = None


class VariationalAnswer(BaseModel):
    """Variational's document."""

    listings: list[Listing]


class Snapshot(BaseModel):
    """The unified snapshot, a field each as in `agent.schema`."""

    source: str
    ticker: str
    slot_ns: int
    lag_ms: Decimal
    quote_age_ms: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    last_price: Decimal | None = None
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    bid_1k: Decimal | None = None
    ask_1k: Decimal | None = None
    bid_100k: Decimal | None = None
    ask_100k: Decimal | None = None
    bid_1m: Decimal | None = None
    ask_1m: Decimal | None = None
    mid: Decimal | None = None
    spread_bps: Decimal | None = None
    spread_100k_bps: Decimal | None = None
    spread_1m_bps: Decimal | None = None
    impact_buy_bps: Decimal | None = None
    impact_sell_bps: Decimal | None = None
    basis_bps: Decimal | None = None
    funding_rate: Decimal | None = None
    funding_interval_s: Decimal | None = None
    funding_apr: Decimal | None = None
    next_funding_s: Decimal | None = None
    long_oi: Decimal | None = None
    short_oi: Decimal | None = None
    oi_usd: Decimal | None = None
    volume_24h: Decimal | None = None
    volume_24h_usd: Decimal | None = None


Fields = dict[str, Decimal | None]


class Straightforward:
    """Bytes to acknowledged, a poll of both venues at a time.

    Attributes:
        points: how many the last poll had.
        body: what the last poll would have sent.
        stages: what each stage takes.
    """

    def __init__(self, path: Path) -> None:
        self.stages = Stages()
        self.points = 0
        self.body = b""
        self._slot_ns = FIRST_SLOT_NS
        self._journal = sqlite3.connect(path)
        self._journal.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def run(self, documents: Documents) -> None:
        """One poll of both venues, all the way but for the network."""
        with self.stages.stage("bytes to snapshots (pydantic)"):
            snapshots = self.snapshots(documents)
        with self.stages.stage("snapshots to SQLite, a row each"):
            self.append(snapshots)
        with self.stages.stage("read back, a Point each"):
            last_id, points = self.next_points()
        with self.stages.stage("points to lines"):
            lines = "\n".join(point.to_line_protocol() for point in points)
        with self.stages.stage("gzip 6"):
            self.body = gzip.compress(lines.encode(), GZIP_LEVEL)
        with self.stages.stage("acknowledged"):
            self.acknowledge(last_id)

    def snapshots(self, documents: Documents) -> list[Snapshot]:
        """Bytes to snapshots."""
        self._slot_ns += NS_PER_S
        return [
            *_bybit(documents.bybit, self._slot_ns),
            *_variational(documents.variational, self._slot_ns),
        ]

    def append(self, snapshots: list[Snapshot]) -> None:
        """A row per snapshot, durable when it returns."""
        rows = [
            (each.source, each.ticker, each.slot_ns, each.model_dump_json(exclude_none=True))
            for each in snapshots
        ]
        with self._journal:
            self._journal.executemany(
                "INSERT INTO pending (source, ticker, slot_ns, snapshot) VALUES (?, ?, ?, ?)", rows
            )
        self.points = len(rows)

    def next_points(self) -> tuple[int, list[Any]]:
        """Read the next rows back; the last one's id, and their points."""
        rows = self._journal.execute(
            "SELECT id, snapshot FROM pending ORDER BY id LIMIT ?", (BATCH_ROWS_MAX,)
        ).fetchall()
        return int(rows[-1][0]), [point_of(Snapshot.model_validate_json(row)) for _, row in rows]

    def acknowledge(self, last_id: int) -> None:
        """Remove what was sent."""
        with self._journal:
            self._journal.execute("DELETE FROM pending WHERE id <= ?", (last_id,))


def new_point(source: str, ticker: str) -> Any:
    """The official client's, which has no types."""
    make: Any = Point
    return make("snapshot").tag("source", source).tag("ticker", ticker)


def point_of(snapshot: Snapshot) -> Any:
    """The snapshot as the official client writes it."""
    point = new_point(snapshot.source, snapshot.ticker)
    for name, value in snapshot:
        if isinstance(value, Decimal):
            point.field(name, value)
    return point.time(snapshot.slot_ns)


def _bybit(body: bytes, slot_ns: int) -> Iterator[Snapshot]:
    answer = BybitAnswer.model_validate_json(body)
    for row in answer.result.rows:
        if not row.symbol.endswith(USDT):
            continue
        interval_s = row.interval_h * 3600 if row.interval_h else None
        fields: Fields = {
            "mark_price": row.mark_price or row.last_price,
            "index_price": row.index_price,
            "last_price": row.last_price,
            "best_bid": row.bid,
            "best_ask": row.ask,
            "bid_1k": row.bid,
            "ask_1k": row.ask,
            "funding_rate": row.funding_rate,
            "funding_interval_s": interval_s,
            "long_oi": row.open_interest,
            "oi_usd": row.single_oi_value or (row.oi_value / 2 if row.oi_value else None),
            "volume_24h": row.volume,
            "volume_24h_usd": row.turnover,
        }
        if interval_s and row.funding_rate is not None:
            fields["funding_apr"] = row.funding_rate * SECONDS_PER_YEAR / interval_s
        if row.next_funding_ms:
            until_ms = row.next_funding_ms - slot_ns // NS_PER_MS
            fields["next_funding_s"] = until_ms / 1000 if until_ms > 0 else None
        ticker = row.symbol.removesuffix(USDT)
        yield _snapshot("bybit", ticker, fields, slot_ns, answer.time)


def _variational(body: bytes, slot_ns: int) -> Iterator[Snapshot]:
    nothing = Quote()
    for row in VariationalAnswer.model_validate_json(body).listings:
        quotes = row.quotes or Quotes()
        interest = row.open_interest or OpenInterest()
        fields: Fields = {
            "mark_price": row.mark_price,
            "long_oi": interest.long_open_interest,
            "short_oi": interest.short_open_interest,
            "volume_24h": row.volume_24h,
            "volume_24h_usd": row.volume_24h,
        }
        for size, quote in (
            ("1k", quotes.size_1k or nothing),
            ("100k", quotes.size_100k or nothing),
            ("1m", quotes.size_1m or nothing),
        ):
            fields[f"bid_{size}"], fields[f"ask_{size}"] = quote.bid, quote.ask
        base = quotes.base or nothing
        fields["best_bid"], fields["best_ask"] = base.bid, base.ask
        if row.funding_interval_s:
            fields["funding_interval_s"] = Decimal(row.funding_interval_s)
            fields["funding_rate"] = fields["funding_apr"] = row.funding_rate
        if interest.long_open_interest is not None and interest.short_open_interest is not None:
            fields["oi_usd"] = interest.long_open_interest + interest.short_open_interest
        updated_ms = int(quotes.updated_at.timestamp() * 1000) if quotes.updated_at else None
        yield _snapshot("variational", row.ticker, fields, slot_ns, updated_ms)


def _snapshot(
    source: str, ticker: str, fields: Fields, slot_ns: int, updated_ms: int | None
) -> Snapshot:
    _derive(fields)
    lag_ms = RECEIVED_AFTER_NS // NS_PER_MS
    if updated_ms is not None:
        fields["quote_age_ms"] = Decimal(max(0, slot_ns // NS_PER_MS + lag_ms - updated_ms))
    return Snapshot(source=source, ticker=ticker, slot_ns=slot_ns, lag_ms=Decimal(lag_ms), **fields)


def _derive(fields: Fields) -> None:
    mids: Fields = {}
    for size, name in (("1k", "spread_bps"), ("100k", "spread_100k_bps"), ("1m", "spread_1m_bps")):
        bid, ask = fields.get(f"bid_{size}"), fields.get(f"ask_{size}")
        if bid is not None and ask is not None:
            mids[size] = mid = (bid + ask) / 2
            fields[name] = (ask - bid) / mid * 10_000 if mid > 0 else None
    mid_1k = mids.get("1k")
    fields["mid"] = mid_1k
    ask_100k, bid_100k = fields.get("ask_100k"), fields.get("bid_100k")
    if mid_1k:
        if ask_100k is not None:
            fields["impact_buy_bps"] = (ask_100k - mid_1k) / mid_1k * 10_000
        if bid_100k is not None:
            fields["impact_sell_bps"] = (mid_1k - bid_100k) / mid_1k * 10_000
    mark, index = fields.get("mark_price"), fields.get("index_price")
    if mark is not None and index:
        fields["basis_bps"] = (mark - index) / index * 10_000
