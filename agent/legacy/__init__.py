"""The earlier collector's SQLite database: brought up to date, and read as points."""

from agent.legacy.database import Migration, migrate
from agent.legacy.reading import Chunk, LegacyDatabase, Place

__all__ = ["Chunk", "LegacyDatabase", "Migration", "Place", "migrate"]
