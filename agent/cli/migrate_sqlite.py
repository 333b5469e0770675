"""`perpflux migrate-sqlite`: the earlier collector's database gets its column `source`."""

from __future__ import annotations

import argparse

from agent.cli.output import say
from agent.clock import SYSTEM_CLOCK
from agent.errors import EXIT_OK
from agent.legacy import migrate


def command(options: argparse.Namespace) -> int:
    """Change the file, after a copy of it was made; say what was done."""
    migration = migrate(options.file, SYSTEM_CLOCK.now_ns())
    if migration.backup is None:
        say(f"{options.file} is up to date ({migration.rows:,} rows); nothing was changed")
    else:
        say(f"{options.file}: {' and '.join(migration.done)} added; {migration.rows:,} rows")
        say(f"as it was before: {migration.backup}")
    return EXIT_OK
