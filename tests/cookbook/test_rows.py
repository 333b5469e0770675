"""From InfluxDB's annotated CSV to rows, and from rows to output."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InfluxDBError
from agent.queries.faults import explained
from agent.queries.rows import RECORD_CHARS_MAX, Row, RowReader
from agent.queries.writers import (
    TABLE_ROWS_MAX,
    WRITERS,
    CsvWriter,
    JsonlWriter,
    RowWriter,
    TableWriter,
)

# As InfluxDB 2.8.0 answers, with two blocks of tables, a default, a null and a line feed in text.
ANSWER = (
    "#datatype,string,long,dateTime:RFC3339,double,string,long\r\n"
    "#group,false,false,false,false,true,false\r\n"
    "#default,_result,,,,,\r\n"
    ",result,table,time,value,source,count\r\n"
    ",,0,2026-01-06T12:00:00.000000001Z,0.00933801416857,bybit,3\r\n"
    ',,1,2026-01-06T12:00:01Z,,"a ""b""\r\nc, d",-4\r\n'
    "\r\n"
    "#datatype,string,long,boolean,double\r\n"
    "#group,false,false,false,false\r\n"
    "#default,other,,,\r\n"
    ",result,table,ok,value\r\n"
    ",,2,true,NaN\r\n"
    ",,2,false,1e-09\r\n"
    "\r\n"
)
ERROR = (
    "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n"
    ",error,reference\r\n,memory allocation limit reached,897\r\n\r\n"
)


def rows_of(*pieces: str) -> list[Row]:
    """All rows of an answer that comes in these pieces."""
    return list(_rows(*pieces))


def _rows(*pieces: str) -> Iterator[Row]:
    reader = RowReader()
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.feed("", last=True)


def written(writer: RowWriter, rows: list[Row]) -> str:
    """All the output."""
    return "".join(map(writer.add, rows)) + writer.end()


def test_cells_keep_their_text() -> None:
    """Exact texts, null for empty cells, defaults filled in, no number of tables."""
    first, second, third, fourth = rows_of(ANSWER)
    assert first.as_dict() == {
        "time": "2026-01-06T12:00:00.000000001Z",
        "value": "0.00933801416857",
        "source": "bybit",
        "count": "3",
    }
    assert second.as_dict()["value"] is None
    assert second.as_dict()["source"] == 'a "b"\r\nc, d'
    assert third.as_dict() == {"result": "other", "ok": "true", "value": "NaN"}
    assert [column.datatype for column in fourth.columns] == ["string", "boolean", "double"]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
def test_it_does_not_matter_where_an_answer_is_cut(cuts: list[int]) -> None:
    """Pieces of any length, also within quotes and line ends, give the same rows."""
    places = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[begin:end] for begin, end in itertools.pairwise(places)]
    assert rows_of(*pieces) == rows_of(ANSWER)


def test_a_late_error_is_raised() -> None:
    """InfluxDB says 200 and then fails: the rows before it came, then the reason."""
    rows = _rows(ANSWER, ERROR)
    assert len([next(rows) for _ in range(4)]) == 4
    with pytest.raises(InfluxDBError, match="memory allocation limit reached"):
        next(rows)


def test_a_row_has_a_bound() -> None:
    """An answer that never ends a line does not fill the memory."""
    with pytest.raises(InfluxDBError, match="a row has over"):
        rows_of("x" * (RECORD_CHARS_MAX + 1), "")


def test_csv_begins_each_block_with_its_header() -> None:
    """Header and rows; another header, below an empty line, when the columns change."""
    assert written(CsvWriter(("source",)), rows_of(ANSWER)) == (
        "source,time,value,count\n"
        "bybit,2026-01-06T12:00:00.000000001Z,0.00933801416857,3\n"
        '"a ""b""\r\nc, d",2026-01-06T12:00:01Z,,-4\n'
        "\nresult,ok,value\nother,true,NaN\nother,false,1e-09\n"
    )


def test_jsonl_keeps_numbers_exact_and_leaves_null_out() -> None:
    """Numbers as they stand, text quoted, truth as truth, NaN null, null absent."""
    lines = written(JsonlWriter(), rows_of(ANSWER)).splitlines()
    first, second, third, fourth = (json.loads(line, parse_float=Decimal) for line in lines)
    assert first["value"] == Decimal("0.00933801416857")
    assert first["count"] == 3
    assert set(second) == {"time", "source", "count"}
    assert third == {"result": "other", "ok": True, "value": None}
    assert fourth["value"] == Decimal("1e-09")


def test_a_table_is_aligned() -> None:
    """Numbers to the right, text to the left, - for null, an empty line between blocks."""
    rows = [row for row in rows_of(ANSWER) if row.as_dict().get("source") != 'a "b"\r\nc, d']
    assert written(TableWriter(("source",)), rows) == (
        f"source  {'time':30}  {'value':>16}  count\n"
        "bybit   2026-01-06T12:00:00.000000001Z  0.00933801416857      3\n"
        "\n"
        "result  ok     value\n"
        "other   true     NaN\n"
        "other   false  1e-09\n"
    )
    assert written(TableWriter(), []) == ""


def test_a_table_has_a_bound_and_counts_what_it_leaves_out() -> None:
    """What is kept for alignment is bounded; the other formats stream."""
    row = rows_of(ANSWER)[0]
    writer = TableWriter()
    text = written(writer, [row] * (TABLE_ROWS_MAX + 2))
    assert writer.left_out == 2
    assert text.count("\n") == 1 + TABLE_ROWS_MAX
    assert set(WRITERS) == {"table", "csv", "jsonl"}


@pytest.mark.parametrize(
    ("message", "subject", "hint"),
    [
        (
            "error @2:4-2:9: undefined identifier filtr",
            "line 2, column 4: undefined identifier filtr\n    |> filtr(fn: f)\n       ^^^^^",
            "a typing mistake",
        ),
        (
            "compilation failed: error @2:1-3:1: expected RPAREN, got EOF",
            "line 2, column 1: expected RPAREN, got EOF\n    |> filtr(fn: f)\n    ^^^^^^^^^^^^^^^",
            "",
        ),
        ("runtime error @9:6-9:20: pivot: x", "line 9, column 6: pivot: x", ""),
        ("runtime error: cannot divide by zero", "cannot divide by zero", ""),
        (
            'failed to initialize execute state: could not find bucket "x"',
            'failed to initialize execute state: could not find bucket "x"',
            "may the token read it",
        ),
        ("error @1:1-1:2: undefined identifier v", "line 1, column 1: ", "Grafana"),
    ],
)
def test_an_error_shows_the_line_and_what_to_do(message: str, subject: str, hint: str) -> None:
    """InfluxDB's place in the text becomes the line itself, with a mark below."""
    said, advice = explained(400, message, "from(bucket: b)\n|> filtr(fn: f)\n")
    assert said.startswith(subject)
    assert hint in advice


def test_a_refusal_without_a_place_has_a_hint_by_its_status() -> None:
    """401 and 403 are about the token."""
    assert explained(401, "unauthorized access", "")[1].startswith("the token is wrong")
    assert "may not read" in explained(403, "forbidden", "")[1]
