"""A fake InfluxDB 2.8: its write API, with the real one's checks in their order and its words.

Points are kept in memory under their identity (measurement, tags, stamp), field types per shard,
as the real server does. It can be told to fail in the ways a server, a proxy and a network do.
`cases/requests.toml` holds what the real server answered; the fake is held to it.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from aiohttp import web

from agent.clock import NS_PER_S, to_rfc3339
from tests.shipping.server_lines import FIELD_LENGTH_MAX, ServerPoint, parse_body
from tests.support.clock import START_NS
from tests.support.loopback import serving

GZIP_HEADER_BYTES: Final = 10
INTERNAL: Final = "An internal error has occurred - check server logs"
_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S
_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    413: "request too large",
    422: "unprocessable entity",
    429: "too many requests",
    500: "internal error",
    503: "unavailable",
}

Identity = tuple[str, tuple[tuple[str, str], ...], int]
Access = Literal["write", "read", "inactive"]


@dataclass
class Bucket:
    """A bucket; `retention_s` 0 = for ever."""

    retention_s: int = 0
    points: dict[Identity, dict[str, tuple[str, str]]] = field(default_factory=dict)
    types: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    """Field types by (shard, measurement)."""

    def shard(self, stamp_ns: int) -> int:
        """The start of the shard that holds this stamp, s since the epoch."""
        width_s, shift_s = _HOUR_S, 0
        if self.retention_s == 0 or self.retention_s >= 180 * _DAY_S:
            # Weeks are counted from a Monday; the epoch was a Thursday.
            width_s, shift_s = 7 * _DAY_S, 3 * _DAY_S
        elif self.retention_s >= 2 * _DAY_S:
            width_s = _DAY_S
        stamp_s = stamp_ns // NS_PER_S
        return (stamp_s + shift_s) // width_s * width_s - shift_s


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; status None = the connection is lost."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False


@dataclass(frozen=True)
class Fault:
    """What to do with a request instead of, or after, what is right.

    Args:
        status: the answer; None = the connection is lost.
        message: in InfluxDB's error object; None = `page` is the body.
        page: a proxy's page.
        headers: further headers.
        stores: whether the points are stored all the same, as when an answer gets lost.
        hangs: no answer ever comes.
    """

    status: int | None = None
    message: str | None = None
    page: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    stores: bool = False
    hangs: bool = False

    def reply(self) -> Reply:
        """What it answers."""
        if self.status is None or self.message is None:
            return Reply(self.status, dict(self.headers), self.page.encode(), hangs=self.hangs)
        reply = _reply(self.status, self.message)
        return Reply(self.status, {**reply.headers, **self.headers}, reply.body)


@dataclass(frozen=True)
class Request:
    """What came in: the body as text (None where it could not be read) and the answer's status."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    size: int
    text: str | None
    status: int | None

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return (self.text or "").splitlines()


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass
class FakeInfluxDB:
    """The server's state; a test reads and changes it.

    Args:
        now_ns: the server's clock.
        org: its one organisation.
        buckets: by name.
        tokens: what each may do.
        faults: for the next requests that are not probes, one each; None = none for this one.
        poison: a fault for every body whose text holds the key.
        body_bytes_max: a proxy in front answers 413 above it; None = there is none.
        requests: everything that came in.
    """

    now_ns: Callable[[], int] = lambda: START_NS
    org: str = "perps"
    buckets: dict[str, Bucket] = field(default_factory=lambda: {"perps": Bucket()})
    tokens: dict[str, Access] = field(default_factory=lambda: {"secret": "write"})
    faults: list[Fault | None] = field(default_factory=list)
    poison: dict[str, Fault] = field(default_factory=dict)
    body_bytes_max: int | None = None
    requests: list[Request] = field(default_factory=list)

    @property
    def bucket(self) -> Bucket:
        """The bucket `perps`."""
        return self.buckets["perps"]

    @property
    def probes(self) -> list[Request]:
        """Requests with an empty body."""
        return [request for request in self.requests if request.size == 0]

    @property
    def writes(self) -> list[Request]:
        """Requests with a body."""
        return [request for request in self.requests if request.size]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on loopback; gives the base address."""
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/api/v2/write", self._handle)
        async with serving(app, unpack=False) as url:
            yield url

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        reply = self.respond(request.headers, request.query, await request.read())
        if reply.hangs:
            await asyncio.Event().wait()
        if reply.status is None:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=reply.status or 500, headers=reply.headers, body=reply.body)

    def respond(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Reply:
        """Answer one write, and keep what is to be kept."""
        fault = self._fault_for(body)
        text: str | None = None
        reply = _reply(204, "")
        if fault is None or fault.stores:
            try:
                text = self._read(headers, query, body)
                poison = next((f for key, f in self.poison.items() if key in text), None)
                fault = fault or poison
                if poison is None or poison.stores:
                    self._store(self.buckets[query["bucket"]], text)
            except _RefusedError as refusal:
                reply = _reply(refusal.status, refusal.message)
        if fault is not None:
            reply = fault.reply()
        self.requests.append(Request(dict(headers), dict(query), len(body), text, reply.status))
        return reply

    def _fault_for(self, body: bytes) -> Fault | None:
        if self.body_bytes_max is not None and len(body) > self.body_bytes_max:
            return Fault(413, page="<html>413 Request Entity Too Large</html>")
        return self.faults.pop(0) if body and self.faults else None

    def _read(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str:
        """All checks before the points are parsed, in the server's order."""
        access = self.tokens.get(headers.get("Authorization", "").removeprefix("Token "))
        if access is None:
            raise _RefusedError(401, "unauthorized access")
        if query.get("precision", "ns") not in {"ns", "us", "ms", "s"}:
            raise _RefusedError(
                400, "invalid precision; valid precision units are ns, us, ms, and s"
            )
        bucket = query.get("bucket", "")
        if not bucket:
            raise _RefusedError(404, "bucket not found")
        gzipped = headers.get("Content-Encoding") in {"gzip", "x-gzip"}
        if gzipped and (len(body) < GZIP_HEADER_BYTES or body[:3] != b"\x1f\x8b\x08"):
            raise _RefusedError(500, INTERNAL)
        org = query.get("org", "")
        if not org:
            raise _RefusedError(400, "Please provide either orgID or org")
        if org != self.org:
            raise _RefusedError(404, f'organization name "{org}" not found')
        if bucket not in self.buckets:
            raise _RefusedError(404, f'bucket "{bucket}" not found')
        if access == "inactive":
            raise _RefusedError(403, "insufficient permissions for write: token is inactive")
        if access == "read":
            raise _RefusedError(403, "insufficient permissions for write")
        return (_gunzip(body) if gzipped else body).decode("utf-8", "replace")

    def _store(self, bucket: Bucket, text: str) -> None:
        now_ns = self.now_ns()
        points, failed = parse_body(text, now_ns)
        if failed:
            raise _RefusedError(400, "\n".join(failed))
        bound_ns = now_ns - bucket.retention_s * NS_PER_S if bucket.retention_s else None
        shards = {
            bucket.shard(point.stamp_ns)
            for point in points
            if bound_ns is None or point.stamp_ns >= bound_ns
        }
        too_old = [point for point in points if bucket.shard(point.stamp_ns) not in shards]
        complaints = [
            complaint
            for shard in sorted(shards)
            if (complaint := _store_in_shard(bucket, shard, points))
        ]
        # Only the first complaint is told; of what lies outside retention only where none is.
        if not complaints and too_old and bound_ns is not None:
            complaints = [_too_old_complaint(bucket, too_old, bound_ns)]
        if complaints:
            message = f"failure writing points to database: partial write: {complaints[0]}"
            raise _RefusedError(422, message)


def _store_in_shard(bucket: Bucket, shard: int, points: list[ServerPoint]) -> str:
    """Store what falls into the shard; what the server says of the rest, "" if there is none."""
    dropped, first = 0, ""
    for point in points:
        if bucket.shard(point.stamp_ns) != shard:
            continue
        complaint = _field_complaint(bucket, shard, point)
        if complaint:
            dropped, first = dropped + 1, first or complaint
            continue
        fields = {name: value for name, value in point.fields.items() if name != "time"}
        bucket.points.setdefault(point.identity, {}).update(fields)
    return f"{first} dropped={dropped}" if dropped else ""


def _field_complaint(bucket: Bucket, shard: int, point: ServerPoint) -> str:
    types = bucket.types.setdefault((shard, point.measurement), {})
    where = f"on measurement {_quoted(point.measurement)}"
    if set(point.fields) == {"time"}:
        return f'invalid field name: input field "time" {where} is invalid'
    for name, (kind, text) in point.fields.items():
        length = len(text.encode()) - 2
        if kind == "string" and length > FIELD_LENGTH_MAX:
            return f"input field {_quoted(name)} {where} is too long, {length} > {FIELD_LENGTH_MAX}"
        existing = types.setdefault(name, kind) if name != "time" else kind
        if existing != kind:
            return (
                f"field type conflict: input field {_quoted(name)} {where} "
                f"is type {kind}, already exists as type {existing}"
            )
    return ""


def _too_old_complaint(bucket: Bucket, points: list[ServerPoint], bound_ns: int) -> str:
    ends = [min(points, key=lambda p: p.stamp_ns), max(points, key=lambda p: p.stamp_ns)]
    oldest, newest = (
        f"point {point.key} at {to_rfc3339(point.stamp_ns)} dropped because it violates "
        f"a Retention Policy Lower Bound at {to_rfc3339(bound_ns)}"
        for point in ends
    )
    hours, rest_s = divmod(bucket.retention_s, _HOUR_S)
    duration = f"{hours}h{rest_s // 60}m{rest_s % 60}s"
    return (
        f"dropped {len(points)} points outside retention policy of duration {duration} - "
        f"oldest {oldest}, newest {newest} dropped={len(points)} "
        "for database: 1d42b8b0d7931887 for retention policy: autogen"
    )


def _quoted(text: str) -> str:
    """As Go's %q, for what a name can hold here."""
    return json.dumps(text, ensure_ascii=False)


def _gunzip(body: bytes) -> bytes:
    """One member or several, as Go's reader takes them."""
    data = b""
    while body:
        if body[:2] != b"\x1f\x8b" and len(body) >= GZIP_HEADER_BYTES:
            raise _RefusedError(400, "unable to read data: gzip: invalid header")
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data += unpacker.decompress(body)
        except zlib.error as error:
            if "check" in str(error):
                raise _RefusedError(400, "unable to read data: gzip: invalid checksum") from error
            message = "unable to read data: flate: corrupt input before offset 1"
            raise _RefusedError(500, message) from error
        if not unpacker.eof:
            raise _RefusedError(500, "unable to read data: unexpected EOF")
        body = unpacker.unused_data
    return data


def _reply(status: int, message: str) -> Reply:
    headers = {"X-Influxdb-Build": "OSS", "X-Influxdb-Version": "2.8.0"}
    if status == 204:
        return Reply(status, headers)
    code = _CODES.get(status, "internal error")
    headers |= {"X-Platform-Error-Code": code, "Content-Type": "application/json; charset=utf-8"}
    document = json.dumps({"code": code, "message": message}, ensure_ascii=False)
    return Reply(status, headers, document.encode())
