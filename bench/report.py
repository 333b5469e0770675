"""What was measured, as JSON and as Markdown between two marks of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.timing import Spread

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "performance.md"
RESULTS: Final = ROOT / "bench" / "results.json"
BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"
_CPU_INFO: Final = Path("/proc/cpuinfo")
_MEMORY_INFO: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for, and what came out.

    Args:
        what: in words.
        measured: the value that counts.
        bound: what it must not exceed, or (`at_least`) must reach.
        unit: behind the numbers.
        at_least: whether more is better.
        stretch: what would be better still; None = nothing.
        low, high: quartiles; None = a single value.
    """

    what: str
    measured: float
    bound: float
    unit: str = "×"  # noqa: RUF001  # the sign of "times"
    at_least: bool = False
    stretch: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool:
        """Whether the bound is kept."""
        return self._keeps(self.bound)

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Words, value, target, verdict."""
        quartiles = "" if self.low is None else f" ({self.low:.3g} to {self.high:.3g})"
        sign = "≥" if self.at_least else "≤"
        wanted = f"{sign} {self.bound:g} {self.unit}"
        if self.stretch is not None:
            wanted += f", stretch {self.stretch:g}"
        verdict = "met" if self.met else "**missed**"
        if self.stretch is not None and self._keeps(self.stretch):
            verdict = "met, stretch too"
        return self.what, f"{self.measured:.3g} {self.unit}{quartiles}", wanted, verdict

    def _keeps(self, bound: float) -> bool:
        return self.measured >= bound if self.at_least else self.measured <= bound


def target(what: str, spread: Spread, bound: float, **options: Any) -> Target:
    """A target whose value is a median."""
    return Target(what, spread.median, bound, low=spread.low, high=spread.high, **options)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report, with a sentence above it."""

    title: str
    words: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def markdown(self) -> str:
        """As Markdown."""
        lines = [f"### {self.title}", "", self.words, ""] if self.title else []
        lines += [_line(self.head), _line(["---"] * len(self.head)), *map(_line, self.rows), ""]
        return "\n".join(lines)


@dataclass(slots=True)
class Report:
    """Everything that was measured."""

    targets: list[Target] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, targets: Sequence[Target], *tables: Table) -> None:
        """Take in a section."""
        self.targets += targets
        self.tables += tables

    @property
    def markdown(self) -> str:
        """The generated part of the document."""
        verdicts = Table("", "", ("what", "measured", "target", ""), [t.row for t in self.targets])
        head = f"Measured {_today()} on {machine()}."
        return "\n".join([head, "", verdicts.markdown, *(table.markdown for table in self.tables)])

    def write(self) -> None:
        """Write both files; the hand-written part of the document stays."""
        document = DOCUMENT.read_text(encoding="utf-8")
        before, _, rest = document.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{self.markdown}\n{END}{after}", encoding="utf-8")
        results = {
            "date": _today(),
            "machine": machine(),
            "targets": [{**asdict(each), "met": each.met} for each in self.targets],
            "tables": [asdict(each) for each in self.tables],
        }
        RESULTS.write_text(
            json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def machine() -> str:
    """The kind of machine, without its name."""
    cores = f"{os.cpu_count()} shared cores"
    names = _values(_CPU_INFO, "model name")
    memory = _values(_MEMORY_INFO, "MemTotal")
    size = f", {int(memory[0].split()[0]) // 2**20} GB" if memory else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    kind = names[0] if names else platform.machine()
    return f"{cores} ({kind}){size}, {platform.system()}, {python}"


def _values(path: Path, key: str) -> list[str]:
    if not path.exists():
        return []
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return [value.strip() for name, _, value in pairs if name.strip() == key]


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
