"""The sections of the benchmark: what is run, what it is held against, how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from bench import influxdb, parts, program, scale
from bench.counterparts import counterparts
from bench.loopback import OurRound, StraightforwardRound
from bench.payloads import Documents, clean, patchy, unreadable
from bench.pipeline import Pipeline
from bench.report import Report, Table, target
from bench.report import Target as One
from bench.straightforward import Straightforward
from bench.timing import Run, Spread, Stages, Times, milliseconds, ratio, rotating, take_turns

MIB: Final = 2**20
MS_PER_PERCENT: Final = 10
"""Of a core, each second."""
FLOOR_ROUNDS: Final = 40
JOURNAL_POLLS: Final = 40
EXPORT_POLLS: Final = (60, 600)
DAY_POLLS: Final = (144, 1440)
"""The same for the long run: a day of a poll every ten minutes, and of one a minute."""
GROWTH_MINUTES_MIN: Final = 30
"""Watched for less, a process is still settling, and a slope says nothing."""
FLOOR: Final = "orjson.loads"
_RATIO_HEAD: Final = ("variant", "CPU a poll", "ratio")


def pipelines(report: Report, folder: Path, rounds: int) -> None:
    """Bytes to acknowledged: ours and the straightforward build against the floor."""
    kinds = {"clean": clean(), "patchy": patchy(), "unreadable": unreadable()}
    ours = {kind: Pipeline(folder / f"{kind}.db") for kind in kinds}
    straightforward = Straightforward(folder / "straightforward.db")
    variants: dict[str, Run] = {}
    for kind, versions in kinds.items():
        variants[f"{FLOOR}, {kind}"] = rotating(_floor, versions)
        variants[f"ours, {kind}"] = rotating(ours[kind].run, versions)
    variants["straightforward, patchy"] = rotating(straightforward.run, kinds["patchy"])
    times = take_turns(variants, rounds, rested=True)
    floor_ratio = {kind: ratio(times, f"ours, {kind}", f"{FLOOR}, {kind}") for kind in kinds}
    gain = ratio(times, "straightforward, patchy", "ours, patchy")
    size_kb = kinds["patchy"][0].size_bytes // 1000
    report.add(
        [
            target(
                "whole pipeline ÷ `orjson.loads`, clean rows",
                floor_ratio["clean"],
                4.7,
                stretch=4.0,
            ),
            target(
                "the same, a tenth of the rows lacks something",
                floor_ratio["patchy"],
                4.7,
                stretch=4.0,
            ),
            target(
                "the same, a tenth of the rows breaks the venue's format",
                floor_ratio["unreadable"],
                4.7,
            ),
            target("straightforward build ÷ ours, from bytes", gain, 8, at_least=True),
        ],
        Table(
            "Whole pipeline",
            f"Both venues' whole universe ({ours['clean'].points} points, {size_kb} kB of JSON) "
            "from bytes to acknowledged, without a network.",
            ("variant", "CPU a poll", f"÷ {FLOOR}"),
            [
                _row(name, milliseconds(times, name), ratio(times, name, f"{FLOOR}, {kind}"))
                for kind in kinds
                for name in times
                if name.endswith(f", {kind}")
            ],
        ),
        _stages("Our stages", ours["patchy"].stages, times),
        _stages("Stages of the straightforward build", straightforward.stages, times),
    )
    for pipeline in ours.values():
        pipeline.close()
    straightforward.close()


def tight_loop(report: Report, folder: Path, rounds: int) -> None:
    """The same without a rest before each poll: everything is found in the caches."""
    versions = patchy()
    ours, straightforward = Pipeline(folder / "ours.db"), Straightforward(folder / "other.db")
    runs = {
        FLOOR: rotating(_floor, versions),
        "ours": rotating(ours.run, versions),
        "straightforward": rotating(straightforward.run, versions),
    }
    times = take_turns(runs, rounds)
    ours.close()
    straightforward.close()
    share, gain = ratio(times, "ours", FLOOR), ratio(times, "straightforward", "ours")
    report.add(
        [
            target(f"in a tight loop: whole pipeline ÷ `{FLOOR}`", share, 4.7, stretch=4.0),
            target("in a tight loop: straightforward build ÷ ours", gain, 8, at_least=True),
        ],
        Table(
            "Whole pipeline in a tight loop",
            "A tenth of the rows lacks something. Nothing rests; no program that polls once a "
            "second finds its caches so warm.",
            ("variant", "CPU a poll", f"÷ {FLOOR}"),
            [_row(name, milliseconds(times, name), ratio(times, name, FLOOR)) for name in runs],
        ),
    )


def _floor(documents: Documents) -> None:
    orjson.loads(documents.bybit)
    orjson.loads(documents.variational)


def _stages(title: str, stages: Stages, times: Times) -> Table:
    floor_ns = milliseconds(times, f"{FLOOR}, patchy").median * 1e6
    return Table(
        title,
        "A tenth of the rows lacks something; medians.",
        ("stage", "CPU a poll", f"÷ {FLOOR}"),
        [
            (name, f"{ns / 1e6:.2f} ms", f"{ns / floor_ns:.2f}")
            for name, ns in stages.median_ns.items()
        ],
    )


def loopback(report: Report, folder: Path, rounds: int) -> None:
    """The same with the network: GET from the venues, write to the sink."""
    with counterparts() as url:
        ours = OurRound(url, folder / "ours.db")
        straightforward = StraightforwardRound(url, folder / "straightforward.db")
        times = take_turns(
            {"ours": ours.run, "straightforward": straightforward.run}, rounds, rested=True
        )
        ours.close()
        straightforward.close()
    gain = ratio(times, "straightforward", "ours")
    report.add(
        [target("straightforward build ÷ ours, with HTTP on both sides", gain, 8, at_least=True)],
        Table(
            "With the network",
            "GET of both documents (gzip) and a write to a sink that answers 204, over loopback; "
            "venues and sink are another process, whose time does not count.",
            _RATIO_HEAD,
            [_row(name, milliseconds(times, name), ratio(times, name, "ours")) for name in times],
        ),
    )


def encoding(report: Report, folder: Path, rounds: int) -> None:
    """Snapshots to lines, lines to a body."""
    pipeline = Pipeline(folder / "encoding.db")
    documents = patchy()[0]
    times = take_turns(parts.encoders(pipeline, documents), rounds)
    packers = parts.compressors(parts.lines_of(pipeline, documents))
    packed = take_turns(packers, rounds)
    pipeline.close()
    sizes = {name: len(packer(0)) for name, packer in packers.items()}
    report.add(
        [
            target(
                "`Point` ÷ our encoding, from Decimals",
                ratio(times, parts.POINT, parts.FROM_DECIMALS),
                7,
                at_least=True,
                stretch=11,
            ),
            target(
                "`Point` ÷ our encoding, from the source's text",
                ratio(times, parts.POINT, parts.FROM_TEXT),
                7,
                at_least=True,
                stretch=11,
            ),
            target(
                "CPU of gzip 6 ÷ ours for a body",
                ratio(packed, parts.GZIP, parts.FRAGMENTS),
                10,
                at_least=True,
            ),
            One(
                "compression, of gzip 6's ratio",
                100 * sizes[parts.GZIP] / sizes[parts.FRAGMENTS],
                90,
                "%",
                at_least=True,
            ),
        ],
        Table(
            "Encoding",
            "The snapshots of both venues to line protocol.",
            _RATIO_HEAD,
            [
                _row(name, milliseconds(times, name), ratio(times, parts.POINT, name))
                for name in times
            ],
        ),
        Table(
            "Compressing",
            "Their lines to one gzip body.",
            ("variant", "CPU a poll", "faster by", "bytes"),
            [
                (
                    *_row(name, milliseconds(packed, name), ratio(packed, parts.GZIP, name)),
                    f"{size:,}",
                )
                for name, size in sizes.items()
            ],
        ),
    )


def disk(report: Report, folder: Path) -> None:
    """Bytes of the journal."""
    versions = clean()
    polls = [versions[number % len(versions)] for number in range(JOURNAL_POLLS)]
    sizes = parts.journal_bytes(folder, polls)
    share = sizes["ours.db"] / sizes["rows.db"]
    report.add(
        [One("journal ÷ a row per snapshot, bytes on the disk", share, 0.30)],
        Table(
            "Journal",
            f"{JOURNAL_POLLS} polls of both venues in SQLite.",
            ("kept as", "bytes a poll"),
            [
                ("a compressed record per poll (ours)", f"{sizes['ours.db'] // JOURNAL_POLLS:,}"),
                ("a row per snapshot", f"{sizes['rows.db'] // JOURNAL_POLLS:,}"),
            ],
        ),
    )


def scaling(report: Report, folder: Path, rounds: int, *, day: bool) -> None:
    """From 2 tickers to 5,000, and exports of growing journals."""
    costs = scale.costs(folder, rounds)
    largest, usual = costs[-1], next(cost for cost in costs if cost.points > 900)
    exported = scale.exports(folder, DAY_POLLS if day else EXPORT_POLLS)
    report.add(
        [
            One(
                f"cost of a point, {largest.points:,} ÷ {usual.points:,} points a poll",
                largest.point_us / usual.point_us,
                1.25,
            ),
            One(
                f"memory of an export, {exported[-1].points:,} ÷ {exported[0].points:,} points",
                exported[-1].peak_mib / exported[0].peak_mib,
                1.1,
            ),
        ],
        Table(
            "Scale",
            "The whole pipeline by the number of points in a poll. A poll of few points is the "
            "journal's commit.",
            ("points a poll", "CPU a poll", "CPU a point"),
            [
                (f"{cost.points:,}", f"{cost.poll_us / 1000:.2f} ms", f"{cost.point_us:.1f} µs")
                for cost in costs
            ],
        ),
        Table(
            "Export",
            "`perpflux export --format csv` of a whole journal.",
            ("points", "points a second", "peak memory"),
            [
                (
                    f"{each.points:,}",
                    f"{each.points / each.seconds:,.0f}",
                    f"{each.peak_mib:.1f} MiB",
                )
                for each in exported
            ],
        ),
    )


def process(report: Report, folder: Path, minutes: float) -> None:
    """The real program."""
    with counterparts() as url:
        alone = program.footprint(url, folder / "alone", ship=False, minutes=min(1, minutes))
        shipping = program.footprint(url, folder / "shipping", ship=True, minutes=minutes)
    floor = take_turns({FLOOR: rotating(_floor, clean())}, FLOOR_ROUNDS, rested=True)
    floor_ms = milliseconds(floor, FLOOR).median
    first = program.seconds_to_first_write(_fresh_counterparts(), folder)
    help_ms = program.help_milliseconds()
    report.add(
        [
            One(
                "`perpflux run`, both universes a second, shipping",
                shipping.core_percent,
                1.5,
                "% of a core",
            ),
            One("its resident memory", shipping.rss_mib, 60, "MiB"),
            *_growth_target(shipping),
            target("start to the first point in InfluxDB", first, 1.5, unit="s"),
            target("`perpflux --help`", help_ms, 150, unit="ms"),
        ],
        Table(
            "The program",
            "`perpflux run` as a process: the whole universe of both venues each second. Beside "
            f"the share of a core the same in times of {FLOOR} of what it reads each second "
            f"({floor_ms:.2f} ms here), which carries over to other machines.",
            ("", "of a core", f"÷ {FLOOR}", "resident", "growth", "watched", "writes"),
            [
                (
                    name,
                    f"{each.core_percent:.2f} %",
                    f"{each.core_percent * MS_PER_PERCENT / floor_ms:.1f}",
                    f"{each.rss_mib:.1f} MiB",
                    f"{each.slope_kib_per_min:+.1f} KiB/min" if _settled(each) else "",
                    f"{each.minutes:g} min",
                    str(each.writes),
                )
                for name, each in (("stored locally", alone), ("shipping", shipping))
            ],
        ),
    )


def _growth_target(watched: program.Footprint) -> list[One]:
    growth = One("its growth", max(0.0, watched.slope_kib_per_min), 20, "KiB/min")
    return [growth] if _settled(watched) else []


def _settled(watched: program.Footprint) -> bool:
    return watched.minutes >= GROWTH_MINUTES_MIN


def _fresh_counterparts() -> Iterator[str]:
    while True:
        with counterparts() as url:
            yield url


def server(report: Report, folder: Path, rounds: int) -> None:
    """InfluxDB's own speed beside ours."""
    taken = influxdb.speed(folder)
    if isinstance(taken, str):
        report.add([], Table("InfluxDB", f"Not measured: {taken}", ("", ""), []))
        return
    pipeline = Pipeline(folder / "made.db")
    times = take_turns({"ours": rotating(pipeline.run, clean())}, rounds, rested=True)
    made = pipeline.points / (milliseconds(times, "ours").median / 1000)
    pipeline.close()
    report.add(
        [],
        Table(
            "InfluxDB",
            f"A real server took {taken.points:,} points in bodies of a poll each, one after the "
            "other. So one sees who is the bottleneck.",
            ("", "points a second"),
            [
                ("InfluxDB takes (wall clock, this machine)", f"{taken.points_per_s:,.0f}"),
                ("we make, from bytes to acknowledged (a core)", f"{made:,.0f}"),
            ],
        ),
    )


def _row(name: str, time_ms: Spread, times: Spread) -> tuple[str, str, str]:
    return (
        name,
        f"{time_ms.median:.2f} ms",
        f"{times.median:.2f} ({times.low:.2f} to {times.high:.2f})",
    )
