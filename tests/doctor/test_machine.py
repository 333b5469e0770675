"""What the doctor says of the machine: journal, disk, credential, running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.clock import NS_PER_S
from agent.config import load
from agent.doctor import Finding, State, checks_of, examine, machine
from agent.doctor.machine import Machine, credential
from agent.entries import event_entry
from agent.journal import Journal
from tests.support.clock import START_NS, FakeClock


async def findings(folder: Path, **settings: str) -> dict[str, Finding]:
    """What is found on this machine, by the check's name."""
    environ = {"STATE_DIRECTORY": str(folder), "PERPFLUX_HTTP__LISTEN": "", **settings}
    checks = Machine(load(environ=environ).config, FakeClock(START_NS)).checks()
    return {name: found async for name, found in examine(checks)}


async def make_journal(folder: Path) -> Path:
    """A journal with one record, of a minute ago."""
    path = folder / "perpflux.db"
    journal = await Journal.open(
        path, bytes_max=2**30, age_max_s=604_800, clock=FakeClock(START_NS)
    )
    stamp_ns = START_NS - 60 * NS_PER_S
    await journal.append([event_entry("test", "text", source="x", host="h", stamp_ns=stamp_ns)])
    await journal.close()
    return path


async def test_before_the_first_start(tmp_path: Path) -> None:
    """There is nothing yet, and nothing stands in the way."""
    found = await findings(tmp_path)
    assert found["journal.file"].state is State.OK
    assert "not made yet" in found["journal.file"].text
    assert found["journal.ledger"].state is State.SKIP
    assert found["agent.running"].state is State.SKIP


async def test_a_whole_journal(tmp_path: Path) -> None:
    """Its size, its reach and its ledger; the file is not changed by looking."""
    path = await make_journal(tmp_path)
    before = path.read_bytes()
    found = await findings(tmp_path)
    assert found["journal.file"].state is State.OK
    assert "1 minutes of history" in found["journal.file"].text
    assert "0 collected = 0 stored + 0 rejected + 0 evicted + 0 pending" in (
        found["journal.ledger"].text
    )
    assert path.read_bytes() == before


async def test_a_damaged_journal(tmp_path: Path) -> None:
    """It fails with what the agent will do; the file is left as it is."""
    path = await make_journal(tmp_path)
    path.write_bytes(b"\0nonsense " * 1000)
    found = await findings(tmp_path)
    assert found["journal.file"].state is State.FAIL
    assert "sets the file aside" in found["journal.file"].advice
    assert found["journal.ledger"].state is State.SKIP
    assert path.read_bytes().startswith(b"\0nonsense")


async def test_a_journal_that_cannot_be_made(tmp_path: Path) -> None:
    """Its folder would have to lie in a file."""
    (tmp_path / "file").write_text("", encoding="ascii")
    found = await findings(tmp_path / "file" / "below")
    assert found["journal.file"].state is State.FAIL
    assert "journal.path" in found["journal.file"].advice


async def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the journal's bound; less is warned about; below the floor nothing is taken."""
    assert (await findings(tmp_path, PERPFLUX_JOURNAL__BYTES_MAX="1048576"))[
        "journal.disk"
    ].state is State.OK
    large = {"PERPFLUX_JOURNAL__BYTES_MAX": str(1 << 50)}
    assert (await findings(tmp_path, **large))["journal.disk"].state is State.WARN
    monkeypatch.setattr(machine, "shortage", lambda _: "1 KiB free of the 64 KiB left to others")
    found = (await findings(tmp_path))["journal.disk"]
    assert (found.state, found.advice) == (State.FAIL, "make room on that disk")


def test_the_credential_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a shell: whether the file is there that the unit names; in the service: ours."""
    assert credential((tmp_path / "none",)).state is State.SKIP
    unit = tmp_path / "perpflux.service"
    unit.write_text(f"LoadCredential=influx_token:{tmp_path}/%N_token\n", encoding="ascii")
    assert credential((unit,)).state is State.WARN
    (tmp_path / "perpflux_token").write_text("secret\n", encoding="ascii")
    assert credential((unit,)) == (State.OK, f"the service gets {tmp_path}/perpflux_token", "")

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credential((unit,)).state is State.FAIL
    (tmp_path / "influx_token").write_text("secret\n", encoding="ascii")
    assert credential(()).state is State.OK


@pytest.mark.parametrize(
    ("state", "error", "expected"),
    [
        ("ok", None, State.OK),
        ("ok", "no answer", State.WARN),
        ("degraded", None, State.WARN),
        ("failing", None, State.FAIL),
    ],
)
async def test_a_running_agent_says_how_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    error: str | None,
    expected: State,
) -> None:
    """Its own state, the sources that fail and why shipping waits, in one line."""
    status: dict[str, Any] = {
        "version": "1",
        "uptime_s": 5,
        "state": state,
        "sources": {"bybit": {"state": "failing", "last_error": "no route"}},
        "shipping": {"state": "backing off", "last_error": error},
    }
    monkeypatch.setattr(machine, "running_status", lambda _: status)
    found = (await findings(tmp_path))["agent.running"]
    assert found.state is expected
    assert "bybit: no route" in found.text
    assert ("shipping backing off: no answer" in found.text) is (error is not None)


def test_every_configured_store_is_looked_at(tmp_path: Path) -> None:
    """Each store has the same checks under its own name; without InfluxDB one line says so."""
    environ = {"STATE_DIRECTORY": str(tmp_path)}
    names = [check.name for check in checks_of(load(environ=environ))]
    assert names[0] == "configuration"
    assert names[-1] == "influxdb"
    environ |= {
        "PERPFLUX_INFLUXDB__URL": "http://127.0.0.1:9",
        "PERPFLUX_SINKS": '{"cloud": {"url": "http://127.0.0.1:9"}, "stream": {"nats_url": '
        '"nats://127.0.0.1", "stream": "s", "subject": "s"}}',
    }
    names = [check.name for check in checks_of(load(environ=environ))]
    assert len(names) == len(set(names))
    assert {"influxdb.write", "sinks.cloud.write", "sinks.stream.write"} <= set(names)
    assert "influxdb" not in names
