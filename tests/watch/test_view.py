"""The table of `perpflux watch`: rows, order, words and what fits."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.cli.watch.feed import FIELDS
from agent.cli.watch.view import COLUMNS, View, footer, left, plain, price, table
from tests.watch.frames import BTC, BTC_OMNI, frame, row


def test_the_table_is_as_printed() -> None:
    """Names on the left, numbers on the right; per cent a year; what is not known is a dash."""
    assert list(plain(View(), frame(BTC, BTC_OMNI, row("XAUS", "variational")), 80)) == [
        "ticker source           mid 1k bp 100k bp gap bp APR % carry % settl age",
        "BTC    bybit       80614.85  0.01    0.25  -0.01 10.95   -1.58   46m  0s",
        "BTC    variational 80614.95  0.43    1.46  +0.01 12.53   +1.58     -  4s",
        "XAUS   variational        -     -       -      -     -       -     -  0s",
    ]


def test_an_age_has_a_mark_without_colours() -> None:
    """A star is late, an exclamation mark is old; a source's interval decides."""
    rows = [row("A", age_s=4), row("A", "variational", age_s=4), row("B", age_s=5)]
    rows += [row("B", "variational", age_s=43), row("C", age_s=30), row("D", age_s=7300)]
    assert [line.split()[-1] for line in plain(View(), frame(*rows), 80)][1:] == [
        "4s", "4s", "5s*", "43s*", "30s!", "2h01!",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("80614.850", "80614.85"),
        ("0.0050195012345", "0.005019501"),
        ("1234567.89", "1234568"),
        ("123456789012", "123456800000"),
        ("0.00000001234", "0.00000001234"),
        ("0", "0"),
    ],
)
def test_a_price_has_seven_digits(number: str, text: str) -> None:
    """Never an exponent; a shorter one is as it was published."""
    assert price(Decimal(number)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h00"), (86_399, "23h59"),
        (200_000, "2d"),
    ],
)  # fmt: skip
def test_a_duration_is_short(seconds: int, text: str) -> None:
    """At most five characters."""
    assert left(seconds) == text


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_column_sorts(column: str, reverse: bool) -> None:  # noqa: FBT001
    """By its number, not by its text; what is not known comes last either way."""
    rows = [
        row(
            f"T{n}", "bybit" if n < 2 else "variational", age_s=n, settles_s=n,
            **dict.fromkeys(FIELDS, str(n)),
        )
        for n in (2, 10, 1)
    ]  # fmt: skip
    found = View(sort=column, reverse=reverse).rows(frame(*rows, row("T3", "zzz", age_s=20)))
    tickers = [each.ticker for each in found]
    if column == "ticker":
        assert tickers == (["T3", "T2", "T10", "T1"] if reverse else ["T1", "T10", "T2", "T3"])
    elif column == "source":
        expected = ["T1", "T2", "T10", "T3"]
        assert tickers[0] == ("T3" if reverse else "T1")
        assert set(tickers) == set(expected)
    elif column == "age":
        assert tickers == (["T3", "T10", "T2", "T1"] if reverse else ["T1", "T2", "T10", "T3"])
    else:
        assert tickers == (["T10", "T2", "T1", "T3"] if reverse else ["T1", "T2", "T10", "T3"])


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("", ["1000BTT", "BTC", "ETH"]),
        ("bt", ["1000BTT", "BTC"]),
        ("btc,eth", ["BTC", "ETH"]),
        (" btc, eth ", ["BTC", "ETH"]),
    ],
)
def test_tickers_are_filtered(text: str, tickers: list[str]) -> None:
    """By a part of the name, in either case, or by whole names."""
    rows = [row(name) for name in ("BTC", "ETH", "1000BTT")]
    assert [each.ticker for each in View(filter=text).rows(frame(*rows))] == tickers


def test_a_source_is_filtered_and_its_column_goes() -> None:
    """There would be nothing to read in it."""
    head, line = plain(View(source="variational"), frame(BTC, BTC_OMNI), 80)
    assert "source" not in head
    assert line.startswith("BTC    80614.95")


def test_nothing_to_show_is_said() -> None:
    """And whether it is the filter's doing."""
    assert list(plain(View(), frame(), 80))[1:] == ["no snapshots"]
    assert list(plain(View(filter="x"), frame(BTC), 80))[1:] == ["none of 1 rows is chosen"]


@pytest.mark.parametrize("width", range(30, 81))
def test_it_fits_any_terminal(width: int) -> None:
    """Columns go one after another; ticker, mid, spread and the sorted one stay."""
    rows = [BTC, BTC_OMNI, row("1000000MOG", "variational", mid="0.0001234567", age_s=9000)]
    shown = table(View(sort="carry"), rows, frame(*rows), width)
    assert {"ticker", "mid", "1k", "carry"} <= set(shown.names)
    if width >= 50:
        assert sum(shown.widths) + len(shown.widths) - 1 <= width
    assert {len(line.cells) for line in shown.lines} == {len(shown.names)} == {len(shown.heads)}


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    """A venue's name may hold anything but control characters; those of a terminal too."""
    assert "\x9b" not in "".join(plain(View(), frame(row("A\x9b31m")), 80))


def test_the_bottom_tells_ledger_and_shipping() -> None:
    """Every count of the ledger, the time, where it is from, how shipping is."""
    assert footer(frame()) == (
        "collected 12  stored 9  rejected 1  evicted 0  pending 2",
        "2026-09-21T15:00:00Z  agent at x, ok; InfluxDB shipping",
    )
