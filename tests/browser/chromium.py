"""A real browser, driven over the DevTools protocol.

Set TRUNKLINE_SCREENSHOTS to a folder to keep pictures of the pages.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TONE_HZ = 440
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--metrics-recording-only",
    "--mute-audio",
    "--autoplay-policy=user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--remote-debugging-port=0",
    "--use-fake-device-for-media-stream",
]


class Page:
    """One page of a browser, over the DevTools protocol."""

    def __init__(self, socket: ClientConnection, root: str) -> None:
        self._socket = socket
        self._root = root
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._read_on()

    async def _read_on(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
                continue
            params = message.get("params", {})
            match message["method"]:
                case "Network.requestWillBeSent":
                    self.requests.append(params["request"]["url"])
                case "Network.webSocketCreated":
                    self.requests.append(params["url"])
                case "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
                case "Log.entryAdded":
                    self.complaints.append(f"{params['entry']['level']}: {params['entry']['text']}")

    async def send(self, method: str, **params: Any) -> Any:
        id = next(self._ids)
        self._answers[id] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": id, "method": method, "params": params}))
        answer = await self._answers[id]
        assert "error" not in answer, answer
        return answer["result"]

    async def run(self, script: str) -> Any:
        result = await self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str) -> None:
        while not await self.run(script):
            await asyncio.sleep(0.02)

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({selector!r}).innerText"))

    async def press(self, key: str, code: int, text: str = "") -> None:
        options = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **options)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **options)

    async def open(self, url: str) -> None:
        for domain in ("Network", "Runtime", "Log", "Page"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def click(self, selector: str) -> None:
        """A real click: sound may only begin with one."""
        box = await self.run(
            f"(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send(
                "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                clickCount=1,
            )  # fmt: skip

    async def call(self) -> None:
        """Start talking, and wait until the node has the leg."""
        await self.click("#call")
        await self.until("document.getElementById('state').dataset.state !== 'connecting'")
        assert await self.text("#state") == "Connected", await self.text("#error")

    async def picture(self, name: str) -> None:
        folder = os.environ.get("TRUNKLINE_SCREENSHOTS")
        if folder:
            await self.run("new Promise(done => setTimeout(done, 300))")  # transitions
            shot = await self.send("Page.captureScreenshot", format="png")
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    @contextlib.asynccontextmanager
    async def another(self) -> AsyncIterator["Page"]:
        """A second tab."""
        target = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        address = f"{self._root}/devtools/page/{target}"
        async with connect(address, max_size=None, ping_interval=None) as socket:
            page = Page(socket, self._root)
            yield page
            await page.close()

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


def make_tone(path: Path) -> None:
    """A second of tone, a second of silence, for the fake microphone."""
    rate = 48_000
    tone = (12_000 * np.sin(2 * np.pi * TONE_HZ * np.arange(rate) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.tobytes() + bytes(2 * rate))


@contextlib.asynccontextmanager
async def chromium(*flags: str, microphone: Path | None = None) -> AsyncIterator[Page]:
    """A fresh browser with one blank page; its microphone plays a tone again and again.

    With ``microphone`` it plays that file, once, from when a page opens it.
    """
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if microphone is None:
            make_tone(Path(folder, "tone.wav"))
        plays = f"{folder}/tone.wav" if microphone is None else f"{microphone}%noloop"
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            *flags,
            f"--user-data-dir={folder}/profile",
            f"--use-file-for-fake-audio-capture={plays}",
            "--window-size=1280,860",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        drain: asyncio.Task[bytes] | None = None
        try:
            browser = ""
            while "ws://" not in browser:
                browser = (await process.stderr.readline()).decode()
            drain = asyncio.create_task(process.stderr.read())
            address = browser.strip().rpartition(" ")[2]
            async with connect(address, max_size=None, ping_interval=None) as control:
                main = Page(control, "")
                targets = (await main.send("Target.getTargets"))["targetInfos"]
                target = next(info["targetId"] for info in targets if info["type"] == "page")
                await main.close()
            root = address.partition("/devtools/")[0]
            page_address = f"{root}/devtools/page/{target}"
            async with connect(page_address, max_size=None, ping_interval=None) as socket:
                page = Page(socket, root)
                yield page
                await page.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if drain is not None:
                await drain


def run(body: Callable[[], Awaitable[None]], seconds: float = 120) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await body()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)
