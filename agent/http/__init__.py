"""The agent's read-only HTTP side: health, metrics and status."""

from agent.http.server import HttpServer

__all__ = ["HttpServer"]
