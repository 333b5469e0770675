"""Hypothesis strategies for everything that may flow: numbers, names, batches; a batch by hand."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from agent import schema
from agent.clock import INSTANT_MAX_NS, NS_PER_MS, NS_PER_S
from agent.snapshot import DIGITS_MAX, TAG_LENGTH_MAX, Batch
from tests.support.clock import START_NS

COLUMNS = [name for name in schema.SNAPSHOT.field_names if name != "lag_ms"]

instants_ns = st.integers(0, INSTANT_MAX_NS)


def plain_numbers(digits_max: int = DIGITS_MAX) -> st.SearchStrategy[str]:
    """Texts of decimals with up to so many digits on either side, zeros at both ends too."""
    digits = st.text("0123456789", min_size=1, max_size=digits_max)
    fractions = st.one_of(st.just(""), digits.map(".{}".format))
    return st.builds("{}{}{}".format, st.sampled_from(["", "-"]), digits, fractions)


cells = st.one_of(st.just(""), plain_numbers())
"""What a column may hold: a plain number, or nothing."""

tag_values = st.text(
    st.characters(codec="utf-8", exclude_characters=[*map(chr, range(0x20)), "\x7f", "\\"])
    | st.sampled_from(',= "#币'),
    min_size=1,
    max_size=TAG_LENGTH_MAX,
)
"""Any text that can be a tag, those that need escapes often."""


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any valid batch: 0 to 5 rows, any columns."""
    tickers = draw(st.lists(tag_values, max_size=5, unique=True))
    rows = len(tickers)
    names = draw(st.lists(st.sampled_from(COLUMNS), unique=True))
    slot_ns = draw(instants_ns)
    return Batch(
        source=draw(tag_values),
        slot_ns=slot_ns,
        received_ns=draw(instants_ns),
        tickers=tickers,
        columns={
            name: draw(st.lists(cells, min_size=rows, max_size=rows), label=name) for name in names
        },
        quotes_updated_ns=draw(
            st.lists(st.one_of(st.none(), instants_ns), min_size=rows, max_size=rows)
        ),
    )


def batch_of(
    source: str, rows: Mapping[str, Mapping[str, str]], slot_s: int = 0, age_s: int | None = None
) -> Batch:
    """A batch by ticker and field, of a slot so many seconds after the start.

    It was received after a quarter of a second; `age_s` is the quotes' age then, None = not known.
    """
    names = {name for row in rows.values() for name in row}
    slot_ns = START_NS + slot_s * NS_PER_S
    received_ns = slot_ns + 250 * NS_PER_MS
    return Batch(
        source=source,
        slot_ns=slot_ns,
        received_ns=received_ns,
        tickers=list(rows),
        columns={name: [row.get(name, "") for row in rows.values()] for name in names},
        quotes_updated_ns=[None if age_s is None else received_ns - age_s * NS_PER_S] * len(rows),
    )
