"""What the simulated venues list: the well-known names, and any number of made-up ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

TIERS: Final = ("base", "size_1k", "size_100k", "size_1m")
DEPTH_USD_MIN: Final = 20_000_000
"""The thinnest book, a side: a market order of 1m USD finds its price well within 1000 levels."""

_VOLUME_PER_DEPTH: Final = 200
_VARIATIONAL_SHARE_PCT: Final = 8
_HOUR_S: Final = 3600


@dataclass(frozen=True)
class Listing:
    """The constants of one market; what moves is computed by `agent.demo.market.Market`.

    Args:
        ticker: the name that Variational uses; Bybit's symbol is ticker + "USDT".
        name: the full name.
        price: USD, typical; **its last digit is one tick**: "80430.0" has ticks of 0.1.
        oi_usd: open interest at Bybit, one side, USD.
        volume_usd: 24 h volume at Bybit, USD.
        funding_apr_ppm: typical funding, millionths a year (109_500 is 10.95 %).
        width_ppb: Variational's tightest bid to ask, billionths of the price (43_000 is 0.43 bps).
        qty_digits: decimals of a quantity in base coin, 0 to 4.
        spread_ticks_max: Bybit's spread runs from 1 to this.
        volatility_pct: size of the moves; 100 is Bitcoin's.
        bybit_interval_h: Bybit's funding interval; 0 means not listed there.
        variational_interval_s: Variational's; 0 means a swap, which pays no funding.
        tiers: the quotes that Variational gives.
        single_oi: Bybit also publishes one-sided open interest.
    """

    ticker: str
    name: str
    price: str
    oi_usd: int
    volume_usd: int
    funding_apr_ppm: int
    width_ppb: int
    qty_digits: int = 0
    spread_ticks_max: int = 1
    volatility_pct: int = 200
    bybit_interval_h: int = 8
    variational_interval_s: int = 8 * _HOUR_S
    tiers: tuple[str, ...] = TIERS
    single_oi: bool = True

    @cached_property
    def symbol(self) -> str:
        """Bybit's name for it."""
        return f"{self.ticker}USDT"

    @cached_property
    def tick_digits(self) -> int:
        """Decimals of one tick."""
        return len(self.price.partition(".")[2])

    @cached_property
    def level_ticks(self) -> int:
        """The typical price in ticks."""
        return int(self.price.replace(".", ""))

    @cached_property
    def depth_usd(self) -> int:
        """What one side of the book holds in 1000 levels, USD."""
        return max(DEPTH_USD_MIN, self.volume_usd // _VOLUME_PER_DEPTH)

    @property
    def variational_oi_usd(self) -> int:
        """Open interest at Variational, both sides added, USD."""
        return self.oi_usd * _VARIATIONAL_SHARE_PCT // 100

    @property
    def variational_volume_usd(self) -> int:
        """24 h volume at Variational, USD."""
        return self.volume_usd * _VARIATIONAL_SHARE_PCT // 100

    def lots(self, notional_usd: int) -> int:
        """How many of the smallest quantity that notional buys at the typical price."""
        return notional_usd * int(10 ** (self.tick_digits + self.qty_digits)) // self.level_ticks


_M: Final = 1_000_000

_WELL_KNOWN: Final = (
    Listing(
        *("BTC", "Bitcoin", "80430.0", 2_700 * _M, 10_900 * _M, 109_500, 43_000),
        qty_digits=3,
        volatility_pct=100,
        single_oi=False,
    ),
    Listing(
        *("ETH", "Ethereum", "2968.40", 1_450 * _M, 6_200 * _M, 87_600, 54_000),
        qty_digits=2,
        volatility_pct=140,
    ),
    Listing(*("SOL", "Solana", "128.40", 620 * _M, 2_100 * _M, -32_000, 110_000), qty_digits=1),
    Listing(*("XRP", "XRP", "1.9842", 410 * _M, 890 * _M, 109_500, 150_000), qty_digits=1),
    Listing(
        "DOGE", "Dogecoin", "0.13812", 230 * _M, 540 * _M, 109_500, 200_000, volatility_pct=250
    ),
    Listing(*("BNB", "BNB", "851.3", 150 * _M, 210 * _M, 54_700, 150_000), qty_digits=2),
    # No quote for a million: a market too thin for it.
    Listing("ADA", "Cardano", "0.41270", 90 * _M, 130 * _M, 109_500, 300_000, tiers=TIERS[:3]),
    Listing(*("LINK", "Chainlink", "13.215", 85 * _M, 160 * _M, 71_000, 250_000), qty_digits=1),
    # The two venues settle at different intervals; Bybit hourly.
    Listing(
        *("HYPE", "Hyperliquid", "31.240", 240 * _M, 480 * _M, 175_200, 250_000),
        qty_digits=2,
        spread_ticks_max=3,
        volatility_pct=260,
        bybit_interval_h=1,
        variational_interval_s=4 * _HOUR_S,
    ),
    Listing(
        *("SUI", "Sui", "1.6215", 95 * _M, 220 * _M, 109_500, 300_000),
        bybit_interval_h=4,
        variational_interval_s=_HOUR_S,
        single_oi=False,
    ),
    # A price for a thousand of the coin, at both venues.
    Listing(
        *("1000PEPE", "Pepe", "0.0048120", 60 * _M, 250 * _M, -65_000, 400_000),
        spread_ticks_max=2,
        volatility_pct=280,
    ),
    # A swap on gold: no funding, no usable quotes, unknown at Bybit.
    Listing(
        *("XAUS", "Gold", "4312.50", 14 * _M, 30 * _M, 0, 150_000),
        volatility_pct=40,
        bybit_interval_h=0,
        variational_interval_s=0,
        tiers=(),
    ),
)
_BY_TICKER: Final = {listing.ticker: listing for listing in _WELL_KNOWN}
DEFAULT_TICKERS: Final = tuple(_BY_TICKER)


def listing_of(ticker: str) -> Listing:
    """The well-known listing of that name, else a made-up one: the same name, the same listing."""
    return _BY_TICKER.get(ticker) or _made_up(ticker)


def _made_up(ticker: str) -> Listing:
    roll = hashlib.blake2b(ticker.encode(), digest_size=12).digest()
    tick_digits = 2 + roll[0] % 5
    ticks = f"{10_000 + int.from_bytes(roll[1:4], 'big') % 90_000:0{tick_digits + 1}d}"
    volume_usd = (5 + roll[4]) * _M
    return Listing(
        ticker,
        f"Simulated {ticker}",
        f"{ticks[:-tick_digits]}.{ticks[-tick_digits:]}",
        oi_usd=volume_usd // (2 + roll[5] % 4),
        volume_usd=volume_usd,
        funding_apr_ppm=(roll[6] - 96) * 1_000,
        width_ppb=200_000 + roll[7] * 2_000,
        qty_digits=1 if tick_digits == 2 else 0,  # noqa: PLR2004 - prices of 100 USD and more
        spread_ticks_max=1 + roll[8] % 3,
        volatility_pct=150 + roll[8],
        bybit_interval_h=(8, 4, 4, 1)[roll[9] % 4],
        tiers=TIERS if roll[10] % 8 else TIERS[:3],
        single_oi=bool(roll[11] % 4),
    )
