"""A check, what it finds, and the run over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from agent.errors import PerpfluxError

CHECK_S: Final = 15.0
"""Bound on one check, from when what it needs is known."""


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It works; something should be known."""
    FAIL = "fail"
    SKIP = "skip"
    """There is nothing to look at here, or no way to."""


class Finding(NamedTuple):
    """What a check found, in one line, and what to do about it ("" = nothing)."""

    state: State
    text: str
    advice: str = ""


class Result(NamedTuple):
    """A finding and whose it is."""

    name: str
    finding: Finding


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(State.OK, text)


def warn(text: str, advice: str) -> Finding:
    """It works, but."""
    return Finding(State.WARN, text, advice)


def fail(text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(State.FAIL, text, advice)


def skip(reason: str, advice: str = "") -> Finding:
    """It was not looked at."""
    return Finding(State.SKIP, reason, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    Attributes:
        name: group and what, such as "bybit.reached".
        look: finds out. A PerpfluxError is a failure with its hint.
        after: names of checks before this one without which there is nothing to look at.
        timeout_s: how long `look` may take.
        late: what to do when that is not enough.
    """

    name: str
    look: Callable[[], Awaitable[Finding]]
    after: Sequence[str] = ()
    timeout_s: float = CHECK_S
    late: str = "see how busy disk and network are"


async def examine(checks: Sequence[Check]) -> AsyncIterator[Result]:
    """Look at everything at once; results in the order of the checks, each as soon as it is known.

    A check whose `after` failed or was skipped is skipped; no other one ever waits for it.
    """
    tasks: dict[str, asyncio.Task[Finding]] = {}
    for check in checks:
        tasks[check.name] = asyncio.create_task(_find(check, tasks), name=check.name)
    try:
        for name, task in tasks.items():
            yield Result(name, await task)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _find(check: Check, tasks: Mapping[str, asyncio.Task[Finding]]) -> Finding:
    for name in check.after:
        before = await asyncio.shield(tasks[name])
        if before.state in {State.FAIL, State.SKIP}:
            return skip(f"not without {name}")
    limit = asyncio.timeout(check.timeout_s)
    try:
        async with limit:
            return await check.look()
    except PerpfluxError as error:
        return fail(f"{error.operation}: {error.subject}", error.hint)
    except PermissionError as error:
        return skip(f"{error.filename} is not open to this user", "run `sudo perpflux doctor`")
    except Exception as error:  # noqa: BLE001  # one check that breaks must not hide the others
        if limit.expired():
            return fail(f"no result within {check.timeout_s:g} s", check.late)
        return fail(f"the check broke: {type(error).__name__}: {error}", "report it")
