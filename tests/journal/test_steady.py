"""A clock that is set wrong for a while must not cost a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journal.store import Store
from tests.journal.make import AGE_MAX_S, entry, store_at
from tests.support.clock import FakeClock

YEAR_S = 365 * 86_400


@pytest.fixture
def clock() -> FakeClock:
    """Both clocks."""
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """A journal with two records, open for a quarter of an hour."""
    store = store_at(tmp_path / "journal.db", clock=clock)
    store.append([entry(1), entry(1)])
    clock.advance(900)
    yield store
    store.close()


def gone(store: Store) -> int:
    """How many records the age bound removes now."""
    return store.evict_some().records


def test_a_year_for_a_minute_costs_nothing(store: Store, clock: FakeClock) -> None:
    """A wall clock that jumps ahead and back again leaves all records where they are."""
    clock.step_wall(YEAR_S)
    for _ in range(6):
        assert gone(store) == 0
        clock.advance(10)
    clock.step_wall(-YEAR_S)
    clock.advance(AGE_MAX_S - 1200)
    assert gone(store) == 0
    clock.advance(1200)
    assert gone(store) == 1


def test_a_new_time_is_believed_after_a_while(store: Store, clock: FakeClock) -> None:
    """Ten minutes without another step: then the records are old indeed."""
    clock.step_wall(YEAR_S)
    waited = []
    for _ in range(3):
        waited.append(gone(store))
        clock.advance(300)
    assert waited == [0, 0, 1]


def test_a_clock_that_is_ahead_at_the_start_is_not_believed_at_once(
    tmp_path: Path, store: Store, clock: FakeClock
) -> None:
    """A machine may get its time from the network minutes after the agent has started."""
    store.close()
    clock.step_wall(YEAR_S)
    again = store_at(tmp_path / "journal.db", clock=clock)
    assert gone(again) == 0
    clock.step_wall(-YEAR_S)
    clock.advance(600)
    assert gone(again) == 0
    again.close()


def test_what_was_taken_in_1970_is_not_lost_when_the_time_comes(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Without a battery a machine starts in 1970: its first records wait their ten minutes."""
    clock.step_wall(-56 * YEAR_S)
    store = store_at(tmp_path / "early.db", clock=clock)
    store.append([entry(1)])
    clock.advance(30)
    clock.step_wall(56 * YEAR_S)
    store.append([entry(1)])
    clock.advance(599)
    assert gone(store) == 0
    store.close()


def test_a_small_correction_is_no_step(store: Store, clock: FakeClock) -> None:
    """What NTP does all the time does not keep the age bound from working."""
    clock.advance(AGE_MAX_S)
    for _ in range(5):
        clock.step_wall(-20)
        clock.advance(30)
        store._steady.look()
    assert gone(store) == 1
