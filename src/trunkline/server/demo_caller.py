"""The demo's caller: speaks on a call of its own, at the pace of a person.

What it says comes from its cues (`demo_script.Caller`), which go by what the
agent said. When it speaks comes from what a person would do: a moment after the
agent has finished, or, where the cue breaks in, in the middle of a sentence.
"""

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.events import AgentSaying, AgentSpoke
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError
from trunkline.speech import TextToSpeech

from .demo_script import Caller, Saying

__all__ = ["CallerSpoke", "SyntheticCaller"]

THINKING_SECONDS = 0.45
"""Between the agent's last word and the caller's first: people take 200 to 600 ms."""
WORD_SECONDS = 0.34
"""How long a word of a synthetic voice takes, about."""


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """The synthetic caller begins to say something."""

    at: float
    text: str
    breaks_in: bool
    """The agent is speaking."""


class SyntheticCaller:
    """Talks to an agent on ``call``; `agent_event` tells it what the agent says.

    Everything runs on one application loop.
    """

    def __init__(
        self,
        call: Call,
        voice: TextToSpeech,
        tell: Callable[[CallerSpoke], None],
        caller: Caller | None = None,
    ) -> None:
        self._call = call
        self._voice = voice
        self._tell = tell
        self._caller = caller or Caller()
        self._turn = ""
        self._turn_at: float | None = None
        self._broke_in = False
        self._next: asyncio.Queue[tuple[float, Saying, bool]] = asyncio.Queue()
        self._spoken: dict[str, NDArray[np.int16]] = {}

    def agent_event(self, event: object) -> None:
        """What the agent does; other events are ignored."""
        if isinstance(event, AgentSaying):
            self._saying(event)
        elif isinstance(event, AgentSpoke):
            self._spoke(event)

    def _saying(self, event: AgentSaying) -> None:
        self._turn = " ".join(f"{self._turn} {event.text}".split())
        if self._turn_at is None:
            self._turn_at = event.plays_at
        if self._broke_in:
            return
        # A look ahead: does what has been said so far make the caller break in?
        saying = copy.deepcopy(self._caller).answer(self._turn)
        if saying is None or not saying.breaks_in_after_words:
            return
        self._caller.answer(self._turn)
        self._broke_in = True
        at = self._turn_at + saying.breaks_in_after_words * WORD_SECONDS
        self._next.put_nowait((at, saying, True))

    def _spoke(self, event: AgentSpoke) -> None:
        said, self._turn, self._turn_at = self._turn, "", None
        if self._broke_in:
            # It was cut off, or ended just before: the caller is speaking either way.
            self._broke_in = False
            return
        saying = self._caller.answer(said or event.heard)
        if saying is not None:
            self._next.put_nowait((event.at + THINKING_SECONDS, saying, False))

    async def run(self) -> None:
        """Speak whenever there is something to say, until the call ends."""
        try:
            while True:
                at, saying, breaks_in = await self._call.unless_ended(self._next.get())
                pcm = await self._voiced(saying.text)
                await self._call.unless_ended(asyncio.sleep(max(0.0, at - self._now())))
                self._tell(CallerSpoke(self._now(), saying.text, breaks_in))
                await self._call.play_audio(pcm, self._voice.rate_hz)
        except CallEndedError:
            pass

    async def _voiced(self, text: str) -> NDArray[np.int16]:
        """The words as audio; synthesised once, as a repetition is the same."""
        if text not in self._spoken:
            chunks = [chunk async for chunk in self._voice.speak(text)]
            self._spoken[text] = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
        return self._spoken[text]

    def _now(self) -> float:
        return time.monotonic()
