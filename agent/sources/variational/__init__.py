"""Variational Omni's public statistics."""

from agent.sources.variational.client import VariationalClient

__all__ = ["VariationalClient"]
