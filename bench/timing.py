"""Measuring: variants take turns in one process, processor time, medians of ratios.

A shared machine is now fast, now slow; variants that take turns are slow together. So the ratio of
two of them in the same round says something, and their milliseconds little. The order is another
one in each round, since much depends on who ran before. Whole polls start after a rest, as in a
program that wakes up once a second and finds the caches filled by others; parts of one find warm
what the part before has just made.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

WARM_UP_ROUNDS: Final = 3
SEED: Final = 1
REST_S: Final = 0.1
"""From here on a longer rest changes little."""
NS_PER_MS: Final = 1_000_000

DocumentsT = TypeVar("DocumentsT")


class Spread(NamedTuple):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


Run = Callable[[int], object]
"""Given the number of the round."""
Times = dict[str, list[int]]
"""Variant to processor time in ns, one a round."""


def take_turns(variants: Mapping[str, Run], rounds: int, *, rested: bool = False) -> Times:
    """Run every variant once a round, in an order of chance, each given the round's number.

    Args:
        variants: what to measure.
        rounds: how often.
        rested: sleep for a moment before each.
    """
    rng = random.Random(SEED)  # repeatable on purpose
    order = list(variants)
    times: Times = {name: [] for name in variants}
    gc.collect()
    gc.freeze()
    for number in range(rounds + WARM_UP_ROUNDS):
        rng.shuffle(order)
        for name in order:
            if rested:
                time.sleep(REST_S)
            started_ns = time.process_time_ns()
            variants[name](number)
            times[name].append(time.process_time_ns() - started_ns)
    gc.unfreeze()
    return {name: values[WARM_UP_ROUNDS:] for name, values in times.items()}


def rotating(run: Callable[[DocumentsT], object], versions: Sequence[DocumentsT]) -> Run:
    """Runs with one version after the other."""
    return lambda number: run(versions[number % len(versions)])


def spread(values: list[float]) -> Spread:
    """Median and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4)
    return Spread(median, low, high)


def ratio(times: Times, of: str, to: str) -> Spread:
    """How many times as long the one takes as the other, round by round."""
    return spread([one / other for one, other in zip(times[of], times[to], strict=True)])


def milliseconds(times: Times, name: str) -> Spread:
    """What a variant takes."""
    return spread([value / NS_PER_MS for value in times[name]])


class Stages:
    """Processor time of the stages of something that is run again and again."""

    def __init__(self) -> None:
        self._times: Times = defaultdict(list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures the block."""
        started_ns = time.process_time_ns()
        yield
        self._times[name].append(time.process_time_ns() - started_ns)

    @property
    def median_ns(self) -> dict[str, float]:
        """Stage to its median."""
        return {name: statistics.median(values) for name, values in self._times.items()}
