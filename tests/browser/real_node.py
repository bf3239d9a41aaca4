"""A whole node for a browser to talk to, and a voice for its microphone."""

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np

from trunkline.calls.call import Call
from trunkline.media.resample import StreamResampler
from trunkline.server.default_board import about, default_board
from trunkline.server.node import Node
from trunkline.settings import Settings, load
from trunkline.speech import create

MICROPHONE_HZ = 48_000


class Watcher:
    """A listener that keeps calls and everything that is told of them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.events: list[object] = []

    def call_started(self, call: Call, app: str) -> None:
        self.calls.append(call)
        call.observe(self.events.append)

    def of(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]


def settings(folder: Path, **flags: object) -> Settings:
    dotted = {
        "sip.port": 0,
        "http.port": 0,
        "streams.enabled": False,
        "node.drain_seconds": 1,
        "records.path": str(folder / "calls.db"),
        "recording.folder": str(folder / "recordings"),
        **{key.replace("__", "."): value for key, value in flags.items()},
    }
    return load(flags=dotted).settings


@contextlib.asynccontextmanager
async def running(made: Settings) -> AsyncIterator[tuple[Node, Watcher]]:
    watcher = Watcher()
    board = default_board(made)
    node = Node(made, board, talk=about(made), listeners=[watcher])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.run())
        await node.ready.wait()
        try:
            await node.engines.warm()
            yield node, watcher
        finally:
            node.stop()


def address(node: Node) -> str:
    return f"http://127.0.0.1:{node.ports.http}/"


async def speech(path: Path, timed: Sequence[tuple[float, str]], seconds: float) -> None:
    """A microphone's file: each text at its time."""
    voice = create("tts", "flite", voice="rms")
    audio = np.zeros(int(seconds * MICROPHONE_HZ), np.int16)
    try:
        for at, text in timed:
            said = np.concatenate([chunk async for chunk in voice.speak(text)])
            resampler = StreamResampler(voice.rate_hz, MICROPHONE_HZ)
            pcm = np.concatenate([resampler.push(said), resampler.flush()])
            start = int(at * MICROPHONE_HZ)
            audio[start : start + pcm.size] = pcm
    finally:
        await voice.aclose()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_HZ)
        file.writeframes(audio.tobytes())
