"""One name for one thing: which of Bybit's symbols is which of Variational's tickers. Pure.

The user's names are Variational's. Most are Bybit's base coin too: TICKER + "USDT". Where they
differ this map says so; where the same name means another asset, or the same asset in another
unit, the two are left apart. Prefixes are never stripped: 1000CAT and CAT are two assets.
"""

from __future__ import annotations

from typing import Final

BYBIT_QUOTE_COIN: Final = "USDT"

BYBIT_SYMBOLS: Final = {
    "1000SHIB": "SHIB1000USDT",
}
"""Ticker to symbol where the names differ, and asset and unit are the same."""

BYBIT_APART: Final = {
    "CAT": "it is Caterpillar, a share",
    "1NEIRO": "more than one asset goes by that name",
    "BTR0": "more than one asset goes by that name",
    "FF0": "more than one asset goes by that name",
}
"""Tickers that are joined with nothing at Bybit, and what they are at Variational."""

_TICKERS: Final = {symbol: ticker for ticker, symbol in BYBIT_SYMBOLS.items()}
_TAKEN: Final = frozenset({*BYBIT_APART, *BYBIT_SYMBOLS})
"""Names that mean something else at Variational."""


def bybit_symbol(ticker: str) -> str | None:
    """Bybit's symbol of the same asset in the same unit; None where the name means another."""
    if ticker.upper() in BYBIT_APART:
        return None
    return BYBIT_SYMBOLS.get(ticker.upper(), f"{ticker.upper()}{BYBIT_QUOTE_COIN}")


def bybit_ticker(symbol: str, base_coin: str | None = None) -> str | None:
    """The ticker of a perpetual in USDT by its symbol; None for other contracts.

    An asset that must not be taken for another of its name goes by its whole symbol.

    Args:
        symbol: of the contract.
        base_coin: its base coin, where the venue's list of contracts was read.
    """
    if not symbol.endswith(BYBIT_QUOTE_COIN):
        return None
    name = symbol.removesuffix(BYBIT_QUOTE_COIN)
    if base_coin is not None and base_coin != name:
        return symbol
    return _TICKERS.get(symbol, symbol if name in _TAKEN else name)
