"""docs/operations.md is true: its commands run, its tables name what there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.service.machine import Machine, wait_until
from tests.service.test_package import CONFIG, TOKEN, UNIT, configuration, exported

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
BY_HAND = "by hand: "
EDITOR = "by hand: an editor"
BLOCK = re.compile(r"^```sh ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text below a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_commands_of_the_guide_run(fresh: Machine, deb: Path) -> None:
    """From the installation to the second instance, in the guide's order, each succeeds."""
    shutil.copy(deb, fresh.root / "srv" / deb.name)
    with fresh.stand() as stand:
        for note, commands in BLOCK.findall(GUIDE):
            if note == EDITOR:
                store = f'token_file = "{TOKEN}"'
                listen = '[http]\nlisten = "127.0.0.1:9477"\n'
                fresh.write(CONFIG, configuration(stand, store=store, more=listen))
            if note:
                assert note.startswith(BY_HAND), note
                continue
            script = f"cd /srv\n{commands}"
            fresh.run("env", "TOKEN=secret", "bash", "-euo", "pipefail", "-c", script)
            if "apt-get" not in commands:
                wait_until(lambda: fresh.show(UNIT, "ActiveState") in {"active", "inactive"}, "it")
        assert fresh.show(UNIT, "ActiveState") == "active"
        assert "/srv/perpflux-journal" in fresh.run("cat", "/proc/self/mountinfo").out
        before = exported(fresh)
        wait_until(lambda: exported(fresh) > before, "points in the moved journal")
        # The moved journal is waited for at boot.
        assert "/var/lib/private/perpflux" in fresh.show(UNIT, "RequiresMountsFor").split()


def test_no_command_hides_in_another_kind_of_block() -> None:
    """Every fenced block is one that the test above sees."""
    assert GUIDE.count("```") == 2 * len(BLOCK.findall(GUIDE))


def test_every_alert_is_explained() -> None:
    """The table of alerts has the rules that Grafana is given, each once."""
    rules = (ROOT / "deploy/grafana/provisioning/alerting/perps-rules.yaml").read_text("utf-8")
    titles = re.findall(r'^\s+title: "?([^"\n]+)"?$', rules, re.MULTILINE)
    rows = re.findall(r"^\| ([A-Z][^|]+?) \|", section("Alerts"), re.MULTILINE)
    assert sorted(rows) == sorted(titles)
    assert len(titles) > 1


def test_every_event_in_the_guide_is_logged_somewhere() -> None:
    """The table of events names what the program says; every warning and error is in it."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "agent").rglob("*.py"))
    names = re.findall(r"^\| (`.*?) \|", section("Read the logs"), re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(names)))
    assert told
    for event in told:
        assert f'"{event}"' in code, event
    logged = set(re.findall(r'\blog\.(?:warning|error)\(\s*"(\w+)"', code))
    assert logged - told <= {"config_warning"}
