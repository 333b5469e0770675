"""A headless Chromium, driven over its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

START_S: Final = 20
ANSWER_S: Final = 20
MESSAGE_BYTES_MAX: Final = 1 << 26
FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # tests may run as root; it shows our own page alone
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
    "--force-color-profile=srgb",
    "about:blank",
)
PHONE_WIDTH_MAX: Final = 600


class Page:
    """A tab.

    Attributes:
        complaints: what the browser had to say against the page: console errors, uncaught
            exceptions, violations of its policy, requests that failed.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        for domain in ("Page", "Runtime", "Log", "Network", "Audits", "Accessibility"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something; AssertionError when it refuses."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, ANSWER_S)

    async def _read(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                answer = self._answers.pop(event["id"])
                if "error" in event:
                    answer.set_exception(AssertionError(str(event["error"])))
                else:
                    answer.set_result(event["result"])
            elif complaint := _complaint(event["method"], event.get("params", {})):
                self.complaints.append(complaint)

    async def open(self, url: str) -> None:
        """Show it."""
        await self.send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page, a promise's when it is there."""
        result = await self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until the expression is true; its value. The page itself looks, at each frame."""
        wait_ms = ANSWER_S * 900
        return await self.run(
            f"""new Promise((done, fail) => {{
                const look = () => {{
                    let found;
                    try {{ found = ({script}); }} catch {{ /* not there yet */ }}
                    if (found) done(found); else requestAnimationFrame(look);
                }};
                look();
                setTimeout(() => fail(new Error("never true: " + {json.dumps(script)})), {wait_ms});
            }})"""
        )

    async def size(self, width: int, height: int) -> None:
        """How large the window is; a narrow one is a phone's."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width <= PHONE_WIDTH_MAX,
        )

    async def prefer(self, **features: str) -> None:
        """What the user prefers: `color_scheme="dark"`, `reduced_motion="reduce"`."""
        await self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": f"prefers-{name.replace('_', '-')}", "value": value}
                for name, value in features.items()
            ],
        )

    async def screenshot(self, *, whole: bool = False) -> bytes:
        """What is seen, as PNG; `whole`: also what lies below."""
        taken = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(taken["data"])

    async def key(self, key: str) -> None:
        """Press and release a key."""
        text = key if len(key) == 1 else ""
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that assistive technology is told of."""
        tree = await self.send("Accessibility.getFullAXTree")
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree["nodes"]
            if not node.get("ignored")
        ]


def _complaint(method: str, event: dict[str, Any]) -> str | None:
    if method == "Runtime.exceptionThrown":
        return json.dumps(event["exceptionDetails"])[:500]
    if method == "Runtime.consoleAPICalled" and event["type"] in {"error", "warning", "assert"}:
        return json.dumps(event["args"])[:500]
    if method == "Log.entryAdded" and event["entry"]["level"] in {"error", "warning"}:
        return f"{event['entry']['text']} {event['entry'].get('url', '')}"
    return json.dumps(event["issue"])[:500] if method == "Audits.issueAdded" else None


@asynccontextmanager
async def browser(program: Path, folder: Path) -> AsyncIterator[Page]:
    """A browser with one tab; ended when the block ends.

    Args:
        program: its executable.
        folder: for its profile, empty.
    """
    child = await asyncio.create_subprocess_exec(
        str(program),
        f"--user-data-dir={folder}",
        *FLAGS,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    drained: asyncio.Task[bytes] | None = None
    try:
        assert child.stderr is not None
        async with asyncio.timeout(START_S):
            address = await _address(child.stderr)
        drained = asyncio.create_task(child.stderr.read())
        base = address.replace("ws://", "http://").partition("/devtools")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/json/list") as answer:
                tabs = await answer.json()
            tab = next(each for each in tabs if each["type"] == "page")
            socket = await session.ws_connect(
                tab["webSocketDebuggerUrl"], max_msg_size=MESSAGE_BYTES_MAX
            )
            async with Page(socket) as page:
                yield page
    finally:
        child.kill()
        await child.wait()
        if drained is not None:
            await drained


async def _address(stderr: asyncio.StreamReader) -> str:
    said = b""
    while line := await stderr.readline():
        said += line
        if b"DevTools listening on " in line:
            return line.decode().split(" on ", 1)[1].strip()
    raise AssertionError(f"the browser ended:\n{said.decode('utf-8', 'replace')}")
