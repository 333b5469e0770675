"""A real InfluxDB 2 server for the tests: find one, start one, break it, ask it.

`open_server` is the door. It takes the first that can be had: a running server named in the
environment (`INFLUXD_TEST_URL`, `INFLUXD_TEST_TOKEN`, `INFLUXD_TEST_ORG`), `influxd` on PATH,
a container, the binary that the script `build` beside this file makes. Where there is none it
raises `NoInfluxdError`, which says why.

Whatever is started here listens on loopback only, keeps its data in a folder of the caller and
ends with the process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import http.client
import io
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

from tests.support.child import end

IMAGE = "influxdb:2.8.0"
ORG = "perpflux-test"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 30.0
BUILD_TIMEOUT_S = 1800.0
DOCKER_INFO_TIMEOUT_S = 3.0
DOCKER_TIMEOUT_S = 300.0  # the first run may load the image
POLL_INTERVAL_S = 0.01
LOG_TAIL_BYTES = 2000

# Below the ports that the kernel hands to outgoing connections. Otherwise, while the server is
# down, a client that retries may be given the very port it asks for, reach itself and keep the
# restarted server from its address.
PORTS = range(20_000, 32_000)

# Soft bound of the Go heap, and the largest write cache of a shard and memory of one query:
# a test that asks for too much fails by itself instead of taking the machine along.
HEAP_LIMIT = "512MiB"
LIMIT_FLAGS = (
    f"--storage-cache-max-memory-size={256 * 2**20}",
    f"--query-memory-bytes={256 * 2**20}",
)

# `build` says with this exit status that a tool it needs is not installed.
EXIT_MISSING_TOOL = 69

# With this variable our own influxd stops once its standard input is closed, so that it goes
# also when the test process was killed; any other influxd takes no notice.
LEASH_VARIABLE = "PERPFLUX_TEST_STOP_WITH_STDIN"

# Never through a proxy of the environment.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class InfluxError(RuntimeError):
    """The test server did not do what it was asked for."""


class NoInfluxdError(InfluxError):
    """There is no server to be had here; the text says what is missing."""


class Answer(NamedTuple):
    """An HTTP answer: its status and its body as text (empty for 204)."""

    status: int
    body: str


class Engine(Protocol):
    """What runs the server: a process or a container. Data outlive stop, kill and start."""

    def start(self) -> None:
        """Start it; return before it answers."""

    def stop(self) -> None:
        """End it in order; nothing happens when it does not run."""

    def kill(self) -> None:
        """End it at once with SIGKILL; nothing happens when it does not run."""

    def close(self) -> None:
        """End it for good and free what it holds."""

    def running(self) -> bool:
        """Tell whether it has been started and has not ended."""
        ...

    def log_tail(self) -> str:
        """Return the end of what the server wrote, at most LOG_TAIL_BYTES."""
        ...


class ProcessEngine:
    """`influxd` as a child process with all its files in one folder."""

    def __init__(self, influxd: Path, folder: Path, port: int, flags: Sequence[str]) -> None:
        self._log = folder / "influxd.log"
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._command = [
            str(influxd),
            f"--bolt-path={folder / 'influxd.bolt'}",
            f"--sqlite-path={folder / 'influxd.sqlite'}",
            f"--engine-path={folder / 'engine'}",
            f"--http-bind-address=127.0.0.1:{port}",
            "--reporting-disabled",
            *LIMIT_FLAGS,
            *flags,
        ]

    def start(self) -> None:
        """Start the child; its output is appended to `influxd.log` in the folder."""
        # Settings for another InfluxDB must not reach this one: not by variables, and not by a
        # configuration file in the current folder.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("INFLUX")}
        environment |= {"GOMEMLIMIT": HEAP_LIMIT, LEASH_VARIABLE: "1"}
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        atexit.register(self.kill)

    def stop(self) -> None:
        """Send SIGTERM and wait; after STOP_TIMEOUT_S send SIGKILL."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop; the folder belongs to the caller and stays."""
        self.stop()

    def running(self) -> bool:
        """Tell whether the child lives."""
        return self._child is not None and self._child.poll() is None

    def log_tail(self) -> str:
        """Return the end of the log file."""
        return _tail(self._log.read_bytes())

    def _end(self, how: signal.Signals) -> None:
        if self._child is None:
            return
        end(self._child, how, STOP_TIMEOUT_S)
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child = None
        atexit.unregister(self.kill)


class ContainerEngine:
    """`influxd` from IMAGE in a container whose port is published on loopback only."""

    def __init__(self, port: int) -> None:
        self._container = ""
        self._run = [
            *("run", "--detach", f"--publish=127.0.0.1:{port}:8086"),
            *("--env=INFLUXD_REPORTING_DISABLED=true", f"--env=GOMEMLIMIT={HEAP_LIMIT}", IMAGE),
        ]

    def start(self) -> None:
        """Create the container, or start the one that was stopped or killed."""
        if self._container:
            _docker("start", self._container)
            return
        self._container = _docker(*self._run).strip()
        atexit.register(self.close)

    def stop(self) -> None:
        """Stop the container in order."""
        if self._container:
            _docker("stop", "-t", f"{STOP_TIMEOUT_S:.0f}", self._container)

    def kill(self) -> None:
        """Send SIGKILL to the server in the container."""
        if self.running():
            _docker("kill", "--signal=KILL", self._container)
            _docker("wait", self._container)

    def close(self) -> None:
        """Remove the container with its data."""
        if self._container:
            _docker("rm", "--force", "--volumes", self._container)
            self._container = ""
            atexit.unregister(self.close)

    def running(self) -> bool:
        """Tell whether the container runs."""
        if not self._container:
            return False
        return _docker("inspect", "--format={{.State.Running}}", self._container).strip() == "true"

    def log_tail(self) -> str:
        """Return the end of what the container wrote."""
        return _docker("logs", "--tail=20", self._container)


@dataclass
class InfluxServer:
    """A server that is set up: its address, organisation and a token that may do everything.

    As a context manager it ends the server with the block, unless the server was running before
    (`engine` is None then: it can be asked, but not stopped).
    """

    url: str
    org: str = ORG
    token: str = field(default="", repr=False)
    version: str = ""
    engine: Engine | None = field(default=None, repr=False)
    _org_id: str = field(default="", init=False, repr=False)

    @classmethod
    def start(cls, influxd: Path, folder: Path, flags: Sequence[str] = ()) -> Self:
        """Start `influxd` on a free port with its data in `folder` and set it up.

        `flags` are given to influxd as they are, after those that are always given.
        """
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        return cls._set_up(port, ProcessEngine(influxd, folder.resolve(), port, flags))

    @classmethod
    def start_container(cls) -> Self:
        """Start a container of IMAGE and set it up."""
        port = free_port()
        return cls._set_up(port, ContainerEngine(port))

    @classmethod
    def attach(cls, url: str, org: str, token: str) -> Self:
        """Use a server that runs already; `token` must be able to do everything in `org`."""
        server = cls(url=url.rstrip("/"), org=org, token=token)
        server._wait_until_healthy()
        found = server._json("GET", "/api/v2/orgs", params={"org": org})
        server._org_id = found["orgs"][0]["id"]
        return server

    @classmethod
    def _set_up(cls, port: int, engine: Engine) -> Self:
        server = cls(url=f"http://127.0.0.1:{port}", engine=engine)
        try:
            engine.start()
            server._wait_until_healthy()
            token = secrets.token_urlsafe(32)
            wanted = {
                "username": "perpflux-test",
                "password": secrets.token_urlsafe(16),
                "org": ORG,
                "bucket": "first",
                "token": token,
            }
            made = server._json("POST", "/api/v2/setup", body=wanted)
        except BaseException:
            engine.close()
            raise
        server.token = token
        server._org_id = made["org"]["id"]
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.engine is not None:
            self.engine.close()

    # Life and death

    def stop(self) -> None:
        """Stop the server in order (SIGTERM); the data stay."""
        self._own_engine().stop()

    def kill(self) -> None:
        """Kill the server (SIGKILL), as a power cut would; the data stay."""
        self._own_engine().kill()

    def restart(self) -> None:
        """Start the server again on the same port and data, ending it first if it runs."""
        engine = self._own_engine()
        engine.stop()
        engine.start()
        self._wait_until_healthy()

    def _own_engine(self) -> Engine:
        if self.engine is None:
            raise InfluxError(f"the server at {self.url} was not started here: not ours to stop")
        return self.engine

    def _wait_until_healthy(self) -> None:
        """Wait until /health says pass, START_TIMEOUT_S at most, and take its version."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            health = self._health()
            if self.engine is not None and not self.engine.running():
                raise InfluxError(f"influxd ended while it started:\n{self.engine.log_tail()}")
            if health.get("status") == "pass":
                self.version = str(health.get("version", "")).removeprefix("v")
                return
            time.sleep(POLL_INTERVAL_S)
        log = "" if self.engine is None else f":\n{self.engine.log_tail()}"
        raise InfluxError(f"{self.url} is not healthy after {START_TIMEOUT_S:.0f} s{log}")

    def _health(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            health = json.loads(self.request("GET", "/health", timeout_s=1).body)
            if isinstance(health, dict):
                return health
        return {}

    # Buckets and tokens

    def create_bucket(self, name: str, retention_s: int = 0) -> str:
        """Create a bucket and return its id; 0 keeps for ever, else at least 3600 s."""
        rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
        wanted = {"orgID": self._org_id, "name": name, "retentionRules": rules}
        return str(self._json("POST", "/api/v2/buckets", body=wanted)["id"])

    def bucket_id(self, name: str) -> str:
        """Return the id of a bucket."""
        params = {"orgID": self._org_id, "name": name}
        return str(self._json("GET", "/api/v2/buckets", params=params)["buckets"][0]["id"])

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with all its points."""
        self._json("DELETE", f"/api/v2/buckets/{self.bucket_id(name)}")

    def create_token(self, permissions: Sequence[Mapping[str, object]]) -> str:
        """Create a token with exactly these permissions (as `bucket_permission` makes them)."""
        wanted = {"orgID": self._org_id, "permissions": list(permissions)}
        return str(self._json("POST", "/api/v2/authorizations", body=wanted)["token"])

    def write_token(self, bucket_name: str) -> str:
        """Create a token that may write to this bucket and do nothing else."""
        return self.create_token([self.bucket_permission("write", bucket_name)])

    def read_token(self, bucket_name: str) -> str:
        """Create a token that may read this bucket and do nothing else."""
        return self.create_token([self.bucket_permission("read", bucket_name)])

    def bucket_permission(
        self, action: Literal["read", "write"], bucket_name: str
    ) -> dict[str, object]:
        """Return the permission for one action on one bucket, as `create_token` takes it."""
        bucket_id = self.bucket_id(bucket_name)
        resource = {"type": "buckets", "id": bucket_id, "orgID": self._org_id}
        return {"action": action, "resource": resource}

    def set_token_active(self, token: str, *, active: bool) -> None:
        """Switch a token off or on again; one that is off is answered with 403."""
        params = {"orgID": self._org_id}
        known = self._json("GET", "/api/v2/authorizations", params=params)["authorizations"]
        (token_id,) = [entry["id"] for entry in known if entry["token"] == token]
        status = {"status": "active" if active else "inactive"}
        self._json("PATCH", f"/api/v2/authorizations/{token_id}", body=status)

    # Points

    def write(
        self,
        bucket: str,
        lines: Iterable[str] | bytes,
        *,
        precision: str = "ns",
        token: str | None = None,
    ) -> Answer:
        """Write line protocol and return the answer, whatever it is.

        `lines` is one text, several lines, or the body itself as bytes. `token` is the one that
        may do everything unless another is given.
        """
        if not isinstance(lines, bytes):
            lines = (lines if isinstance(lines, str) else "\n".join(lines)).encode()
        params = {"org": self.org, "bucket": bucket, "precision": precision}
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return self.request(
            "POST", "/api/v2/write", params=params, body=lines, token=token, headers=headers
        )

    def query(self, flux: str, *, token: str | None = None) -> list[dict[str, str]]:
        """Run a Flux query and return its rows, each value as the text InfluxDB gave.

        The rows of all tables stand one after another; `result` and `table` tell them apart. Times
        are RFC 3339 with up to nine decimals; a line feed inside a value comes back as CR LF.
        Raises InfluxError when the query fails, also when it fails after the first rows.
        """
        dialect = {"header": True, "annotations": ["datatype", "group", "default"]}
        answer = self.request(
            "POST",
            "/api/v2/query",
            params={"org": self.org},
            body=json.dumps({"type": "flux", "query": flux, "dialect": dialect}).encode(),
            token=token,
            headers={"Content-Type": "application/json", "Accept": "application/csv"},
        )
        if answer.status != 200:
            raise InfluxError(f"query: {answer.status} {answer.body}")
        return list(parse_annotated_csv(answer.body))

    # HTTP

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """Send one request and return the answer with any status; OSError when there is none."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(params or {})}"
        request = urllib.request.Request(url, data=body, method=method)
        used_token = self.token if token is None else token
        if used_token:
            request.add_header("Authorization", f"Token {used_token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with _opener.open(request, timeout=timeout_s) as reply:
                return Answer(reply.status, reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Any:
        """Send a request about the server itself; raises InfluxError unless it succeeds."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        answer = self.request(method, path, params=params, body=content, headers=headers)
        if not 200 <= answer.status < 300:
            raise InfluxError(f"{method} {path}: {answer.status} {answer.body}")
        return json.loads(answer.body) if answer.body else None


def open_server(folder: Path) -> InfluxServer:
    """Return the first server that can be had, set up (see the text of this module).

    Raises NoInfluxdError where there is none. The first build takes minutes: run `build` before
    the tests where a time limit stands over each of them.
    """
    url = os.environ.get("INFLUXD_TEST_URL", "")
    if url:
        org, token = (os.environ.get(f"INFLUXD_TEST_{name}", "") for name in ("ORG", "TOKEN"))
        if not (org and token):
            raise InfluxError("INFLUXD_TEST_URL needs INFLUXD_TEST_ORG and INFLUXD_TEST_TOKEN")
        return InfluxServer.attach(url, org, token)
    on_path = shutil.which("influxd")
    if on_path is None and docker_works():
        return InfluxServer.start_container()
    return InfluxServer.start(Path(on_path) if on_path else build_influxd(), folder)


def find_influxd() -> Path | None:
    """Return `influxd` from PATH, else the built one, else None where no tool can build it.

    Raises InfluxError when the tools are there and the build fails.
    """
    on_path = shutil.which("influxd")
    try:
        return Path(on_path) if on_path else build_influxd()
    except NoInfluxdError:
        return None


def build_influxd() -> Path:
    """Run `build` and return the binary: at once when it is there, else after some minutes.

    Raises NoInfluxdError when a tool is missing and InfluxError when the build fails.
    """
    command = [str(Path(__file__).with_name("build"))]
    # A session of its own: what the script started can be ended together with it.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as build:
        try:
            output, said = build.communicate(timeout=BUILD_TIMEOUT_S)
        except BaseException:
            os.killpg(build.pid, signal.SIGKILL)
            raise
    if build.returncode == EXIT_MISSING_TOOL:
        raise NoInfluxdError(f"no influxd on PATH and none can be built: {_tail(said)}")
    if build.returncode != 0:
        raise InfluxError(f"{command[0]} failed ({build.returncode}):\n{_tail(said)}")
    return Path(output.decode().splitlines()[-1])


def docker_works() -> bool:
    """Tell whether a container engine answers within DOCKER_INFO_TIMEOUT_S."""
    try:
        done = subprocess.run(
            ["docker", "info"], capture_output=True, timeout=DOCKER_INFO_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def parse_annotated_csv(text: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a query's answer; an empty cell is the default of its column.

    An empty line ends a block of tables; after the annotations of a block stands the line that
    names its columns. The first cell of each line belongs to the annotations. An error that came
    up after the first rows stands in a block of its own and is raised.
    """
    columns: list[str] = []
    defaults: list[str] = []
    for record in csv.reader(io.StringIO(text, newline="")):
        if not record:
            columns, defaults = [], []
        elif record[0].startswith("#"):
            if record[0] == "#default":
                defaults = record[1:]
        elif not columns:
            columns = record[1:]
        elif columns[-2:] == ["error", "reference"]:
            raise InfluxError(f"query: {record[-2]}")
        else:
            cells = zip(columns, record[1:], defaults, strict=True)
            yield {column: cell or default for column, cell, default in cells}


def free_port() -> int:
    """Return a TCP port of PORTS that nobody listens on at 127.0.0.1 now."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise InfluxError(f"no free port found between {PORTS.start} and {PORTS.stop}")


def _docker(*arguments: str) -> str:
    """Run a docker command and return what it said; raises InfluxError when it fails."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, timeout=DOCKER_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise InfluxError(f"docker {arguments[0]}: {_tail(done.stderr)}")
    return done.stdout.decode()


def _tail(text: bytes) -> str:
    return text[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
