"""Make InfluxDB ready for perpflux: org, buckets, rollup task and least-privilege tokens.

`look` says what is there, `plan` (pure) what has to change, `apply` changes it. What is right
already is not touched, so that it can be run at any time; what a person chose is kept: retention
changes only when it is asked for, a task that was switched off stays off.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import SecretStr

from agent.errors import PerpfluxError
from agent.influx_api import ADMIN, Authorization, Bucket, InfluxApi, Permission, Task
from agent.queries import parse_recipe, task_text
from agent.queries.recipe import literal_of
from agent.secret_files import read_secret, write_secret

TASK: Final = "rollup_1m"
DEFAULT_BUCKET: Final = "perps"
RETENTION_S: Final = 30 * 86_400
ROLLUP_RETENTION_S: Final = 2 * 365 * 86_400
"""What new buckets get when nothing is asked for: 30 days and two years."""
FOR_EVER: Final = 0
RETENTION_MIN_S: Final = 3600
"""InfluxDB takes no shorter retention."""
SECRET_BYTES: Final = 48
"""Randomness in a password or token made here."""
OWNER_ONLY: Final = 0o600

__all__ = ["ADMIN", "Change", "Found", "TokenFile", "Wanted", "apply", "look", "notes", "plan"]

_TASK_NAME: Final = re.compile(r'(?<=name: )"([^"\\]+)"')


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token that is wanted, and the file it goes into.

    Attributes:
        owner: whom it is for; part of the token's description in InfluxDB.
        action: read or write.
        buckets: names of the buckets it may do that with; it may do nothing else.
        path: the file.
        mode: the file's, such as 0o600.
    """

    owner: str
    action: str
    buckets: tuple[str, ...]
    path: Path
    mode: int = OWNER_ONLY

    @property
    def description(self) -> str:
        """How the token is called in InfluxDB; by this it is found again."""
        return f"perpflux {self.owner}: {self.action} {', '.join(self.buckets)}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What there shall be. A retention is in seconds; 0 = for ever, None = not asked for."""

    org: str
    bucket: str
    rollup: str
    retention_s: int | None
    rollup_retention_s: int | None
    tokens: tuple[TokenFile, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What is there.

    Attributes:
        org_id: None = no such organisation, and so nothing else.
        buckets: by name.
        task: the rollup task of this name; None = there is none.
        authorizations: records of every token in the organisation.
        in_files: what the files of the wanted tokens hold, in their order; None = nothing.
    """

    org_id: str | None
    buckets: dict[str, Bucket]
    task: Task | None
    authorizations: tuple[Authorization, ...]
    in_files: tuple[SecretStr | None, ...]


@dataclass(frozen=True, slots=True)
class CreateOrg:
    """A new organisation."""

    name: str

    def __str__(self) -> str:
        return f"create org {self.name}"


@dataclass(frozen=True, slots=True)
class CreateBucket:
    """A new bucket."""

    name: str
    retention_s: int

    def __str__(self) -> str:
        return f"create bucket {self.name}, points kept {_words(self.retention_s)}"


@dataclass(frozen=True, slots=True)
class SetRetention:
    """Another retention for a bucket that is there."""

    bucket: Bucket
    retention_s: int

    def __str__(self) -> str:
        before, after = _words(self.bucket.retention_s), _words(self.retention_s)
        return f"bucket {self.bucket.name}: keep points {after} instead of {before}"


@dataclass(frozen=True, slots=True)
class PutTask:
    """The rollup task, new (`task_id` None) or with another text."""

    task_id: str | None
    name: str
    flux: str

    def __str__(self) -> str:
        return f"{'create' if self.task_id is None else 'update'} task {self.name!r}"


@dataclass(frozen=True, slots=True)
class MakeToken:
    """A new token into its file; `revoked` are records of ours that it stands in for."""

    token: TokenFile
    revoked: tuple[Authorization, ...]

    def __str__(self) -> str:
        instead = " (one with other rights or a lost text is revoked)" if self.revoked else ""
        return f"create token {self.token.description!r} -> {self.token.path}{instead}"


@dataclass(frozen=True, slots=True)
class WriteToken:
    """A token that is there already, into its file."""

    token: TokenFile
    secret: SecretStr

    def __str__(self) -> str:
        return f"write token {self.token.description!r} -> {self.token.path}"


Change: TypeAlias = CreateOrg | CreateBucket | SetRetention | PutTask | MakeToken | WriteToken


def rollup_task(bucket: str, rollup: str) -> tuple[str, str]:
    """Name and text of the rollup task for these buckets."""
    text = parse_recipe(TASK, task_text(TASK)).filled({"bucket": bucket, "rollup": rollup})
    match = _TASK_NAME.search(text)
    assert match is not None, "the task's text has a name"
    name = match[1] if bucket == DEFAULT_BUCKET else f"{match[1]}: {bucket}"
    return name, text[: match.start()] + (literal_of("text", name) or "") + text[match.end() :]


async def look(api: InfluxApi, wanted: Wanted) -> Found:
    """What is there. Raises InfluxDBError, PerpfluxError for a token file that cannot be read."""
    in_files = tuple(read_secret(token.path) for token in wanted.tokens)
    org_id = await api.find_org(wanted.org)
    if org_id is None:
        return Found(None, {}, None, (), in_files)
    found = [await api.find_bucket(org_id, name) for name in (wanted.bucket, wanted.rollup)]
    task = await api.find_task(org_id, rollup_task(wanted.bucket, wanted.rollup)[0])
    return Found(
        org_id=org_id,
        buckets={bucket.name: bucket for bucket in found if bucket is not None},
        task=task,
        authorizations=tuple(await api.authorizations(org_id)),
        in_files=in_files,
    )


def plan(wanted: Wanted, found: Found) -> list[Change]:
    """What has to change, in the order in which it can be done. Pure.

    Raises:
        PerpfluxError: a token file holds a token of somebody else's.
    """
    changes: list[Change] = []
    if found.org_id is None:
        changes.append(CreateOrg(wanted.org))
    for name, asked_s, default_s in (
        (wanted.bucket, wanted.retention_s, RETENTION_S),
        (wanted.rollup, wanted.rollup_retention_s, ROLLUP_RETENTION_S),
    ):
        bucket = found.buckets.get(name)
        if bucket is None:
            changes.append(CreateBucket(name, default_s if asked_s is None else asked_s))
        elif asked_s is not None and asked_s != bucket.retention_s:
            changes.append(SetRetention(bucket, asked_s))
    name, flux = rollup_task(wanted.bucket, wanted.rollup)
    if found.task is None:
        changes.append(PutTask(None, name, flux))
    elif found.task.flux != flux:
        changes.append(PutTask(found.task.id, name, flux))
    for token, in_file in zip(wanted.tokens, found.in_files, strict=True):
        changes.extend(_token_changes(token, in_file, found))
    return changes


def notes(found: Found) -> Iterator[str]:
    """What is not as it should be and is left to the operator."""
    if found.task is not None and not found.task.active:
        yield f"task {found.task.name!r} is switched off in InfluxDB: the rollup stands still"


def _token_changes(
    token: TokenFile, in_file: SecretStr | None, found: Found
) -> Iterator[MakeToken | WriteToken]:
    ours = [each for each in found.authorizations if each.description == token.description]
    if in_file is not None and any(
        each.token == in_file for each in found.authorizations if each not in ours
    ):
        raise PerpfluxError(
            "bootstrap",
            f"{token.path} holds another token of this InfluxDB, which is not {token.owner}'s",
            "move it away, or name another file",
        )
    rights = _rights(token, found.buckets)
    active = [each for each in ours if each.active]
    right = [each for each in active if each.permissions == rights]
    if any(_is_in_file(each, in_file) for each in right):
        return
    shown = next((each.token for each in right if each.token is not None), None)
    if shown is not None:
        yield WriteToken(token, shown)
    else:
        yield MakeToken(token, tuple(active))


def _is_in_file(authorization: Authorization, in_file: SecretStr | None) -> bool:
    """Whether the file holds this token; where InfluxDB hides tokens, whether it holds any."""
    return in_file is not None and authorization.token in {None, in_file}


def _rights(token: TokenFile, buckets: dict[str, Bucket]) -> frozenset[Permission] | None:
    """The token's permissions; None = a bucket is not there yet."""
    if not set(token.buckets) <= set(buckets):
        return None
    return frozenset(
        Permission(token.action, "buckets", buckets[name].id) for name in token.buckets
    )


async def apply(api: InfluxApi, found: Found, changes: Sequence[Change]) -> AsyncIterator[Change]:
    """Make the changes; each is given back when it is done. Raises PerpfluxError."""
    org_id, buckets = found.org_id or "", dict(found.buckets)
    for change in changes:
        match change:
            case CreateOrg(name):
                org_id = await api.create_org(name)
            case CreateBucket(name, retention_s):
                buckets[name] = await api.create_bucket(org_id, name, retention_s)
            case SetRetention(bucket, retention_s):
                await api.set_retention(bucket.id, retention_s)
            case PutTask(None, _, flux):
                await api.create_task(org_id, flux)
            case PutTask(str(task_id), _, flux):
                await api.update_task(task_id, flux)
            case WriteToken(token, secret):
                write_secret(token.path, secret, token.mode)
            case MakeToken(token, revoked):
                rights = _rights(token, buckets)
                assert rights is not None, "buckets come before tokens"
                secret = await api.create_authorization(org_id, token.description, rights)
                write_secret(token.path, secret, token.mode)
                for each in revoked:
                    await api.delete_authorization(each.id)
        yield change


async def set_up(url: str, wanted: Wanted, operator: Path, password: Path) -> bool:
    """Make a new server's first user and operator token, each into its file; False = it has one.

    The files are written first: what was cut off in between is taken up again.
    """
    async with InfluxApi(url, None) as api:
        if not await api.setup_allowed():
            return False
        made = []
        for path in (operator, password):
            secret = read_secret(path) or SecretStr(secrets.token_urlsafe(SECRET_BYTES))
            write_secret(path, secret, OWNER_ONLY)
            made.append(secret)
        retention_s = RETENTION_S if wanted.retention_s is None else wanted.retention_s
        await api.set_up(
            org=wanted.org,
            bucket=wanted.bucket,
            retention_s=retention_s,
            token=made[0],
            password=made[1],
        )
    return True


def _words(retention_s: int) -> str:
    """A retention as people say it."""
    if not retention_s:
        return "for ever"
    for unit, length_s in (("days", 86_400), ("hours", 3600)):
        if retention_s % length_s == 0:
            return f"{retention_s // length_s} {unit}"
    return f"{retention_s} s"
