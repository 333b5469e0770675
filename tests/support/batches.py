"""Hypothesis strategies for everything that may flow: numbers, names, batches."""

from __future__ import annotations

from hypothesis import strategies as st

from agent import schema
from agent.clock import INSTANT_MAX_NS
from agent.snapshot import DIGITS_MAX, TAG_LENGTH_MAX, Batch

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
