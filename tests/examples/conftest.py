"""Runs an example on a node of its own, and calls it with a telephone of plain sockets."""

import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from tests.interop.kit import RunningNode, until
from tests.interop.peer import Dialled, MediaPort, Message, Peer, rtp, sdp, stream

from trunkline.media.g711 import ENCODE, Law
from trunkline.server import load_board
from trunkline.server.app_file import MODULE
from trunkline.settings import LLM, Settings, Speech
from trunkline.speech import register
from trunkline.speech.interfaces import Pcm

EXAMPLES = Path(__file__).parents[2] / "examples"
TONE_HZ = 600


class NotedVoice:
    """A voice that writes down what it says, and hums for as long."""

    name = "noted"
    letter_ms: ClassVar = 10
    rate_hz = 8000
    said: ClassVar[list[str]] = []

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.said.append(text)
        seconds = np.arange(8 * self.letter_ms * len(text)) / self.rate_hz
        yield (8000 * np.sin(2 * np.pi * TONE_HZ * seconds)).astype(np.int16)

    async def aclose(self) -> None:
        pass


class Example:
    """A running example."""

    def __init__(self, name: str, folder: Path, llm_url: str = "", heard: str = "hello") -> None:
        self.board = load_board(EXAMPLES / name)
        self.module: ModuleType = sys.modules[MODULE]
        self.node = RunningNode(self.board, folder)
        self.node.settings = _with_speech(self.node.settings, llm_url, heard)
        NotedVoice.said.clear()

    @property
    def said(self) -> list[str]:
        """What the node's voice has said, in order."""
        return NotedVoice.said

    def wait_said(self, beginning: str, seconds: float = 5.0) -> None:
        """Wait until the voice says something that begins so."""
        until(
            lambda: any(text.startswith(beginning) for text in self.said),
            seconds,
            f"not said: {beginning!r}; said: {self.said}",
        )


def _with_speech(settings: Settings, llm_url: str, heard: str) -> Settings:
    """Nothing is really recognised, and the voice writes down what it says."""
    speech = Speech(activity="subband", stt="standin", tts="noted", stt_options={"text": heard})
    return msgspec.structs.replace(settings, speech=speech, llm=LLM(url=llm_url, model="tiny"))


class Telephone:
    """A caller on real sockets: SIP, RTP, keys."""

    def __init__(self, node: RunningNode) -> None:
        self.peer = Peer(node.sip_port)
        self.media = MediaPort()
        self.call = Dialled(self.peer)
        self.far = ("", 0)
        self._sequence = 0
        self._began = time.monotonic()

    def close(self) -> None:
        self.media.__exit__()
        self.peer.__exit__()

    def dial(self) -> Message:
        """Call, and wait for the answer."""
        response = self.call.answered(sdp(self.media.port))
        self.far = response.media
        return response

    def hang_up(self) -> None:
        assert self.call.bye().code == 200

    def wait_hung_up(self, seconds: float = 10.0) -> None:
        """Wait for the node's BYE, and confirm it."""
        self.peer.respond(self.peer.request("BYE", seconds), 200)

    def press(self, key: str) -> None:
        """Press a key for 100 ms."""
        schedule = key_packets(key, self._sequence, self._timestamp())
        self._sequence += len(schedule)
        self.media.play(self.far, schedule)

    def speak(self, seconds: float) -> None:
        """A voiced sound of that length, and then a second of silence."""
        voice = ENCODE[Law.ULAW][_voice(seconds).view(np.uint16)].tobytes()
        frames = [voice[start : start + 160] for start in range(0, len(voice), 160)]
        frames += [b"\xff" * 160] * 50
        schedule = stream(frames, sequence=self._sequence, timestamp=self._timestamp())
        self._sequence += len(frames)
        self.media.play(self.far, schedule)

    def _timestamp(self) -> int:
        return int((time.monotonic() - self._began) * 8000)

    @property
    def loud_packets(self) -> int:
        """How many packets have come that are not silence."""
        return sum(bool(set(one.payload) - {0xFF, 0x7F}) for one in tuple(self.media.received))

    def sounds(self) -> bool:
        """Whether anything but silence has come."""
        return self.loud_packets > 0


def key_packets(key: str, sequence: int, timestamp: int) -> list[tuple[float, bytes]]:
    """A key held for 100 ms (RFC 4733): a packet each 20 ms, the last three its end."""
    event = "0123456789*#".index(key)
    schedule = []
    for index in range(8):
        end = 0x80 if index >= 5 else 0
        payload = struct.pack("!BBH", event, end | 10, 160 * min(index + 1, 6))
        packet = rtp(sequence + index, timestamp, payload, payload_type=101, marker=not index)
        schedule.append((0.02 * index, packet))
    return schedule


def _voice(seconds: float) -> Pcm:
    """Harmonics of 120 Hz in syllables of 200 ms: speech enough for an energy detector."""
    at = np.arange(round(seconds * 8000)) / 8000
    tone = sum(np.sin(2 * np.pi * 120 * n * at) / n for n in range(1, 20))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 5 * at)
    return np.asarray(4000 * tone * syllables).astype(np.int16)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Example]]:
    """Start an example; it ends with the test, and leaves nothing behind."""
    register("tts", "noted", NotedVoice)
    started: list[Example] = []

    def begin(name: str, **options: Any) -> Example:
        example = Example(name, tmp_path, **options)
        example.node.__enter__()
        started.append(example)
        return example

    yield begin
    for example in started:
        example.node.stop()
    sys.modules.pop(MODULE, None)


@pytest.fixture
def telephone() -> Iterator[Callable[[Example], Telephone]]:
    """Make a telephone that calls an example."""
    made: list[Telephone] = []

    def make(example: Example) -> Telephone:
        made.append(Telephone(example.node))
        return made[-1]

    yield make
    for one in made:
        one.close()


Run = Callable[..., Example]
Telephones = Callable[[Example], Telephone]
