"""`perpflux check` says what would be done with each store, and reads the secrets they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.main import main

SINKS = """
[sinks.cloud]
url = "http://cloud:8086"
bucket = "raw"
[sinks.stream]
nats_url = "nats://one:4222, nats://two:4222"
stream = "perps"
subject = "perps.points"
credentials_file = "{folder}/secret"
[journal]
path = "{folder}/journal.db"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a store and a stream besides."""
    path = tmp_path / "perpflux.toml"
    path.write_text(SINKS.format(folder=tmp_path), encoding="utf-8")
    return path


def test_every_store_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is, and what it takes."""
    (config.parent / "secret").write_text("t0ken\n", encoding="utf-8")
    assert main(["check", "--config", str(config)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "store          cloud: http://cloud:8086, org perps, bucket raw" in said
    stream = "nats://one:4222,nats://two:4222, stream perps, perps.points.SOURCE.main"
    assert f"store          stream: {stream}, credentials found" in said


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("two words", "holds neither .creds")]
)
def test_credentials_that_cannot_be_used_are_bad_configuration(
    config: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78, with the key and the file; what is in it is not shown."""
    if text is not None:
        (config.parent / "secret").write_text(text, encoding="utf-8")
    assert main(["check", "--config", str(config)]) == 78
    said = capsys.readouterr().err
    assert f"sinks.stream.credentials_file {config.parent / 'secret'}" in said
    assert words in said
    assert "two words" not in said
