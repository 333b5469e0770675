"""`perpflux export`: what is chosen, into a file, gone on with; every digit kept."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]

from agent import parquet as parquet_module
from agent.cli import export_file, main
from agent.cli.export_file import _save_state
from agent.clock import NS_PER_S, to_rfc3339
from agent.journal import Entry, History, HistoryRecord
from agent.journal.store import Store
from tests.journal.make import damage, store_at
from tests.support.clock import START_NS

FORMATS = ["csv", "jsonl", "lp", "parquet"]
POLLS = 24
LONG = "1234567890123456789012.00000000000000000000000000012300"
"""More digits than any decimal type of Parquet has, and zeros at the end."""


def poll(number: int) -> Entry:
    """A poll of two tickers with a `poll` point."""
    slot_ns = START_NS + number * NS_PER_S
    source = ("bybit", "variational")[number % 2]
    lines = (
        f"snapshot,source={source},ticker=BTC lag_ms=250,mark_price={LONG},mid={number}.50"
        f" {slot_ns}\n"
        f"snapshot,source={source},ticker=ETH lag_ms=250,mark_price=2.0 {slot_ns}\n"
        f"poll,source={source},host=h,endpoint=stats ok=1,bytes=5 {slot_ns}\n"
    )
    return Entry(source, slot_ns, lines.encode(), 2)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A journal with a few polls, in the hands of an agent; checkpoints are frequent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(export_file, "CHECKPOINT_BYTES", 700)
    monkeypatch.setattr(parquet_module, "GROUP_ROWS", 7)
    store = store_at(tmp_path / "perpflux.db")
    store.append([poll(number) for number in range(POLLS)])
    yield store
    store.close()


class Printed:
    """Runs the command line and keeps what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of `perpflux export`; the exit code is as expected."""
        assert main(["export", *arguments]) == code
        out, self.err = self._capsys.readouterr()
        return out


@pytest.fixture
def export(store: Store, capsys: pytest.CaptureFixture[str]) -> Printed:
    """The command, beside the agent."""
    assert store.ledger("influxdb").collected == 2 * POLLS
    return Printed(capsys)


def stop_after(monkeypatch: pytest.MonkeyPatch, records: int, how: type[BaseException]) -> None:
    """The next export is stopped behind so many records."""
    read = History.records

    def stopping(self: History, *bounds: Any, **options: Any) -> Iterator[HistoryRecord]:
        for number, record in enumerate(read(self, *bounds, **options)):
            if number == records:
                raise how
            yield record

    monkeypatch.setattr(History, "records", stopping)


def test_what_is_chosen(export: Printed) -> None:
    """By time, source, ticker, measurement and fields, in any combination."""
    since = to_rfc3339(START_NS + 2 * NS_PER_S)
    until = to_rfc3339(START_NS + 6 * NS_PER_S)
    lines = export(
        "--format", "lp", "--since", since, "--until", until, "--source", "bybit",
        "--ticker", "BTC", "--fields", "mid,lag_ms",
    ).splitlines()  # fmt: skip
    assert lines == [
        f"snapshot,source=bybit,ticker=BTC lag_ms=250,mid={n}.50 {START_NS + n * NS_PER_S}"
        for n in (2, 4)
    ]


def test_points_without_a_chosen_field_are_left_out(export: Printed) -> None:
    """And so are whole measurements; columns are in the order they were asked for."""
    rows = export("--format", "csv", "--fields", "mid,mark_price,mid").splitlines()
    assert rows[0] == "ts,measurement,source,ticker,mid,mark_price"
    assert len(rows) == 1 + 2 * POLLS
    assert rows[1].endswith(f"snapshot,bybit,BTC,0.50,{LONG}")
    assert rows[2].endswith("snapshot,bybit,ETH,,2.0")
    points = [json.loads(line) for line in export("--fields", "mid").splitlines()]
    assert [set(point) for point in points] == [
        {"ts", "measurement", "source", "ticker", "mid"}
    ] * POLLS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fields", "mdi"], "no field 'mdi' (did you mean mid?)"),
        (["--fields", "mid,"], "no field ''"),
        (["--fields", "xyzzy", "--measurement", "poll"], "one of bad_rows, bytes"),
        (["--measurement", "snap"], "no measurement 'snap'"),
        (["--resume"], "--resume is for a file (name it with --output)"),
        (["--format", "parquet"], "parquet goes into a file (name it with --output)"),
        (["--since", "yesterday"], "'yesterday' is no instant"),
    ],
)
def test_what_cannot_be_asked(export: Printed, arguments: list[str], words: str) -> None:
    """Exit 2, in words."""
    export(*arguments, code=2)
    assert words in export.err


@pytest.mark.parametrize("kind", FORMATS[:3])
def test_a_file_holds_what_is_printed(export: Printed, tmp_path: Path, kind: str) -> None:
    """The format is told by the name; nothing but the file is left."""
    path = tmp_path / f"out.{kind}"
    assert export("--output", str(path)) == ""
    assert path.read_text() == export("--format", kind)
    assert [each.name for each in tmp_path.glob("out*")] == [path.name]


def test_parquet_keeps_every_digit(export: Printed, tmp_path: Path) -> None:
    """Values are strings as in the journal, instants nanoseconds in UTC, unknown is null."""
    path = tmp_path / "out.parquet"
    export("--output", str(path), "--measurement", "snapshot")
    table = parquet.read_table(path)
    assert table.column("mark_price")[0].as_py() == LONG
    assert table.column("index_price").null_count == table.num_rows == 2 * POLLS
    assert str(table.schema.field("ts").type) == "timestamp[ns, tz=UTC]"
    assert table.column("ts").cast("int64")[-1].as_py() == START_NS + (POLLS - 1) * NS_PER_S
    rows = list(csv.reader(export("--format", "csv", "--measurement", "snapshot").splitlines()))
    assert table.column_names == rows[0]
    found = [[cell or "" for cell in row.values()] for row in table.drop_columns("ts").to_pylist()]
    assert found == [row[1:] for row in rows[1:]]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_a_resumed_file_is_the_uninterrupted_one(
    export: Printed,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    how: type[BaseException],
) -> None:
    """Byte for byte, wherever and however often it was stopped, though the agent goes on."""
    whole, path = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    export("--output", str(whole))
    for records in (7, 0, 1, 4):
        with monkeypatch.context() as patched:
            stop_after(patched, records, how)
            arguments = ["export", "--output", str(path), "--resume"]
            if how is KeyboardInterrupt:
                assert main(arguments) == 1
            else:
                with pytest.raises(how):
                    main(arguments)
        assert not path.exists()
        store.append([poll(POLLS + records)])
    export("--output", str(path), "--resume")
    assert path.read_bytes() == whole.read_bytes()
    assert [each.name for each in tmp_path.glob("out*")] == [path.name]


def test_ctrl_c_says_how_to_go_on(
    export: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what, and what to remove otherwise."""
    stop_after(monkeypatch, 9, KeyboardInterrupt)
    export("--output", str(tmp_path / "out.csv"), code=1)
    assert "go on with --resume, or remove" in export.err
    assert (tmp_path / "out.csv.part").exists()


def test_a_file_that_is_there_is_not_overwritten(export: Printed, tmp_path: Path) -> None:
    """With --resume it is whole, and nothing is to do."""
    path = tmp_path / "out.csv"
    path.write_text("mine")
    export("--output", str(path), code=2)
    assert "is there already (remove it, or name another)" in export.err
    export("--output", str(path), "--resume")
    assert "is whole; nothing was done" in export.err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ticker", "BTC"], 'was begun with another asked: {"format": "csv"'),
        ([], "the journal no longer has the record where"),
    ],
)
def test_another_export_is_not_gone_on_with(
    export: Printed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    """Other options, or a journal that is another or has lost the place: no mixture is made."""
    path, state = tmp_path / "out.csv", tmp_path / "out.csv.state"
    with monkeypatch.context() as patched:
        stop_after(patched, 9, KeyboardInterrupt)
        export("--output", str(path), code=1)
    if not arguments:
        _save_state(state, json.loads(state.read_text()) | {"crc32": 1})
    export("--output", str(path), "--resume", *arguments, code=2)
    assert words in export.err
    state.write_text("{")
    export("--output", str(path), "--resume", code=2)
    assert "cannot be read" in export.err
    export("--output", str(path))
    assert len(path.read_text().splitlines()) == 1 + 3 * POLLS


def test_damaged_records_are_said_in_the_end(
    export: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that an interrupted run met: exit 1."""
    damage(tmp_path / "perpflux.db", 2)
    path = tmp_path / "out.jsonl"
    with monkeypatch.context() as patched:
        stop_after(patched, 9, KeyboardInterrupt)
        export("--output", str(path), code=1)
    export("--output", str(path), "--resume", code=1)
    assert "1 damaged records of the journal were left out" in export.err
    assert len(path.read_text().splitlines()) == 3 * (POLLS - 1)


def test_a_folder_that_is_not_there_is_named(export: Printed, tmp_path: Path) -> None:
    """No traceback: what and why."""
    export("--output", str(tmp_path / "no" / "out.csv"), code=1)
    assert re.search(r"export: .*out\.csv: No such file or directory", export.err)


def test_without_pyarrow_it_says_how_to_get_it(
    export: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One plain message; the other formats do not need it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    export("--output", str(tmp_path / "out.parquet"), code=2)
    assert "pip install 'perpflux[parquet]'" in export.err
    export("--output", str(tmp_path / "out.csv"))
