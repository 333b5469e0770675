"""The board of now: what is newest, and how the sources compare."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings

from agent.board import LEFT_BEHIND_S, LOOK_BACK_S, MEETINGS_MAX, Board, Row, limits, read_batch
from agent.clock import NS_PER_MS, NS_PER_S
from agent.line_protocol import encode_batch
from agent.snapshot import Batch
from tests.support.batches import batch_of, batches
from tests.support.clock import START_NS


def shown(board: Board, after_s: int = 0) -> dict[tuple[str, str], Row]:
    """The board's rows by source and ticker, so many seconds after the start."""
    rows = board.rows(START_NS + after_s * NS_PER_S)
    return {(row.source, row.ticker): row for row in rows}


def test_numbers_keep_their_text() -> None:
    """What the source published stands in the row digit by digit; what is not known does not."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"mark_price": "107084.00"}, "ETH": {"mid": "0.10"}}))
    row = shown(board)["bybit", "BTC"]
    assert row.texts == {"lag_ms": "250", "mark_price": "107084.00"}
    assert row.number("mark_price") == Decimal(107084)
    assert row.number("mid") is None
    assert row.settles_ns is None


def test_the_gap_is_of_the_newest_slot_that_both_have() -> None:
    """Prices of different moments are not compared, also when the slow answer comes last."""
    board = Board()
    for slot_s, mid in ((0, "100"), (1, "150"), (2, "200")):
        board.take(batch_of("bybit", {"BTC": {"mid": mid}}, slot_s))
    assert "gap_bps" not in shown(board)["bybit", "BTC"].texts
    board.take(batch_of("variational", {"BTC": {"mid": "101"}, "SPX": {"mid": "7"}}))
    rows = shown(board)
    assert rows["variational", "BTC"].number("gap_bps") == 100
    assert rows["variational", "BTC"].gap_slot_ns == START_NS
    assert rows["bybit", "BTC"].texts["gap_bps"].startswith("-99.0099")
    assert "gap_bps" not in rows["variational", "SPX"].texts
    assert rows["variational", "SPX"].gap_slot_ns is None


def test_what_is_too_old_is_not_compared() -> None:
    """Gap and carry are left out once a source said nothing for ten minutes."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"mid": "100", "funding_apr": "0.10"}}))
    board.take(batch_of("variational", {"BTC": {"mid": "101", "funding_apr": "0.30"}}))
    fields = {"gap_bps", "carry_apr"}
    assert all(fields <= row.texts.keys() for row in shown(board, LOOK_BACK_S).values())
    assert not any(fields & row.texts.keys() for row in shown(board, LOOK_BACK_S + 1).values())


def test_carry_is_the_difference_in_funding() -> None:
    """Positive where a short earns more than a long pays on the other source; exact."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"funding_apr": "0.1095"}, "ETH": {"funding_apr": "1"}}))
    board.take(batch_of("variational", {"BTC": {"funding_apr": "-0.02"}, "ETH": {"mid": "1"}}))
    rows = shown(board)
    assert rows["bybit", "BTC"].texts["carry_apr"] == "0.1295"
    assert rows["variational", "BTC"].texts["carry_apr"] == "-0.1295"
    assert "carry_apr" not in rows["bybit", "ETH"].texts


def test_the_settlement_is_an_instant() -> None:
    """Slot and seconds until the settlement make its time."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"next_funding_s": "3599"}}, 1))
    assert shown(board)["bybit", "BTC"].settles_ns == START_NS + 3600 * NS_PER_S


def test_a_ticker_that_is_not_given_any_more_grows_old() -> None:
    """It is shown as it was, for an hour; then it goes, and comes back when it is given again."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"mid": "1"}, "ETH": {"mid": "2"}}))
    board.take(batch_of("bybit", {"BTC": {"mid": "3"}}, 10))
    rows = shown(board, 20)
    assert {key: row.age_s(START_NS + 20 * NS_PER_S) for key, row in rows.items()} == {
        ("bybit", "BTC"): 10,
        ("bybit", "ETH"): 20,
    }
    assert rows["bybit", "ETH"].texts["mid"] == "2"
    board.take(batch_of("bybit", {"BTC": {"mid": "4"}}, LEFT_BEHIND_S))
    assert ("bybit", "ETH") not in shown(board)
    board.take(batch_of("bybit", {"ETH": {"mid": "5"}}, LEFT_BEHIND_S + 1))
    assert {key: row.texts["mid"] for key, row in shown(board).items()} == {
        ("bybit", "BTC"): "4",
        ("bybit", "ETH"): "5",
    }


def test_an_older_batch_changes_nothing() -> None:
    """A clock that stepped back does not put old numbers over new ones."""
    board = Board()
    board.take(batch_of("bybit", {"BTC": {"mid": "2"}}, 5))
    board.take(batch_of("bybit", {"BTC": {"mid": "1"}}, 4))
    assert shown(board)["bybit", "BTC"].texts["mid"] == "2"


def test_the_memory_is_bounded() -> None:
    """However long a source polls alone, the mids of a few slots are kept, the newest."""
    board = Board()
    last = 3 * MEETINGS_MAX
    for slot_s in range(last):
        board.take(batch_of("bybit", {"BTC": {"mid": "100"}}, slot_s))
    for slot_s, meets in ((last - MEETINGS_MAX - 1, False), (last - MEETINGS_MAX, True)):
        board.take(batch_of("variational", {"BTC": {"mid": "101"}}, slot_s))
        assert ("gap_bps" in shown(board)["bybit", "BTC"].texts) is meets


def test_a_source_that_is_polled_no_more_is_forgotten() -> None:
    """After a reload without it, neither its rows nor gaps to it are shown."""
    board = Board()
    for source in ("bybit", "variational"):
        board.take(batch_of(source, {"BTC": {"mid": "1", "funding_apr": "1"}}))
    board.retain(["bybit"])
    assert {key: set(row.texts) for key, row in shown(board).items()} == {
        ("bybit", "BTC"): {"lag_ms", "mid", "funding_apr"}
    }


def test_rows_and_numbers_can_be_chosen() -> None:
    """Only what is asked for is given; comparisons look at the other source all the same."""
    board = Board()
    for source, mid in (("bybit", "100"), ("variational", "101")):
        board.take(batch_of(source, {"BTC": {"mid": mid, "mark_price": mid}, "ETH": {"mid": mid}}))
    (row,) = board.rows(
        START_NS,
        fields=["mark_price", "gap_bps"],
        chosen=lambda source, ticker: (source, ticker) == ("variational", "BTC"),
    )
    assert set(row.texts) == {"mark_price", "gap_bps"}


def test_age_is_that_of_the_quotes() -> None:
    """The source's own time counts where it gives one; colours follow the poll interval."""
    board = Board()
    board.take(batch_of("variational", {"BTC": {"mid": "1"}}, age_s=100))
    row = shown(board)["variational", "BTC"]
    now_ns = START_NS + NS_PER_S
    assert (row.slot_age_s(now_ns), row.quote_age_s(now_ns), row.age_s(now_ns)) == (1, 100, 100)
    bounds = limits(20)
    for after_s, colour in (
        (bounds.quote_late_s - 101, "fresh"),
        (bounds.slot_late_s, "late"),
        (bounds.quote_old_s - 99, "old"),
    ):
        assert row.freshness(START_NS + after_s * NS_PER_S, 20) == colour
    slot_only = Board()
    slot_only.take(batch_of("bybit", {"BTC": {"mid": "1"}}))
    row = shown(slot_only)["bybit", "BTC"]
    ages_s = (limits(1).slot_late_s - 1, limits(1).slot_late_s, limits(1).slot_old_s)
    colours = [row.freshness(START_NS + age_s * NS_PER_S, 1) for age_s in ages_s]
    assert colours == ["fresh", "late", "old"]


@given(batches())
@settings(max_examples=40, deadline=None)
def test_a_batch_comes_back_from_the_journal(made: Batch) -> None:
    """What was encoded for the journal reads back with every text, and the row's age."""
    found = read_batch(made.source, made.slot_ns, encode_batch(made))
    if not len(made):
        assert found is None
        return
    assert found is not None
    assert found.tickers == made.tickers
    if made.received_ns >= NS_PER_MS:
        assert found.lag_ms == made.lag_ms
    for name, column in made.columns.items():
        assert list(found.columns.get(name, [""] * len(made))) == list(column)
