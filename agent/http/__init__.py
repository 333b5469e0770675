"""The agent's read-only HTTP side: the live page, its API, health, metrics and status."""

from agent.http.live import Live
from agent.http.server import HttpServer

__all__ = ["HttpServer", "Live"]
