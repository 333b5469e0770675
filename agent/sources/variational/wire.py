"""Reading Variational's document: bytes to columns. Pure.

https://docs.variational.io , "Technical documentation / API". Units as published: funding
annualised, open interest in USD per side.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from agent import derive
from agent.clock import parse_rfc3339_ns
from agent.derive import plain_number
from agent.errors import SourceError, SourceFailure
from agent.snapshot import Columns
from agent.sources.fetch import Reply
from agent.sources.rows import UNREADABLE, Rows, decode_each

FUNDING_RATE_MAX: Final = Decimal("175.2")
"""|funding_rate| above this is another unit than a fraction per year."""
_TIERS: Final = ("base", "size_1k", "size_100k", "size_1m")
KNOWN_KEYS: Final = frozenset(
    """
    num_markets loss_refund loss_refund.pool_size loss_refund.refunded_24h listings
    total_volume_24h cumulative_volume tvl open_interest listings.ticker listings.name
    listings.mark_price listings.volume_24h listings.open_interest
    listings.open_interest.long_open_interest listings.open_interest.short_open_interest
    listings.funding_rate listings.funding_interval_s listings.base_spread_bps listings.quotes
    listings.quotes.updated_at
    """.split()
).union(f"listings.quotes.{tier}{side}" for tier in _TIERS for side in ("", ".bid", ".ask"))


class Quote(msgspec.Struct, gc=False):
    """Price to sell and to buy at one size."""

    bid: str | None = None
    ask: str | None = None


class Quotes(msgspec.Struct, gc=False):
    """The tiers of a listing; any may be missing, null or empty."""

    updated_at: str | None = None
    base: Quote | None = None
    size_1k: Quote | None = None
    size_100k: Quote | None = None
    size_1m: Quote | None = None


class OpenInterest(msgspec.Struct, gc=False):
    """Users' longs and shorts, USD notional."""

    long_open_interest: str | None = None
    short_open_interest: str | None = None


class Listing(msgspec.Struct, gc=False):
    """One market."""

    ticker: str
    mark_price: str | None = None
    volume_24h: str | None = None
    open_interest: OpenInterest | None = None
    funding_rate: str | None = None
    funding_interval_s: Annotated[int, msgspec.Meta(ge=0)] | None = None
    quotes: Quotes | None = None


class LossRefund(msgspec.Struct, gc=False):
    """The loss-refund pool."""

    pool_size: str | None = None
    refunded_24h: str | None = None


class Platform(msgspec.Struct, gc=False):
    """The top level without the listings."""

    total_volume_24h: str | None = None
    cumulative_volume: str | None = None
    tvl: str | None = None
    open_interest: str | None = None
    num_markets: int | None = None
    loss_refund: LossRefund | None = None


class Document(Platform, kw_only=True):
    """The whole document."""

    listings: list[Listing]


class RawDocument(msgspec.Struct):
    """The document with its listings unread, for reading them one by one."""

    listings: list[msgspec.Raw]


_NO_QUOTE: Final = Quote()
_NO_QUOTES: Final = Quotes()
_NO_OPEN_INTEREST: Final = OpenInterest()
_decode_document: Final = msgspec.json.Decoder(Document).decode
_decode_raw_document: Final = msgspec.json.Decoder(RawDocument).decode
_decode_platform: Final = msgspec.json.Decoder(Platform).decode
_listing_decoder: Final = msgspec.json.Decoder(Listing)


def read(reply: Reply) -> tuple[Document, int]:
    """The document with its readable listings, and how many are not.

    Raises:
        SourceError: no JSON, or not a document with listings.
    """
    try:
        try:
            return _decode_document(reply.body), 0
        except (msgspec.ValidationError, UnicodeDecodeError):
            return _read_each(reply.body)
    except UNREADABLE as error:
        raise SourceError(
            "poll variational",
            f"the answer ({reply.description}) is not its document: {error}",
            "a cut-off answer heals by itself; a changed format needs a newer perpflux",
            kind=SourceFailure.UNREADABLE,
        ) from error


def _read_each(body: bytes) -> tuple[Document, int]:
    """Listing by listing; a top level that cannot be read is as if it were not there."""
    raws = _decode_raw_document(body).listings
    listings, bad_listings = decode_each(raws, _listing_decoder)
    try:
        top = _decode_platform(body)
    except UNREADABLE:
        top = Platform()
    return Document(**msgspec.structs.asdict(top), listings=listings), bad_listings


def rows_of(listings: Sequence[Listing]) -> Rows:
    """The published texts, column by column."""
    quotes = [listing.quotes or _NO_QUOTES for listing in listings]
    interests = [listing.open_interest or _NO_OPEN_INTEREST for listing in listings]
    intervals = [listing.funding_interval_s for listing in listings]
    columns = {
        "mark_price": [listing.mark_price or "" for listing in listings],
        "volume_24h": [listing.volume_24h or "" for listing in listings],
        "long_oi": [interest.long_open_interest or "" for interest in interests],
        "short_oi": [interest.short_open_interest or "" for interest in interests],
        # Interval 0 marks a swap: its rate of "0" means that there is none.
        "funding_rate": [
            "" if interval == 0 else listing.funding_rate or ""
            for listing, interval in zip(listings, intervals, strict=True)
        ],
        "funding_interval_s": [str(interval) if interval else "" for interval in intervals],
    }
    tiers = {
        "best": [each.base or _NO_QUOTE for each in quotes],
        "1k": [each.size_1k or _NO_QUOTE for each in quotes],
        "100k": [each.size_100k or _NO_QUOTE for each in quotes],
        "1m": [each.size_1m or _NO_QUOTE for each in quotes],
    }
    for size, of_size in tiers.items():
        bid, ask = ("best_bid", "best_ask") if size == "best" else (f"bid_{size}", f"ask_{size}")
        columns[bid] = [quote.bid or "" for quote in of_size]
        columns[ask] = [quote.ask or "" for quote in of_size]
    return Rows(
        tickers=[listing.ticker for listing in listings],
        columns=columns,
        quotes_updated_ns=[parse_rfc3339_ns(each.updated_at) for each in quotes],
        extra={},
    )


def columns_of(rows: Rows, received_ns: int) -> Columns:
    """Published and derived columns of rows that hold only plain numbers."""
    published = rows.columns
    columns = derive.complete(published)
    columns["funding_apr"] = published["funding_rate"]
    columns["oi_usd"] = derive.added(published["long_oi"], published["short_oi"])
    columns["volume_24h_usd"] = published["volume_24h"]
    columns["quote_age_ms"] = derive.age_ms(received_ns, rows.quotes_updated_ns)
    return columns


def implausible_rows(columns: Columns) -> set[int]:
    """Rows in which a bid is above its ask, or a funding rate is in another unit."""
    bad: set[int] = set()
    for spread in ("spread_bps", "spread_100k_bps", "spread_1m_bps"):
        texts = columns[spread]
        if "-" in "".join(texts):  # seldom
            bad.update(row for row, text in enumerate(texts) if text[:1] == "-")
    bids, asks = derive.numbers(columns["best_bid"]), derive.numbers(columns["best_ask"])
    bad.update(
        row
        for row, (bid, ask) in enumerate(zip(bids, asks, strict=True))
        if bid is not None and ask is not None and bid > ask
    )
    bad.update(
        row
        for row, rate in enumerate(columns["funding_rate"])
        # With a point among the first three characters at most two digits stand before it.
        if rate.find(".", 0, 3) < 0
        and rate
        and not -FUNDING_RATE_MAX <= Decimal(rate) <= FUNDING_RATE_MAX
    )
    return bad


def platform_of(top: Platform) -> dict[str, str]:
    """Fields of the `platform` point; what is unreadable is absent.

    The top-level open interest counts both sides; half of it is the one-sided notional.
    """
    refund = top.loss_refund or LossRefund()
    published = {
        "volume_24h_usd": top.total_volume_24h,
        "cumulative_volume_usd": top.cumulative_volume,
        "tvl_usd": top.tvl,
        "markets": None if top.num_markets is None else str(top.num_markets),
        "refund_pool_usd": refund.pool_size,
        "refunded_24h_usd": refund.refunded_24h,
    }
    fields = {name: plain_number(text or "") or "" for name, text in published.items()}
    (fields["oi_usd"],) = derive.halved([plain_number(top.open_interest or "") or ""])
    return {name: text for name, text in fields.items() if text}
