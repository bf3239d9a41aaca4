"""The demo's caller speaks when a person would."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.events import AgentSaying, AgentSpoke
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError
from trunkline.server.demo_caller import THINKING_SECONDS, CallerSpoke, SyntheticCaller
from trunkline.server.demo_script import Caller, Cue

T = TypeVar("T")
LONG_AGO = time.monotonic() - 3600
CUES = (
    Cue("hello", "what are your hours", "when are you open", until="we are open"),
    Cue("we are open", "hold on please", until="yes what", breaks_in_after_words=4),
    Cue("yes what", "nothing"),
)


class FakeCall:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.played: list[int] = []
        self.ended = asyncio.Event()

    async def unless_ended(self, waiting: Coroutine[object, object, T]) -> T:
        task = asyncio.ensure_future(waiting)
        ended = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if task.done():
            return task.result()
        task.cancel()
        raise CallEndedError(None)

    async def play_audio(self, pcm: NDArray[np.int16], rate_hz: int) -> bool:
        self.played.append(len(pcm))
        return True


class FakeVoice:
    name = "fake"
    rate_hz = 8000

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def speak(self, text: str) -> AsyncIterator[NDArray[np.int16]]:
        self.spoken.append(text)
        for _ in text.split():
            yield np.ones(100, np.int16)

    async def aclose(self) -> None:
        pass


def saying(text: str, plays_at: float = LONG_AGO) -> AgentSaying:
    return AgentSaying(plays_at, text, plays_at, 1)


def spoke(heard: str, at: float = LONG_AGO, *, interrupted: bool = False) -> AgentSpoke:
    return AgentSpoke(at, 1, heard, "", interrupted, False)


def play(*events: object, count: int, voice: FakeVoice | None = None) -> list[CallerSpoke]:
    """What the caller says to these events, up to ``count`` sayings."""
    told: list[CallerSpoke] = []

    async def run() -> None:
        call = FakeCall()

        def tell(event: CallerSpoke) -> None:
            told.append(event)
            if len(told) == count:
                call.ended.set()

        caller = SyntheticCaller(
            cast("Call", call), cast("Any", voice or FakeVoice()), tell, Caller(CUES)
        )
        for event in events:
            caller.agent_event(event)
        if not count:
            call.ended.set()
        async with asyncio.timeout(10):
            await caller.run()

    asyncio.run(run())
    return told


def test_it_answers_when_the_agent_has_finished() -> None:
    told = play(saying("Hello."), saying("This is the shop."), spoke("Hello."), count=1)
    assert [(one.text, one.breaks_in) for one in told] == [("what are your hours", False)]


def test_it_waits_for_the_end_of_the_reply() -> None:
    assert play(saying("Hello."), saying("This is the shop."), count=0) == []


def test_it_takes_a_moment_to_think() -> None:
    began = time.monotonic()
    told = play(saying("Hello."), spoke("Hello.", began), count=1)
    assert told[0].at - began >= THINKING_SECONDS


def test_it_breaks_in_while_the_agent_speaks() -> None:
    told = play(
        saying("Hello."), spoke("Hello."), saying("We are open on"), saying("Mondays."), count=2
    )
    assert [(one.text, one.breaks_in) for one in told] == [
        ("what are your hours", False),
        ("hold on please", True),
    ]


def test_it_breaks_in_only_after_it_has_heard_enough() -> None:
    plays_at = time.monotonic()
    told = play(saying("We are open on Mondays.", plays_at), count=1)
    assert told[0].breaks_in
    assert told[0].at - plays_at >= 4 * 0.3


def test_having_broken_in_it_does_not_answer_what_it_cut_off() -> None:
    told = play(
        saying("We are open on Mondays."),
        spoke("We are", interrupted=True),
        saying("Yes what?"),
        spoke("Yes what?"),
        count=2,
    )
    assert [one.text for one in told] == ["hold on please", "nothing"]


def test_a_repetition_is_not_synthesised_again() -> None:
    voice = FakeVoice()
    play(
        saying("Hello."),
        spoke("Hello."),
        saying("Hello, are you there?"),
        spoke("Hello, are you there?"),
        count=2,
        voice=voice,
    )
    assert voice.spoken == ["what are your hours"]


def test_it_stops_with_the_call() -> None:
    assert play(saying("Goodbye."), spoke("Goodbye."), count=0) == []
    assert play(object(), count=0) == []
