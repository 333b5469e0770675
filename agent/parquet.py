"""Points as a Parquet file, written row group by row group, so that it can be gone on with.

A Parquet file ends with a directory of its row groups; nothing can be added behind it. So each row
group is a file of its own until all are there, then they are copied into one: the same groups in
the same order give the same bytes, however often the work was interrupted.

Values are strings, digit for digit what is in the journal: a decimal type has one scale for a whole
column and at most 38 digits, venues' numbers have neither. pyarrow is imported when it is needed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from agent.errors import UsageError
from agent.formats import Sheet
from agent.line_protocol import parse_line

GROUP_ROWS: Final = 16_384
"""A row group ends with the record in which it reaches so many rows."""
COMPRESSION: Final = "zstd"


def pyarrow(module: str = "pyarrow") -> Any:
    """The library. Raises UsageError when it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            "export",
            "parquet needs pyarrow, which is not installed",
            "pip install 'perpflux[parquet]'",
        ) from error


class ParquetGroups:
    """Row groups as files in a folder, and the whole file in the end.

    Args:
        folder: for the groups; it is made if need be.
        sheet: the columns.
        groups: so many are there already; others are written anew.
    """

    def __init__(self, folder: Path, sheet: Sheet, groups: int) -> None:
        self.groups = groups
        self._folder = folder
        self._sheet = sheet
        self._arrow = pyarrow()
        self._parquet = pyarrow("pyarrow.parquet")
        text = self._arrow.string()
        columns = dict.fromkeys(sheet.names, text)
        columns["ts"] = self._arrow.timestamp("ns", tz="UTC")
        self._schema = self._arrow.schema(list(columns.items()))
        self._stamps_ns: list[int] = []
        self._rows: list[list[str]] = []
        folder.mkdir(exist_ok=True)

    @property
    def is_full(self) -> bool:
        """Whether the group that is being filled should be ended."""
        return len(self._rows) >= GROUP_ROWS

    def add(self, lines: Iterable[str]) -> None:
        """Points of one record."""
        for point in map(parse_line, lines):
            self._stamps_ns.append(point.stamp_ns)
            self._rows.append(self._sheet.cells(point))

    def end_group(self) -> None:
        """Write the group that is being filled; nothing when it is empty."""
        if not self._rows:
            return
        columns: list[list[Any]] = [self._stamps_ns]
        columns += [[cell or None for cell in column] for column in zip(*self._rows, strict=True)]
        arrays = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        table = self._arrow.Table.from_arrays(arrays, schema=self._schema)
        path = self._group(self.groups + 1)
        with self._parquet.ParquetWriter(path, self._schema, compression=COMPRESSION) as writer:
            writer.write_table(table)
        _to_disk(path)
        self.groups += 1
        self._stamps_ns, self._rows = [], []

    def join(self, path: Path) -> None:
        """Copy all groups into one file."""
        with self._parquet.ParquetWriter(path, self._schema, compression=COMPRESSION) as writer:
            for number in range(1, self.groups + 1):
                with self._parquet.ParquetFile(self._group(number)) as group:
                    writer.write_table(group.read(use_threads=False))
        _to_disk(path)

    def _group(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
