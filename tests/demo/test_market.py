"""The simulated market's numbers."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.demo.listings import DEFAULT_TICKERS, DEPTH_USD_MIN
from agent.demo.market import STEP_NS, Market
from agent.errors import PerpfluxError

NOW_NS = 1_789_898_084_048_123_456
DAY_NS = 86_400 * NS_PER_S

MARKET = Market(7, count=60)
CONTRACTS = sorted(listing.ticker for listing in MARKET.contracts.values())
instants = st.integers(0, 4_000_000_000 * NS_PER_S)
contracts = st.sampled_from(CONTRACTS)


def test_the_well_known_come_first() -> None:
    """The default market is led by the three names that every user knows."""
    assert DEFAULT_TICKERS[:3] == ("BTC", "ETH", "SOL")
    assert tuple(Market(1).listings) == DEFAULT_TICKERS
    assert len(DEFAULT_TICKERS) == 12


def test_the_kinks_that_readers_must_bear_are_listed() -> None:
    """A swap Bybit does not know, a market without a 1m quote, hourly and 4-hourly funding."""
    listings = Market(1).listings
    assert (listings["XAUS"].variational_interval_s, listings["XAUS"].tiers) == (0, ())
    assert "XAUSUSDT" not in Market(1).contracts
    assert "size_1m" not in listings["ADA"].tiers
    assert "size_100k" in listings["ADA"].tiers
    assert listings["HYPE"].bybit_interval_h == 1
    assert listings["SUI"].bybit_interval_h == 4


def test_count_fills_up_with_made_up_markets() -> None:
    """`count` gives exactly that many listings: the named ones, then synthetic ones."""
    market = Market(1, count=600)
    assert len(market.listings) == 600
    assert tuple(market.listings)[:12] == DEFAULT_TICKERS
    assert tuple(Market(1, ("BTC", "ETH"), count=1).listings) == ("BTC",)


def test_an_unknown_ticker_gets_a_market_of_its_own() -> None:
    """A name that is not well known is listed all the same, alike in every market."""
    first, second = Market(1, ("NOSUCH",)), Market(2, ("BTC", "NOSUCH"))
    assert first.listings["NOSUCH"] == second.listings["NOSUCH"]
    assert first.contracts["NOSUCHUSDT"].ticker == "NOSUCH"


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    """A market that cannot be built says which number is wrong and what is allowed."""
    with pytest.raises(PerpfluxError, match=f"listings is {count}; allowed: 1 to 10000"):
        Market(1, count=count)


@pytest.mark.parametrize("refresh_s", [0, 3601])
def test_a_refresh_out_of_range_is_refused(refresh_s: int) -> None:
    """The refresh goes from a second to an hour."""
    with pytest.raises(PerpfluxError, match=f"refresh_s is {refresh_s}; allowed: 1 to 3600"):
        Market(1, refresh_s=refresh_s)


@given(ticker=contracts, instant_ns=instants)
@settings(max_examples=50, deadline=None)
def test_same_seed_and_instant_give_the_same_figures(ticker: str, instant_ns: int) -> None:
    """Figures depend on seed, ticker and instant, not on the market's history or its company."""
    fresh = Market(7, (ticker,))
    assert fresh.quote_at(ticker, instant_ns) == MARKET.quote_at(ticker, instant_ns)
    assert fresh.stats_at(ticker, instant_ns) == MARKET.stats_at(ticker, instant_ns)
    assert fresh.book_at(ticker, instant_ns, 5) == MARKET.book_at(ticker, instant_ns, 5)


def test_another_seed_gives_other_figures() -> None:
    """The seed decides the moves at both venues."""
    assert Market(1).quote_at("BTC", NOW_NS) != Market(2).quote_at("BTC", NOW_NS)
    assert Market(1).stats_at("BTC", NOW_NS) != Market(2).stats_at("BTC", NOW_NS)


@given(ticker=contracts, instant_ns=instants)
@settings(max_examples=50, deadline=None)
def test_quotes_are_sane(ticker: str, instant_ns: int) -> None:
    """Bid below ask, the last trade on one of them, all within the day's range, all positive."""
    quote = MARKET.quote_at(ticker, instant_ns)
    assert 0 < quote.low_ticks <= quote.bid_ticks < quote.ask_ticks <= quote.high_ticks
    assert quote.last_ticks in (quote.bid_ticks, quote.ask_ticks)
    assert abs(quote.mark_nanoticks - quote.index_nanoticks) <= quote.index_nanoticks // 10_000
    assert min(quote.oi_lots, quote.volume_lots) > 0
    assert instant_ns < quote.next_funding_ns <= instant_ns + 8 * 3600 * NS_PER_S


@given(ticker=st.sampled_from(sorted(MARKET.listings)), instant_ns=instants)
@settings(max_examples=50, deadline=None)
def test_variational_tiers_lie_within_one_another(ticker: str, instant_ns: int) -> None:
    """Bid below ask within a tier; 100k lies strictly within 1m, and 1k strictly within 100k."""
    tiers = MARKET.stats_at(ticker, instant_ns).tiers
    assert tuple(tiers) == MARKET.listings[ticker].tiers
    for bid, ask in tiers.values():
        assert 0 < bid < ask
    for inner, outer in (("base", "size_100k"), ("size_1k", "size_100k"), ("size_100k", "size_1m")):
        if outer in tiers:
            assert tiers[outer][0] < tiers[inner][0]
            assert tiers[inner][1] < tiers[outer][1]


def test_bybit_moves_every_step_and_a_little() -> None:
    """The price changes from one 250 ms step to the next, by less than 1 bp, and not within one."""
    first_ns = NOW_NS // STEP_NS * STEP_NS
    index = [
        MARKET.quote_at("BTC", first_ns + step * STEP_NS).index_nanoticks for step in range(200)
    ]
    assert all(0 < abs(new - old) * 10_000 < old for old, new in pairwise(index))
    assert MARKET.quote_at("BTC", first_ns) == MARKET.quote_at("BTC", first_ns + STEP_NS - 1)


def test_prices_come_back_to_their_level() -> None:
    """Over two years the price stays within a tenth of its level and crosses it many times."""
    level = MARKET.listings["BTC"].level_ticks
    above = [MARKET.quote_at("BTC", NOW_NS + day * DAY_NS).bid_ticks > level for day in range(730)]
    prices = [MARKET.quote_at("BTC", NOW_NS + day * DAY_NS).bid_ticks for day in range(730)]
    assert max(abs(price - level) for price in prices) < level // 10
    assert sum(now != then for now, then in pairwise(above)) > 100


def test_variational_changes_only_with_its_refresh() -> None:
    """Variational's figures hold for `refresh_s`, then all change; their time is some seconds old.

    Its clock shows nanoseconds, not only milliseconds.
    """
    market = Market(7, refresh_s=5)
    made_ns = market.made_at(NOW_NS)
    stats = market.stats_at("BTC", made_ns)
    assert stats == market.stats_at("BTC", made_ns + 5 * NS_PER_S - 1)
    later = market.stats_at("BTC", made_ns + 5 * NS_PER_S)
    assert later.mark_nanoticks != stats.mark_nanoticks
    assert later.tiers != stats.tiers
    assert NS_PER_S <= made_ns - stats.updated_at_ns < 4 * NS_PER_S
    assert stats.updated_at_ns % 1000


@pytest.mark.parametrize("refresh_s", [1, 2, 5, 60])
def test_quote_times_only_go_forward(refresh_s: int) -> None:
    """However often Variational refreshes, no document's quotes are older than the one before's."""
    market = Market(7, refresh_s=refresh_s)
    stamps = [
        market.stats_at("ETH", NOW_NS + step * market.refresh_ns).updated_at_ns
        for step in range(100)
    ]
    assert stamps == sorted(set(stamps))


def test_the_venues_differ_a_little() -> None:
    """Both venues quote about the same price, but neither the same spread nor the same funding."""
    quote, stats = MARKET.quote_at("BTC", NOW_NS), MARKET.stats_at("BTC", NOW_NS)
    bid_tenths, ask_tenths = stats.tiers["base"]
    assert abs(bid_tenths - quote.bid_ticks * 10) < quote.bid_ticks * 10 // 1000
    assert ask_tenths - bid_tenths != (quote.ask_ticks - quote.bid_ticks) * 10
    assert stats.funding_apr_ppm != quote.funding_e8 * 1095 // 100


@given(ticker=contracts, instant_ns=instants, levels=st.integers(1, 1000))
@settings(max_examples=30, deadline=None)
def test_books_are_sorted_and_begin_at_the_quote(ticker: str, instant_ns: int, levels: int) -> None:
    """Bids fall, asks rise, strictly, from the quote's own prices and sizes; every size is real."""
    bids, asks = MARKET.book_at(ticker, instant_ns, levels)
    quote = MARKET.quote_at(ticker, instant_ns)
    assert (len(bids), len(asks)) == (levels, levels)
    assert (bids[0][0], asks[0][0]) == (quote.bid_ticks, quote.ask_ticks)
    assert (bids[0][1], asks[0][1]) == MARKET.best_lots_at(ticker, instant_ns)
    assert [price for price, _ in bids] == sorted({price for price, _ in bids}, reverse=True)
    assert [price for price, _ in asks] == sorted({price for price, _ in asks})
    assert bids[-1][0] > 0
    assert min(lots for _, lots in bids + asks) > 0
    assert MARKET.book_at(ticker, instant_ns, 1000)[0][:levels] == bids


@pytest.mark.parametrize("ticker", CONTRACTS)
def test_books_hold_a_million(ticker: str) -> None:
    """200 levels take an order of 1m USD; 1000 hold about what the listing says; 25 are too thin.

    Only Bitcoin, the deepest, may come near a million in 25 levels.
    """
    listing = MARKET.listings[ticker]
    unit = 10 ** (listing.tick_digits + listing.qty_digits)
    for side in MARKET.book_at(ticker, NOW_NS, 1000):
        worth_usd = [price * lots // unit for price, lots in side]
        assert sum(worth_usd[:25]) < 1_000_000 < sum(worth_usd[:200])
        assert DEPTH_USD_MIN * 8 // 10 < sum(worth_usd) < listing.depth_usd * 12 // 10


def test_the_settled_rate_is_the_last_one_shown() -> None:
    """What is settled is the rate that the ticker showed in the minute before."""
    quote = MARKET.quote_at("BTC", NOW_NS)
    before = MARKET.quote_at("BTC", quote.next_funding_ns - 1)
    listing = MARKET.listings["BTC"]
    assert MARKET.settled_e8(listing, quote.next_funding_ns) == before.funding_e8
    assert before.next_funding_ns == quote.next_funding_ns


def test_funding_scales_with_its_interval() -> None:
    """An hourly contract pays about an eighth of what the same yearly rate pays in 8 hours."""
    apr_ppm = MARKET.quote_at("HYPE", NOW_NS).funding_e8 * 8760 // 100
    assert abs(apr_ppm - MARKET.listings["HYPE"].funding_apr_ppm) <= 20_100


def test_bybit_does_not_know_a_swap() -> None:
    """There are no Bybit figures for what Bybit does not list."""
    with pytest.raises(KeyError):
        MARKET.quote_at("XAUS", NOW_NS)


def test_a_listing_says_its_price_once() -> None:
    """Level and tick both come from the price's text, so they cannot disagree."""
    for listing in MARKET.listings.values():
        assert Decimal(listing.level_ticks).scaleb(-listing.tick_digits) == Decimal(listing.price)
        assert listing.level_ticks >= 4000
