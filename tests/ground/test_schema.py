"""The table of what is stored."""

from __future__ import annotations

from dataclasses import fields

import pytest

from agent import schema
from agent.schema import MEASUREMENTS, Measurement
from agent.snapshot import Snapshot

BESIDE_THE_FIELDS = {"source", "ticker", "slot_ns", "quotes_updated_ns"}
CONTRACT = """
    mark_price index_price last_price best_bid best_ask bid_1k ask_1k bid_100k ask_100k bid_1m
    ask_1m mid spread_bps spread_100k_bps spread_1m_bps impact_buy_bps impact_sell_bps basis_bps
    funding_rate funding_interval_s funding_apr next_funding_s long_oi short_oi oi_usd volume_24h
    volume_24h_usd quote_age_ms lag_ms
""".split()
UNITS_IN_NAMES = {"_bps": "bps", "_ms": "ms", "_s": "s", "_usd": "USD", "_bytes": "bytes"}


def test_a_snapshot_has_the_schemas_fields() -> None:
    """`Snapshot` and the table name the same numbers."""
    names = {field.name for field in fields(Snapshot)}
    assert names - BESIDE_THE_FIELDS == set(schema.SNAPSHOT.field_names)
    assert names >= BESIDE_THE_FIELDS


def test_the_schema_has_the_contracts_fields() -> None:
    """The names that users, dashboards and other programs rely on."""
    assert set(schema.SNAPSHOT.field_names) == set(CONTRACT)
    names = ["snapshot", "platform", "funding", "poll", "agent", "event", "sink"]
    assert list(MEASUREMENTS) == names
    assert {name for name, each in MEASUREMENTS.items() if each.counted} == {
        "snapshot",
        "platform",
        "funding",
    }


@pytest.mark.parametrize("measurement", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_every_field_is_described_once(measurement: Measurement) -> None:
    """Names are unique and usable as they are; each has a unit and a meaning."""
    names = [*measurement.tags, *measurement.field_names]
    assert len(set(names)) == len(names)
    assert measurement.meaning.endswith(".")
    assert measurement.tags
    for field in measurement.fields:
        assert field.name.isidentifier()
        assert field.name == field.name.lower()
        assert field.unit
        assert field.meaning


@pytest.mark.parametrize("measurement", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_units_stand_last_in_names(measurement: Measurement) -> None:
    """A name that ends in a unit has that unit."""
    for field in measurement.fields:
        suffix = f"_{field.name.rsplit('_', 1)[-1]}"
        assert UNITS_IN_NAMES.get(suffix, field.unit) == field.unit, field.name


def test_only_an_events_text_is_no_number() -> None:
    """The type of a field is for ever: all are floats but one."""
    texts = [
        (name, field.name)
        for name, measurement in MEASUREMENTS.items()
        for field in measurement.fields
        if field.unit == "text"
    ]
    assert texts == [("event", "text")]
