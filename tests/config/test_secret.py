"""The token: found anew at each use, in one of three places, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.config import TokenSource
from agent.config.secret import TOKEN_BYTES_MAX
from agent.errors import EXIT_CONFIG, ConfigError

if TYPE_CHECKING:
    from tests.config.conftest import LoadText


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """What systemd would give as $CREDENTIALS_DIRECTORY."""
    path = tmp_path / "credentials"
    path.mkdir()
    return path


def test_first_found(tmp_path: Path, credentials: Path) -> None:
    """token_file goes before the credential, that before the variable; each is read anew."""
    file, credential = tmp_path / "token", credentials / "influx_token"
    source = TokenSource(
        file, {"CREDENTIALS_DIRECTORY": str(credentials), "INFLUXDB_V2_TOKEN": "three"}
    )
    assert source.read().get_secret_value() == "three"
    credential.write_text("two\n")
    assert source.read().get_secret_value() == "two"
    file.write_text(" one\r\n")
    assert source.read().get_secret_value() == "one"
    file.write_text("rotated")
    assert source.read().get_secret_value() == "rotated"


def test_none(tmp_path: Path, credentials: Path) -> None:
    """Without any token the error names what was looked at, and the hint all three places."""
    source = TokenSource(
        tmp_path / "token",
        {"CREDENTIALS_DIRECTORY": str(credentials), "INFLUXDB_V2_TOKEN": ""},
    )
    with pytest.raises(ConfigError) as caught:
        source.read()
    assert caught.value.exit_code == EXIT_CONFIG
    assert f"token_file {tmp_path / 'token'} does not exist" in caught.value.subject
    assert f"{credentials / 'influx_token'} does not exist" in caught.value.subject
    for place in ("influxdb.token_file", "influx_token", "INFLUXDB_V2_TOKEN"):
        assert place in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"geheim geheim", "holds white space"),
        (b"geheim\ngeheim", "holds white space"),
        (b"geheim\x00", "holds white space"),
        ("geheimé".encode(), "holds white space"),
        (b"geheim" * 1000, f"is larger than {TOKEN_BYTES_MAX} bytes"),
    ],
)
def test_unusable(credentials: Path, raw: bytes, reason: str) -> None:
    """A file that cannot be a token is refused without a word of it, and no other is taken."""
    path = credentials / "influx_token"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        TokenSource(path, {"INFLUXDB_V2_TOKEN": "other"}).read()
    # The test's folder is named after its parameters.
    assert reason in str(caught.value)
    assert "geheim" not in str(caught.value).replace(str(path), "")


@pytest.mark.parametrize("text", ["geheim geheim", "geheim\udcff", "geheim" * 1000])
def test_unusable_variable(text: str) -> None:
    """The variable is held to the same rules as the files."""
    with pytest.raises(ConfigError, match="INFLUXDB_V2_TOKEN") as caught:
        TokenSource(None, {"INFLUXDB_V2_TOKEN": text}).read()
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "environ", "hint"),
    [(True, {}, "that file"), (True, {"X": ""}, "LoadCredential"), (False, {}, "LoadCredential")],
)
def test_none_at_all(tmp_path: Path, named: bool, environ: dict[str, str], hint: str) -> None:  # noqa: FBT001
    """Where only one file may have it, that file is named; else every place that is looked at."""
    with pytest.raises(ConfigError, match="no token found") as caught:
        TokenSource(tmp_path / "none" if named else None, environ).read()
    assert hint in caught.value.hint


def test_largest(tmp_path: Path) -> None:
    """A file of just the bound is read."""
    path = tmp_path / "token"
    path.write_text("t" * TOKEN_BYTES_MAX)
    assert len(TokenSource(path, {}).read().get_secret_value()) == TOKEN_BYTES_MAX


def test_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forbidden file is told plainly, and no other token is taken in silence."""

    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(ConfigError, match="may not be read by the user perpflux runs as"):
        TokenSource(tmp_path / "token", {"INFLUXDB_V2_TOKEN": "other"}).read()


def test_directory(tmp_path: Path) -> None:
    """A directory is no token file."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        TokenSource(tmp_path, {}).read()


def test_never_shown(load_text: LoadText) -> None:
    """Neither the token nor the environment it lies in stands in any representation."""
    loaded = load_text(INFLUXDB_V2_URL="http://h", INFLUXDB_V2_TOKEN="geheim")
    assert loaded.token is not None
    token = loaded.token.read()
    assert token.get_secret_value() == "geheim"
    assert "geheim" not in f"{loaded!r} {loaded} {token!r} {token}"


def test_source_of_the_file(load_text: LoadText, tmp_path: Path) -> None:
    """`load` hands over the token's source with the configured file."""
    path = tmp_path / "token"
    path.write_text("t")
    token = load_text(f'[influxdb]\ntoken_file = "{path}"\n').token
    assert token is not None
    assert token.read().get_secret_value() == "t"
