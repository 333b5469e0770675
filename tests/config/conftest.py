"""Loading a configuration from text, with an environment of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from agent.config import Loaded, load
from agent.errors import EXIT_CONFIG, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class LoadText(Protocol):
    """Loads `text` as the file, under `environ` and a HOME."""

    def __call__(self, text: str = "", **environ: str) -> Loaded:
        """Raises ConfigError as `load` does."""


class Problems(Protocol):
    """The lines of the ConfigError that loading `text` under `environ` raises."""

    def __call__(self, text: str = "", **environ: str) -> list[str]:
        """Without the path of the file's folder."""


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """A loader that writes the text to a file of its own."""

    def run(text: str = "", **environ: str) -> Loaded:
        path = tmp_path / "perpflux.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ={"HOME": "/home/me", **environ})

    return run


@pytest.fixture
def problems(load_text: LoadText, tmp_path: Path) -> Problems:
    """A loader that must fail, with exit code 78."""

    def run(text: str = "", **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, **environ)
        assert caught.value.exit_code == EXIT_CONFIG
        assert caught.value.operation == "read configuration"
        return caught.value.subject.replace(f"{tmp_path}/", "").split("\n")

    return run
