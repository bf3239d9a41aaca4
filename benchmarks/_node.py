"""The measured process: a node whose agent hears, thinks and speaks by stand-ins.

Real: the media thread, Twilio's WebSockets or SIP and RTP with the jitter buffer, Silero
batched over calls, turn-taking, barge-in, the conversation, marks, detail records where
asked for. Stand-ins: a recogniser that gives a text at the end of speech, a language
model that writes a sentence, a voice that says everything in so many seconds of a tone;
all answer at once, in this process.

Words on standard input: measure, report, memory, stop.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from _harness import realtime, thread_seconds
from _machine import cpu_seconds, resident_bytes
from _material import RATE_HZ, TONES, tone
from trunkline.agent import Agent, TurnSettings
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.server.node import Node
from trunkline.settings import Audio, Media, Records, Settings, Sip, Speech, Streams
from trunkline.speech import Finished, Message, Piece, TextDelta, ToolSpec
from trunkline.speech.standins import SttStandIn

SENTENCE = "We are open from nine to six on every day but Sunday and this is answer"


class ModelStandIn:
    """A language model that writes the same sentence every time, word by word, at once."""

    name = "standin"
    _words: tuple[Piece, ...] = tuple(TextDelta(f"{word} ") for word in SENTENCE.split())

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        """The sentence, with a number at its end that tells replies apart."""
        for piece in self._words:
            yield piece
        yield TextDelta(f"{len(messages) // 2}.")
        yield Finished("stop")

    def expects(self, messages: Sequence[Message]) -> None:
        """Anything."""

    async def aclose(self) -> None:
        """Nothing to stop."""


class VoiceStandIn:
    """A voice that says everything in so many seconds of a tone, in pieces of 20 ms, at once.

    The number at the end of the text is the pitch, so that the caller knows at every
    frame which reply it belongs to.
    """

    name = "standin"
    rate_hz = RATE_HZ

    def __init__(self, seconds: float) -> None:
        self._pieces = round(seconds * 50)
        self._tones = [tone(number) for number in range(TONES)]

    async def speak(self, text: str) -> AsyncIterator[NDArray[np.int16]]:
        """The tone."""
        piece = self._tones[int(text.rstrip(".").rpartition(" ")[2]) % TONES]
        for _ in range(self._pieces):
            yield piece

    async def aclose(self) -> None:
        """Nothing to stop."""


def chain_settings(on: bool) -> Audio:
    """Echo cancellation and noise suppression for every call, or neither for any."""
    echo, noise = ("kalman", "logmmse") if on else ("off", "off")
    return Audio(agent_echo=echo, agent_noise=noise, relay_echo=echo, relay_noise=noise)


class Measured:
    """A running node and what is read from it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.board = Switchboard()
        self.board.answer("*")(self.app())
        folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
        sip = options["transport"] == "sip"
        settings = Settings(
            sip=Sip(port=0),
            media=Media(first_port=20_000, last_port=29_998),
            streams=Streams(port=0),
            speech=Speech(activity="silero"),
            records=Records(path=folder / "calls.db"),
            audio=chain_settings(bool(options.get("chain"))),
        )
        self.node = Node(
            settings, self.board, sip=sip, streams=not sip, keep_records=options["records"]
        )
        self.began = self.cpu = 0.0
        self.threads: dict[str, float] = {}

    def app(self) -> Callable[[Call], Awaitable[None]]:
        """What answers: the agent."""
        options = self.options
        agent = Agent(
            "You answer the telephone.",
            greeting="",
            llm=ModelStandIn(),
            stt=SttStandIn("when are you open"),
            tts=VoiceStandIn(options["reply_seconds"]),
            turns=TurnSettings(
                silence_ms=options["silence_ms"], barge_in_ms=options["barge_in_ms"]
            ),
        )

        async def agent_app(call: Call) -> None:
            await agent.talk(call)

        return agent_app

    async def obey(self) -> None:
        """Do what standard input says."""
        await self.node.ready.wait()
        ports = self.node.ports
        say({"port": ports.sip or ports.streams, "scheduling": self.scheduling})
        loop = asyncio.get_running_loop()
        while True:
            word = (await loop.run_in_executor(None, sys.stdin.readline)).strip()
            if word == "measure":
                await self.node.media.run(self.node.media.clock.reset)
                self.began, self.cpu = time.monotonic(), cpu_seconds()
                self.threads = thread_seconds()
                say({})
            elif word == "report":
                say(await self.report())
            elif word == "memory":
                gc.collect()
                say({"resident_bytes": resident_bytes(), "calls": len(self.board.calls)})
            else:
                self.node.stop()
                return

    async def report(self) -> dict[str, Any]:
        """Everything since ``measure``."""
        media = self.node.media
        lateness = await media.run(media.clock.lateness)
        return {
            "seconds": time.monotonic() - self.began,
            "cpu_seconds": cpu_seconds() - self.cpu,
            "threads": {
                name: seconds - self.threads.get(name, 0.0)
                for name, seconds in thread_seconds().items()
            },
            "calls": len(self.board.calls),
            "missed": lateness.missed,
            "late_p50_ms": lateness.p50_ms,
            "late_p99_ms": lateness.p99_ms,
            "late_max_ms": lateness.max_ms,
            "busy_ratio": lateness.busy_ratio,
            "faults": media.engine.faults,
            "resident_bytes": resident_bytes(),
            "delay_ms": await media.run(self.jitter_delays),
        }

    def jitter_delays(self) -> list[float]:
        """The jitter buffer's delay on every live call, in milliseconds; media thread."""
        found = []
        for call in tuple(self.board.calls.values()):
            delay = call._leg.statistics().get("delay_ms")
            if delay is not None:
                found.append(delay)
        return found

    async def run(self) -> None:
        """Serve until told to stop."""
        self.scheduling = "ordinary scheduling"
        if self.options["priority"]:
            self.scheduling = realtime(os.SCHED_RR, 10, self.options["core"])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.obey())
            await self.node.run()


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(Measured(json.loads(sys.argv[1])).run())
