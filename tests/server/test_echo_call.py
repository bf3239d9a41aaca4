"""An agent on a real call whose far end sends back what it hears, 120 ms later and 12 dB down."""

import asyncio
import random
import wave
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.agent import Agent, BargeIn
from trunkline.calls import Call, Switchboard
from trunkline.media import ActivityBank, ChainStages, Engine, Window
from trunkline.media.testing import Link, LinkSettings, RtpEnd, VirtualTime
from trunkline.server.node import Node
from trunkline.settings import load
from trunkline.speech import Finished, Grammar, Message, Piece, ToolSpec, create, espeak, flite
from trunkline.speech.setup import survey

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (flite.is_installed() or espeak.is_installed()), reason="there is no voice"
    ),
]

Pcm = NDArray[np.int16]
RATE, FRAME = 8000, 160
LEVEL = 10 ** (-12 / 20)
GREETING = (
    "Thank you for calling the bicycle shop on the corner of the market square. We are open from "
    "nine in the morning to six in the evening, and on Saturdays until one. We repair bicycles of "
    "every make, usually within two days, and we sell lights, locks, bells and baskets too."
)
SPEAKS_AT_SECONDS = 8.0


class Silent:
    """A language model that has nothing to say."""

    name = "silent"

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        yield Finished("stop")

    def expects(self, messages: Sequence[Message]) -> Grammar | None:
        return None

    async def aclose(self) -> None:
        pass


class Line(Protocol):
    """Where a telephone speaks into."""

    @property
    def generation(self) -> int: ...

    def push(self, pcm: bytes, generation: int) -> None: ...


class Telephone:
    """Plays what it hears into a room, from which it comes back, and somebody speaks at times."""

    def __init__(self, call: Line, says: Pcm) -> None:
        rng = np.random.default_rng(7)
        room = rng.normal(size=240) * np.exp(-np.arange(240) / 50)
        self._room = LEVEL * room / np.sqrt(np.square(room).sum())
        self._past = np.zeros(room.size - 1)
        self._way = deque([np.zeros(FRAME)] * 4)  # 120 ms with what is ahead
        self._call, self._says, self._at = call, says, 0
        self._ahead = 2  # frames in the playout, so that it does not run dry

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        self._way.append(np.zeros(FRAME) if heard is None else heard.astype(np.float64))
        audio = np.concatenate([self._past, self._way.popleft()])
        self._past = audio[FRAME:]
        out = np.convolve(audio, self._room, "valid")
        begin = self._at - int(SPEAKS_AT_SECONDS * RATE)
        if 0 <= begin < self._says.size:
            own = self._says[begin : begin + FRAME]
            out[: own.size] += own
        self._at += FRAME
        pcm = np.clip(out, -32_000, 32_000).astype("<i2").tobytes()
        if self._ahead:
            self._call.push(bytes(2 * FRAME * self._ahead), self._call.generation)
            self._ahead = 0
        self._call.push(pcm, self._call.generation)

    def late(self, heard: Pcm, now: float) -> None:
        pass


@dataclass
class Outcome:
    """What came of one call."""

    barge_ins: list[float] = field(default_factory=list)
    """When the agent was interrupted, in seconds of the call."""
    heard: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))
    """The caller's side of the recording."""
    said: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))
    """The agent's."""
    statistics: dict[str, float] = field(default_factory=dict)


async def call_with(echo: str, folder: Path, *, speaks: bool) -> Outcome:
    words = await spoken("Excuse me, I have a question.")
    outcome = Outcome()
    board, over = Switchboard(), asyncio.Event()
    began = [0.0]

    def note(event: object) -> None:
        if isinstance(event, BargeIn):
            outcome.barge_ins.append(event.at - began[0])

    async def agent(call: Call) -> None:
        began[0] = call.media.now()
        recording = call.start_recording()
        talk = asyncio.create_task(
            Agent(greeting=GREETING, llm=Silent(), observers=[note]).talk(call)
        )
        await asyncio.sleep(11.0)
        talk.cancel()
        done = await asyncio.wrap_future(recording.close())
        with wave.open(str(done.path)) as file:
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        outcome.heard, outcome.said = both[:, 0], both[:, 1]
        await call.hangup()
        await call.wait_ended()
        outcome.statistics = call.statistics
        over.set()

    async def telephone(call: Call) -> None:
        call.tap(Telephone(call, words if speaks else words[:0]))
        await call.wait_ended()

    board.answer("agent")(agent)
    flags = {
        "sip.port": 0, "streams.enabled": False, "http.enabled": False, "node.drain_seconds": 1,
        "speech.stt": "standin", "recording.folder": str(folder), "audio.agent_echo": echo,
    }  # fmt: skip
    node = Node(load(flags=flags).settings, board, keep_records=False)
    async with asyncio.timeout(40):
        running = asyncio.create_task(node.run())
        await node.ready.wait()
        await board.dial(f"sip:agent@127.0.0.1:{node.ports.sip}", app=telephone, timeout=5)
        await over.wait()
        await asyncio.sleep(0.1)
        node.stop()
        await running
    return outcome


def level_db(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2) + 1))


def test_an_agent_is_not_interrupted_by_its_own_echo_as_it_is_without_a_chain(
    tmp_path: Path,
) -> None:
    """On a busy machine packets are late and the echo moves, so a little is left open."""
    off = asyncio.run(call_with("off", tmp_path / "off", speaks=True))
    on = asyncio.run(call_with("kalman", tmp_path / "on", speaks=True))
    assert off.barge_ins
    assert off.barge_ins[0] < 3
    assert all(at > off.barge_ins[0] + 3 for at in on.barge_ins)
    assert on.statistics["erle_db"] > 6
    assert 20 <= on.statistics["echo_delay_ms"] <= 400
    assert on.statistics["chain_faults"] == on.statistics["chain_mended"] == 0
    assert "erle_db" not in off.statistics


def test_a_recording_has_less_of_the_agents_echo_than_the_line_sent_back(tmp_path: Path) -> None:
    left = {}
    for echo in ("off", "kalman"):
        outcome = asyncio.run(call_with(echo, tmp_path / echo, speaks=False))
        until = min([*outcome.barge_ins, 8.0])
        heard = slice(0, int(until * RATE))
        left[echo] = level_db(outcome.heard[heard]) - level_db(outcome.said[heard])
    assert left["kalman"] < left["off"] - 10


class Patience:
    """Counts how often 240 ms of speech are heard on end, which is when an agent stops."""

    def __init__(self) -> None:
        self.stops: list[float] = []
        self._run = 0

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        for window in windows:
            self._run = self._run + window.length if window.probability > 0.5 else 0
            if self._run >= 0.24 * RATE and now > (self.stops or [-1.0])[-1] + 1:
                self.stops.append(now)

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: object, now: float) -> None:
        pass


@pytest.mark.skipif(
    "silero-vad" not in {part.name for part in survey() if part.found},
    reason="the voice-activity model is not installed",
)
def test_in_virtual_time_an_agents_echo_is_seldom_taken_for_speech_and_never_at_first() -> None:
    stops = {}
    for stages in (ChainStages(echo="kalman", noise="off"), None):
        line = FarEnd(stages, activity=lambda: create("activity", "silero", rate_hz=RATE))
        ear = Patience()
        line.lane.ears.append(ear)
        line.node.want_activity(line.lane)
        line.node.push(line.lane, asyncio.run(spoken(GREETING)), 0)
        line.time.run(12)
        stops[stages is not None] = ear.stops
    assert stops[False][0] < 1
    assert not stops[True] or stops[True][0] > 2
    assert len(stops[True]) < len(stops[False]) / 2


class FarEnd:
    """A lane whose far end hears itself, on a steady network."""

    def __init__(self, stages: ChainStages | None, activity: Callable[[], ActivityBank]) -> None:
        self.time = VirtualTime()
        self.node = self.time.drive(Engine(activity=activity))
        home = self.time.drive(Engine())
        network = LinkSettings(delay_ms=40, jitter_ms=2)
        there, back = Link(random.Random(1), network), Link(random.Random(2), network)
        end = RtpEnd("near", engine=self.node, link=back, rng=random.Random(3))
        phone = RtpEnd("phone", engine=home, link=there, rng=random.Random(4))
        self.time.join(there, end)
        self.time.join(back, phone)
        self.lane = end.lane
        self.node.set_chain(self.lane, stages)
        line = type("Line", (), {"generation": 0})()
        line.push = lambda pcm, generation: home.push(phone.lane, pcm, generation)
        phone.lane.taps.append(Telephone(line, np.zeros(0, np.int16)))


async def spoken(text: str) -> Pcm:
    voice = create("tts", "best", rate_hz=RATE)
    try:
        return np.concatenate([piece async for piece in voice.speak(text)])
    finally:
        await voice.aclose()
