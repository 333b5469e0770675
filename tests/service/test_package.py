"""The Debian package under a real systemd: install, run, break, reload, upgrade, remove."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import DEB, build
from tests.service.machine import Machine, Stand, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

UNIT = "perpflux"
CONFIG = "/etc/perpflux/perpflux.toml"
TOKEN = "/etc/perpflux/influx_token"
BLOCKER = """
import signal, time
def block_the_loop(*_):
    while True:
        time.sleep(1)
signal.signal(signal.SIGUSR1, block_the_loop)
"""


@pytest.fixture
def stand(machine: Machine) -> Iterator[Stand]:
    """Venues and a store beside the service."""
    with machine.stand() as made:
        yield made


def configuration(stand: Stand, *, store: str = "", more: str = "") -> str:
    """One source, polled every second, and a store."""
    return (
        'data_sources = ["bybit"]\n'
        f'[bybit]\napi_base = "{stand.venues}"\npoll_interval_s = 1\n'
        f'[influxdb]\nurl = "{stand.influxdb}"\n{store}\n'
        '[journal]\npath = "/var/lib/perpflux/perpflux.db"\n'
        f"{more}"
    )


def start(machine: Machine, stand: Stand, *, token: str = "secret\n") -> None:
    """Write what an operator writes, and start the service."""
    machine.write(CONFIG, configuration(stand, store=f'token_file = "{TOKEN}"'))
    machine.write(TOKEN, token, 0o600)
    machine.run("systemctl", "enable", "--now", UNIT)


def status(machine: Machine) -> dict[str, Any]:
    """The `/status` document; the ledger law holds in it."""
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9477/status').read().decode())"
    document: dict[str, Any] = json.loads(machine.run("/usr/bin/python3", "-c", script).out)
    ledger = dict(document["ledger"])
    assert ledger.pop("collected") == sum(ledger.values())
    return document


def exported(machine: Machine) -> set[tuple[str, tuple[tuple[str, str], ...], int]]:
    """Identity of every snapshot in the service's journal, as the operator's command prints it."""
    lines = machine.run(
        "perpflux", "export", "--format", "lp", "--measurement", "snapshot"
    ).out.splitlines()
    found = set()
    for line in lines:
        key, _, stamp = line.split(" ")
        name, *tags = key.split(",")
        pairs = (tag.split("=", 1) for tag in tags)
        found.add((name, tuple(sorted((key, value) for key, value in pairs)), int(stamp)))
    return found


def wait_for_points(stand: Stand, more_than: int = 0) -> None:
    """Until the store has more points."""
    wait_until(lambda: len(stand.points()) > more_than, "points in the store")


def test_installing_changes_nothing_but_files(installed: Machine) -> None:
    """Not started, not enabled; a token file for root alone, command, man page and completion."""
    machine = installed
    assert machine.show(UNIT, "UnitFileState") == "disabled"
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("stat", "-c", "%a %U %s", TOKEN).out == "600 root 0\n"
    assert machine.run("stat", "-c", "%a", "/etc/perpflux").out == "755\n"
    assert machine.run("perpflux", "--version").out.startswith("perpflux ")
    page = machine.run("man", "--locale=C", "perpflux").out
    assert "perpflux export" in page
    assert "/etc/perpflux/influx_token" in page
    completion = ". /usr/share/bash-completion/completions/perpflux; COMP_WORDS=(perpflux ex); "
    completion += 'COMP_CWORD=1; _perpflux; echo "${COMPREPLY[@]}"'
    assert machine.run("bash", "-c", completion).out == "export\n"
    for name in ("zsh/vendor-completions/_perpflux", "fish/vendor_completions.d/perpflux.fish"):
        shell = "zsh" if "zsh" in name else "fish"
        printed = machine.run("perpflux", "completion", shell).out
        assert machine.run("cat", f"/usr/share/{name}").out == printed
    assert machine.run("dpkg", "--verify", "perpflux").out == ""
    conffiles = machine.run("dpkg-query", "-W", "-f", "${Conffiles}", "perpflux").out
    assert re.findall(r"/\S+", conffiles) == [CONFIG, "/etc/default/perpflux"]


def test_the_unit_is_right_and_exposed_by_1_2_at_most(installed: Machine) -> None:
    """systemd-analyze has nothing to say of it, but for keys that older systemd does not know."""
    machine = installed
    version = int(machine.run("systemctl", "--version").out.split()[1])
    for name in ("perpflux.service", "perpflux@.service"):
        path = f"/usr/lib/systemd/system/{name}"
        said = machine.run("systemd-analyze", "verify", path).err.splitlines()
        if version < 254:
            said = [line for line in said if not re.search("Unknown key 'Restart(Steps|Max)", line)]
        assert said == []
    for unit in ("perpflux.service", "perpflux@second.service"):
        told = machine.run("systemd-analyze", "security", "--no-pager", unit).out
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", told)
        assert exposure is not None
        assert float(exposure[1]) <= 1.2


def test_points_arrive_and_a_stop_is_quick(machine: Machine, stand: Stand) -> None:
    """Token, configuration, `enable --now`: ready, points in the store, its state in one line."""
    start(machine, stand)
    assert machine.show(UNIT, "ActiveState") == "active"
    wait_for_points(stand)
    line = wait_until(
        lambda: re.search(r"^ok; bybit .*InfluxDB", machine.show(UNIT, "StatusText")), "a status"
    )
    assert "points wait" in line.string
    journal = machine.journal(UNIT)
    assert "loops_stalled" not in journal
    assert "secret" not in journal
    # Its own user, and nobody else reads the journal.
    assert machine.run("stat", "-c", "%a %U", "/var/lib/private/perpflux").out == "700 perpflux\n"
    mounts = machine.run("cat", f"/proc/{machine.show(UNIT, 'MainPID')}/mountinfo").out
    assert re.search(r" /var/lib/private/perpflux \S*noexec", mounts)
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(UNIT, "Result") == "success"
    assert machine.show(UNIT, "ExecMainStatus") == "0"
    left_us = int(machine.show(UNIT, "InactiveEnterTimestampMonotonic"))
    stopped_us = int(machine.show(UNIT, "ActiveExitTimestampMonotonic"))
    assert left_us - stopped_us < 5_000_000
    assert exported(machine) <= stand.points()


def test_after_kill_9_it_starts_again_and_nothing_is_lost(machine: Machine, stand: Stand) -> None:
    """What was taken while the store was down, before and after the kill, arrives in it."""
    start(machine, stand)
    wait_for_points(stand)
    stand.set_down(down=True)
    before = len(exported(machine))
    wait_until(lambda: len(exported(machine)) > before, "points in the journal")
    killed = machine.show(UNIT, "MainPID")
    machine.run("systemctl", "kill", "-s", "KILL", UNIT)
    wait_until(lambda: machine.show(UNIT, "NRestarts") == "1", "a restart")
    wait_until(lambda: machine.show(UNIT, "ActiveState") == "active", "active again")
    assert machine.show(UNIT, "MainPID") != killed
    taken = exported(machine)
    wait_until(lambda: len(exported(machine)) > len(taken), "points after the restart")
    stand.set_down(down=False)
    wait_until(lambda: status(machine)["ledger"]["pending"] == 0, "an empty backlog")
    machine.run("systemctl", "stop", UNIT)
    assert len(taken) > before
    assert taken < exported(machine) <= stand.points()


def watch_closely(machine: Machine, watchdog_s: int) -> None:
    """Shorten the watchdog, and with it the status line's age."""
    text = f"[Service]\nWatchdogSec={watchdog_s}s\n"
    machine.write(f"/etc/systemd/system/{UNIT}.service.d/short.conf", text)
    machine.run("systemctl", "daemon-reload")


def test_a_blocked_loop_leaves_a_traceback_and_starts_again(machine: Machine, stand: Stand) -> None:
    """The event loop hangs: the watchdog aborts it, a traceback names the line, it starts anew."""
    packages = machine.shell("echo /opt/perpflux/lib/python3.*/site-packages").out.split()
    for folder in packages:
        machine.write(f"{folder}/blocker.py", BLOCKER)
        machine.write(f"{folder}/blocker.pth", "import blocker\n")
    watch_closely(machine, 2)
    start(machine, stand)
    wait_for_points(stand)
    machine.run("systemctl", "kill", "-s", "USR1", "--kill-whom=main", UNIT)
    machine.wait_for_journal(UNIT, "Watchdog timeout")
    machine.wait_for_journal(UNIT, "Fatal Python error: Aborted")
    machine.wait_for_journal(UNIT, "blocker.py.* in block_the_loop")
    wait_until(lambda: machine.show(UNIT, "NRestarts") == "1", "a restart")
    wait_for_points(stand, len(stand.points()))


def test_without_a_token_it_collects_and_says_so(machine: Machine, stand: Stand) -> None:
    """No token file: one plain warning, no restart, nothing lost; it ships once there is one."""
    machine.write(CONFIG, configuration(stand))
    machine.run("rm", TOKEN)
    watch_closely(machine, 3)
    machine.run("systemctl", "start", UNIT)
    said = machine.wait_for_journal(UNIT, "shipping_down")
    assert "influx_token is empty" in said
    assert '"level": "warning"' in said
    wait_until(lambda: len(exported(machine)) >= 2, "points in the journal")
    assert "is empty" in wait_until(
        lambda: "parked" in (text := machine.show(UNIT, "StatusText")) and text, "a status"
    )
    assert machine.show(UNIT, "NRestarts") == "0"
    collected = exported(machine)
    machine.shell(f"echo secret > {TOKEN}; systemctl restart {UNIT}")
    wait_until(lambda: collected <= stand.points(), "what was collected before")


def test_a_bad_configuration_stays_failed_with_its_reason(machine: Machine, stand: Stand) -> None:
    """Exit code 78: no restart; `systemctl status` tells file, key and what is allowed."""
    machine.write(CONFIG, configuration(stand).replace("_s = 1", "_s = 0"))
    assert machine.run("systemctl", "start", UNIT, check=False).code != 0
    assert machine.show(UNIT, "ActiveState") == "failed"
    assert machine.show(UNIT, "ExecMainStatus") == "78"
    told = machine.run("systemctl", "status", "--no-pager", "--full", UNIT, check=False).out
    reason = f"{CONFIG}: bybit.poll_interval_s is 0; allowed: whole seconds, 1 to 3600"
    assert told.count(reason) == 2  # as its status, and in the log
    assert machine.show(UNIT, "NRestarts") == "0"
    assert "Traceback" not in told


def test_a_reload_applies_the_good_and_refuses_the_bad(machine: Machine, stand: Stand) -> None:
    """Bad: `systemctl reload` fails, the reason is in the log, the agent goes on. Good: applied."""
    start(machine, stand)
    wait_for_points(stand)
    process = machine.show(UNIT, "MainPID")
    machine.write(CONFIG, machine.run("cat", CONFIG).out.replace("_s = 1", "_s = 0"))
    assert machine.run("systemctl", "reload", UNIT, check=False).code != 0
    machine.wait_for_journal(UNIT, "bybit.poll_interval_s is 0")
    assert machine.show(UNIT, "ActiveState") == "active"
    wait_for_points(stand, len(stand.points()))

    machine.write(CONFIG, machine.run("cat", CONFIG).out.replace("_s = 0", "_s = 2"))
    machine.run("systemctl", "reload", UNIT)
    changed = machine.wait_for_journal(UNIT, "config_changed")
    assert '"key": "bybit.poll_interval_s", "before": "1", "after": "2"' in changed
    wait_for_points(stand, len(stand.points()))
    assert machine.show(UNIT, "MainPID") == process
    assert machine.show(UNIT, "ActiveState") == "active"


def repacked(deb: Path, folder: Path, version: str) -> Path:
    """The same package under another version."""
    tree = folder / version
    subprocess.run(("dpkg-deb", "-R", str(deb), str(tree)), check=True)
    control = tree / "DEBIAN/control"
    text = re.sub("(?m)^Version: .*$", f"Version: {version}", control.read_text(encoding="utf-8"))
    control.write_text(text, encoding="utf-8")
    made = folder / f"{version}.deb"
    subprocess.run(("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, made), check=True)
    shutil.rmtree(tree)
    return made


def test_upgrade_and_downgrade_keep_configuration_and_journal(
    machine: Machine, stand: Stand, deb: Path, tmp_path: Path
) -> None:
    """In place, while it runs: the edited files and the journal stay, the process is a new one."""
    start(machine, stand)
    wait_for_points(stand)
    edited = machine.run("cat", CONFIG, TOKEN).out
    newer = "/srv/newer.deb"
    shutil.copy(repacked(deb, tmp_path, "999.0"), machine.root / newer.lstrip("/"))
    install = ("apt-get", "install", "-y", "-q", "--allow-downgrades")
    for path, version in ((newer, "999.0"), (DEB, "")):
        process, taken = machine.show(UNIT, "MainPID"), exported(machine)
        machine.run(*install, path)
        found = machine.run("dpkg-query", "-W", "-f", "${Version}", "perpflux").out
        assert (found == "999.0") is bool(version)
        assert machine.show(UNIT, "ActiveState") == "active"
        assert machine.show(UNIT, "MainPID") != process
        assert machine.show(UNIT, "UnitFileState") == "enabled"
        assert machine.run("cat", CONFIG, TOKEN).out == edited
        wait_until(lambda: exported(machine) > taken, "the old journal, and more")  # noqa: B023  # called within the turn
    assert machine.show(UNIT, "NRestarts") == "0"


def test_removal_keeps_the_data_and_purge_takes_it(machine: Machine, stand: Stand) -> None:
    """Remove: stopped, no program, but configuration and journal. Purge: nothing is left."""
    start(machine, stand)
    wait_for_points(stand)
    machine.run("apt-get", "remove", "-y", "-q", "perpflux")
    assert machine.show(UNIT, "LoadState") == "not-found"
    assert machine.run("pgrep", "-x", "perpflux", check=False).out == ""
    machine.shell(f"test ! -e /opt/perpflux; test ! -e /usr/bin/perpflux; test -s {TOKEN}")
    machine.shell(f"test -s {CONFIG}; test -s /var/lib/private/perpflux/perpflux.db")
    machine.run("apt-get", "purge", "-y", "-q", "perpflux")
    left = "find / -xdev -path '*perpflux*' -not -path '/proc/*' -not -path '/srv/*'"
    places = ("/etc", "/var/lib", "/opt", "/usr/bin", "/usr/lib/systemd", "/usr/share")
    found = machine.shell(left.replace("find /", f"find {' '.join(places)}")).out
    assert [line for line in found.splitlines() if "perpflux-test" not in line] == []


def test_a_second_instance_has_its_own_everything(machine: Machine, stand: Stand) -> None:
    """perpflux@NAME: configuration, token, state and user of its own, by the same unit text."""
    text = configuration(stand, more='[http]\nlisten = ""\n')
    machine.write(
        "/etc/perpflux@second/perpflux.toml", text.replace("lib/perpflux/", "lib/perpflux@second/")
    )
    machine.write("/etc/perpflux@second/influx_token", "secret\n", 0o600)
    machine.run("systemctl", "start", "perpflux@second")
    wait_for_points(stand)
    machine.run("test", "-s", "/var/lib/private/perpflux@second/perpflux.db")
    assert machine.show(UNIT, "ActiveState") == "inactive"
    machine.run("systemctl", "stop", "perpflux@second")


def test_two_builds_give_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    """Reproducible: neither time, nor folder, nor the file system's order is in the package."""
    del deb  # where it cannot be built, that says so

    def once(name: str) -> bytes:
        return build(tmp_path / name, "--pythons", "3.11").read_bytes()

    with ThreadPoolExecutor(2) as side_by_side:
        one, two = side_by_side.map(once, ("one", "two"))
    assert one == two


def test_the_package_depends_on_the_pythons_it_serves(deb: Path) -> None:
    """Debian 12 and 13, Ubuntu 24.04 and later: a site-packages for each, and nothing else's."""
    fields = subprocess.run(("dpkg-deb", "-f", deb), capture_output=True, text=True, check=True)
    assert "python3 (>= 3.11), python3 (<< 3.15~)" in fields.stdout
    listed = subprocess.run(("dpkg-deb", "-c", deb), capture_output=True, text=True, check=True)
    for version in ("3.11", "3.12", "3.13", "3.14"):
        packages = f"./opt/perpflux/lib/python{version}/site-packages"
        assert f" {packages}/agent/app.py" in listed.stdout
        tag = version.replace(".", "")
        assert re.search(rf"{packages}/pydantic_core/\S+cpython-{tag}-\S+\.so", listed.stdout)
    owners = {line.split()[1] for line in listed.stdout.splitlines()}
    assert owners == {"root/root"}
    assert "__pycache__" not in listed.stdout
    assert os.fspath(Path.cwd()) not in fields.stdout
