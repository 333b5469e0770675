"""From a venue's rows to a batch: one bad row costs one row."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.derive import PUBLISHED_DIGITS_MAX, plain_number
from agent.snapshot import UNFIT_IN_TAG, is_plain_column
from agent.sources.bybit import wire as bybit_wire
from agent.sources.fetch import Reply
from agent.sources.rows import Rows, build_batch, unknown_keys
from agent.sources.variational import wire as variational_wire
from tests.support.batches import plain_numbers
from tests.support.payloads import bybit_document, variational_document

NOW_NS = 1_790_002_800_908_000_000
texts = st.one_of(
    st.just(""),
    plain_numbers(PUBLISHED_DIGITS_MAX),
    plain_numbers(),
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,3})?[eE][-+]?[0-9]{1,9}", fullmatch=True),
    st.sampled_from(["NaN", "-Infinity", "1_0", " 1", "1\n2", "+1", "sNaN", "1e999999", "\u0661"]),
    st.text(max_size=5),
)
"""What a venue may send where a number belongs."""
names = st.one_of(st.text(max_size=3), st.sampled_from(["A", "B", "A\\", "A\nB", "\ud800"]))


def rows_of(cells: list[tuple[str, tuple[str, ...]]], fields: list[str], extra: list[str]) -> Rows:
    """Rows of names and texts, as a source makes them."""
    both = [*fields, *extra]
    columns = {name: [row[place] for _, row in cells] for place, name in enumerate(both)}
    return Rows(
        tickers=[name for name, _ in cells],
        columns={name: columns[name] for name in fields},
        quotes_updated_ns=[None] * len(cells),
        extra={name: columns[name] for name in extra},
    )


BYBIT_ROWS = bybit_wire.rows_of([], [], [], {})
BYBIT_FIELDS, BYBIT_EXTRA = list(BYBIT_ROWS.columns), list(BYBIT_ROWS.extra)
VARIATIONAL_FIELDS = """
    mark_price volume_24h long_oi short_oi funding_rate funding_interval_s best_bid best_ask
    bid_1k ask_1k bid_100k ask_100k bid_1m ask_1m
""".split()


def rows(width: int) -> st.SearchStrategy[list[tuple[str, tuple[str, ...]]]]:
    """Rows of a name and so many texts."""
    return st.lists(st.tuples(names, st.tuples(*[texts] * width)), max_size=3)


def is_good(name: str, cells: tuple[str, ...]) -> bool:
    """Whether such a row must be kept, if no rule of the venue forbids it."""
    numbers = [plain_number(text) for text in cells]
    return 0 < len(name) <= 256 and not UNFIT_IN_TAG.search(name) and None not in numbers


@given(rows(len(BYBIT_FIELDS) + len(BYBIT_EXTRA)))
@settings(max_examples=60, deadline=None)
def test_any_texts_of_bybit_make_a_batch(cells: list[tuple[str, tuple[str, ...]]]) -> None:
    """Whatever stands in the rows: the good ones are kept, the others dropped and counted."""
    batch, dropped = build_batch(
        rows_of(cells, BYBIT_FIELDS, BYBIT_EXTRA),
        source="bybit",
        slot_ns=NOW_NS,
        received_ns=NOW_NS,
        derive=lambda kept: bybit_wire.columns_of(kept, NOW_NS, NOW_NS),
    )
    first: dict[str, bool] = {}
    for name, texts_of_row in cells:
        first.setdefault(name, is_good(name, texts_of_row))
    assert list(batch.tickers) == [name for name, good in first.items() if good]
    assert dropped == len(cells) - len(batch)
    assert all(map(is_plain_column, batch.columns.values()))


@given(rows(len(VARIATIONAL_FIELDS)))
@settings(max_examples=60, deadline=None)
def test_any_texts_of_variational_make_a_batch(cells: list[tuple[str, tuple[str, ...]]]) -> None:
    """The same, with the venue's own rules: no crossed tier, no absurd funding rate."""
    batch, dropped = build_batch(
        rows_of(cells, VARIATIONAL_FIELDS, []),
        source="variational",
        slot_ns=NOW_NS,
        received_ns=NOW_NS,
        derive=lambda kept: variational_wire.columns_of(kept, NOW_NS),
        refuse=variational_wire.implausible_rows,
    )
    assert dropped == len(cells) - len(batch)
    assert all(map(is_plain_column, batch.columns.values()))
    for snapshot in batch:
        assert abs(snapshot.funding_rate or Decimal(0)) <= Decimal("175.2")
        if snapshot.best_bid is not None and snapshot.best_ask is not None:
            assert snapshot.best_bid <= snapshot.best_ask


@given(plain_numbers(PUBLISHED_DIGITS_MAX))
@settings(max_examples=100, deadline=None)
def test_a_plain_number_keeps_its_text(text: str) -> None:
    """Zeros at either end too: the text is the source's own."""
    assert plain_number(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("1e3", "1000"),
        ("1E-7", "0.0000001"),
        ("-1.50e-3", "-0.00150"),
        ("+1", "1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0e-10", "0.0000000000"),
        ("0E+3", "0"),
        (f"{'9' * 36}.{'9' * 36}", f"{'9' * 36}.{'9' * 36}"),
        ("1e35", f"1{'0' * 35}"),
        ("1e-36", f"0.{'0' * 35}1"),
        ("1e36", None),
        ("1e-37", None),
        ("9" * 37, None),
        ("1e999999999", None),
        ("0e-999999999", None),
        ("0" * 91, None),
        ("NaN", None),
        ("sNaN123", None),
        ("Infinity", None),
        ("1_000", None),
        ("1 ", None),
        ("\t1", None),
        ("1\n", None),
        ("0x10", None),
        ("1,5", None),
        ("\uff11", None),
        ("-", None),
        ("--1", None),
        ("1.2.3", None),
        ("\x00", None),
    ],
)
def test_plain_numbers(text: str, plain: str | None) -> None:
    """Exponents are written out exactly; what is no number, or out of bounds, is None."""
    assert plain_number(text) == plain


def reply(body: bytes) -> Reply:
    """A good answer with this body."""
    return Reply(200, {"Content-Type": "application/json"}, body, NOW_NS, 1)


@pytest.mark.parametrize("seed", range(3))
def test_nasty_rows_of_a_large_document_cost_only_themselves(seed: int) -> None:
    """Of 200 rows with a tenth spoiled, every other row gives just what it gives without them."""
    clean = bybit_wire.read(reply(bybit_document(200, seed=seed)))
    answer = bybit_wire.read(reply(bybit_document(200, seed=seed, nasty_share=0.1)))
    by_symbol = {row.symbol: row for row in clean.rows}
    assert answer.bad_rows > 0
    assert len(answer.rows) == 200 - answer.bad_rows
    same = [row for row in answer.rows if by_symbol.get(row.symbol) == row]
    assert len(same) == 180

    document, bad = variational_wire.read(
        reply(variational_document(200, seed=seed, nasty_share=0.1))
    )
    whole, none_bad = variational_wire.read(reply(variational_document(200, seed=seed)))
    assert (none_bad, len(whole.listings)) == (0, 200)
    assert len(document.listings) == 200 - bad
    by_ticker = {listing.ticker: listing for listing in whole.listings}
    assert sum(by_ticker.get(each.ticker) == each for each in document.listings) == 180


def test_unknown_keys_are_named_by_their_path() -> None:
    """Lists add nothing to a path; below an unknown key nothing is looked at."""
    document = json.loads('{"a": [{"b": 1, "c": {"d": 2}}, {"e": 3}], "f": 4}')
    known = frozenset({"a", "a.b"})
    assert unknown_keys(document, known) == {"a.c", "a.e", "f"}
    assert unknown_keys(document, known | {"a.c", "a.c.d", "a.e", "f"}) == set()
    assert unknown_keys([1, "x", None], known) == set()


def test_every_text_that_is_read_of_bybit_is_a_known_key() -> None:
    """What the structs read is not reported as unknown."""
    for key in bybit_wire.Row.__struct_fields__:
        assert f"result.list.{key}" in bybit_wire.KNOWN_KEYS
