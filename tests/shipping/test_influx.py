"""The door to InfluxDB, over HTTP on loopback."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from agent import __version__
from agent.errors import ConfigError
from agent.fates import TOKEN_UNREADABLE, CutLines, meaning
from agent.influx import InfluxDoor
from agent.retry_after import retry_after_s
from tests.shipping.bench import snapshot_line
from tests.shipping.fake_influxdb import FakeInfluxDB, Fault
from tests.support.clock import START_NS

BODY = gzip.compress(f"{snapshot_line('BTC')}\n".encode())


class Token:
    """A token that can be changed, or lost."""

    def __init__(self) -> None:
        self.text: str | None = "secret"

    def read(self) -> SecretStr:
        """The token as it is now."""
        if self.text is None:
            raise ConfigError("read the InfluxDB token", "no token found", "set token_file")
        return SecretStr(self.text)


@pytest.fixture
def fake() -> FakeInfluxDB:
    """The server."""
    return FakeInfluxDB()


@pytest.fixture
def token() -> Token:
    """The token."""
    return Token()


@pytest.fixture
async def door(fake: FakeInfluxDB, token: Token) -> AsyncIterator[InfluxDoor]:
    """A door to it."""
    async with fake.serve() as url:
        door = InfluxDoor(f"{url}/", "perps", "perps", token, timeout_s=5)
        yield door
        await door.close()


async def test_a_write_goes_out_as_it_lies(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """The body is sent as given, once, with what InfluxDB needs to read it."""
    answer = await door.write(BODY, gzip=True)
    assert (answer.status, answer.code, answer.message) == (204, "", "")
    (request,) = fake.requests
    assert request.size == len(BODY)
    assert request.query == {"org": "perps", "bucket": "perps", "precision": "ns"}
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Content-Type"].startswith("text/plain")
    assert request.headers["Authorization"] == "Token secret"
    assert request.headers["User-Agent"] == f"perpflux/{__version__}"
    assert len(fake.bucket.points) == 1


async def test_a_plain_body_says_nothing_of_gzip(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """Line protocol may also go as text."""
    assert (await door.write(gzip.decompress(BODY), gzip=False)).status == 204
    assert "Content-Encoding" not in fake.requests[0].headers


async def test_a_probe_is_empty_and_says_nothing_of_gzip(
    fake: FakeInfluxDB, door: InfluxDoor
) -> None:
    """An empty body under `Content-Encoding: gzip` would be answered with a 500."""
    assert (await door.probe()).status == 204
    assert fake.requests[0].size == 0
    assert "Content-Encoding" not in fake.requests[0].headers


async def test_errors_come_with_code_and_message(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """InfluxDB's own words reach those who decide."""
    del fake.buckets["perps"]
    answer = await door.write(BODY, gzip=True)
    assert (answer.status, answer.code) == (404, "not found")
    assert answer.message == 'bucket "perps" not found'
    assert answer.elapsed_ms >= 0


async def test_every_bad_line_is_read_however_many(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """A 400 repeats each bad line without a cap; the bound on answers grows with what was sent."""
    lines = [snapshot_line(f"T{i}", "NaN") for i in range(3_000)]
    answer = await door.write(gzip.compress("\n".join(lines).encode()), gzip=True)
    fate = meaning(answer)
    assert isinstance(fate, CutLines)
    assert [line for line, _ in fate.lines] == lines
    assert len(answer.message) > 200_000
    assert len(fake.requests) == 1


async def test_an_endless_answer_is_cut(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """A page of any size costs no memory, and the door works on."""
    fake.faults += [Fault(502, page="x" * 5_000_000), None]
    answer = await door.write(BODY, gzip=True)
    assert answer.status == 502
    assert len(answer.message) <= 300
    assert (await door.write(BODY, gzip=True)).status == 204


async def test_the_token_is_read_anew_at_each_probe(
    fake: FakeInfluxDB, door: InfluxDoor, token: Token
) -> None:
    """A rotated token is taken without a restart."""
    token.text = "old"
    assert (await door.write(BODY, gzip=True)).status == 401
    token.text = "secret"
    assert (await door.write(BODY, gzip=True)).status == 401
    assert (await door.probe()).status == 204
    assert (await door.write(BODY, gzip=True)).status == 204
    tokens = [request.headers["Authorization"] for request in fake.requests]
    assert tokens == ["Token old", "Token old", "Token secret", "Token secret"]


async def test_without_a_token_nothing_is_sent(
    fake: FakeInfluxDB, door: InfluxDoor, token: Token
) -> None:
    """The answer says what to do about it."""
    token.text = None
    for answer in (await door.write(BODY, gzip=True), await door.probe()):
        assert (answer.status, answer.code) == (None, TOKEN_UNREADABLE)
        assert answer.message == "read the InfluxDB token: no token found (set token_file)"
    assert fake.requests == []


async def test_the_token_is_in_no_message(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """A proxy may show the request it got; the token is masked."""
    fake.faults.append(Fault(502, page="you sent: Authorization: Token secret"))
    answer = await door.write(BODY, gzip=True)
    assert answer.message == "you sent: Authorization: Token ***"
    assert "secret" not in repr(door)


async def test_a_redirect_is_not_followed(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """The token goes to the configured address and nowhere else."""
    elsewhere = FakeInfluxDB()
    async with elsewhere.serve() as url:
        fake.faults.append(Fault(307, headers={"Location": f"{url}/api/v2/write"}))
        answer = await door.write(BODY, gzip=True)
    assert (answer.status, answer.message) == (307, f"redirects to {url}/api/v2/write")
    assert elsewhere.requests == []


async def test_a_lost_connection_is_no_answer_and_no_second_try(
    fake: FakeInfluxDB, door: InfluxDoor
) -> None:
    """The door sends once; who tries again is the shipper's loop alone."""
    assert (await door.write(BODY, gzip=True)).status == 204
    fake.faults.append(Fault(None))
    answer = await door.write(BODY, gzip=True)
    assert (answer.status, answer.code) == (None, "")
    assert answer.message.startswith("no answer: ")
    assert len(fake.requests) == 2


async def test_a_hanging_server_is_given_up(fake: FakeInfluxDB, token: Token) -> None:
    """A write is bounded in time."""
    fake.faults.append(Fault(hangs=True))
    async with fake.serve() as url:
        door = InfluxDoor(url, "perps", "perps", token, timeout_s=0.05)
        answer = await door.write(BODY, gzip=True)
        await door.close()
    assert (answer.status, answer.message) == (None, "no answer within 0.05 s")


async def test_nobody_listening_is_no_answer(fake: FakeInfluxDB, token: Token) -> None:
    """The message names the address."""
    async with fake.serve() as url:
        pass
    door = InfluxDoor(url, "perps", "perps", token)
    answer = await door.probe()
    await door.close()
    assert answer.status is None
    assert url.removeprefix("http://") in answer.message


async def test_a_closed_door_opens_again(fake: FakeInfluxDB, door: InfluxDoor) -> None:
    """Closing twice does no harm either."""
    await door.write(BODY, gzip=True)
    await door.close()
    await door.close()
    assert (await door.write(BODY, gzip=True)).status == 204
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("-7", None),
        ("1.5", None),
        ("7200", 3600),
        ("\u0667", None),
        ("Mon, 21 Sep 2026 15:00:42 GMT", 42),
        ("Mon, 21 Sep 2026 15:00:42 -0000", 42),
        ("Mon, 21 Sep 2026 17:00:42 +0200", 42),
        ("Monday, 21-Sep-26 15:00:42 GMT", 42),
        ("Tue, 22 Sep 2026 15:00:42 GMT", 3600),
        ("Sun, 20 Sep 2026 15:00:42 GMT", 0),
        ("Mon, 99 Sep 2026 15:00:42 GMT", None),
        ("in a minute", None),
    ],
)
def test_retry_after_in_both_forms_is_bounded(value: str | None, expected: int | None) -> None:
    """Seconds or an HTTP date, 0 to 3600 s; what is neither is nothing."""
    assert retry_after_s(value, START_NS) == expected
