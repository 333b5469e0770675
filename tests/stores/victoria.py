"""A real VictoriaMetrics for the tests, on a loopback port of its own, and vmauth before it.

It keeps its files in a folder of the caller, can be killed and started again, and ends with the
process that started it.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tests.debian.package import program
from tests.influxd.server import free_port
from tests.support.child import end

PACKAGE: Final = "victoria-metrics"
START_S_MAX: Final = 30
STOP_S_MAX: Final = 10
REQUEST_S_MAX: Final = 30
POLL_EVERY_S: Final = 0.02
LOG_TAIL_CHARS: Final = 2_000
MEMORY_BYTES: Final = 256 * 2**20
WRITE: Final = "/api/v2/write?org=perps&bucket=perps&precision=ns"
ADVISED: Final = {"retentionPeriod": "100y", "dedup.minScrapeInterval": "1ms"}
"""The settings that docs/stores.md advises."""

# Never through a proxy of the environment.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    """An HTTP answer: its status and its body as text."""

    status: int
    body: str


class Series(NamedTuple):
    """A series with its samples: stamps in ms, values as the server writes them."""

    labels: Mapping[str, str]
    stamps_ms: tuple[int, ...]
    values: tuple[str, ...]


class _Process:
    """A program out of the package, with an HTTP address."""

    def __init__(self, name: str, log: Path, flags: Mapping[str, str]) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self._log = log
        self._command = [
            str(program(PACKAGE, name)),
            f"-httpListenAddr={address}",
            *(f"-{key}={value}" for key, value in flags.items()),
        ]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; returns when it answers."""
        with self._log.open("ab") as log:
            # It goes when we go, however that is.
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command], stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self._child.poll() is None, f"it ended:\n{self.log_tail()}"
            assert time.monotonic() < deadline_s, f"it does not start:\n{self.log_tail()}"
            time.sleep(POLL_EVERY_S)
        return self

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; the files stay."""
        if self._child is None:
            return
        end(self._child, how, STOP_S_MAX)
        self._child = None

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:]

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, a POST where there is a body."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with _opener.open(request, timeout=REQUEST_S_MAX) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def _answers(self) -> bool:
        try:
            return self.ask("/health").status == 200
        except OSError:
            return False


class Victoria(_Process):
    """A single-node VictoriaMetrics.

    Args:
        folder: takes its files.
        flags: its settings beside address, folder and memory.
    """

    def __init__(self, folder: Path, flags: Mapping[str, str] = ADVISED) -> None:
        bounds = {"memory.allowedBytes": str(MEMORY_BYTES), "loggerTimezone": "UTC"}
        data = {"storageDataPath": str(folder / "data")}
        super().__init__("victoria-metrics", folder / "log", {**data, **bounds, **flags})

    def write(self, *lines: str) -> Answer:
        """Send lines as they are."""
        return self.ask(WRITE, "".join(f"{line}\n" for line in lines).encode())

    def flush(self) -> None:
        """Make everything that was taken readable."""
        assert self.ask("/internal/force_flush").status == 200

    def series(self, selector: str) -> list[Series]:
        """Every sample of the chosen series."""
        self.flush()
        query = urllib.parse.urlencode({"match[]": selector})
        found = []
        for text in self.ask(f"/api/v1/export?{query}").body.splitlines():
            # Infinity is written in a way that is no JSON.
            quoted = re.sub(r"([\[,])([+-]Inf)", r'\1"\2"', text)
            document = json.loads(quoted, parse_float=str, parse_int=str)
            stamps_ms = tuple(map(int, document["timestamps"]))
            found.append(Series(document["metric"], stamps_ms, tuple(document["values"])))
        return found

    def query(self, text: str, **more: str) -> list[dict[str, Any]]:
        """What MetricsQL gives, at `time` or, with start, end and step, over a range."""
        path = "query_range" if "step" in more else "query"
        arguments = urllib.parse.urlencode({"query": text, **more})
        answer = self.ask(f"/api/v1/{path}?{arguments}")
        assert answer.status == 200, answer.body
        result: list[dict[str, Any]] = json.loads(answer.body)["data"]["result"]
        return result

    def counter(self, name: str) -> int:
        """One of its own metrics."""
        found = re.search(rf"^{re.escape(name)} (\d+)$", self.ask("/metrics").body, re.MULTILINE)
        assert found is not None, name
        return int(found[1])


@contextmanager
def victoria(folder: Path, flags: Mapping[str, str] = ADVISED) -> Iterator[Victoria]:
    """One that runs within the block. Raises NoProgramError."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Victoria(folder, flags)
    server.start()
    try:
        yield server
    finally:
        server.end()


@contextmanager
def vmauth(folder: Path, server: Victoria, token: str) -> Iterator[str]:
    """The URL of a vmauth that lets this token through to the server."""
    configuration = folder / "auth.yml"
    configuration.write_text(
        f'users:\n- bearer_token: "{token}"\n  url_prefix: "{server.url}"\n', encoding="utf-8"
    )
    proxy = _Process("vmauth", folder / "vmauth.log", {"auth.config": str(configuration)})
    proxy.start()
    try:
        yield proxy.url
    finally:
        proxy.end()
