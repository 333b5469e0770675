"""Bybit V5 public market data, linear perpetuals."""

from agent.sources.bybit.client import BybitClient

__all__ = ["BybitClient"]
