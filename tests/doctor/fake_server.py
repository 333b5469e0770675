"""A loopback InfluxDB with what the doctor asks it: health, buckets, tasks, queries, writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from agent.clock import to_rfc3339
from tests.shipping.fake_influxdb import FakeInfluxDB
from tests.support.loopback import serving

READ = "read-token"
OPERATOR = "operator-token"


@dataclass
class FakeServer:
    """Its state; a test changes it.

    Args:
        writes: answers the write API.
        version: what /health says; None = it is no InfluxDB.
        page: what another store says there; None = 404.
        retention_s: of every bucket.
        buckets: which there are.
        task: the rollup task as the API has it; None = there is none.
        newest_ns: per bucket, the newest snapshot; None = none of the last hour.
        oldest_ns: of the last hour, the oldest raw snapshot.
        types: type of the field snapshot.mid in the bucket, as a query's answer names it.
    """

    writes: FakeInfluxDB = field(default_factory=FakeInfluxDB)
    version: str | None = "2.8.0"
    page: str | None = None
    retention_s: int = 0
    buckets: tuple[str, ...] = ("perps", "perps_1m")
    task: dict[str, Any] | None = None
    newest_ns: dict[str, int | None] = field(default_factory=dict)
    oldest_ns: int | None = None
    types: str = "double"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on loopback; gives the base address."""
        app = web.Application()
        app.router.add_post("/api/v2/write", self._write)
        app.router.add_post("/api/v2/query", self._query)
        app.router.add_get("/health", self._health)
        app.router.add_get("/api/v2/buckets", self._buckets)
        app.router.add_get("/api/v2/orgs", self._orgs)
        app.router.add_get("/api/v2/tasks", self._tasks)
        async with serving(app, unpack=False) as url:
            yield url

    async def _write(self, request: web.Request) -> web.Response:
        reply = self.writes.respond(request.headers, request.query, await request.read())
        return web.Response(status=reply.status or 500, headers=reply.headers, body=reply.body)

    async def _health(self, _: web.Request) -> web.Response:
        if self.version is None:
            return web.Response(status=200 if self.page else 404, text=self.page)
        return web.json_response({"status": "pass", "version": self.version})

    async def _buckets(self, request: web.Request) -> web.Response:
        name = request.query["name"]
        shown = name in self.buckets and _token(request) in {READ, OPERATOR}
        rules = [{"type": "expire", "everySeconds": self.retention_s}]
        bucket = {"id": f"id-{name}", "name": name, "retentionRules": rules}
        return web.json_response({"buckets": [bucket] if shown else []})

    async def _orgs(self, request: web.Request) -> web.Response:
        shown = _token(request) == OPERATOR
        return web.json_response({"orgs": [{"id": "id-org", "name": "perps"}] if shown else []})

    async def _tasks(self, _: web.Request) -> web.Response:
        return web.json_response({"tasks": [self.task] if self.task else []})

    async def _query(self, request: web.Request) -> web.Response:
        if _token(request) not in {READ, OPERATOR}:
            message = {"code": "unauthorized", "message": "unauthorized access"}
            return web.json_response(message, status=401)
        flux = (await request.json())["query"]
        name = next(
            (each for each in sorted(self.buckets, reverse=True) if f'"{each}"' in flux), ""
        )
        if "_field" in flux and "_value" in flux:
            cells = [("string", "_measurement", "snapshot"), ("string", "_field", "mid")]
            rows = [[*cells, (self.types, "_value", "1")]]
        else:
            stamps = [self.oldest_ns if "first(" in flux else self.newest_ns.get(name)]
            rows = [
                [("dateTime:RFC3339", "_time", to_rfc3339(each)), ("string", "source", "bybit")]
                for each in stamps
                if each is not None
            ]
        return web.Response(text="".join(map(_table, rows)), content_type="text/csv")


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Token ")


def _table(cells: list[tuple[str, str, str]]) -> str:
    """One row as annotated CSV."""
    kinds, names, values = zip(*cells, strict=True)
    lines = [
        ["#datatype", "string", "long", *kinds],
        ["#group", "false", "false", *["false"] * len(kinds)],
        ["#default", "_result", "", *[""] * len(kinds)],
        ["", "result", "table", *names],
        ["", "", "0", *values],
    ]
    return "".join(",".join(line) + "\r\n" for line in lines) + "\r\n"
