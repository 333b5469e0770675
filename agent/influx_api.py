"""The door to InfluxDB's queries and management, through the official client's services.

Every answer is read here, bounded, and either given back or raised as InfluxDBError; the client's
own models are not used. Writing points has a door of its own: `agent.influx`.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Self

import aiohttp
from pydantic import SecretStr

from agent.errors import InfluxDBError
from agent.fates import shortened
from agent.influx import answer_of
from agent.influx_client import connect, service
from agent.queries.faults import explained
from agent.queries.rows import Row, RowReader

QUERY_TIMEOUT_S: Final = 600
"""Bound on a query with all its rows; InfluxDB itself stops none."""
TIMEOUT_S: Final = 20
"""Bound on a management request."""
DOCUMENT_BYTES_MAX: Final = 16 * 2**20
MESSAGE_BYTES_MAX: Final = 65_536
ADMIN: Final = "admin"
"""The first user of a server that is set up here."""
RUN: Final = "run the query"
_CHUNK_BYTES: Final = 65_536
_DIALECT: Final = {"header": True, "annotations": ["datatype", "group", "default"]}
_SUCCESS: Final = range(200, 300)
_HINTS: Final = {
    401: "is this an operator token of this InfluxDB? see --token-file",
    403: "this token may not do that: an operator token may",
}
_NOT_INFLUXDB: Final = "is influxdb.url that of InfluxDB itself?"

Document = dict[str, Any]
"""A JSON object as the API has it: https://docs.influxdata.com/influxdb/v2/api/v2/"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket. retention_s 0: points are kept for ever."""

    id: str
    name: str
    retention_s: int


@dataclass(frozen=True, slots=True)
class Task:
    """A task with its text. last_error: why its last run failed; "" = it did not."""

    id: str
    name: str
    flux: str
    active: bool
    last_error: str = ""


class Permission(NamedTuple):
    """One right: action "read" or "write", on the resource `id` of this kind (None = on all)."""

    action: str
    kind: str
    id: str | None


@dataclass(frozen=True, slots=True)
class Authorization:
    """A token's record. token None: this InfluxDB does not show it."""

    id: str
    description: str
    active: bool
    permissions: frozenset[Permission]
    token: SecretStr | None = field(repr=False)


class InfluxApi:
    """One InfluxDB, to be asked. An async context manager.

    Every method raises InfluxDBError when there is no answer or a refusal; `org_id` everywhere is
    the organisation's id, not its name.

    Args:
        url: base address, such as "http://127.0.0.1:8086".
        token: None = none, which is enough for `setup_allowed` and `set_up`.
    """

    def __init__(self, url: str, token: SecretStr | None) -> None:
        self._url = url
        self._token = token

    async def __aenter__(self) -> Self:
        """Make the pool of connections; nothing is sent yet."""
        self._client = connect(self._url, self._token, QUERY_TIMEOUT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._client.close()

    # Queries

    async def rows(self, org: str, flux: str) -> AsyncIterator[Row]:
        """The rows of a query as they come, within QUERY_TIMEOUT_S; `org` is a name or an id.

        An InfluxDBError shows the line of the text that is wrong where InfluxDB names one.
        """
        query = {"query": flux, "type": "flux", "dialect": _DIALECT}
        ask = service(self._client, "query_service", "QueryService").post_query_async
        try:
            response = await ask(org=org, query=query, _preload_content=False)
            async with response:
                if response.status not in _SUCCESS:
                    message = await self._message(response)
                    raise InfluxDBError(RUN, *explained(response.status, message, flux))
                reader, decoder = RowReader(), codecs.getincrementaldecoder("utf-8")("replace")
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    for row in reader.feed(decoder.decode(chunk)):
                        yield row
                for row in reader.feed(decoder.decode(b"", final=True), last=True):
                    yield row
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._no_answer(RUN, error, QUERY_TIMEOUT_S) from None

    # The server

    async def version(self) -> str:
        """The version of an InfluxDB that is well; "" = what answers does not say it is one."""
        ask = service(self._client, "health_service", "HealthService").get_health_async
        health = await self._ask("ask InfluxDB how it is", ask, _absent={}, _strange={})
        return str(health.get("version", ""))

    # The first user of a new server

    async def setup_allowed(self) -> bool:
        """Whether the server is new: it has no user yet."""
        ask = service(self._client, "setup_service", "SetupService").get_setup_async
        answer = await self._ask("ask whether InfluxDB is new", ask)
        return bool(answer.get("allowed"))

    async def set_up(
        self, *, org: str, bucket: str, retention_s: int, password: SecretStr, token: SecretStr
    ) -> None:
        """Make a new server's first user `admin`, its org and bucket, and the operator token."""
        wanted = {
            "username": ADMIN,
            "password": password.get_secret_value(),
            "org": org,
            "bucket": bucket,
            "retentionPeriodSeconds": retention_s,
            "token": token.get_secret_value(),
        }
        ask = service(self._client, "setup_service", "SetupService").post_setup_async
        await self._ask("set up InfluxDB", ask, wanted)

    # Organisations and buckets

    async def find_org(self, name: str) -> str | None:
        """The id of the organisation of this name; None = there is none."""
        ask = service(self._client, "organizations_service", "OrganizationsService").get_orgs_async
        found = await self._ask(f"look for org {name}", ask, org=name, _absent={"orgs": []})
        return next((str(each["id"]) for each in found["orgs"] if each["name"] == name), None)

    async def create_org(self, name: str) -> str:
        """Make an organisation; its id."""
        ask = service(self._client, "organizations_service", "OrganizationsService").post_orgs_async
        return str((await self._ask(f"create org {name}", ask, {"name": name}))["id"])

    async def find_bucket(self, org_id: str, name: str) -> Bucket | None:
        """The bucket of this name; None = there is none."""
        return await self._bucket_of(name, org_id=org_id)

    async def visible_bucket(self, org: str, name: str) -> Bucket | None:
        """The same by the organisation's name; None also where this token may not read it."""
        return await self._bucket_of(name, org=org)

    async def _bucket_of(self, name: str, **where: str) -> Bucket | None:
        ask = service(self._client, "buckets_service", "BucketsService").get_buckets_async
        none: Document = {"buckets": []}
        found = await self._ask(
            f"look for bucket {name}", ask, _absent=none, _strange=None, name=name, **where
        )
        return next((_bucket(each) for each in found["buckets"] if each["name"] == name), None)

    async def create_bucket(self, org_id: str, name: str, retention_s: int) -> Bucket:
        """Make a bucket; retention_s 0 = for ever."""
        wanted = {"orgID": org_id, "name": name, "retentionRules": _rules(retention_s)}
        ask = service(self._client, "buckets_service", "BucketsService").post_buckets_async
        return _bucket(await self._ask(f"create bucket {name}", ask, wanted))

    async def set_retention(self, bucket_id: str, retention_s: int) -> None:
        """Change how long a bucket keeps its points; 0 = for ever."""
        ask = service(self._client, "buckets_service", "BucketsService").patch_buckets_id_async
        wanted = {"retentionRules": _rules(retention_s)}
        await self._ask("set the bucket's retention", ask, bucket_id, wanted)

    # Tasks

    async def find_task(self, org_id: str, name: str) -> Task | None:
        """The task of this name; None = there is none."""
        ask = service(self._client, "tasks_service", "TasksService").get_tasks_async
        found = await self._ask(f"look for task {name!r}", ask, org_id=org_id, name=name)
        return next((_task(each) for each in found["tasks"] if each["name"] == name), None)

    async def create_task(self, org_id: str, flux: str) -> None:
        """Make a task that is active from now on; its text says its name and when it runs."""
        ask = service(self._client, "tasks_service", "TasksService").post_tasks_async
        wanted = {"orgID": org_id, "flux": flux, "status": "active"}
        await self._ask("create the task", ask, wanted)

    async def update_task(self, task_id: str, flux: str) -> None:
        """Give a task another text."""
        ask = service(self._client, "tasks_service", "TasksService").patch_tasks_id_async
        await self._ask("update the task", ask, task_id, {"flux": flux})

    # Tokens

    async def authorizations(self, org_id: str) -> list[Authorization]:
        """Every token's record that this token may see."""
        ask = service(self._client, "authorizations_service", "AuthorizationsService")
        found = await self._ask("list tokens", ask.get_authorizations_async, org_id=org_id)
        return [_authorization(each) for each in found["authorizations"]]

    async def create_authorization(
        self, org_id: str, description: str, permissions: frozenset[Permission]
    ) -> SecretStr:
        """Make a token with exactly these permissions."""
        wanted = {
            "orgID": org_id,
            "description": description,
            "permissions": [
                {"action": each.action, "resource": _resource(each, org_id)}
                for each in sorted(permissions)
            ],
        }
        ask = service(self._client, "authorizations_service", "AuthorizationsService")
        made = await self._ask(
            f"create token {description!r}", ask.post_authorizations_async, wanted
        )
        return SecretStr(made["token"])

    async def delete_authorization(self, authorization_id: str) -> None:
        """Revoke a token."""
        ask = service(self._client, "authorizations_service", "AuthorizationsService")
        await self._ask("revoke a token", ask.delete_authorizations_id_async, authorization_id)

    # HTTP

    async def _ask(
        self,
        operation: str,
        ask: Callable[..., Awaitable[aiohttp.ClientResponse]],
        *arguments: object,
        _absent: Document | None = None,
        _strange: Document | None = None,
        **filters: str,
    ) -> Document:
        """One request; `_absent` stands for a 404, `_strange` for an answer that is no object."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await ask(*arguments, _preload_content=False, **filters)
                async with response:
                    if response.status == HTTPStatus.NOT_FOUND and _absent is not None:
                        return _absent
                    if response.status not in _SUCCESS:
                        raise _refused(operation, response.status, await self._message(response))
                    body = await _read(response, DOCUMENT_BYTES_MAX)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._no_answer(operation, error, TIMEOUT_S) from None
        document = _document(body)
        if document is None:
            document = _strange
        if document is None:
            raise InfluxDBError(operation, "the answer is no JSON object", _NOT_INFLUXDB)
        return document

    async def _message(self, response: aiohttp.ClientResponse) -> str:
        """What a refusal says; never the token."""
        body = await _read(response, MESSAGE_BYTES_MAX)
        answer = answer_of(response.status, response.headers, body, now_ns=0, elapsed_ms=0)
        secret = self._token.get_secret_value() if self._token else ""
        return answer.message.replace(secret, "***") if secret else answer.message

    def _no_answer(self, operation: str, error: Exception, timeout_s: int) -> InfluxDBError:
        late = isinstance(error, TimeoutError)
        reason = f"no answer within {timeout_s} s" if late else str(error) or type(error).__name__
        return InfluxDBError(
            operation,
            f"{self._url}: {reason}",
            "does InfluxDB run there, and is influxdb.url right?",
        )


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The answer's body, cut at the bound; what is left then closes the connection."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) >= bytes_max:
            break
    return bytes(body[:bytes_max])


def _refused(operation: str, status: int, message: str) -> InfluxDBError:
    return InfluxDBError(operation, f"{status} {shortened(message)}", _HINTS.get(status, ""))


def _document(body: bytes) -> Document | None:
    """A JSON object; {} for an empty body, None for anything else."""
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _rules(retention_s: int) -> list[Document]:
    # No rule at all would leave an existing bucket as it is.
    return [{"type": "expire", "everySeconds": retention_s}]


def _bucket(found: Document) -> Bucket:
    rules = found.get("retentionRules") or [{}]
    return Bucket(found["id"], found["name"], int(rules[0].get("everySeconds", 0)))


def _task(found: Document) -> Task:
    failed = found.get("lastRunStatus") == "failed"
    return Task(
        id=found["id"],
        name=found["name"],
        flux=found["flux"],
        active=found.get("status") == "active",
        last_error=shortened(found.get("lastRunError") or "no reason given") if failed else "",
    )


def _authorization(found: Document) -> Authorization:
    return Authorization(
        id=found["id"],
        description=found.get("description", ""),
        active=found.get("status") == "active",
        permissions=frozenset(
            Permission(each["action"], each["resource"]["type"], each["resource"].get("id"))
            for each in found.get("permissions", ())
        ),
        token=SecretStr(found["token"]) if found.get("token") else None,
    )


def _resource(permission: Permission, org_id: str) -> Document:
    resource = {"type": permission.kind, "orgID": org_id}
    return resource if permission.id is None else {**resource, "id": permission.id}
