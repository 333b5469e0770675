"""Real NATS servers for the tests: one, or a cluster of three, on loopback ports of their own.

They keep their files in a folder of the caller, can be killed and started again, and end with the
process that started them.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.debian.package import program
from tests.influxd.server import free_port
from tests.support.child import end

START_S_MAX: Final = 30
STOP_S_MAX: Final = 10
POLL_EVERY_S: Final = 0.05
LOG_TAIL_CHARS: Final = 2_000
CLUSTER_SIZE: Final = 3

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NatsServer:
    """One `nats-server` with JetStream.

    Args:
        folder: takes its files; made if need be.
        name: in its cluster, and of its log.
        settings: more lines of its configuration.
        jetstream: whether streams are there at all.
    """

    def __init__(
        self, folder: Path, name: str = "solo", settings: str = "", *, jetstream: bool = True
    ) -> None:
        self.name = name
        self.url = f"nats://127.0.0.1:{free_port()}"
        self._monitor = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._settings = settings
        self._jetstream = jetstream
        self._log = folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, more: str = "") -> None:
        """Start it, with more lines of configuration; `wait` says when it answers."""
        self._settings = more or self._settings
        self._folder.mkdir(parents=True, exist_ok=True)
        stores = (
            f'jetstream {{ store_dir: "{self._folder / self.name}", max_mem: 256M, max_file: 4G }}'
        )
        configuration = self._folder / f"{self.name}.conf"
        configuration.write_text(
            f"server_name: {self.name}\n"
            f"listen: {self.url.removeprefix('nats://')}\n"
            f"http: {self._monitor.removeprefix('http://')}\n"
            f"{stores if self._jetstream else ''}\n{self._settings}\n",
            encoding="utf-8",
        )
        command = [str(program("nats-server", "nats-server")), "--config", str(configuration)]
        with self._log.open("ab") as log:
            # It goes when we go, however that is.
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Until it answers and, in a cluster, has caught up with the others."""
        deadline_s = time.monotonic() + START_S_MAX
        while self._ask("healthz").get("status") != "ok":
            assert self.running, f"it ended:\n{self.log_tail()}"
            assert time.monotonic() < deadline_s, f"it does not start:\n{self.log_tail()}"
            time.sleep(POLL_EVERY_S)

    def kill(self) -> None:
        """SIGKILL; the files stay."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; the files stay."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        assert self._child is not None, "it does not run"
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._child is not None, "it does not run"
        self._child.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def leads(self, stream: str) -> bool:
        """Whether it is the leader of this stream; False also where it does not answer."""
        accounts = self._ask("jsz?streams=true").get("account_details") or []
        return any(
            each["name"] == stream and (each.get("cluster") or {}).get("leader") == self.name
            for account in accounts
            for each in account.get("stream_detail") or []
        )

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:]

    def _ask(self, path: str) -> dict[str, Any]:
        """What the monitoring port says; {} = nothing."""
        try:
            with _opener.open(f"{self._monitor}/{path}", timeout=STOP_S_MAX) as answer:
                return dict(json.load(answer))
        except (OSError, urllib.error.URLError, ValueError):
            return {}

    def _end(self, how: signal.Signals) -> None:
        if self._child is None:
            return
        end(self._child, how, STOP_S_MAX)
        self._child = None


@contextmanager
def open_nats(folder: Path, settings: str = "", *, jetstream: bool = True) -> Iterator[NatsServer]:
    """One server for the block. Raises NoProgramError where there is none to be had."""
    server = NatsServer(folder, settings=settings, jetstream=jetstream)
    try:
        server.start()
        server.wait()
        yield server
    finally:
        server.kill()


@contextmanager
def open_cluster(folder: Path, size: int = CLUSTER_SIZE) -> Iterator[Sequence[NatsServer]]:
    """A cluster for the block. Raises NoProgramError where there is none to be had."""
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(size)]
    cluster = [
        NatsServer(
            folder,
            f"n{number}",
            f"cluster {{ name: perpflux, listen: {route.removeprefix('nats://')},"
            f" routes: [{', '.join(routes)}] }}",
        )
        for number, route in enumerate(routes, 1)
    ]
    try:
        for server in cluster:
            server.start()
        for server in cluster:
            server.wait()
        yield cluster
    finally:
        for server in cluster:
            server.kill()
