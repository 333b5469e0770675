"""Records as messages: what is the same message, what is not, and that nothing is lost."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal.fragment import decompress
from agent.line_protocol import encode_batch
from agent.snapshot import Batch
from agent.stream import messages
from agent.stream.messages import (
    ID_HEADER,
    LINES_MAX,
    POINTS_HEADER,
    SCHEMA_HEADER,
    Message,
    messages_of,
    record_of,
)
from tests.stream.make import SLOT_NS, poll, record, snapshot
from tests.support.batches import batches


def made(*lines: str, group: str = "main", bytes_max: int = 2**19) -> list[Message]:
    """The messages of one poll; none of its lines may be refused."""
    found, rejected = messages_of(
        record(lines), subject="perps.points", group=group, bytes_max=bytes_max
    )
    assert not rejected
    return found


def ids(*lines: str, group: str = "main") -> set[str]:
    """The ids of one poll's messages."""
    return {message.headers[ID_HEADER] for message in made(*lines, group=group)}


def text(message: Message) -> str:
    """What a reader sees."""
    return gzip.decompress(message.body).decode()


def test_a_poll_is_one_message_of_the_venue_and_one_of_the_agent() -> None:
    """Subjects are SUBJECT.SOURCE.GROUP; what carries a host stands under `agent`."""
    venue, own = made(snapshot("BTC"), snapshot("ETH"), poll("one"))
    assert (venue.subject, own.subject) == ("perps.points.bybit.main", "perps.points.agent.main")
    assert text(venue) == f"{snapshot('BTC')}\n{snapshot('ETH')}\n"
    assert text(own) == f"{poll('one')}\n"
    assert (venue.headers[POINTS_HEADER], own.headers[POINTS_HEADER]) == ("2", "0")


def test_two_agents_say_the_same_of_a_slot_once() -> None:
    """Other values of the same points and fields are the same message; so is another order."""
    one = ids(snapshot("BTC", "1.5"), snapshot("ETH", "7"))
    assert one == ids(snapshot("ETH", "8"), snapshot("BTC", "1.49"))


def test_what_the_other_does_not_have_is_never_a_duplicate() -> None:
    """A ticker more, a field more, another slot, source or group make another message."""
    base = ids(snapshot("BTC"))
    more = snapshot("BTC").replace("lag_ms=20,", "lag_ms=20,bid_1k=1,")
    renamed = snapshot("BTC").replace("lag_ms", "quote_age_ms")
    others = [
        ids(snapshot("BTC"), snapshot("ETH")),
        ids(snapshot("BTC2")),
        ids(more),
        ids(renamed),
        ids(snapshot("BTC", slot_ns=SLOT_NS + 1)),
        ids(snapshot("BTC", source="variational")),
        ids(snapshot("BTC"), group="other"),
    ]
    assert all(base.isdisjoint(other) for other in others)
    assert len(set.union(base, *others)) == len(others) + 1


def test_what_an_agent_says_of_itself_is_never_dropped_for_another() -> None:
    """Polls of two hosts differ; of one host every value counts; only the very same is the same."""
    assert ids(poll("one")).isdisjoint(ids(poll("two")))
    assert ids(poll("one")).isdisjoint(ids(poll("one").replace("latency_ms=9", "latency_ms=8")))
    assert ids(poll("one")) == ids(poll("one"))


def test_a_ticker_that_looks_like_a_host_is_none() -> None:
    """Escapes in a tag do not make a line the agent's own, nor its shape another's."""
    odd = f"snapshot,source=bybit,ticker=a\\,host\\=x\\ y lag_ms=1 {SLOT_NS}"
    (message,) = made(odd)
    assert message.subject == "perps.points.bybit.main"
    assert ids(odd) == ids(odd.replace("lag_ms=1", "lag_ms=2"))
    assert ids(odd).isdisjoint(ids(odd.replace("x\\ y", "x\\ z")))


@given(batch=batches(), others=st.integers(0, 2**32))
def test_shapes_are_equal_where_only_values_differ(batch: Batch, others: int) -> None:
    """Whatever may flow: the id follows from points and fields, never from a value."""
    lines = [line for line in encode_batch(batch).split("\n") if line]
    if not lines:
        return
    rng = random.Random(others)
    columns = {
        name: [cell and str(rng.randrange(10**6)) for cell in column]
        for name, column in batch.columns.items()
    }
    other = [line for line in encode_batch(replace(batch, columns=columns)).split("\n") if line]
    assert ids(*lines) == ids(*other)


@pytest.mark.parametrize("count", [1, LINES_MAX, LINES_MAX + 1, 3 * LINES_MAX])
def test_a_large_poll_is_cut_alike_by_every_agent(count: int) -> None:
    """At most so many lines a message, whatever order they came in; each is there once."""
    lines = [snapshot(f"T{number}") for number in range(count)]
    found = made(*lines)
    assert len(found) == -(-count // LINES_MAX)
    assert sorted("".join(map(text, found)).splitlines()) == sorted(lines)
    assert ids(*lines) == ids(*reversed(lines))


def test_a_body_stays_within_what_the_server_takes() -> None:
    """What does not fit is halved; a line that fits alone in none is refused with the reason."""
    rng = random.Random(1)
    lines = [snapshot("".join(rng.choices("abcdefgh", k=40))) for _ in range(50)]
    found = made(*lines, bytes_max=400)
    assert len(found) > 2
    assert max(len(message.body) for message in found) <= 400
    assert sorted("".join(map(text, found)).splitlines()) == sorted(lines)
    one = record([snapshot("BTC")])
    assert messages_of(one, subject="s", group="g", bytes_max=20)[0] == []
    ((refused,),) = [messages_of(one, subject="s", group="g", bytes_max=20)[1]]
    assert (refused.line, refused.points, refused.seq) == (snapshot("BTC"), 1, 1)
    assert "more than the stream takes, 20" in refused.reason


def test_a_damaged_record_is_refused_whole() -> None:
    """It is accounted for with all its points, and is no reason to stop."""
    damaged = replace(record([snapshot("BTC")]), crc32=1)
    found, (refused,) = messages_of(damaged, subject="s", group="g")
    assert found == []
    assert (refused.line, refused.points) == ("", 1)


def test_a_message_becomes_the_record_it_was() -> None:
    """The body goes on as it lies; lines, points and slot are those that were published."""
    (message,) = made(snapshot("BTC"), snapshot("ETH"))
    back = record_of(7, message.headers, message.body, appended_ns=3)
    assert (back.seq, back.points, back.slot_ns, back.appended_ns) == (7, 2, SLOT_NS, 3)
    assert decompress(back.fragment, back.crc32, back.size).decode() == text(message)


def test_what_is_no_message_of_ours_says_what_is_wrong() -> None:
    """Another schema, no number, another body: ValueError, and nothing is unpacked for it."""
    (message,) = made(snapshot("BTC"))
    huge = (messages.SIZE_MAX + 1).to_bytes(4, "little")
    wrong = {
        "Perpflux-Schema is 2": ({**message.headers, SCHEMA_HEADER: "2"}, message.body),
        "Perpflux-Schema is None": ({}, message.body),
        "no number": ({**message.headers, POINTS_HEADER: "many"}, message.body),
        "no gzip body": (message.headers, b"snapshot lag_ms=1"),
        "at most": (message.headers, message.body[:-4] + huge),
    }
    for words, (headers, body) in wrong.items():
        with pytest.raises(ValueError, match=words):
            record_of(1, headers, body, appended_ns=0)
