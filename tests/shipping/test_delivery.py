"""One batch to its end, against a server that keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import delivery
from agent.clock import NS_PER_S
from agent.delivery import Delivered, Known, Line, Paused, deliver, encode, halves, judge
from agent.fates import BackOff, Park, StoredBut, TooOld
from agent.journal.fragment import compress, crc32, join
from agent.journal.records import Record, Rejected
from tests.shipping.bench import DirectDoor, poll_line, record, snapshot_line, stored_tickers
from tests.shipping.fake_influxdb import INTERNAL, Bucket, FakeInfluxDB, Fault
from tests.support.clock import START_NS

LATE_CONFLICT = "unexpected error writing points to database: [shard 1] engine: field type conflict"
DAY_NS = 86_400 * NS_PER_S


def batch(count: int, *, bad: Sequence[int] = (), a_record: int = 5) -> list[Record]:
    """`count` lines in records of `a_record`; those in `bad` are no numbers."""
    lines = [snapshot_line(f"T{i}", "NaN" if i in bad else "1.5") for i in range(count)]
    return [record(i, lines[i : i + a_record]) for i in range(0, count, a_record)]


def tickers(rejected: Sequence[Rejected]) -> set[str]:
    """The tickers of rejected lines."""
    return {each.line.partition("ticker=")[2].partition(" ")[0] for each in rejected}


async def finish(fake: FakeInfluxDB, records: Sequence[Record]) -> Delivered:
    """Deliver in one go."""
    outcome = await deliver(DirectDoor(fake), records)
    assert isinstance(outcome, Delivered)
    return outcome


async def test_a_good_batch_is_sent_as_it_lies() -> None:
    """Fragments are joined, not compressed again: one request, one gzip member."""
    fake = FakeInfluxDB()
    records = batch(12)
    outcome = await finish(fake, records)
    assert outcome == Delivered((), 7)
    assert len(fake.bucket.points) == 12
    (request,) = fake.requests
    assert request.size == len(join((r.fragment, r.crc32, r.size) for r in records))
    assert request.headers["Content-Encoding"] == "gzip"


async def test_a_bad_line_is_cut_and_the_rest_sent_once_more() -> None:
    """Exactly the named line is refused, with the server's reason; all others are stored."""
    fake = FakeInfluxDB()
    outcome = await finish(fake, batch(12, bad=[7]))
    assert outcome.rejected == (Rejected(snapshot_line("T7", "NaN"), "invalid number", 1, 5),)
    assert len(fake.bucket.points) == 11
    assert [len(request.lines) for request in fake.requests] == [12, 11]


async def test_all_bad_lines_are_cut_at_once() -> None:
    """A 400 names every bad line, so any number of them costs one further request."""
    fake = FakeInfluxDB()
    outcome = await finish(fake, batch(200, bad=range(0, 200, 3)))
    assert tickers(outcome.rejected) == {f"T{i}" for i in range(0, 200, 3)}
    assert len(fake.bucket.points) == 200 - len(outcome.rejected)
    assert len(fake.requests) == 2


async def test_a_batch_of_nothing_but_bad_lines_ends() -> None:
    """What is left over may be nothing; then nothing is sent."""
    fake = FakeInfluxDB()
    outcome = await finish(fake, batch(6, bad=range(6)))
    assert (len(outcome.rejected), len(fake.requests)) == (6, 1)


async def test_an_uncounted_line_counts_for_nothing() -> None:
    """The ledger knows snapshots, not the agent's own measurements."""
    bad_poll = poll_line().replace("ok=1", "ok=NaN")
    outcome = await finish(FakeInfluxDB(), [record(3, [snapshot_line("A", "NaN"), bad_poll])])
    assert [each.points for each in outcome.rejected] == [1, 0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, "in words of its own"),
        Fault(400, "unable to parse 'some other line': invalid number"),
        Fault(500, LATE_CONFLICT),
        Fault(500, INTERNAL),
        Fault(422, "in words of its own"),
        Fault(422, "partial write: in words of its own dropped=1"),
    ],
    ids=lambda fault: f"{fault.status} {fault.message}",
)
async def test_a_bad_line_that_is_not_named_is_found_by_halving(fault: Fault) -> None:
    """Where no answer names the line, halving finds it, and all others are stored."""
    fake = FakeInfluxDB(poison={"ticker=T7 ": fault, "ticker=T8 ": fault})
    outcome = await finish(fake, batch(20))
    assert tickers(outcome.rejected) == {"T7", "T8"}
    assert stored_tickers(fake) == {f"T{i}" for i in range(20)} - {"T7", "T8"}
    assert len(fake.writes) <= 4 * 5 * 2


@pytest.mark.parametrize("status", [400, 413, 500])
async def test_no_line_is_given_up_where_all_is_refused(status: int) -> None:
    """A line that was not named goes only when an empty body is welcome at that very time."""
    fault = Fault(status, INTERNAL)
    fake = FakeInfluxDB(poison={"": fault})
    outcome = await deliver(DirectDoor(fake), batch(20))
    assert isinstance(outcome, Paused)
    assert isinstance(outcome.fate, Park)
    assert len(fake.probes) == 1
    assert not fake.bucket.points


async def test_a_body_too_large_is_halved() -> None:
    """A proxy's limit costs requests, not points: halved by records, then by lines."""
    fake = FakeInfluxDB(body_bytes_max=170)
    outcome = await finish(fake, batch(40, a_record=20))
    assert outcome.rejected == ()
    assert len(fake.bucket.points) == 40
    assert {request.size > 170 for request in fake.writes} == {True, False}


async def test_a_line_too_large_is_refused() -> None:
    """A single line that nobody lets through must not hold up all others."""
    big = snapshot_line("T" * 5_000)
    fake = FakeInfluxDB(body_bytes_max=200)
    lines = [snapshot_line("A"), big.replace("T" * 5_000, "".join(map(str, range(2_000))))]
    outcome = await finish(fake, [record(1, lines)])
    assert [each.line for each in outcome.rejected] == [lines[1]]
    assert stored_tickers(fake) == {"A"}


async def test_a_type_conflict_costs_exactly_its_points() -> None:
    """The points that have the field are refused and not sent again; the others are stored."""
    fake = FakeInfluxDB()
    fake.bucket.types[fake.bucket.shard(START_NS), "snapshot"] = {"mid": "integer"}
    other = f"snapshot,source=bybit,ticker=OTHER lag_ms=1 {START_NS}"
    outcome = await finish(fake, [record(1, [snapshot_line("A"), other]), *batch(3)])
    assert tickers(outcome.rejected) == {"A", "T0", "T1", "T2"}
    assert stored_tickers(fake) == {"OTHER"}
    assert [request.lines for request in fake.requests[1:]] == [[other]]
    assert "already exists as type integer" in outcome.rejected[0].reason


async def test_several_type_conflicts_are_told_one_after_the_other() -> None:
    """A 422 names the first field only; the next answer names the next."""
    fake = FakeInfluxDB()
    types = {"mid": "integer", "mark_price": "string"}
    fake.bucket.types[fake.bucket.shard(START_NS), "snapshot"] = types
    head = "snapshot,source=bybit,ticker="
    marks = [f"{head}M{i} lag_ms=1,mark_price=2 {START_NS}" for i in range(3)]
    good = [f"{head}G{i} lag_ms=1 {START_NS}" for i in range(3)]
    outcome = await finish(fake, [record(1, [snapshot_line("A"), *marks, *good])])
    assert tickers(outcome.rejected) == {"A", "M0", "M1", "M2"}
    assert stored_tickers(fake) == {"G0", "G1", "G2"}
    assert len(fake.requests) == 3


async def test_a_conflict_in_one_shard_does_not_cost_points_of_another() -> None:
    """The type of a field is fixed per shard: the same line may be stored a month later."""
    fake = FakeInfluxDB()
    old_ns = START_NS - 30 * DAY_NS
    fake.bucket.types[fake.bucket.shard(old_ns), "snapshot"] = {"mid": "integer"}
    outcome = await finish(
        fake,
        [
            record(1, [snapshot_line("OLD", stamp_ns=old_ns), snapshot_line("OLD2", "2", old_ns)]),
            record(2, [snapshot_line("NEW")]),
        ],
    )
    assert tickers(outcome.rejected) == {"OLD", "OLD2"}
    assert stored_tickers(fake) == {"NEW"}


async def test_a_count_that_fits_by_chance_costs_no_point_of_another_shard() -> None:
    """Two dropped, two with the named field, but one of those lies in another shard: halved."""
    fake = FakeInfluxDB()
    new_ns = START_NS + 30 * DAY_NS
    types = {"mid": "integer", "mark_price": "integer"}
    fake.bucket.types[fake.bucket.shard(START_NS), "snapshot"] = types
    mark = f"snapshot,source=bybit,ticker=MARK mark_price=1 {START_NS}"
    lines = [snapshot_line("MID"), mark, snapshot_line("NEW", stamp_ns=new_ns)]
    outcome = await finish(fake, [record(1, lines)])
    assert tickers(outcome.rejected) == {"MID", "MARK"}
    assert stored_tickers(fake) == {"NEW"}


async def test_a_field_sent_as_two_types_costs_only_the_wrong_ones() -> None:
    """The name alone does not say which of them were dropped; the count says that not all were."""
    fake = FakeInfluxDB()
    fake.bucket.types[fake.bucket.shard(START_NS), "snapshot"] = {"mid": "integer"}
    lines = [snapshot_line(f"I{i}", "2i") for i in range(3)]
    outcome = await finish(fake, [record(1, [*lines, snapshot_line("F"), snapshot_line("G")])])
    assert tickers(outcome.rejected) == {"F", "G"}
    assert stored_tickers(fake) == {"I0", "I1", "I2"}


async def test_points_older_than_the_retention_are_accounted_for() -> None:
    """They are refused, down to the newest that was lost; what the server stored is stored."""
    fake = FakeInfluxDB(buckets={"perps": Bucket(retention_s=3600)})
    hour_ns = 3600 * NS_PER_S
    lines = [snapshot_line(f"T{i}", stamp_ns=START_NS - i * hour_ns // 2) for i in range(8)]
    outcome = await finish(fake, [record(i, [line]) for i, line in enumerate(lines)])
    assert tickers(outcome.rejected) == {f"T{i}" for i in range(3, 8)}
    assert stored_tickers(fake) == {"T0", "T1", "T2"}
    assert [len(request.lines) for request in fake.requests] == [8, 3]


async def test_a_422_that_cost_all_costs_one_request() -> None:
    """Whatever its words: where as many were dropped as were sent, all are lost."""
    words = "failure writing points to database: partial write: points beyond retention policy"
    fake = FakeInfluxDB(faults=[Fault(422, f"{words} dropped=12")])
    outcome = await finish(fake, batch(12))
    assert (len(outcome.rejected), len(fake.requests)) == (12, 1)


@pytest.mark.parametrize(("dropped", "refused"), [(2, 2), (0, 2), (1, 0), (3, 0)])
def test_a_stamp_and_a_count_must_agree(dropped: int, refused: int) -> None:
    """Where the newest lost stamp and the count tell different stories, smaller parts tell more."""
    part = tuple(Line(1, i, snapshot_line(f"T{i}", stamp_ns=i)) for i in range(5))
    verdict = judge(part, StoredBut(dropped, TooOld(1, "1h0m0s", 2), "too old"))
    assert [line.place for line, _ in verdict.refused] == [0, 1][:refused]
    assert verdict.parts == ((part[2:],) if refused else halves(part))


async def test_a_conflict_does_not_hide_what_is_too_old() -> None:
    """A 422 may name a conflict and keep quiet of what the retention cost: only a 204 counts."""
    fake = FakeInfluxDB(buckets={"perps": Bucket(retention_s=3600)})
    fake.bucket.types[fake.bucket.shard(START_NS), "snapshot"] = {"mid": "integer"}
    good = f"snapshot,source=bybit,ticker=GOOD lag_ms=1 {START_NS}"
    old = f"snapshot,source=bybit,ticker=OLD lag_ms=1 {START_NS - DAY_NS}"
    outcome = await finish(fake, [record(1, [snapshot_line("A"), good, old])])
    assert tickers(outcome.rejected) == {"A", "OLD"}
    assert stored_tickers(fake) == {"GOOD"}


async def test_an_uncounted_422_is_believed_within_a_shard() -> None:
    """A server that counts nothing (`dropped=0`) still names the field."""
    fake = FakeInfluxDB()
    conflict = (
        'partial write: field type conflict: input field "mid" on measurement "snapshot" '
        "is type float, already exists as type integer dropped=0"
    )
    fake.faults.append(Fault(422, conflict, stores=True))
    other = f"snapshot,source=bybit,ticker=OTHER lag_ms=1 {START_NS}"
    outcome = await finish(fake, [record(1, [snapshot_line("A"), snapshot_line("B"), other])])
    assert tickers(outcome.rejected) == {"A", "B"}


async def test_a_body_that_is_to_blame_is_compressed_anew_once() -> None:
    """What is said of a body, and of no line, may be the body's fault: the same again."""
    fake = FakeInfluxDB(faults=[Fault(500, "unable to read data: unexpected EOF")])
    outcome = await finish(fake, batch(12))
    assert outcome.rejected == ()
    assert [request.status for request in fake.requests] == [500, 204]
    assert len(fake.bucket.points) == 12


async def test_a_damaged_record_costs_itself_alone() -> None:
    """A record that cannot be read back is rejected as a whole, all others are stored."""
    good = batch(5)
    data = b"snapshot,source=bybit,ticker=X mid=1 1\n"
    broken = Record(77, "bybit", 1, 1, 9, len(data), crc32(data) ^ 1, compress(data))
    fake = FakeInfluxDB()
    outcome = await finish(fake, [*good, broken])
    (rejected,) = outcome.rejected
    assert (rejected.line, rejected.points, rejected.seq) == ("", 9, 77)
    assert len(fake.bucket.points) == 5


@pytest.mark.parametrize("stores", [False, True], ids=["before storing", "after storing"])
async def test_an_interrupted_batch_goes_on_where_it_was(stores: bool) -> None:  # noqa: FBT001
    """A connection lost in the middle costs nothing; what was found out is not asked again."""
    fake = FakeInfluxDB(faults=[None, Fault(None, stores=stores)])
    records, known = batch(12, bad=[3]), Known()
    paused = await deliver(DirectDoor(fake), records, known=known)
    assert paused == Paused(BackOff("no answer: Server disconnected"))
    outcome = await deliver(DirectDoor(fake), records, known=known)
    assert isinstance(outcome, Delivered)
    assert tickers(outcome.rejected) == {"T3"}
    assert len(fake.bucket.points) == 11
    assert known == {}
    assert [len(request.lines) for request in fake.requests if request.text] in (
        [12, 11],
        [12, 11, 11],
    )


async def test_a_delivery_is_bounded_and_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but unnamed bad lines: each try is bounded and settles some, until none is left."""
    monkeypatch.setattr(delivery, "REQUESTS_MAX", 20)
    fake = FakeInfluxDB(poison={"ticker=": Fault(500, LATE_CONFLICT)})
    records, known, tries = batch(64), Known(), 0
    outcome: Delivered | Paused = Paused(BackOff(""))
    while isinstance(outcome, Paused):
        tries, before = tries + 1, len(fake.writes)
        settled = sum(map(len, known.values()))
        outcome = await deliver(DirectDoor(fake), records, known=known)
        assert len(fake.writes) - before <= 20
        assert isinstance(outcome, Delivered) or sum(map(len, known.values())) > settled
    assert len(outcome.rejected) == 64
    assert tries < 12


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_halves_are_the_whole(sizes: list[int]) -> None:
    """Halving loses nothing, leaves nothing empty, and cuts between records where it can."""
    part = tuple(Line(seq, i, "m f=1 1") for seq, size in enumerate(sizes) for i in range(size))
    if len(part) == 1:
        return
    last, first = halves(part)
    assert (*first, *last) == part
    assert first
    assert last
    assert len(sizes) == 1 or first[-1].seq != last[0].seq


def test_a_part_is_one_gzip_member() -> None:
    """Lines are sent in their order, each ended by a newline, whatever bytes they hold."""
    part = (Line(1, 0, "m,t=é f=1 1"), Line(1, 4, "m,t=\udcff f=1 1"))
    fake = FakeInfluxDB()
    text = fake.respond(
        {"Authorization": "Token secret", "Content-Encoding": "gzip"},
        {"org": "perps", "bucket": "perps"},
        encode(part),
    )
    assert text.status == 204
    assert fake.requests[0].lines == ["m,t=é f=1 1", "m,t=\ufffd f=1 1"]


Kind = Callable[[int], str]
KINDS: dict[str, Kind] = {
    "good": lambda i: snapshot_line(f"T{i}"),
    "no number": lambda i: snapshot_line(f"T{i}", "NaN"),
    "conflict": lambda i: f"snapshot,source=bybit,ticker=T{i} mark_price=1 {START_NS}",
    "conflict elsewhere": lambda i: snapshot_line(f"T{i}", stamp_ns=START_NS - 2 * DAY_NS),
    "both": lambda i: f"snapshot,source=bybit,ticker=T{i} mid=1,mark_price=1 {START_NS}",
    "good elsewhere": (
        lambda i: f"snapshot,source=bybit,ticker=T{i} mark_price=1 {START_NS - 2 * DAY_NS}"
    ),
    "too old": lambda i: snapshot_line(f"T{i}", stamp_ns=START_NS - 30 * DAY_NS),
    "poison": lambda i: f"snapshot,source=poison,ticker=T{i} lag_ms=1 {START_NS}",
}
FAULTS = [
    None,
    None,
    Fault(503, "later"),
    Fault(None),
    Fault(None, stores=True),
    Fault(500, "unexpected error writing points to database: timeout", stores=True),
]


def loses(kind: str) -> bool:
    """Whether the server can never store such a line."""
    return kind not in {"good", "good elsewhere"}


@given(
    kinds=st.lists(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12), max_size=6),
    faults=st.lists(st.sampled_from(FAULTS), max_size=12),
)
@settings(max_examples=100, deadline=None)
async def test_every_line_is_stored_or_refused_and_never_both(
    kinds: list[list[str]], faults: list[Fault | None]
) -> None:
    """Whatever is wrong with lines, shards, server and network: the account is exact."""
    fake = FakeInfluxDB(
        buckets={"perps": Bucket(retention_s=10 * 86_400)},
        poison={"source=poison": Fault(500, LATE_CONFLICT)},
    )
    fake.faults.extend(faults)
    today, before = fake.bucket.shard(START_NS), fake.bucket.shard(START_NS - 2 * DAY_NS)
    fake.bucket.types[today, "snapshot"] = {"mid": "float", "mark_price": "string"}
    fake.bucket.types[before, "snapshot"] = {"mid": "string", "mark_price": "float"}
    numbered, expected, number = [], set(), 0
    for seq, names in enumerate(kinds or [["good"]]):
        lines = []
        for name in names:
            lines.append(KINDS[name](number))
            expected |= {f"T{number}"} if loses(name) else set()
            number += 1
        numbered.append(record(seq, lines))
    known = Known()
    outcome: Delivered | Paused = Paused(BackOff(""))
    for _ in range(len(faults) + 1):
        outcome = await deliver(DirectDoor(fake), numbered, known=known)
        if isinstance(outcome, Delivered):
            break
    assert isinstance(outcome, Delivered)
    assert tickers(outcome.rejected) == expected
    assert len(outcome.rejected) == len(expected)
    assert stored_tickers(fake) == {f"T{i}" for i in range(number)} - expected
