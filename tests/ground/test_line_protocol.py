"""Line protocol, both ways, against an independent reader of InfluxDB's rules."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import schema
from agent.clock import INSTANT_MAX_NS
from agent.errors import LineProtocolError
from agent.line_protocol import encode_batch, encode_point, escape_tag, parse_line, parse_lines
from agent.snapshot import TAG_LENGTH_MAX, Batch
from tests.influxd.server import InfluxServer
from tests.support.batches import batches, instants_ns, plain_numbers, tag_values
from tests.support.influx_lines import read_line, read_lines

REFUSED_NUMBERS = "+1.5 1_000 0x1F 1,5 1e400 NaN Inf None nan -inf 1. .5 - . 1e5 1E-9 1i".split()
"""Texts that the server refuses, takes for another type, or that we do not write."""


@given(batches())
@settings(max_examples=80, deadline=None)
def test_every_batch_is_read_back_as_it_is(batch: Batch) -> None:
    """If a batch exists, InfluxDB's rules accept its lines and read the same values; so do we."""
    order = list(schema.SNAPSHOT.field_names)
    text = encode_batch(batch)
    points = read_lines(text)
    assert points == [
        (point.measurement, point.tags, point.fields, point.stamp_ns) for point in parse_lines(text)
    ]
    assert len(points) == len(batch)
    for row, point in enumerate(points):
        known = {name: column[row] for name, column in batch.columns.items() if column[row]}
        assert point.measurement == "snapshot"
        assert point.tags == {"source": batch.source, "ticker": batch.tickers[row]}
        assert point.fields == {"lag_ms": str(batch.lag_ms), **known}
        assert list(point.fields) == sorted(point.fields, key=order.index)
        assert point.stamp_ns == batch.slot_ns


@given(
    source=tag_values,
    host=tag_values,
    values=st.dictionaries(st.sampled_from(schema.POLL.field_names), plain_numbers(), min_size=1),
    stamp_ns=instants_ns,
)
@settings(max_examples=100, deadline=None)
def test_every_point_is_read_back_as_it_is(
    source: str, host: str, values: dict[str, str], stamp_ns: int
) -> None:
    """A single point too is accepted by InfluxDB's rules and read back by both readers."""
    tags = {"source": source, "host": host, "endpoint": "tickers"}
    line = encode_point(schema.POLL, tags, {**values, "rows": values.get("rows", "")}, stamp_ns)
    [point] = parse_lines(line)
    assert (point.tags, point.fields, point.stamp_ns) == (tags, values, stamp_ns)
    assert read_lines(line) == [("poll", tags, values, stamp_ns)]


@given(st.text(min_size=1))
@settings(max_examples=100, deadline=None)
def test_any_event_text_is_carried(text: str) -> None:
    """An event's text is free: quotes and backslashes survive, control characters become spaces."""
    tags = {"host": "h", "kind": "k", "source": "s"}
    line = encode_point(schema.EVENT, tags, {"text": text}, 1)
    clean = "".join(
        " " if ord(char) < 0x20 or ord(char) == 0x7F or "\ud800" <= char <= "\udfff" else char
        for char in text
    )
    assert line.count("\n") == 1
    assert read_lines(line) == [("event", tags, {"text": clean}, 1)]
    assert parse_line(line[:-1]).fields == {"text": clean}


@given(st.text(max_size=20) | st.text(',= "\\\n\r\t\x00ab', max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_tag_is_refused_or_read_back(text: str) -> None:
    """There is no third: what `escape_tag` lets pass the server reads back as it was."""
    try:
        escaped = escape_tag(text)
    except LineProtocolError:
        assert not text or any(
            char == "\\" or ord(char) < 0x20 or ord(char) == 0x7F or "\ud800" <= char <= "\udfff"
            for char in text
        )
    else:
        line = f"m,t={escaped} f=1 1"
        assert read_line(line).tags == parse_line(line).tags == {"t": text}


def test_the_longest_tag() -> None:
    """256 characters can be a tag, 257 cannot."""
    assert escape_tag("x" * TAG_LENGTH_MAX) == "x" * 256
    with pytest.raises(LineProtocolError, match="cannot be a tag value"):
        escape_tag("x" * (TAG_LENGTH_MAX + 1))


@pytest.mark.parametrize("text", [*REFUSED_NUMBERS, "1\n2", "", " 1", "1 ", "\u0661", "1" * 41])
def test_what_is_no_plain_number_is_not_written(text: str) -> None:
    """Neither a point nor a batch takes a number that the server might refuse."""
    tags = {"source": "s", "host": "h", "endpoint": "e"}
    with pytest.raises(LineProtocolError):
        encode_point(schema.POLL, tags, {"rows": text}, 1)
    if text:
        with pytest.raises(LineProtocolError):
            Batch(
                source="s",
                slot_ns=0,
                received_ns=0,
                tickers=["A"],
                columns={"mark_price": [text]},
                quotes_updated_ns=[None],
            )


@pytest.mark.parametrize(
    ("tags", "fields", "stamp_ns"),
    [
        ({"source": "s"}, {"rows": "1"}, 1),
        ({"source": "s", "host": "h", "endpoint": "e", "more": "m"}, {"rows": "1"}, 1),
        ({"source": "s", "host": "", "endpoint": "e"}, {"rows": "1"}, 1),
        ({"source": "s", "host": "h", "endpoint": "e"}, {"row": "1"}, 1),
        ({"source": "s", "host": "h", "endpoint": "e"}, {}, 1),
        ({"source": "s", "host": "h", "endpoint": "e"}, {"rows": "1"}, -1),
        ({"source": "s", "host": "h", "endpoint": "e"}, {"rows": "1"}, INSTANT_MAX_NS + 1),
    ],
)
def test_a_point_that_is_not_its_schemas_is_refused(
    tags: dict[str, str], fields: dict[str, str], stamp_ns: int
) -> None:
    """Missing, further or empty tags, unknown fields, no field and absurd stamps are refused."""
    with pytest.raises(LineProtocolError):
        encode_point(schema.POLL, tags, fields, stamp_ns)


def test_a_line_is_written_so() -> None:
    """The shape of a line: tags and fields in the schema's order, "" left out, one newline."""
    line = encode_point(
        schema.POLL,
        {"endpoint": "e e", "host": "h,h", "source": "a=b"},
        {"rows": "2.50", "ok": "1", "bytes": ""},
        1_762_220_791_000_000_000,
    )
    expected = r"poll,source=a\=b,host=h\,h,endpoint=e\ e ok=1,rows=2.50 1762220791000000000"
    assert line == f"{expected}\n"


def test_an_empty_batch_has_no_lines() -> None:
    """Nothing is written for nothing."""
    batch = Batch(
        source="s", slot_ns=0, received_ns=0, tickers=[], columns={}, quotes_updated_ns=[]
    )
    assert encode_batch(batch) == ""


def test_a_negative_lag_is_written() -> None:
    """The clock may have stepped back between slot and receipt: the lag says so."""
    batch = Batch(
        source="s",
        slot_ns=5_000_000_000,
        received_ns=4_999_999_999,
        tickers=["A"],
        columns={},
        quotes_updated_ns=[None],
    )
    assert encode_batch(batch) == "snapshot,source=s,ticker=A lag_ms=-1 5000000000\n"
    assert batch[0].lag_ms == Decimal(-1)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "m",
        "m f=1",
        "m 1",
        "m f=1 x",
        "m f=1 1 1",
        "m f=1  1",
        " m f=1 1",
        "m f= 1",
        "m =1 1",
        "m f 1",
        "m f=1, 1",
        "m f=1,,g=2 1",
        "m, f=1 1",
        "m,t f=1 1",
        "m,t= f=1 1",
        "m,=v f=1 1",
        "m,t=a=b f=1 1",
        "m,,t=a f=1 1",
        ",t=a f=1 1",
        'm f="x 1',
        'm f=x" 1',
        "m f=1 1_000",
        "m f=1 +1",
        "m f=1 1.5",
        "m f=1 \u0661",
        "m f=1 99999999999999999999",
        "m f=1 1\r",
    ],
)
def test_what_is_no_line_is_refused(line: str) -> None:
    """Text that is no line protocol is an error that shows its beginning, never a wrong point."""
    with pytest.raises(LineProtocolError, match="no line protocol"):
        parse_line(line)


@given(st.text('m,t=a f1.-\\" \n', max_size=30))
@settings(max_examples=300, deadline=None)
def test_our_reader_never_reads_something_else(line: str) -> None:
    """Whatever our reader accepts, InfluxDB's rules do not read in another way."""
    try:
        ours = parse_line(line)
    except LineProtocolError:
        return
    try:
        theirs = read_line(line)
    except ValueError:
        return
    assert ours.stamp_ns == theirs.stamp_ns
    if "\\" not in line:  # a backslash before anything else is read in two ways by the server
        assert (ours.measurement, ours.tags, ours.fields) == theirs[:3]


@pytest.mark.parametrize("text", ["1.5", ".5", "5.", "1e-09", "-0", "007", "1i", "true"])
def test_the_independent_reader_accepts_what_the_server_does(text: str) -> None:
    """The reader these tests rely on is not stricter than the server."""
    assert read_line(f"m f={text} 1").fields == {"f": text}


@pytest.mark.parametrize(
    "line",
    [
        *(f"m f={text} 1" for text in "+1.5 1_000 0x1F 1,5 1e400 NaN Inf None".split()),
        *(f"m,{tag} f=1 1" for tag in ("t=a\\", "t=", "t=a,t=b", "t=a b", "t=a=b", "t=a,b")),
        "m f=1 1.5",
        "m f=1 1\r",
    ],
)
def test_the_independent_reader_refuses_what_the_server_does(line: str) -> None:
    """The reader these tests rely on is not more lenient than the server."""
    with pytest.raises(ValueError, match=r"missing|invalid|duplicate|bad|unbalanced"):
        read_line(line)


@pytest.mark.influxdb
def test_the_real_server_reads_back_every_name_and_number(
    influxdb: InfluxServer, new_bucket: Callable[[], str]
) -> None:
    """InfluxDB 2.8 itself takes whatever a batch may hold, in one request, and gives it back."""
    odd = [chr(code) for code in (*range(0x20, 0x100), 0x2028, 0x5E01, 0xFFFD, 0xFFFF, 0x1F680)]
    tickers = [f"a{char}{place}" for char in odd if char not in "\\\x7f" for place in ("", "b")]
    tickers += ["#", " ", ",", "=", '"', "x" * TAG_LENGTH_MAX, "币" * TAG_LENGTH_MAX]
    numbers = ["0", "-0", "007", "-1.50", "9" * 40, f"-{'9' * 40}.{'9' * 40}", f"0.{'0' * 39}1"]
    batch = Batch(
        source="odd, odd=odd",
        slot_ns=1_762_220_791_000_000_000,
        received_ns=1_762_220_791_908_000_000,
        tickers=tickers,
        columns={"mark_price": [numbers[row % len(numbers)] for row in range(len(tickers))]},
        quotes_updated_ns=[None] * len(tickers),
    )
    bucket = new_bucket()
    assert influxdb.write(bucket, encode_batch(batch).encode()).status == 204
    rows = influxdb.query(
        f'from(bucket: "{bucket}")'
        " |> range(start: 2025-11-04T01:46:31Z, stop: 2025-11-04T01:46:32Z)"
        ' |> filter(fn: (r) => r._field == "mark_price") |> group()'
    )
    stored = {row["ticker"]: float(row["_value"]) for row in rows}
    assert stored == dict(zip(tickers, map(float, batch.columns["mark_price"]), strict=True))
    assert {row["source"] for row in rows} == {batch.source}
    for stamp_ns in (0, INSTANT_MAX_NS):
        line = encode_point(schema.FUNDING, {"source": "s", "ticker": "t"}, {"rate": "1"}, stamp_ns)
        assert influxdb.write(bucket, line).status == 204
