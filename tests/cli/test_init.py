"""`perpflux init`: at most four questions, a file that is right, nothing overwritten."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.config import load


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PERPFLUX_CONFIG", "INFLUXDB_V2_TOKEN", "INFLUXDB_V2_URL"):
        monkeypatch.delenv(name, raising=False)


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """What is typed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_yes_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The defaults, every key commented; `check` is content, and the next steps are named."""
    assert main(["init", "--yes"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for step in ("perpflux check", "perpflux doctor", "perpflux run"):
        assert step in captured.out
    assert main(["check"]) == 0
    loaded = load(Path("perpflux.toml"))
    assert loaded.config.tickers == ("BTC", "ETH")
    assert loaded.config.influxdb is None


def test_an_answer_that_is_no_text_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that a terminal of another encoding sent."""
    answers(monkeypatch, "BTC\udcff", "BTC", "", "")
    assert main(["init"]) == 0
    assert "that is not in UTF-8" in capsys.readouterr().err
    assert load(Path("perpflux.toml")).config.tickers == ("BTC",)


def test_a_folder_is_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named on the command line or by the variable, and whatever --force says."""
    assert main(["init", "--yes", "--force", "--config", "."]) == 2
    monkeypatch.setenv("PERPFLUX_CONFIG", str(tmp_path))
    assert main(["init", "--yes", "--force"]) == 2
    assert "is a folder (name a file with --config)" in capsys.readouterr().err


def test_four_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tickers, venues, InfluxDB and its token, which goes into a file of its own."""
    answers(monkeypatch, "BTC SOL", "bybit", "http://127.0.0.1:8086", "secret-token")
    assert main(["init"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count(": ") == 4
    assert "secret-token" not in captured.out + captured.err
    assert main(["check"]) == 0
    config = load(Path("perpflux.toml")).config
    assert (config.tickers, config.data_sources) == (("BTC", "SOL"), ("bybit",))
    assert config.influxdb is not None
    assert config.influxdb.token_file == tmp_path / "influx_token"
    assert (tmp_path / "influx_token").read_text(encoding="ascii") == "secret-token\n"
    assert (tmp_path / "influx_token").stat().st_mode & 0o777 == 0o600


def test_without_a_token_the_file_is_right_and_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store is left out for now: `bootstrap` makes token and section."""
    answers(monkeypatch, "all", "", "http://127.0.0.1:8086", "")
    assert main(["init", "--config", "my folder/x.toml"]) == 0
    out = capsys.readouterr().out
    assert "INFLUXDB_V2_URL=http://127.0.0.1:8086 perpflux bootstrap" in out
    assert "--config 'my folder/x.toml'" in out
    assert main(["check", "--config", "my folder/x.toml"]) == 0
    config = load(Path("my folder/x.toml")).config
    assert (config.tickers, config.influxdb) == ("all", None)


def test_a_token_that_is_there_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one in its file, which is kept, nor one of the environment."""
    Path("influx_token").write_text("old\n", encoding="ascii")
    answers(monkeypatch, "", "", "http://127.0.0.1:8086")
    assert main(["init"]) == 0
    assert main(["check"]) == 0
    assert Path("influx_token").read_text(encoding="ascii") == "old\n"
    Path("influx_token").unlink()
    monkeypatch.setenv("INFLUXDB_V2_TOKEN", "variable")
    answers(monkeypatch, "", "", "http://127.0.0.1:8086", "")
    assert main(["init", "--force"]) == 0
    assert main(["check"]) == 0
    assert load(Path("perpflux.toml")).config.influxdb is not None


def test_a_wrong_answer_is_explained_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said as `check` says it, without the name of a file that is not there yet."""
    answers(monkeypatch, "B$C", "BTC", "foo", "bybit", "localhost", "")
    assert main(["init"]) == 0
    said = capsys.readouterr().err
    assert 'data_sources[0] is "foo"; allowed: list of variational and bybit' in said
    assert 'influxdb.url is "localhost"; allowed: http:// or https://' in said
    assert load(Path("perpflux.toml")).config.tickers == ("BTC",)


def test_what_is_there_is_never_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    """--force is asking; without it the exit code is 2 and the file as it was."""
    Path("perpflux.toml").write_text("# mine\n", encoding="utf-8")
    assert main(["init", "--yes"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("perpflux.toml").read_text(encoding="utf-8") == "# mine\n"
    assert main(["init", "--yes", "--force"]) == 0
    assert main(["check"]) == 0


def test_with_nobody_to_answer_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The input ends, or nothing usable comes: the way out is named."""
    answers(monkeypatch, "BTC")
    assert main(["init"]) == 2
    assert "--yes" in capsys.readouterr().err
    answers(monkeypatch, *["B$C"] * 9)
    assert main(["init"]) == 2
    assert not Path("perpflux.toml").exists()


def test_a_place_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One line with a hint."""
    Path("file").write_text("", encoding="ascii")
    assert main(["init", "--yes", "--config", "file/x.toml"]) == 1
    assert "cannot be written" in capsys.readouterr().err
