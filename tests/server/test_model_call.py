"""A whole call with a language model on a server: page, recogniser, model, voice."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from trunkline.media import g711
from trunkline.server.default_board import about, default_board
from trunkline.server.node import Node
from trunkline.settings import load
from trunkline.speech import create, espeak, flite
from trunkline.speech.setup import survey

from ..speech.openai_server import Server, calls, error, serve, text  # noqa: TID252

HAVE = {part.name for part in survey() if part.found}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("pocketsphinx" not in HAVE, reason="pocketsphinx is not installed"),
    pytest.mark.skipif(
        not (flite.is_installed() or espeak.is_installed()), reason="there is no voice"
    ),
]

Pcm = NDArray[np.int16]
PHRASE = "please call me back"


class Caller:
    """A page without a browser: speaks in real time, keeps what it is told."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.sound = 0
        """Samples of the agent's that were not silent."""

    async def listen(self) -> None:
        async for message in self._socket:
            if isinstance(message, bytes):
                self.sound += int(np.count_nonzero(np.abs(np.frombuffer(message, "<i2")) > 100))
                continue
            said = json.loads(message)
            if said["type"] == "audio-mark":
                reached = {"type": "audio-mark-reached", "data": said["data"]}
                await self._socket.send(json.dumps(reached))
            self.told.append((said["type"], said.get("data", {})))

    def of(self, type: str) -> list[dict[str, Any]]:
        return [data for kind, data in self.told if kind == type]

    async def until(self, type: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        while True:
            found = [
                data
                for data in self.of(type)
                if all(data.get(name) == value for name, value in fields.items())
            ]
            if len(found) >= count:
                return found[count - 1]
            await asyncio.sleep(0.01)

    async def say(self, pcm: Pcm) -> None:
        with contextlib.suppress(ConnectionClosed):  # the agent has hung up meanwhile
            await self._say(pcm)

    async def _say(self, pcm: Pcm) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number, at in enumerate(range(0, pcm.size - 159, 160)):
            await self._socket.send(pcm[at : at + 160].tobytes())
            await asyncio.sleep(max(0.0, begun + 0.02 * number - loop.time()))


async def spoken(words: str) -> Pcm:
    voice = create("tts", "best", rate_hz=8000)
    try:
        audio = np.concatenate([chunk async for chunk in voice.speak(words)])
    finally:
        await voice.aclose()
    pcm = np.concatenate([np.zeros(1600, np.int16), audio, np.zeros(9600, np.int16)])
    noise = np.random.default_rng(1).integers(-30, 30, pcm.size)
    return g711.decode(g711.encode((pcm + noise).astype(np.int16), g711.Law.ULAW), g711.Law.ULAW)


@contextlib.asynccontextmanager
async def called(folder: Path, url: str, **flags: object) -> AsyncIterator[tuple[Node, Caller]]:
    dotted = {
        "sip.port": 0, "http.port": 0, "streams.enabled": False, "node.drain_seconds": 0.5,
        "records.path": str(folder / "calls.db"), "recording.folder": str(folder),
        "llm.url": url, "llm.timeout_seconds": 8, "agent.turns.silence_ms": 300,
        "agent.instructions": "Be brief.", "agent.greeting": "Hello.",
        "speech.phrases": [f"{PHRASE} | goodbye"],
    }  # fmt: skip
    dotted |= {key.replace("__", "."): value for key, value in flags.items()}
    settings = load(flags=dotted).settings
    node = Node(settings, default_board(settings), talk=about(settings))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(node.run())
        await node.ready.wait()
        await node.engines.warm()
        try:
            async with connect(f"ws://127.0.0.1:{node.ports.http}/talk") as socket:
                caller = Caller(socket)
                listening = asyncio.create_task(caller.listen())
                await socket.send('{"type": "client-ready", "data": {"version": "2.1.0"}}')
                await caller.until("bot-output", spoken_status="completed")
                yield node, caller
                listening.cancel()
        finally:
            node.stop()


def test_a_model_without_a_name_hears_thinks_speaks_and_hangs_up(tmp_path: Path) -> None:
    async def run() -> None:
        pcm = await spoken(PHRASE)
        answers = (text("Of course. ", "Goodbye."), calls(("hang_up", "{}")), text("Goodbye."))
        async with (
            serve(*answers, models=("first", "second")) as server,
            called(tmp_path, server.url) as (node, caller),
        ):
            await caller.say(pcm)
            said = await caller.until("user-transcription")
            assert said["text"] == PHRASE
            await caller.until("bot-output", count=2, spoken_status="completed")
            first = server.chats[0].json
            assert first["model"] == "first"
            assert [(one["role"], one["content"]) for one in first["messages"]] == [
                ("system", "Be brief."), ("assistant", "Hello."), ("user", PHRASE),
            ]  # fmt: skip
            assert {tool["function"]["name"] for tool in first["tools"]} >= {"hang_up"}
            assert caller.of("metrics")[0]["stages"]["first_token_ms"] > 0
            await caller.say(pcm)
            tool = await caller.until("llm-function-call-stopped")
            assert tool["function_name"] == "hang_up"
            while node.board.calls:
                await asyncio.sleep(0.01)
            assert caller.sound > 8000

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (error(401, "Incorrect API key"), 1),
        (error(503, "overloaded"), 3),
    ],
)
def test_a_model_that_fails_is_apologised_for_and_the_call_goes_on(
    tmp_path: Path, answer: Any, asked: int
) -> None:
    async def run() -> None:
        pcm = await spoken(PHRASE)
        async with serve(answer) as server, called(tmp_path, server.url) as (node, caller):
            await caller.say(pcm)
            apology = await caller.until("bot-output", count=2, spoken_status="completed")
            assert "something went wrong" in apology["text"]
            (problem,) = caller.of("error")
            assert problem["error"].startswith("model: ")
            assert len(server.chats) == asked
            assert len(node.board.calls) == 1

    asyncio.run(run())


def test_a_server_that_is_not_there_is_apologised_for(tmp_path: Path) -> None:
    async def run() -> None:
        pcm = await spoken(PHRASE)
        async with called(tmp_path, "http://127.0.0.1:9") as (node, caller):
            await caller.say(pcm)
            apology = await caller.until("bot-output", count=2, spoken_status="completed")
            assert "something went wrong" in apology["text"]
            assert len(node.board.calls) == 1

    asyncio.run(run())


def test_a_reply_that_is_cut_off_is_not_asked_for_again(tmp_path: Path) -> None:
    async def cut(exchange: Any) -> None:
        await exchange.head()
        await exchange.event({"choices": [{"index": 0, "delta": {"content": "We are open. "}}]})
        await asyncio.sleep(0.2)
        exchange.abort()

    async def run() -> None:
        pcm = await spoken(PHRASE)
        server: Server
        async with serve(cut) as server, called(tmp_path, server.url) as (_, caller):
            await caller.say(pcm)
            said = await caller.until("bot-output", count=2, spoken_status="completed")
            assert said["text"].startswith("We are open. ")
            assert "something went wrong" in said["text"]
            assert len(server.chats) == 1

    asyncio.run(run())
