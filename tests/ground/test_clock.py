"""Instants: integer nanoseconds, exact both ways."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import (
    INSTANT_MAX_NS,
    NS_PER_S,
    SYSTEM_CLOCK,
    parse_rfc3339_ns,
    slot_at,
    to_datetime,
    to_rfc3339,
)
from tests.support.batches import instants_ns

INSTANT = "2026-01-06T06:38:52"
INSTANT_S = 1_767_681_532
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(instants_ns)
@settings(max_examples=100, deadline=None)
def test_an_instant_survives_its_text(instant_ns: int) -> None:
    """What is written as RFC 3339 is read back to the nanosecond."""
    text = to_rfc3339(instant_ns)
    assert text.endswith("Z")
    assert parse_rfc3339_ns(text) == instant_ns
    assert text == text.upper()


@pytest.mark.parametrize("digits", range(10))
def test_every_number_of_fractional_digits_is_exact(digits: int) -> None:
    """0 to 9 digits after the second, none of them lost."""
    fraction = "476166127"[:digits]
    text = f"{INSTANT}.{fraction}Z" if fraction else f"{INSTANT}Z"
    assert parse_rfc3339_ns(text) == INSTANT_S * NS_PER_S + int(fraction.ljust(9, "0") or 0)


@pytest.mark.parametrize(
    ("text", "offset_s"),
    [
        (f"{INSTANT}+02:00", -7200),
        (f"{INSTANT}-05:45", 20_700),
        (f"{INSTANT}+00:00", 0),
        (f"{INSTANT}-00:00", 0),
        (f"{INSTANT}z", 0),
        ("2026-01-06t06:38:52Z", 0),
        ("2026-01-06 06:38:52Z", 0),
    ],
)
def test_offsets_and_letter_case(text: str, offset_s: int) -> None:
    """An offset is taken off; RFC 3339 allows small letters and a space."""
    assert parse_rfc3339_ns(text) == (INSTANT_S + offset_s) * NS_PER_S


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2262, 1, 1)),  # noqa: DTZ001 - the zone is added below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.integers(0, 999_999_999),
)
@settings(max_examples=100, deadline=None)
def test_an_instant_in_any_zone(local: datetime, offset_min: int, fraction_ns: int) -> None:
    """Reading agrees with `datetime` on the second, whatever the offset."""
    second = local.replace(microsecond=0)
    sign, (hours, minutes) = "-+"[offset_min >= 0], divmod(abs(offset_min), 60)
    text = f"{second.isoformat()}.{fraction_ns:09d}{sign}{hours:02}:{minutes:02}"
    since_epoch = second.replace(tzinfo=UTC) - EPOCH - timedelta(minutes=offset_min)
    expected = since_epoch // timedelta(seconds=1) * NS_PER_S + fraction_ns
    assert parse_rfc3339_ns(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "yesterday",
        INSTANT,
        f"{INSTANT}.Z",
        f"{INSTANT}.5",
        f"{INSTANT},5Z",
        f" {INSTANT}Z",
        f"{INSTANT}Z\n",
        "2026-13-06T06:38:52Z",
        "2026-02-30T06:38:52Z",
        "2026-01-06T24:38:52Z",
        "2026-01-06T06:38:60Z",
        "2026-01-06T06:38Z",
        "20260106T063852Z",
        f"{INSTANT}+24:00",
        f"{INSTANT}+0200",
        "٢026-01-06T06:38:52Z",
        f"{INSTANT}.٤Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "2262-04-11T23:47:16.854775807Z",
        "9999-12-31T23:59:59Z",
        f"{INSTANT}.{'1' * 1_000_000}Z",
    ],
)
def test_what_is_no_instant_is_none(text: str | None) -> None:
    """No guess is made of what is no instant, or none of the years 1970 to 2262."""
    assert parse_rfc3339_ns(text) is None


def test_the_last_instant() -> None:
    """The bound is what InfluxDB can store."""
    assert to_rfc3339(INSTANT_MAX_NS) == "2262-04-11T23:47:16.854775806Z"
    assert parse_rfc3339_ns("2262-04-11T23:47:16.854775806Z") == INSTANT_MAX_NS


def test_more_than_nine_digits_are_cut_off() -> None:
    """A nanosecond is the least we know; nothing is rounded up into the future."""
    assert parse_rfc3339_ns(f"{INSTANT}.9999999999Z") == INSTANT_S * NS_PER_S + 999_999_999


@given(instants_ns)
@settings(max_examples=100, deadline=None)
def test_a_datetime_is_the_instant_cut_to_microseconds(instant_ns: int) -> None:
    """`to_datetime` is aware, in UTC, and never later than the instant."""
    moment = to_datetime(instant_ns)
    assert moment.utcoffset() == timedelta(0)
    assert (moment - EPOCH) // timedelta(microseconds=1) == instant_ns // 1000


@given(instants_ns, st.integers(1, 3600))
@settings(max_examples=100, deadline=None)
def test_a_slot_is_the_multiple_before(now_ns: int, interval_s: int) -> None:
    """Slots are multiples of the interval since the epoch: two agents have the same."""
    slot_ns = slot_at(now_ns, interval_s)
    assert slot_ns % (interval_s * NS_PER_S) == 0
    assert 0 <= now_ns - slot_ns < interval_s * NS_PER_S


async def test_the_machines_clock() -> None:
    """The system clock tells the machine's time and waits on the event loop."""
    before_ns = time.time_ns()
    assert before_ns <= SYSTEM_CLOCK.now_ns() <= time.time_ns()
    first_ns = SYSTEM_CLOCK.monotonic_ns()
    async with asyncio.timeout(5):
        await SYSTEM_CLOCK.sleep(0.001)
    assert SYSTEM_CLOCK.monotonic_ns() - first_ns >= 900_000
