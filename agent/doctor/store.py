"""The checks of one store that speaks InfluxDB's v2 API; every configured one gets them.

The agent's token may only write. What has to be read is read with the first token that may:
`--token-file`, the agent's own, or Grafana's, which `perpflux bootstrap` puts beside it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.bootstrap import rollup_task
from agent.clock import NS_PER_S, SYSTEM_CLOCK, Clock, parse_rfc3339_ns
from agent.config import NatsSink, StoreSink, TokenSource
from agent.doctor.finding import Check, Finding, fail, ok, skip, warn
from agent.errors import ConfigError, InfluxDBError, PerpfluxError
from agent.fates import Park
from agent.influx import TokenSource as Token
from agent.influx_api import Bucket, InfluxApi, Task
from agent.journal import Desk
from agent.preflight import conflicts
from agent.queries.recipe import literal_of
from agent.readback import read_back
from agent.secret_files import read_secret
from agent.stores import destination

GRAFANA_TOKEN: Final = "grafana_token"  # noqa: S105  # a file's name
REACH_S: Final = 6.0
READ_BACK_S: Final = 3600
SETTLE_S: Final = 60
"""What is younger may still be on its way into InfluxDB's indexes."""
READ_BACK_LIMIT_S: Final = 30.0
ROLLUP_LATE_S: Final = 300
"""The rollup's newest minute lies so far behind the raw points at most."""
LOOK_BACK: Final = "-1h"
SHOWN_MAX: Final = 3
"""Of many conflicts so many are named."""
OTHERS_MODE: Final = 0o004
"""The file is readable by everybody."""
_NOT_INFLUXDB: Final = "it does not say that it is InfluxDB; only writing is looked at"
_NO_READER: Final = "no token here may read the bucket"
_READER_ADVICE: Final = "--token-file names one that may, such as Grafana's"


@dataclass(frozen=True, slots=True)
class _Reader:
    """A token that may read the bucket."""

    token: SecretStr
    bucket: Bucket


@dataclass(slots=True)
class Store:
    """One store to look at.

    Args:
        name: its name as a sink; begins the names of the checks.
        sink: its name in the journal.
        store: where it is.
        token: the agent's.
        journal: the journal's file, its size and the age (s) it keeps.
        token_file: a token that may read; None = look for one.
    """

    name: str
    sink: str
    store: StoreSink
    token: Token
    journal: Path
    bytes_max: int
    age_max_s: int
    token_file: Path | None = None
    clock: Clock = SYSTEM_CLOCK
    _version: str = field(default="", init=False)
    _found: _Reader | None = field(default=None, init=False)

    def checks(self) -> list[Check]:
        """What is looked at, in the order of the report."""
        reached, bucket = f"{self.name}.reached", f"{self.name}.bucket"
        token = f"{self.name}.token"
        return [
            Check(token, self.token_found),
            Check(reached, self.reached, (), REACH_S, f"does InfluxDB run at {self.store.url}?"),
            Check(f"{self.name}.write", self.may_write, (token, reached)),
            Check(bucket, self.bucket, (reached,)),
            Check(f"{self.name}.types", self.types, (bucket,)),
            Check(f"{self.name}.rollup", self.rollup, (bucket,)),
            Check(
                f"{self.name}.readback", self.readback, (bucket, "journal.file"), READ_BACK_LIMIT_S
            ),
            Check(f"{self.name}.dashboards", self.dashboards, (reached,)),
        ]

    async def token_found(self) -> Finding:
        """Where the agent's token comes from."""
        if not isinstance(self.token, TokenSource):
            return ok("none is configured, none is sent")
        place, _ = await asyncio.to_thread(self.token.find)
        path = self.store.token_file
        if path is not None and path.exists() and path.stat().st_mode & OTHERS_MODE:
            return warn(f"{place}, which every user may read", f"`chmod 600 {path}`")
        return ok(f"from {place}")

    async def reached(self) -> Finding:
        """Whether a healthy server answers, and which."""
        async with InfluxApi(str(self.store.url), None) as api:
            self._version = await api.version()
        if not self._version:
            return warn(
                f"{self.store.url} answers, but does not say that it is InfluxDB",
                "if it is no other store on purpose, put the url right",
            )
        return ok(f"{self.store.url} is InfluxDB {self._version}, ready")

    async def may_write(self) -> Finding:
        """An empty body: token, organisation, bucket and permission are checked, nothing stored."""
        return await may_write(self.store, self.token)

    async def bucket(self) -> Finding:
        """Whether the bucket keeps points at least as long as the journal does."""
        if not self._version:
            return skip(_NOT_INFLUXDB)
        reader = self._found = await self._reader()
        if reader is None:
            return skip(_NO_READER, _READER_ADVICE)
        kept_s = reader.bucket.retention_s
        text = f"{reader.bucket.name} keeps points {_duration(kept_s) if kept_s else 'for ever'}"
        if kept_s and kept_s < self.age_max_s:
            return warn(
                f"{text}, the journal {_duration(self.age_max_s)}: of a long backlog the older "
                "part would be refused",
                "`perpflux bootstrap --retention` raises it",
            )
        return ok(f"{text}, the journal {_duration(self.age_max_s)}")

    async def types(self) -> Finding:
        """Whether the fields in the bucket have the types they are written with."""
        async with self._api() as api:
            found = await conflicts(api, self.store.org, self.store.bucket)
        if found:
            more = f" and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
            return fail(
                "; ".join(map(str, found[:SHOWN_MAX])) + more,
                "such points are refused: use another bucket, or delete what is of the other type; "
                "then `perpflux rejected replay --all`",
            )
        return ok("the fields in the bucket have the types they are written with")

    async def rollup(self) -> Finding:
        """Whether the one-minute bucket is kept up: by its task where that can be seen."""
        name, text = rollup_task(self.store.bucket, f"{self.store.bucket}_1m")
        async with self._api() as api:
            org_id = await api.find_org(self.store.org)
            if org_id is not None:
                task = await api.find_task(org_id, name)
                if trouble := _task_trouble(name, text, task):
                    return trouble
            said = "" if org_id else " (to see the task itself takes an operator token)"
            return await self._rollup_by_data(api, said)

    async def _rollup_by_data(self, api: InfluxApi, said: str) -> Finding:
        """Whether the newest minute is not far behind the newest raw point."""
        raw, rollup = self.store.bucket, f"{self.store.bucket}_1m"
        if await api.visible_bucket(self.store.org, rollup) is None:
            return warn(f"no bucket {rollup} to be seen", "`perpflux bootstrap` makes it")
        raw_ns, rolled_ns = await self._newest_ns(api, raw), await self._newest_ns(api, rollup)
        if raw_ns is None:
            return ok(f"{rollup} is there; no points in the last hour to judge by{said}")
        if rolled_ns is None:  # perhaps the raw points themselves have only begun
            rolled_ns = await self._end_ns(api, raw, "first") or raw_ns
        behind_s = max(0, raw_ns - rolled_ns) // NS_PER_S
        if behind_s > ROLLUP_LATE_S:
            return warn(
                f"{rollup} is {behind_s} s or more behind {raw}{said}",
                "look at the task in InfluxDB; `perpflux bootstrap` makes it anew where it is gone",
            )
        return ok(f"{rollup} is {behind_s} s behind {raw}{said}")

    async def readback(self) -> Finding:
        """Whether what was acknowledged in the last hour is there."""
        if not await asyncio.to_thread(self._is_known):
            return skip("the journal has not shipped to it yet")
        now_ns = self.clock.now_ns()
        async with self._api() as api:
            found = await read_back(
                api,
                self.store.org,
                self.store.bucket,
                journal=self.journal,
                sink=self.sink,
                since_ns=now_ns - READ_BACK_S * NS_PER_S,
                until_ns=now_ns - SETTLE_S * NS_PER_S,
            )
        if not found.points:
            return skip("no whole five minutes of the last hour are acknowledged yet")
        text = f"{found.points} points acknowledged in the last hour"
        if found.missing:
            return fail(
                f"{text}, {found.missing} of them missing, such as {found.gaps[0]}",
                "`perpflux backlog --verify` names them, `perpflux replay` sends them again",
            )
        return ok(f"{text}, all there")

    async def dashboards(self) -> Finding:
        """Whether Grafana's token gets what the dashboards ask for."""
        if not self._version:
            return skip(_NOT_INFLUXDB)
        token = await asyncio.to_thread(self._grafana_token)
        if token is None:
            return skip(
                "no token of Grafana's found",
                f"--token-file names it; `perpflux bootstrap` makes {GRAFANA_TOKEN}",
            )
        async with InfluxApi(str(self.store.url), token) as api:
            newest_ns = await self._newest_ns(api, self.store.bucket)
        if newest_ns is None:
            return warn(
                "the data source's query works, but finds no snapshot of the last hour",
                "dashboards are empty until the agent ships: see `perpflux backlog`",
            )
        age_s = max(0, self.clock.now_ns() - newest_ns) // NS_PER_S
        return ok(f"the data source's query works; the newest snapshot is {age_s} s old")

    def _api(self) -> InfluxApi:
        """The API with the token that may read; only after `bucket`."""
        assert self._found is not None, "bucket was looked at before"
        return InfluxApi(str(self.store.url), self._found.token)

    async def _reader(self) -> _Reader | None:
        """The first token that may read the bucket. Raises what the last one met."""
        trouble: InfluxDBError | None = None
        for token in await asyncio.to_thread(self._tokens):
            try:
                async with InfluxApi(str(self.store.url), token) as api:
                    bucket = await api.visible_bucket(self.store.org, self.store.bucket)
            except InfluxDBError as error:
                trouble = error
                continue
            if bucket is not None:
                return _Reader(token, bucket)
            trouble = None
        if trouble is not None:
            raise trouble
        return None

    def _tokens(self) -> list[SecretStr]:
        """Those that may be able to read, likely ones first."""
        found = [self._grafana_token()]
        with suppress(ConfigError):  # the check of the token says it
            found.append(self.token.read())
        return [token for token in found if token is not None]

    def _grafana_token(self) -> SecretStr | None:
        """That of --token-file, else Grafana's beside the agent's; None = there is none."""
        if self.token_file is not None:
            return read_secret(self.token_file)
        beside = self.store.token_file
        try:
            return None if beside is None else read_secret(beside.with_name(GRAFANA_TOKEN))
        except PerpfluxError:  # Grafana's alone
            return None

    def _is_known(self) -> bool:
        """Whether the journal has a cursor for it."""
        if not self.journal.exists():
            return False
        with Desk(self.journal, bytes_max=self.bytes_max) as desk:
            return self.sink in desk.sinks()

    async def _newest_ns(self, api: InfluxApi, bucket: str) -> int | None:
        """The newest snapshot of the last hour, ns since the epoch; None = there is none."""
        return await self._end_ns(api, bucket, "last")

    async def _end_ns(self, api: InfluxApi, bucket: str, end: str) -> int | None:
        """The "first" or the "last" snapshot of the last hour, ns; None = there is none."""
        stamps = [
            parse_rfc3339_ns(row.as_dict()["_time"])
            async for row in api.rows(self.store.org, end_flux(bucket, end))
        ]
        known = [each for each in stamps if each is not None]
        return (min if end == "first" else max)(known, default=None)


async def may_write(store: StoreSink | NatsSink, token: Token) -> Finding:
    """Whether a delivery would be welcome now; nothing is stored by asking."""
    to = destination(store, token)
    try:
        trouble = await to.doubt()
    finally:
        await to.close()
    where = (
        f"bucket {store.bucket} of org {store.org}"
        if isinstance(store, StoreSink)
        else f"subject {store.subject} of stream {store.stream}"
    )
    if trouble is None:
        return ok(f"points may be written to {where}")
    if isinstance(trouble, Park):
        return fail(f"nothing can be written to {where}: {trouble.reason}", trouble.hint)
    return fail(
        f"no write to {where} now: {trouble.reason}",
        "the agent tries again by itself; see the store's own log if it stays",
    )


def _task_trouble(name: str, text: str, task: Task | None) -> Finding | None:
    """What is wrong with the rollup task; None = nothing. Pure."""
    if task is None:
        return warn(f"there is no task {name!r}", "`perpflux bootstrap` makes it")
    if not task.active:
        return warn(f"task {name!r} is switched off", "switch it on in InfluxDB")
    if task.last_error:
        return fail(f"task {name!r} failed: {task.last_error}", "see the task in InfluxDB")
    if task.flux != text:
        return warn(
            f"task {name!r} has another text than this version's",
            "`perpflux bootstrap` brings it up to date",
        )
    return None


def end_flux(bucket: str, end: str) -> str:
    """Asks for the "first" or "last" slot of each source, much as the dashboards do."""
    return (
        f"from(bucket: {literal_of('text', bucket)})\n"
        f"  |> range(start: {LOOK_BACK})\n"
        '  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "lag_ms")\n'
        '  |> group(columns: ["source"])\n'
        f'  |> {end}(column: "_time")\n'
        '  |> keep(columns: ["source", "_time"])\n'
    )


def _duration(length_s: int) -> str:
    """A duration in the largest unit that goes into it, such as "30 d"."""
    units = (("d", 86_400), ("h", 3600), ("min", 60))
    fits = [(name, unit_s) for name, unit_s in units if length_s % unit_s == 0]
    name, unit_s = fits[0] if fits else ("s", 1)
    return f"{length_s // unit_s} {name}"
