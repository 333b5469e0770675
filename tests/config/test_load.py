"""Finding the file, reading it, and telling all that is wrong at once."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.config import Config, Loaded, known_keys, load
from agent.config.load import FILE_BYTES_MAX
from agent.config.problems import PROBLEMS_MAX
from agent.errors import ConfigError

if TYPE_CHECKING:
    from tests.config.conftest import LoadText, Problems

# The package gives the name `load` to the function.
LOAD_MODULE = importlib.import_module("agent.config.load")
HOME = {"HOME": "/home/me"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Stand-ins for ./perpflux.toml and /etc/perpflux/perpflux.toml, neither there yet."""
    here, etc = tmp_path / "here.toml", tmp_path / "etc" / "perpflux.toml"
    monkeypatch.setattr(LOAD_MODULE, "SEARCHED", (here, etc))
    return here, etc


def write(path: Path, interval_s: int) -> Path:
    """A file that is known again by its interval."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[bybit]\npoll_interval_s = {interval_s}\n", encoding="utf-8")
    return path


def test_search_order(tmp_path: Path, places: tuple[Path, Path]) -> None:
    """--config, $PERPFLUX_CONFIG, ./perpflux.toml, /etc/perpflux/perpflux.toml, defaults."""
    here, etc = places

    def found(path: Path | None = None, **environ: str) -> tuple[Path | None, int]:
        loaded = load(path, environ=HOME | environ)
        return loaded.file, loaded.config.bybit.poll_interval_s

    assert found() == (None, 1)
    assert found(PERPFLUX_CONFIG="") == (None, 1)
    write(etc, 2)
    assert found() == (etc, 2)
    write(here, 3)
    assert found() == (here, 3)
    named = write(tmp_path / "named.toml", 4)
    assert found(PERPFLUX_CONFIG=str(named)) == (named, 4)
    argument = write(tmp_path / "argument.toml", 5)
    assert found(argument, PERPFLUX_CONFIG=str(named)) == (argument, 5)


def test_searched_places() -> None:
    """The search looks where the contract says."""
    assert (Path("perpflux.toml"), Path("/etc/perpflux/perpflux.toml")) == LOAD_MODULE.SEARCHED


def test_process_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `environ` the process's environment counts."""
    monkeypatch.setenv("PERPFLUX_BYBIT__POLL_INTERVAL_S", "9")
    monkeypatch.setenv("PERPFLUX_JOURNAL__PATH", "j.db")
    assert load(write(tmp_path / "c.toml", 4)).config.bybit.poll_interval_s == 9


def test_nothing_but_the_given_environment(
    load_text: LoadText, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `environ` the process's environment does not count, even where a library reads it."""
    monkeypatch.setenv("PERPFLUX_BYBIT__POLL_INTERVAL_S", "9")
    monkeypatch.setenv("PERPFLUX_NONSENSE", "9")
    assert load_text(PERPFLUX_LOG__LEVEL="error").config.bybit.poll_interval_s == 1


@pytest.mark.parametrize("by_argument", [True, False])
def test_named_file_is_missing(tmp_path: Path, *, by_argument: bool) -> None:
    """A file that is named must be there; the error says who named it."""
    path = tmp_path / "none.toml"
    argument, environ = (path, HOME) if by_argument else (None, {"PERPFLUX_CONFIG": str(path)})
    with pytest.raises(ConfigError) as caught:
        load(argument, environ=HOME | environ)
    name = "--config" if by_argument else "PERPFLUX_CONFIG"
    assert caught.value.subject.startswith(f"{path}: does not exist, but {name} names it")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"a = [\n1\n", ", line 3, column 1: is not valid TOML: Unclosed array"),
        (b"tickers = all", ", line 1, column 11: is not valid TOML: Invalid value"),
        (b"a = 1\r\nb = \xff", ", line 2: is not UTF-8; save it as UTF-8"),
        (b"#" * (FILE_BYTES_MAX + 1), ": is larger than 1048576 bytes"),
        (b"a = " + b"[" * 100_000, ": has a number too long or is nested too deep"),
        (b"a = " + b"1" * 5000, ": has a number too long or is nested too deep"),
    ],
)
def test_unusable_file(tmp_path: Path, raw: bytes, line: str) -> None:
    """An unusable file is told by name and, where there is one, line and column."""
    path = tmp_path / "c.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load(path, environ=HOME)
    assert caught.value.subject == f"{path}{line}"


def test_unreadable_file(tmp_path: Path) -> None:
    """What the system says about a file that cannot be read is passed on."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ=HOME)
    assert caught.value.subject.startswith(f"{tmp_path}: cannot be read: Is a directory;")


def test_forbidden_file_of_the_search(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the search that is there but forbidden is an error: no silent other choice."""

    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(ConfigError, match=f"{places[0]}: cannot be read: Permission denied"):
        load(environ=HOME)


@pytest.mark.parametrize("name", ["a\0b", "~nobody-here/c.toml", "x" * 5000])
def test_strange_names(name: str) -> None:
    """No name of a file breaks the loader."""
    with pytest.raises(ConfigError):
        load(environ=HOME | {"PERPFLUX_CONFIG": name})


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file that begins with a byte order mark is read as if it had none."""
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbftickers = ['SOL']\r\n")
    assert load(path, environ=HOME).config.tickers == ("SOL",)


def test_all_problems_at_once(problems: Problems) -> None:
    """Every problem of file and environment is told in one go, one a line, each with its place."""
    lines = problems(
        "[variational]\npoll_interval_s = 0\n[bybit]\ntimeout = 5\n[influx]\nurl = 'x'\n",
        PERPFLUX_LOG__LEVEL="loud",
        PERPFLUX_FOO="1",
    )
    assert [line.split(";")[0] for line in lines] == [
        "PERPFLUX_FOO: not known",
        "perpflux.toml: variational.poll_interval_s is 0",
        "perpflux.toml: bybit.timeout is not known",
        'PERPFLUX_LOG__LEVEL: log.level is "loud"',
        "perpflux.toml: influx is not known",
    ]


def test_broken_file_and_environment(problems: Problems) -> None:
    """Where the file is broken the variables are still judged, but nothing that it may hold."""
    lines = problems(
        "[bybit", PERPFLUX_LOG__LEVEL="loud", PERPFLUX_SINKS__CLOUD__ORG="o", PERPFLUX_FOO="1"
    )
    assert [line.split(";")[0].split(",")[0] for line in lines] == [
        "perpflux.toml",
        "PERPFLUX_FOO: not known",
        'PERPFLUX_LOG__LEVEL: log.level is "loud"',
    ]


def test_many_problems(problems: Problems) -> None:
    """The number of lines is bounded; the rest is counted."""
    lines = problems("".join(f"k{n} = 1\n" for n in range(PROBLEMS_MAX + 7)))
    assert len(lines) == PROBLEMS_MAX + 1
    assert lines[-1] == "and 7 more problems"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[bybit]\npoll_interval = 1", "bybit.poll_interval_s"),
        ("[variational]\ntimeouts = 1", "variational.timeout_s"),
        ("poll_interval_s = 1", "bybit.poll_interval_s"),
        ("[influx]\nurl = 'x'", "influxdb"),
        ("Tickers = []", "tickers"),
        (f"[http]\n{'listen' * 1000} = 1", ""),
        ('"" = 1', ""),
        ('"a.b" = 1', ""),
    ],
)
def test_unknown_key(problems: Problems, text: str, near: str) -> None:
    """An unknown key is an error that names the nearest known one, first of its own section."""
    (line,) = problems(text)
    assert " is not known; the nearest known key is " in line
    assert line.endswith(f" {near}") or not near
    assert len(line) < 200


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"STATE_DIRECTORY": "/var/lib/p"}, "/var/lib/p/perpflux.db"),
        ({"STATE_DIRECTORY": "/a:/b", "XDG_STATE_HOME": "/x"}, "/a/perpflux.db"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/perpflux/perpflux.db"),
        (
            {"XDG_STATE_HOME": "relative", "HOME": "/h"},
            "/h/.local/state/perpflux/perpflux.db",
        ),
        ({"HOME": "/h", "PERPFLUX_JOURNAL__PATH": ""}, "/h/.local/state/perpflux/perpflux.db"),
        ({"HOME": "/h", "PERPFLUX_JOURNAL__PATH": "j.db"}, "j.db"),
    ],
)
@pytest.mark.usefixtures("places")
def test_journal_path(environ: dict[str, str], path: str) -> None:
    """The journal lies in the state directory systemd gives, else in the user's state folder."""
    assert load(environ=environ).config.journal.path == Path(path)


@pytest.mark.usefixtures("places")
def test_no_journal_path() -> None:
    """Where nothing says where state belongs, nothing is guessed."""
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    assert caught.value.subject == (
        "defaults: journal.path has no default: STATE_DIRECTORY, XDG_STATE_HOME and HOME are all "
        "unset; allowed: path of a file"
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[variational]\npoll_interval_s = 19", "variational.poll_interval_s is 19: the venue"),
        (
            'tickers = "all"\n[bybit]\ndepth_tickers = ' + str([f"T{n}" for n in range(81)]),
            "bybit.depth_tickers",
        ),
        ('[http]\nlisten = "0.0.0.0:9477"', "http.listen is 0.0.0.0:9477: other machines"),
        ('[http]\nlisten = "somewhere:9477"', "http.listen is somewhere:9477: other machines"),
        ('tickers = ["ALL"]', "tickers names a ticker ALL"),
        ('tickers = ["BTC", "ETH", "btc"]', "tickers names BTC and btc: at bybit each is BTCUSDT"),
        (
            'tickers = ["SHIB", "KSHIB"]\n[bybit.symbols]\nKSHIB = "SHIBUSDT"',
            "tickers names SHIB and KSHIB: at bybit each is SHIBUSDT",
        ),
    ],
)
def test_warned(load_text: LoadText, text: str, warning: str) -> None:
    """What is allowed but unwise is warned about, not refused."""
    (found,) = load_text(text).warnings
    assert found.startswith(warning)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'data_sources = ["bybit"]\n[variational]\npoll_interval_s = 1',
        '[http]\nlisten = ""',
        '[http]\nlisten = "localhost:1"',
        '[http]\nlisten = "[::1]:1"',
    ],
)
def test_not_warned(load_text: LoadText, text: str) -> None:
    """No warning without a reason: defaults, loopback, sources that are not polled."""
    assert load_text(text).warnings == ()


def one_line_each(error: ConfigError) -> bool:
    """Whether each problem is one line that a terminal can show."""
    return all(line.isprintable() for line in str(error).split("\n"))


@pytest.mark.parametrize("key", sorted(known_keys()))
@settings(max_examples=15, deadline=None)
@given(text=st.text(max_size=40))
@example(text="null")
def test_any_variable(key: str, text: str) -> None:
    """No value of any variable makes `load` raise anything but ConfigError."""
    environ = HOME | {known_keys()[key].variable: text}
    try:
        assert isinstance(load(Path("/dev/null"), environ=environ), Loaded)
    except ConfigError as error:
        assert one_line_each(error)  # noqa: PT017 - it need not be raised


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(["SINKS", "BYBIT", "URL", "SYMBOLS", "_", "__", "___", "A"])
        | st.text(st.characters(exclude_characters="=\0"), max_size=5),
        max_size=6,
    )
)
def test_any_name(parts: list[str]) -> None:
    """No name of a variable makes `load` raise anything but ConfigError."""
    name = "PERPFLUX_" + "".join(parts)
    try:
        assert isinstance(load(Path("/dev/null"), environ=HOME | {name: "http://h"}), Loaded)
    except ConfigError as error:
        assert one_line_each(error)  # noqa: PT017 - it need not be raised


SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
TABLES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([part for key in known_keys() for part in key.split(".")]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(table=st.dictionaries(st.sampled_from(list(Config.model_fields)), TABLES, max_size=5))
def test_any_table(table: dict[str, object]) -> None:
    """No content of a file makes `load` raise anything but ConfigError, with printable lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LOAD_MODULE, "_read", lambda _: table)
        try:
            assert isinstance(load(Path("c.toml"), environ=HOME), Loaded)
        except ConfigError as error:
            assert one_line_each(error)  # noqa: PT017 - it need not be raised


@given(raw=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """No bytes in a file make `load` raise anything but ConfigError."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(raw)
    try:
        assert isinstance(load(path, environ=HOME), Loaded)
    except ConfigError as error:
        assert str(path) in str(error)  # noqa: PT017 - it need not be raised


@pytest.mark.slow
def test_import_is_lean() -> None:
    """Importing brings nothing else of the program, and the slow library only once it is needed."""
    code = (
        "import sys, agent.config; print(*sorted(m for m in sys.modules "
        "if m.startswith('agent') and not m.startswith('agent.config') "
        "or m == 'pydantic_settings'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == ["agent", "agent.errors"]
