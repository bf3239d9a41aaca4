"""A call that changes its leg: whoever listens, speaks or records goes along."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError, HoldRefusedError
from trunkline.calls.events import CallEnded, CallTransferred
from trunkline.calls.states import CallState
from trunkline.calls.succession import RETIRE_SECONDS, NextLeg
from trunkline.media.g711 import Law
from trunkline.transports.leg import (
    Digit,
    EarlyMedia,
    Ended,
    Held,
    LegReplaced,
    Ringing,
    TransferAsked,
)

from .fakes import FakeLeg, FakeMedia, FakeRequest, HoldingLeg, turn

TONE = (8000 * np.sin(np.arange(4800) / 5)).astype(np.int16)


class Ear:
    def __init__(self) -> None:
        self.frames: list[NDArray[np.int16]] = []
        self.drains = 0
        self.digits = ""
        self.ends = 0

    def hear(self, frame: NDArray[np.int16], windows: Sequence[Any], now: float) -> None:
        self.frames.append(frame.copy())

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Any, now: float) -> None:
        self.drains += 1

    def digit(self, digit: str, now: float) -> None:
        self.digits += digit

    def ended(self, now: float) -> None:
        self.ends += 1


class Tap:
    def __init__(self) -> None:
        self.seen: list[tuple[bool, bool]] = []

    def frame(self, heard: Any, sent: Any, now: float) -> None:
        self.seen.append((heard is not None, sent is not None))

    def late(self, heard: Any, now: float) -> None:
        pass


class Scene:
    """A call that is up, and the leg that is to follow."""

    def __init__(self, kind: type[FakeLeg] = FakeLeg) -> None:
        self.media = FakeMedia()
        self.old = kind(self.media)
        self.new = FakeLeg(self.media, direction="outbound", callee="carol")
        self.call = Call("call_1", self.old, self.media)  # type: ignore[arg-type]
        self.old.observer = self.new.observer = self.call.leg_event
        self.events: list[object] = []
        self.call.observe(self.events.append)
        self.request = FakeRequest()
        self.told: list[int] = []

    def follow(self) -> None:
        self.call.follow(
            NextLeg(self.new, "carol", self.request, lambda code, _: self.told.append(code))  # type: ignore[arg-type]
        )

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def loud(leg: FakeLeg) -> int:
    """Frames with sound that left on a leg."""
    return sum(any(np.frombuffer(frame, "<i2")) for frame in leg.outlet.sent)


def test_ears_taps_and_what_is_queued_go_to_the_new_leg() -> None:
    async def main() -> None:
        scene = Scene()
        call, ear, tap = scene.call, Ear(), Tap()
        await call.answer()
        call.listen(ear, activity=False)
        call.tap(tap)
        playing = asyncio.create_task(call.play_audio(TONE, 8000))
        await turn()
        scene.media.tick(10)
        scene.follow()
        scene.new.tell(Ringing(180))
        scene.new.answer()
        scene.media.tick(30)
        await turn()
        assert await playing is True
        assert loud(scene.old) == 10 and loud(scene.new) == 20
        scene.new.inlet.push(bytes([0x10]) * 160)
        heard = len(ear.frames)
        scene.media.tick(2)
        assert len(ear.frames) > heard
        assert call.lane is scene.new.lane and not scene.old.made.ears and not scene.old.made.taps
        assert sum(sent for _, sent in tap.seen) == 30
        scene.new.tell(Digit("5", 100))
        scene.old.tell(Digit("6", 100))
        await turn()
        assert ear.digits == "5" and await call.next_digit() == "5"
        assert scene.names() == ["CallAnswered", "CallTransferred", "CallDigit"]
        assert scene.request.said == [180, 200] and scene.told == [180, 200]
        assert call.party.callee == "carol" and call.former_statistics == [{"received": 1.0}]

    asyncio.run(main())


def test_what_had_just_been_said_counts_as_heard() -> None:
    """A text whose end is in the far end's buffer when the leg changes is not waited for."""

    async def main() -> None:
        scene = Scene()
        scene.old.made.far_buffer_ms = 10_000
        await scene.call.answer()
        playing = asyncio.create_task(scene.call.play_audio(TONE[:320], 8000))
        await turn()
        scene.media.tick(5)
        await turn()
        assert not playing.done()
        scene.follow()
        scene.new.answer()
        await turn()
        assert await playing is True

    asyncio.run(main())


def test_what_was_cut_off_before_does_not_come_back() -> None:
    async def main() -> None:
        scene = Scene()
        call = scene.call
        await call.answer()
        old = call.generation
        call.play(TONE, old)
        call.clear(0.0)
        scene.follow()
        scene.new.answer()
        call.play(TONE, old)
        scene.media.tick(5)
        assert loud(scene.new) == 0
        call.play(TONE, call.generation)
        scene.media.tick(5)
        assert loud(scene.new) == 5

    asyncio.run(main())


def test_an_old_leg_is_given_time_to_hang_up_and_its_end_is_nobodys() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        scene.new.answer()
        await turn()
        assert ("hangup", "transferred") not in scene.old.did
        ((seconds, hangup, arguments),) = scene.media.later
        assert seconds == RETIRE_SECONDS
        hangup(*arguments)
        await turn()
        assert scene.old.did[-1] == ("hangup", "transferred")
        assert scene.call.is_answered and "CallEnded" not in scene.names()
        scene.new.tell(Ended("hangup", "them"))
        await turn()
        assert scene.call.is_over and scene.names().count("CallEnded") == 1

    asyncio.run(main())


@pytest.mark.parametrize("by", ["us", "them"])
def test_a_call_that_ends_leaves_no_leg_behind(by: str) -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        scene.new.answer()
        await turn()
        assert not any(what[0] == "hangup" for what in scene.old.did)
        if by == "us":
            await scene.call.hangup("enough")
        else:
            scene.new.tell(Ended("enough", "them"))
        await scene.call.wait_ended()
        assert scene.old.did[-1] == ("hangup", "enough")

    asyncio.run(main())


def test_an_end_before_the_new_leg_answers_waits_for_it() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        scene.old.tell(Ended("hangup", "them"))
        await turn()
        assert not scene.call.is_over
        scene.new.tell(EarlyMedia(183))
        scene.new.answer()
        await turn()
        assert scene.call.is_answered and scene.request.said == [183, 200]
        assert scene.media.later == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("end", "code"),
    [(Ended("busy", "them", 486), 486), (Ended("no-answer", "us"), 480),
     (Ended("error", "us"), 503), (Ended("cancelled", "us"), 487)],
)  # fmt: skip
@pytest.mark.parametrize("gone", [False, True])
def test_a_new_leg_that_fails_leaves_things_as_they_are(end: Ended, code: int, gone: bool) -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        if gone:
            scene.old.tell(Ended("hangup", "them"))
        scene.new.tell(end)
        await turn()
        assert scene.request.said == [code]
        assert scene.call.is_over is gone and not scene.call.has_next
        if gone:
            assert scene.call.end is not None and scene.call.end.by == "them"

    asyncio.run(main())


def test_hanging_up_meanwhile_ends_both() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        await scene.call.hangup("enough")
        end = await scene.call.wait_ended()
        assert end.reason == "enough"
        assert scene.new.did == [("hangup", "enough")] and scene.request.said == [487]

    asyncio.run(main())


def test_hanging_up_when_only_the_new_leg_is_left() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        scene.old.ends_at_once = False
        scene.old.tell(Ended("hangup", "them"))
        await turn()
        await scene.call.hangup()
        end = await scene.call.wait_ended()
        assert (end.reason, end.by) == ("hangup", "them")

    asyncio.run(main())


def replacement(scene: Scene) -> LegReplaced:
    scene.new.party = scene.old.party
    return LegReplaced(scene.new, lambda observer: setattr(scene.new, "observer", observer))  # type: ignore[arg-type]


def test_a_leg_that_is_replaced_is_hung_up_and_the_call_goes_on() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.new.observer = None
        scene.old.tell(Held())
        scene.old.tell(replacement(scene))
        await turn()
        assert scene.new.did == [("answer",)]
        assert scene.old.did[-1] == ("hangup", "replaced")
        assert scene.call.state is CallState.UP and not scene.call.is_over
        assert scene.names() == [
            "CallAnswered", "CallHeld", "CallResumed", "CallTransferred",
        ]  # fmt: skip
        (event,) = [event for event in scene.events if isinstance(event, CallTransferred)]
        assert (event.target, event.by) == ("alice", "them")

    asyncio.run(main())


def test_a_call_of_ours_that_still_rings_is_answered_by_who_takes_it_over() -> None:
    async def main() -> None:
        scene = Scene()
        scene.old.tell(Ringing(180))
        scene.old.tell(replacement(scene))
        await turn()
        await scene.call.wait_answered()
        assert scene.names() == ["CallRinging", "CallAnswered", "CallTransferred"]

    asyncio.run(main())


def test_one_leg_at_a_time_follows() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        scene.follow()
        third = FakeLeg(scene.media)
        third.observer = lambda *_: None
        scene.old.tell(LegReplaced(third, lambda observer: None))  # type: ignore[arg-type]
        assert third.did == [("reject", 486)]
        assert scene.call.has_next

    asyncio.run(main())


def test_a_hold_that_waits_when_the_leg_goes_is_refused() -> None:
    async def main() -> None:
        scene = Scene(HoldingLeg)
        await scene.call.answer()
        scene.old.hold = lambda silent=False: None  # type: ignore[attr-defined]
        holding = asyncio.create_task(scene.call.hold())
        await turn()
        scene.follow()
        scene.new.answer()
        with pytest.raises(HoldRefusedError):
            await holding
        assert not scene.call.on_hold

    asyncio.run(main())


def test_nobody_follows_a_call_that_has_ended() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.call.answer()
        asked: list[object] = []
        scene.call.follower = lambda *what: asked.append(what)
        request = FakeRequest()
        scene.old.tell(Ended("hangup", "them"))
        scene.old.tell(TransferAsked(request))  # type: ignore[arg-type]
        await turn()
        assert not asked and request.said == [("refused", 603)]
        with pytest.raises(CallEndedError):
            await scene.call.next_digit()
        assert isinstance(scene.events[-1], CallEnded)

    asyncio.run(main())


def test_audio_of_another_encoding_is_heard_after_the_change() -> None:
    async def main() -> None:
        scene = Scene()
        scene.new.inlet.encoding = Law.ALAW
        ear = Ear()
        scene.call.listen(ear, activity=False)
        await scene.call.answer()
        scene.follow()
        scene.new.answer()
        scene.new.inlet.push(bytes([0x2A]) * 160)
        scene.media.tick()
        assert len(ear.frames) == 1 and abs(int(ear.frames[0][0])) > 10_000

    asyncio.run(main())
