"""What the simulated market does: a pure function of seed, ticker and instant.

Nothing is remembered from one call to the next, so a test can work out afterwards what was served
at an instant. Numbers are integers in the unit that their name ends with: `_ticks`, `_nanoticks`
(10⁻⁹ of a tick), `_lots` (the smallest quantity), `_ppm`, `_ppb`, `_e8`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.clock import NS_PER_MS, NS_PER_S
from agent.demo.listings import DEFAULT_TICKERS, Listing, listing_of
from agent.errors import PerpfluxError

STEP_NS: Final = 250 * NS_PER_MS
"""Bybit's figures move this often."""
BOOK_LEVELS_MAX: Final = 1000
LISTINGS_MAX: Final = 10_000
REFRESH_S_MAX: Final = 3600
NANO: Final = 10**9

_POINTS_MAX: Final = 1 << 16
"""Points kept: all that 600 listings need at a time, about 20 MB."""
_MINUTE_NS: Final = 60 * NS_PER_S
_HOUR_NS: Final = 60 * _MINUTE_NS
_DAY_NS: Final = 24 * _HOUR_NS
_UNIT: Final = 10**12
"""A wave runs from -_UNIT to +_UNIT."""

# Period and height (ppb) of the waves that make a price: a sum of bounded ones always comes back.
_PRICE_WAVES: Final = (
    (STEP_NS, 12_000),
    (5 * NS_PER_S, 60_000),
    (_MINUTE_NS, 200_000),
    (15 * _MINUTE_NS, 1_500_000),
    (4 * _HOUR_NS, 8_000_000),
    (2 * _DAY_NS, 20_000_000),
)
_MARK_PPB: Final = 40_000
_VARIATIONAL_MARK_PPB: Final = 300_000
_VARIATIONAL_MID_PPB: Final = 50_000
_FUNDING_SWING_PPM: Final = 20_000
_OI_SWING_PPM: Final = 50_000
_VOLUME_SWING_PPM: Final = 100_000
_HOURS_PER_YEAR: Final = 8760
_TIER_WIDTH_PCT: Final = {"base": 100, "size_1k": 100, "size_100k": 340, "size_1m": 1500}
_AGE_MIN_NS: Final = NS_PER_S
_AGE_SPAN_NS: Final = 3 * NS_PER_S

# A level's weight is (first + min(level, ramp)) x (64 + a random byte); their sum over 1000 levels:
_RAMP_FIRST: Final = 10
_RAMP_LEVELS: Final = 50
_BYTE_FLOOR: Final = 64
_WEIGHTS_SUM: Final = 11_200_000
_WIDE_GAP_TICKS: Final = 100_000
"""Prices of this many ticks and more leave every other level empty, on average."""

Level = tuple[int, int]
"""Price in ticks, quantity in lots."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Bybit's figures for one contract, constant for `STEP_NS`."""

    bid_ticks: int
    ask_ticks: int
    last_ticks: int
    mark_nanoticks: int
    index_nanoticks: int
    last_1h_ago_ticks: int
    last_24h_ago_ticks: int
    high_ticks: int
    low_ticks: int
    oi_lots: int
    """Both sides together."""
    volume_lots: int
    funding_e8: int
    """Fraction for one funding interval, in 10⁻⁸."""
    next_funding_ns: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Variational's figures for one listing, constant for the market's `refresh_s`."""

    mark_nanoticks: int
    tiers: dict[str, tuple[int, int]]
    """Bid and ask by tier, in tenths of a tick."""
    updated_at_ns: int
    long_oi_e20: int
    short_oi_e20: int
    volume_e6: int
    funding_apr_ppm: int


class Market:
    """Both venues' markets.

    Args:
        seed: another seed, other moves; the listings stay.
        tickers: what is listed; an unknown name gets a made-up market.
        count: this many listings instead: `tickers`, then SIM0012 and so on. None: just `tickers`.
        refresh_s: Variational's figures change this often, 1 to 3600 s.

    Raises:
        PerpfluxError: a number is out of range.
    """

    def __init__(
        self,
        seed: int,
        tickers: Sequence[str] = DEFAULT_TICKERS,
        *,
        count: int | None = None,
        refresh_s: int = 5,
    ) -> None:
        wanted = len(tickers) if count is None else count
        _check("listings", wanted, LISTINGS_MAX)
        _check("refresh_s", refresh_s, REFRESH_S_MAX)
        names = (*tickers, *(f"SIM{number:04d}" for number in range(len(tickers), wanted)))
        self.seed = seed
        self.refresh_ns = refresh_s * NS_PER_S
        self.listings = {name: listing_of(name) for name in names[:wanted]}
        self.contracts = {
            listing.symbol: listing
            for listing in self.listings.values()
            if listing.bybit_interval_h
        }
        """What Bybit lists, by symbol."""

    def quote_at(self, ticker: str, instant_ns: int) -> Quote:
        """Bybit's figures (KeyError: not listed there)."""
        listing = self._contract(ticker)
        step_ns = instant_ns // STEP_NS * STEP_NS
        minute_ns = instant_ns // _MINUTE_NS * _MINUTE_NS
        fair_nanoticks = self._fair_nanoticks(listing, step_ns)
        bid_ticks = fair_nanoticks // NANO
        roll = self._wave(ticker, "spread", STEP_NS, step_ns)
        ask_ticks = bid_ticks + 1 + roll % listing.spread_ticks_max
        reach_ppb = sum(height for _, height in _PRICE_WAVES) * listing.volatility_pct // 100
        interval_ns = listing.bybit_interval_h * _HOUR_NS
        return Quote(
            bid_ticks=bid_ticks,
            ask_ticks=ask_ticks,
            last_ticks=bid_ticks if roll < 0 else ask_ticks,
            mark_nanoticks=fair_nanoticks
            + listing.level_ticks * self._wave(ticker, "mark", _MINUTE_NS, step_ns, _MARK_PPB),
            index_nanoticks=fair_nanoticks,
            last_1h_ago_ticks=self._fair_nanoticks(listing, minute_ns - _HOUR_NS) // NANO,
            last_24h_ago_ticks=self._fair_nanoticks(listing, minute_ns - _DAY_NS) // NANO,
            # The bounds of the model: never tight, never wrong.
            high_ticks=listing.level_ticks * (NANO + reach_ppb) // NANO + listing.spread_ticks_max,
            low_ticks=listing.level_ticks * (NANO - reach_ppb) // NANO,
            oi_lots=self._swung(ticker, "oi", step_ns, _OI_SWING_PPM, listing.lots(listing.oi_usd))
            * 2,
            volume_lots=self._swung(
                ticker, "volume", step_ns, _VOLUME_SWING_PPM, listing.lots(listing.volume_usd)
            ),
            funding_e8=self.funding_e8_at(listing, instant_ns),
            next_funding_ns=(instant_ns // interval_ns + 1) * interval_ns,
        )

    def funding_e8_at(self, listing: Listing, instant_ns: int) -> int:
        """Bybit's rate for the interval that runs, 10⁻⁸; moves once a minute."""
        apr_ppm = self._funding_apr_ppm(listing, "bybit", instant_ns // _MINUTE_NS * _MINUTE_NS)
        return apr_ppm * 100 * listing.bybit_interval_h // _HOURS_PER_YEAR

    def settled_e8(self, listing: Listing, settlement_ns: int) -> int:
        """The rate settled then, 10⁻⁸: the one shown in the last minute before."""
        return self.funding_e8_at(listing, settlement_ns - 1)

    def book_at(self, ticker: str, instant_ns: int, levels: int) -> tuple[list[Level], list[Level]]:
        """Bids downward and asks upward, 1 to 1000 levels a side; a short book begins a long one.

        The best prices are those of `quote_at` (KeyError: not listed there).
        """
        listing = self._contract(ticker)
        quote = self.quote_at(ticker, instant_ns)
        return (
            self._side(listing, "bid", instant_ns // STEP_NS, quote.bid_ticks, levels),
            self._side(listing, "ask", instant_ns // STEP_NS, quote.ask_ticks, levels),
        )

    def best_lots_at(self, ticker: str, instant_ns: int) -> tuple[int, int]:
        """The quantities at the best bid and at the best ask: those of `book_at`."""
        listing, step = self._contract(ticker), instant_ns // STEP_NS
        [(_, bid_lots)] = self._side(listing, "bid", step, 0, 1)
        [(_, ask_lots)] = self._side(listing, "ask", step, 0, 1)
        return bid_lots, ask_lots

    def stats_at(self, ticker: str, instant_ns: int) -> Stats:
        """Variational's figures (KeyError: no such listing)."""
        listing = self.listings[ticker]
        made_ns = self.made_at(instant_ns)
        fair_nanoticks = self._fair_nanoticks(listing, made_ns)
        apart_ppb = self._wave(ticker, "apart", _MINUTE_NS, made_ns, _VARIATIONAL_MID_PPB)
        mark_ppb = self._wave(
            ticker, "variational/mark", _MINUTE_NS, made_ns, _VARIATIONAL_MARK_PPB
        )
        mid_nanoticks = fair_nanoticks + listing.level_ticks * apart_ppb
        width_pct = 100 + self._wave(ticker, "width", self.refresh_ns, made_ns, 15)
        oi_e20 = listing.variational_oi_usd * 10**20
        # Two documents' ages differ by less than a refresh, so quote times never go back.
        span_ns = min(_AGE_SPAN_NS, self.refresh_ns)
        age_ns = _AGE_MIN_NS + _point(self.seed, ticker, "age", 1, made_ns) % span_ns
        pays = listing.variational_interval_s > 0
        return Stats(
            mark_nanoticks=fair_nanoticks + listing.level_ticks * mark_ppb,
            tiers={
                tier: _around(
                    mid_nanoticks,
                    listing.level_ticks * listing.width_ppb * width_pct * _TIER_WIDTH_PCT[tier],
                )
                for tier in listing.tiers
            },
            updated_at_ns=made_ns - age_ns,
            long_oi_e20=self._swung(
                ticker, "variational/long", made_ns, _OI_SWING_PPM, oi_e20 * 55 // 100
            ),
            short_oi_e20=self._swung(
                ticker, "variational/short", made_ns, _OI_SWING_PPM, oi_e20 * 45 // 100
            ),
            volume_e6=self._swung(
                ticker,
                "variational/volume",
                made_ns,
                _VOLUME_SWING_PPM,
                listing.variational_volume_usd * 10**6,
            ),
            funding_apr_ppm=self._funding_apr_ppm(listing, "variational", made_ns) if pays else 0,
        )

    def made_at(self, instant_ns: int) -> int:
        """When the document that Variational serves then was made (ns)."""
        return instant_ns // self.refresh_ns * self.refresh_ns

    def _contract(self, ticker: str) -> Listing:
        return self.contracts[self.listings[ticker].symbol]

    def _fair_nanoticks(self, listing: Listing, instant_ns: int) -> int:
        swing_ppb = sum(
            self._wave(listing.ticker, "price", period_ns, instant_ns, height_ppb)
            for period_ns, height_ppb in _PRICE_WAVES
        )
        return listing.level_ticks * (NANO + swing_ppb * listing.volatility_pct // 100)

    def _funding_apr_ppm(self, listing: Listing, venue: str, instant_ns: int) -> int:
        return listing.funding_apr_ppm + self._wave(
            listing.ticker, f"funding/{venue}", _HOUR_NS, instant_ns, _FUNDING_SWING_PPM
        )

    def _swung(self, ticker: str, what: str, instant_ns: int, swing_ppm: int, level: int) -> int:
        """`level` give or take `swing_ppm`, in the run of hours."""
        return level + level * self._wave(ticker, what, _HOUR_NS, instant_ns) * swing_ppm // (
            _UNIT * 10**6
        )

    def _wave(
        self, ticker: str, what: str, period_ns: int, instant_ns: int, height: int = _UNIT
    ) -> int:
        """Random points `period_ns` apart, joined by straight lines: from -height to +height."""
        index, rest_ns = divmod(instant_ns, period_ns)
        here = _point(self.seed, ticker, what, period_ns, index)
        if rest_ns:
            there = _point(self.seed, ticker, what, period_ns, index + 1)
            here += (there - here) * rest_ns // period_ns
        return here * height // _UNIT

    def _side(
        self, listing: Listing, side: str, step: int, best_ticks: int, levels: int
    ) -> list[Level]:
        key = f"{self.seed}/{listing.ticker}/{side}/{step}".encode()
        noise = hashlib.shake_128(key).digest(2 * levels)
        gap_ticks = 2 if listing.level_ticks >= _WIDE_GAP_TICKS else 1
        away = -1 if side == "bid" else 1
        depth_lots = listing.lots(listing.depth_usd)
        rows = []
        for level in range(levels):
            aside_ticks = level * gap_ticks + (noise[2 * level] % gap_ticks if level else 0)
            weight = _RAMP_FIRST + min(level, _RAMP_LEVELS)
            lots = depth_lots * weight * (_BYTE_FLOOR + noise[2 * level + 1]) // _WEIGHTS_SUM
            rows.append((best_ticks + away * aside_ticks, max(1, lots)))
        return rows


def _check(what: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise PerpfluxError(
            "simulate market", f"{what} is {number}; allowed: 1 to {most}", "change it"
        )


@lru_cache(maxsize=_POINTS_MAX)  # only saves work: the slow waves ask for the same points for hours
def _point(seed: int, ticker: str, what: str, period_ns: int, index: int) -> int:
    """A random number from -_UNIT to +_UNIT that depends on nothing but the arguments."""
    key = f"{seed}/{ticker}/{what}/{period_ns}/{index}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2 * _UNIT + 1) - _UNIT


def _around(mid_nanoticks: int, width_e13_ticks: int) -> tuple[int, int]:
    """Bid and ask in tenths of a tick, that width apart or up to two tenths more.

    The width comes as ticks x ppb x percent x percent, so in 10⁻¹³ ticks.
    """
    tenth_nanoticks = NANO // 10
    half_nanoticks = width_e13_ticks // (2 * 10_000)
    bid = (mid_nanoticks - half_nanoticks) // tenth_nanoticks
    ask = -((-mid_nanoticks - half_nanoticks) // tenth_nanoticks)
    return bid, ask
