"""`perpflux import-sqlite`: the earlier collector's rows become points in the journal.

An agent may run on the journal meanwhile, or none. How far it came is kept in the journal, in the
transaction of the points themselves: what is imported is imported once, whatever happens.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from agent.cli.output import complain, say
from agent.cli.progress import Progress
from agent.clock import SYSTEM_CLOCK
from agent.config import Config, load
from agent.errors import EXIT_FAILED, EXIT_OK, PerpfluxError
from agent.journal import Desk
from agent.journal.store import Store
from agent.legacy import Chunk, LegacyDatabase, Place

STATE: Final = "import-sqlite"
"""Key of the journal's state: the last imported row of each file, as [id, ts, ticker]."""
FILES_MAX: Final = 100
"""Files that are known again; of more, the one that was imported first is forgotten."""


class _Tally:
    """What became of the rows of this run."""

    def __init__(self) -> None:
        self.rows = self.points = self.unreadable = self.bad_values = self.repeated = 0

    def add(self, chunk: Chunk) -> None:
        """These are in the journal."""
        self.rows += chunk.rows
        self.points += chunk.points
        self.unreadable += chunk.unreadable
        self.bad_values += chunk.bad_values
        self.repeated += chunk.repeated


def command(options: argparse.Namespace) -> int:
    """Take in what is not yet; 1 when something could not be read, or it stopped."""
    config = load(options.config).config
    tally = _Tally()
    with LegacyDatabase(options.file) as database, _open_journal(config) as desk:
        try:
            began = _import(database, desk, tally)
        except (PerpfluxError, KeyboardInterrupt):
            complain(
                f"perpflux: stopped after {tally.points:,} points, which are in the journal; "
                "the same command goes on from there"
            )
            raise
    if began is not None:
        say(f"{options.file} was imported up to row {began.id:,} before")
    say(f"{tally.points:,} points of {tally.rows:,} rows are in {config.journal.path}")
    if tally.repeated:
        complain(f"perpflux: {tally.repeated:,} rows left out: an earlier one has the same point")
    if tally.unreadable:
        complain(f"perpflux: {tally.unreadable:,} rows left out: no time, ticker or number in them")
    if tally.bad_values:
        complain(f"perpflux: {tally.bad_values:,} values left out: they are no numbers")
    return EXIT_FAILED if tally.unreadable or tally.bad_values else EXIT_OK


def _open_journal(config: Config) -> Desk:
    """The journal, made if there is none, without its lock: an agent may come and go."""
    path, bytes_max = Path(config.journal.path), config.journal.bytes_max
    if not path.exists():
        age_max_s = config.journal.age_max_s
        Store(path, bytes_max=bytes_max, age_max_s=age_max_s, clock=SYSTEM_CLOCK).close()
    return Desk(path, bytes_max=bytes_max)


def _import(database: LegacyDatabase, desk: Desk, tally: _Tally) -> Place | None:
    """Take in what follows the last imported row; that row, None = there was none."""
    before = desk.get_state(STATE)
    places = [Place(*place) for place in json.loads(before or "[]")]
    began = max((place for place in places if database.has(place)), default=None)
    others = [place for place in places if place != began][-FILES_MAX + 1 :]
    after_id = began.id if began else 0
    with Progress.on_terminal("import", database.count(after_id)) as progress:
        for chunk in database.chunks(after_id):
            after = json.dumps([*others, chunk.last])
            now_ns = SYSTEM_CLOCK.now_ns()
            desk.append(chunk.entries, at_ns=now_ns, key=STATE, before=before, after=after)
            before = after
            tally.add(chunk)
            progress.add(chunk.rows)
    return began
