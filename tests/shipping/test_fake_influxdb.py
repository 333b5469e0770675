"""The fake InfluxDB answers as the real one does: one table of recorded answers for both."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from agent.clock import NS_PER_S, SYSTEM_CLOCK, to_rfc3339
from tests.influxd.server import InfluxServer
from tests.shipping.fake_influxdb import Access, Bucket, FakeInfluxDB
from tests.shipping.server_lines import parse_body
from tests.support.clock import START_NS

CASES: Final = Path(__file__).parent / "cases"
REQUESTS: Final = tomllib.loads((CASES / "requests.toml").read_text())["case"]
LINES: Final = json.loads((CASES / "lines.json").read_text())
UNIT_S: Final = {"s": 1, "h": 3600, "d": 86_400}
PLACEHOLDER: Final = re.compile(r"\{(at )?now((?:[-+]\d+[shd])*)\}")

Case = dict[str, Any]


class Reply(NamedTuple):
    """What came back, and how many field values the bucket holds then."""

    status: int
    code: str
    message: str
    stored: int


def fill_in(text: str, now_ns: int, escape: Callable[[str], str] = str) -> str:
    """The text with its stamps."""

    def stamp(match: re.Match[str]) -> str:
        steps = re.findall(r"([-+]\d+)([shd])", match[2])
        instant_ns = now_ns + sum(int(n) * UNIT_S[unit] for n, unit in steps) * NS_PER_S
        return escape(to_rfc3339(instant_ns)) if match[1] else str(instant_ns)

    return PLACEHOLDER.sub(stamp, text)


def message_pattern(text: str, now_ns: int) -> str:
    """The expected message as a pattern."""
    filled = fill_in(text.lstrip("\n"), now_ns)
    return re.escape(filled).replace(re.escape("{any}"), r"\S+")


def body_of(case: Case, now_ns: int) -> bytes:
    """The request's body."""
    lines = [fill_in(f"{line}\n", now_ns).encode() for line in case.get("lines", [])]
    data = b"".join(lines)
    packed = gzip.compress(data, mtime=0)
    bodies = {
        None: data,
        "one member": packed,
        "two members": b"".join(gzip.compress(line) for line in lines),
        "empty": b"",
        "none of it": b"m f=1 1\n",
        "cut header": packed[:2],
        "cut data": packed[:-9],
        "cut checksum": packed[:-3],
        "wrong checksum": packed[:-8] + bytes(4) + packed[-4:],
        "damaged data": packed[:10] + b"\xff\xff\xff\xff" + packed[14:],
        "trailing garbage": packed + b"garbagegarbage",
    }
    return bodies[case.get("gzip")]


async def post(
    url: str, case: Case, *, token: str, org: str, bucket: str, body: bytes
) -> tuple[int, str, str]:
    """One write as the case wants it."""
    headers = {} if token == "none" else {"Authorization": f"Token {token}"}
    if "gzip" in case:
        headers["Content-Encoding"] = "gzip"
    query = {
        "org": case.get("org", org),
        "bucket": case.get("bucket", bucket),
        "precision": case.get("precision", "ns"),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/api/v2/write", params=query, data=body, headers=headers) as reply,
    ):
        document = await reply.json() if reply.status != 204 else {}
        code = document.get("code", "")
        assert reply.headers.get("X-Platform-Error-Code", "") == code
        return reply.status, code, document.get("message", "")


async def ask_fake(case: Case, now_ns: int) -> Reply:
    """The case against the fake."""
    access: dict[str, Access] = {"write": "write", "read": "read", "inactive": "inactive"}
    fake = FakeInfluxDB(
        now_ns=lambda: now_ns,
        buckets={"perps": Bucket(case.get("retention_s", 0))},
        tokens=access,
    )
    async with fake.serve() as url:
        for line in case.get("before", []):
            body = fill_in(line, now_ns).encode()
            prepared = await post(url, {}, token="write", org="perps", bucket="perps", body=body)
            assert prepared[0] == 204
        token = case.get("token", "write")
        body = body_of(case, now_ns)
        reply = await post(url, case, token=token, org="perps", bucket="perps", body=body)
    return Reply(*reply, stored=sum(len(fields) for fields in fake.bucket.points.values()))


async def ask_real(server: InfluxServer, case: Case, now_ns: int) -> Reply:
    """The case against a real server."""
    bucket = f"case {now_ns}"
    server.create_bucket(bucket, case.get("retention_s", 0))
    kind = case.get("token", "write")
    token = {"read": server.read_token, "inactive": server.write_token}.get(kind, lambda _: kind)(
        bucket
    )
    if kind == "inactive":
        server.set_token_active(token, active=False)
    if kind == "write":
        token = server.write_token(bucket)
    for line in case.get("before", []):
        assert server.write(bucket, fill_in(line, now_ns)).status == 204
    body = body_of(case, now_ns)
    reply = await post(server.url, case, token=token, org=server.org, bucket=bucket, body=body)
    # Of a field with two types a query shows but one: hence shard by shard.
    seam = to_rfc3339(now_ns - UNIT_S["d"] * 15 * NS_PER_S)
    ranges = (f"start: 1970-01-01T00:00:00Z, stop: {seam}", f"start: {seam}")
    queries = [
        f'from(bucket: "{bucket}") |> range({bounds}) |> keep(columns: ["_time"])'
        for bounds in ranges
    ]
    return Reply(*reply, stored=sum(len(server.query(query)) for query in queries))


def check(case: Case, reply: Reply, now_ns: int) -> None:
    """The reply is what the table says."""
    expected = (case["status"], case.get("code", ""), case.get("stored", 0))
    assert (reply.status, reply.code, reply.stored) == expected
    assert re.fullmatch(message_pattern(case.get("message", ""), now_ns), reply.message)


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case["name"])
async def test_the_fake_answers_as_recorded(case: Case) -> None:
    """The fake gives the recorded status, code and message, and stores what the real one stored."""
    check(case, await ask_fake(case, START_NS), START_NS)


@pytest.mark.influxdb
@pytest.mark.slow
@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case["name"])
async def test_the_real_one_answers_as_recorded(case: Case, influxdb: InfluxServer) -> None:
    """The table is true: a real InfluxDB 2.8 gives these answers."""
    now_ns = SYSTEM_CLOCK.now_ns()
    check(case, await ask_real(influxdb, case, now_ns), now_ns)


@pytest.mark.parametrize(("body", "message"), LINES)
def test_the_fake_reads_lines_as_recorded(body: str, message: str) -> None:
    """Each line is taken, or refused in the words, that a real server had for it."""
    _, failed = parse_body(body, START_NS)
    assert "\n".join(failed) == message


@pytest.mark.influxdb
@pytest.mark.slow
async def test_the_real_one_reads_lines_as_recorded(influxdb: InfluxServer) -> None:
    """The table of lines is true as well. Types may clash, as all lines go into one bucket."""
    bucket = f"lines {SYSTEM_CLOCK.now_ns()}"
    influxdb.create_bucket(bucket)
    for body, message in LINES:
        answer = influxdb.write(bucket, body)
        refused = json.loads(answer.body)["message"] if answer.status == 400 else ""
        assert refused == message
