"""Every check comes to a finding within its time, and none hides another."""

from __future__ import annotations

import asyncio
import threading

from agent.doctor import Check, DaemonExecutor, Finding, Result, State, examine
from agent.doctor.finding import fail, ok, skip, warn
from agent.errors import PerpfluxError


async def results_of(*checks: Check) -> list[Result]:
    """What came of these checks."""
    return [result async for result in examine(checks)]


async def fine() -> Finding:
    """A check that is content."""
    return ok("fine")


async def hangs() -> Finding:
    """A check that never ends."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_results_come_in_the_order_of_the_checks() -> None:
    """Whichever ends first: the report reads the same each time, each result with its name."""

    async def slow() -> Finding:
        for _ in range(5):
            await asyncio.sleep(0)
        return warn("slow", "wait")

    assert await results_of(Check("a", slow), Check("b", fine)) == [
        Result("a", warn("slow", "wait")),
        Result("b", ok("fine")),
    ]


async def test_a_check_that_hangs_fails_after_its_time_and_hides_nothing() -> None:
    """A time bound on each; the others are reported all the same."""
    first, second = await results_of(
        Check("a", hangs, timeout_s=0.01, late="look there"), Check("b", fine)
    )
    assert first.finding == fail("no result within 0.01 s", "look there")
    assert second.finding == ok("fine")


async def test_what_an_error_says_is_the_finding() -> None:
    """An expected failure is a line with its hint; a defect of ours is one too, and says so."""

    async def raises() -> Finding:
        raise PerpfluxError("open door", "it is locked", "find the key")

    async def may_not() -> Finding:
        raise PermissionError(13, "Permission denied", "/closed/file")

    async def breaks() -> Finding:
        raise LookupError("no such thing")

    expected, closed, defect = await results_of(
        Check("a", raises), Check("b", may_not), Check("c", breaks)
    )
    assert expected.finding == fail("open door: it is locked", "find the key")
    assert closed.finding == skip(
        "/closed/file is not open to this user", "run `sudo perpflux doctor`"
    )
    assert defect.finding == fail("the check broke: LookupError: no such thing", "report it")


async def test_what_needs_a_failed_check_is_skipped_and_names_it() -> None:
    """After a failure or a skip there is nothing to look at; a warning stands in no way."""

    async def broken() -> Finding:
        return fail("broken", "repair it")

    async def poor() -> Finding:
        return warn("poor", "mend it")

    found = await results_of(
        Check("a", broken),
        Check("b", fine, ("a",)),
        Check("c", fine, ("b",)),
        Check("d", poor),
        Check("e", fine, ("d",)),
    )
    assert [result.finding for result in found] == [
        fail("broken", "repair it"),
        skip("not without a"),
        skip("not without b"),
        warn("poor", "mend it"),
        ok("fine"),
    ]
    assert [State.OK, State.WARN, State.FAIL, State.SKIP] == ["ok", "warn", "fail", "skip"]


def test_a_thread_that_hangs_does_not_hold_up_the_end() -> None:
    """A disk or a name server that never answers: the loop closes all the same."""
    for_ever = threading.Event()

    async def look() -> list[Result]:
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())

        async def stuck() -> Finding:
            await asyncio.to_thread(for_ever.wait)
            raise AssertionError

        async def computed() -> Finding:
            return ok(str(await asyncio.to_thread(sum, [1, 2])))

        return await results_of(Check("a", stuck, timeout_s=0.01), Check("b", computed))

    stuck, computed = asyncio.run(look())  # returns, though the thread still waits
    for_ever.set()
    assert stuck.finding.state is State.FAIL
    assert computed.finding == ok("3")
