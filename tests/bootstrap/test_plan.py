"""What bootstrap would change, without any InfluxDB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.bootstrap import (
    RETENTION_S,
    ROLLUP_RETENTION_S,
    CreateBucket,
    CreateOrg,
    Found,
    MakeToken,
    PutTask,
    SetRetention,
    TokenFile,
    Wanted,
    WriteToken,
    notes,
    plan,
    rollup_task,
)
from agent.errors import PerpfluxError
from agent.influx_api import Authorization, Bucket, Permission, Task

AGENT = TokenFile("agent", "write", ("perps",), Path("influx_token"))
GRAFANA = TokenFile("grafana", "read", ("perps", "perps_1m"), Path("grafana_token"), 0o640)
WANTED = Wanted("perps", "perps", "perps_1m", None, None, (AGENT, GRAFANA))
NAME, FLUX = rollup_task("perps", "perps_1m")
WRITE = Authorization(
    id="a",
    description=AGENT.description,
    active=True,
    permissions=frozenset({Permission("write", "buckets", "1")}),
    token=SecretStr("agent's"),
)
READ = Authorization(
    id="g",
    description=GRAFANA.description,
    active=True,
    permissions=frozenset(Permission("read", "buckets", each) for each in ("1", "2")),
    token=SecretStr("grafana's"),
)
DONE = Found(
    org_id="o",
    buckets={"perps": Bucket("1", "perps", 3600), "perps_1m": Bucket("2", "perps_1m", 0)},
    task=Task("t", NAME, FLUX, active=True),
    authorizations=(WRITE, READ),
    in_files=(SecretStr("agent's"), SecretStr("grafana's")),
)


def test_everything_is_made_in_an_empty_influxdb() -> None:
    """Org, buckets, task and tokens, in an order in which each can be done."""
    found = Found(None, {}, None, (), (None, None))
    assert plan(WANTED, found) == [
        CreateOrg("perps"),
        CreateBucket("perps", RETENTION_S),
        CreateBucket("perps_1m", ROLLUP_RETENTION_S),
        PutTask(None, NAME, FLUX),
        MakeToken(AGENT, ()),
        MakeToken(GRAFANA, ()),
    ]


def test_nothing_is_changed_that_is_right() -> None:
    """A second run changes nothing; a retention that was chosen otherwise is kept."""
    assert plan(WANTED, DONE) == []


def test_retention_changes_only_when_asked_for() -> None:
    """Another retention is set on an existing bucket only when it is given."""
    asked = replace(WANTED, retention_s=7200, rollup_retention_s=0)
    assert plan(asked, DONE) == [SetRetention(DONE.buckets["perps"], 7200)]
    assert str(plan(asked, DONE)[0]) == "bucket perps: keep points 2 hours instead of 1 hours"


def test_a_task_with_another_text_is_updated() -> None:
    """An older rollup is replaced by the one that comes with the package, under its id."""
    found = replace(DONE, task=Task("t", NAME, "older", active=True))
    assert plan(WANTED, found) == [PutTask("t", NAME, FLUX)]


def test_a_task_that_is_off_stays_off_and_is_named() -> None:
    """Whoever switched the rollup off had a reason; bootstrap says so and changes nothing."""
    found = replace(DONE, task=Task("t", NAME, FLUX, active=False))
    assert plan(WANTED, found) == []
    assert [NAME in note for note in notes(found)] == [True]
    assert list(notes(DONE)) == []


def test_a_lost_file_gets_the_token_that_is_there() -> None:
    """InfluxDB still shows the token: it is written again, and no second one is made."""
    found = replace(DONE, in_files=(None, SecretStr("grafana's")))
    assert plan(WANTED, found) == [WriteToken(AGENT, SecretStr("agent's"))]


def test_a_token_of_another_influxdb_is_replaced() -> None:
    """What the file holds is worth nothing here."""
    found = replace(DONE, in_files=(SecretStr("of a former server"), SecretStr("grafana's")))
    assert plan(WANTED, found) == [WriteToken(AGENT, SecretStr("agent's"))]


def test_a_token_with_too_many_rights_is_revoked_and_replaced() -> None:
    """The agent's token may write to its bucket and nothing else."""
    both = WRITE.permissions | {Permission("read", "buckets", "1")}
    wide = replace(WRITE, permissions=both)
    found = replace(DONE, authorizations=(wide, READ))
    assert plan(WANTED, found) == [MakeToken(AGENT, (wide,))]


def test_a_token_that_was_switched_off_is_left_and_another_made() -> None:
    """An inactive token is somebody's decision: it is neither used nor revoked."""
    off = replace(WRITE, active=False)
    assert plan(WANTED, replace(DONE, authorizations=(off, READ))) == [MakeToken(AGENT, ())]


def test_where_tokens_are_hidden_a_file_is_trusted_and_a_lost_one_is_made_anew() -> None:
    """Servers that keep only hashes show no token: a new one stands in for the lost one."""
    hidden = replace(WRITE, token=None)
    found = replace(DONE, authorizations=(hidden, READ))
    assert plan(WANTED, found) == []
    lost = replace(found, in_files=(None, SecretStr("grafana's")))
    assert plan(WANTED, lost) == [MakeToken(AGENT, (hidden,))]


def test_somebody_elses_token_is_not_overwritten() -> None:
    """A file with another token of this very server is left, and named."""
    operator = replace(WRITE, id="op", description="admin's token", token=SecretStr("op"))
    found = replace(DONE, authorizations=(operator, WRITE, READ), in_files=(SecretStr("op"), None))
    with pytest.raises(PerpfluxError, match=r"influx_token holds another token.*move it away"):
        plan(WANTED, found)


def test_two_buckets_in_one_org_have_tasks_of_their_own() -> None:
    """The task's name has the bucket in it; its text reads and writes the right ones, quoted."""
    name, flux = rollup_task('a"b', 'a"b_1m')
    assert name == 'perpflux rollup 1m: a"b'
    assert 'bucket = "a\\"b"' in flux
    assert 'rollup = "a\\"b_1m"' in flux
    assert 'name: "perpflux rollup 1m: a\\"b"' in flux
    assert rollup_task("perps", "perps_1m")[0] == "perpflux rollup 1m"


def test_no_change_shows_a_token() -> None:
    """What is printed, and what a traceback would show, holds no secret."""
    for change in (WriteToken(AGENT, SecretStr("agent's")), MakeToken(AGENT, (WRITE,))):
        assert "agent's" not in f"{change} {change!r}"
