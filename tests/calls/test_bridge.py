"""Bridges: what one leg says is carried to the other, and who hears whom."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trunkline.calls.apps import bridge_to
from trunkline.calls.bridge import Bridge, BridgeOptions, bridge, bridge_of
from trunkline.calls.bridge_codes import refusal
from trunkline.calls.call import Call
from trunkline.calls.events import CallBridged, CallEnded, CallUnbridged
from trunkline.calls.states import CallState
from trunkline.errors import UsageError
from trunkline.media.lane import Lane, StreamInlet
from trunkline.transports.leg import (
    Answered,
    Digit,
    EarlyMedia,
    Ended,
    Held,
    HoldChanged,
    Resumed,
    Ringing,
)

from .fakes import FakeLeg, FakeMedia, HoldingLeg, leg_of, turn

FRAME = 160


class Side(HoldingLeg):
    """A leg with a lane that may have audio before it is answered."""

    def __init__(self, media: FakeMedia, name: str, direction: str = "inbound") -> None:
        super().__init__(media)
        self.id = name
        self.direction = direction
        self.inlet = StreamInlet(8000, None)
        self.made = Lane(name, inlet=self.inlet, outlet=self.outlet, far_buffer_ms=0)

    def open_audio(self) -> None:
        if self.lane is None:
            self.lane = self.made
            self.media.engine.open(self.lane)

    def early_media(self) -> None:
        super().early_media()
        self.open_audio()
        self.tell(EarlyMedia())

    def answer(self) -> None:
        if ("answer",) not in self.did:
            self.did.append(("answer",))
            self.open_audio()
            self.tell(Answered())

    def tell(self, event: Any) -> None:
        if isinstance(event, Ended) and self.lane is not None:
            self.media.engine.close(self.lane)
        super().tell(event)

    def say(self, value: int, frames: int = 1) -> None:
        self.inlet.push(np.full(FRAME * frames, value, np.int16).tobytes())

    @property
    def heard(self) -> list[int]:
        """The first sample of each frame that was sent to it."""
        return [int(np.frombuffer(one, "<i2")[0]) for one in self.outlet.sent if one]


class World:
    """Calls on one media thread."""

    def __init__(self) -> None:
        self.media = FakeMedia()
        self.events: list[Any] = []

    def call(self, name: str, direction: str = "inbound", *, up: bool = False) -> tuple[Call, Side]:
        leg = Side(self.media, name, direction)
        call = Call(name, leg_of(leg), self.media)  # type: ignore[arg-type]
        leg.observer = call.leg_event
        call.observe(self.events.append)
        if up:
            leg.answer()
        return call, leg

    async def pair(self, options: BridgeOptions | None = None) -> tuple[Bridge, Side, Side]:
        (a, a_leg), (b, b_leg) = self.call("a", up=True), self.call("b", "outbound", up=True)
        await turn()
        joined = Bridge(a, b, options)
        await joined.open()
        await turn()
        return joined, a_leg, b_leg

    async def placing(self, options: BridgeOptions | None = None) -> tuple[Bridge, Side, Side]:
        """A caller who is not answered, and a called side that was just placed."""
        a, a_leg = self.call("a")
        joined = Bridge(a, options=options)
        await joined.open()
        b, b_leg = self.call("b", "outbound")
        joined.add_called(b)
        return joined, a_leg, b_leg

    def told(self, kind: type) -> list[tuple[str, str]]:
        return [(one.call_id, one.other_id) for one in self.events if isinstance(one, kind)]


def run(test: Callable[[World], Any]) -> None:
    asyncio.run(test(World()))


# -- audio ---------------------------------------------------------------------------------


def test_both_sides_hear_each_other_at_once() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        a.say(5)
        b.say(7)
        world.media.tick()
        assert (a.heard, b.heard) == ([7], [5])
        assert world.told(CallBridged) == [("a", "b"), ("b", "a")]

    run(main)


def test_early_media_is_heard_before_the_answer() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.placing()
        b.open_audio()
        b.tell(EarlyMedia())
        assert ("early_media",) in a.did
        b.say(9)
        world.media.tick()
        assert a.heard == [9]
        assert ("answer",) not in a.did
        await turn()
        assert not world.told(CallBridged), "nobody has answered"
        b.answer()
        assert ("answer",) in a.did
        await turn()
        assert world.told(CallBridged) == [("a", "b"), ("b", "a")]

    run(main)


def test_without_early_media_the_caller_is_told_that_it_rings() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.placing(BridgeOptions(early_media=False))
        b.open_audio()
        b.tell(EarlyMedia())
        assert a.did == [("ring",)]

    run(main)


def test_a_lane_that_takes_anothers_place_is_heard_instead() -> None:
    """As when a call was forked: one destination's audio was heard, another answers."""

    async def main(world: World) -> None:
        _, a, b = await world.placing()
        b.open_audio()
        b.tell(EarlyMedia())
        other = Side(world.media, "other")
        other.open_audio()
        first, b.lane = b, other.lane
        b.tell(Answered())
        first.say(1, 2)
        other.say(2, 2)
        world.media.tick()
        assert a.heard == [2]

    run(main)


# -- signalling --------------------------------------------------------------------------------


def test_ringing_and_the_answer_are_passed() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.placing()
        b.tell(Ringing())
        assert a.did == [("ring",)]
        b.answer()
        assert a.did == [("ring",), ("answer",)]
        b.say(3)
        world.media.tick()
        assert a.heard == [3]

    run(main)


def test_who_is_answered_already_hears_a_ringing_tone_until_the_other_answers() -> None:
    async def main(world: World) -> None:
        a, a_leg = world.call("a", up=True)
        await turn()
        joined = Bridge(a)
        await joined.open()
        b, b_leg = world.call("b", "outbound")
        joined.add_called(b)
        b_leg.tell(Ringing())
        await turn()
        world.media.tick(20)
        loudest = [np.abs(np.frombuffer(one, "<i2")).max() for one in a_leg.outlet.sent]
        assert max(loudest) == 3200
        before = len(a_leg.heard)
        b_leg.answer()
        b_leg.say(4, 3)
        world.media.tick(2)
        assert a_leg.heard[before:] == [4, 4]
        await turn()
        world.media.tick()
        assert a_leg.heard[before:] == [4, 4, 4]

    run(main)


@pytest.mark.parametrize("first", [0, 1])
def test_the_end_of_one_side_ends_the_other(first: int) -> None:
    async def main(world: World) -> None:
        joined, *legs = await world.pair()
        legs[first].tell(Ended("hangup", "them"))
        assert ("hangup", "hangup") in legs[1 - first].did
        end = await joined.wait()
        assert end is not None
        assert (end.call_id, end.by) == ("ab"[first], "them")
        await turn()
        assert world.told(CallUnbridged) == [("a", "b"), ("b", "a")]
        assert all(bridge_of(call) is None for call in joined.sides)

    run(main)


def test_the_other_side_may_be_kept() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair(BridgeOptions(end_other=False))
        a.tell(Ended("hangup", "them"))
        assert not any(did[0] == "hangup" for did in b.did)
        assert joined.is_over

    run(main)


@pytest.mark.parametrize(
    ("reason", "code", "refused"),
    [
        ("busy", 486, 486),
        ("busy", 600, 600),
        ("no-answer", 480, 480),
        ("no-answer", None, 480),
        ("timeout", 408, 480),
        ("rejected", 603, 603),
        ("rejected", 404, 404),
        ("rejected", 401, 403),
        ("rejected", 500, 503),
        ("error", 503, 503),
        ("error", None, 503),
        ("cancelled", 487, 480),
        ("rejected", 420, 480),
        ("hangup", 200, 480),
    ],
)
def test_a_caller_who_is_not_answered_is_refused_with_the_reason(
    reason: str, code: int | None, refused: int
) -> None:
    async def main(world: World) -> None:
        _, a, b = await world.placing()
        b.tell(Ended(reason, "them", code))
        assert ("reject", refused) in a.did

    run(main)


def test_an_end_that_nobody_knows_is_temporarily_unavailable() -> None:
    assert refusal(None) == (480, "Temporarily Unavailable")


def test_a_caller_who_gives_up_cancels_the_called_side() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.placing()
        b.tell(Ringing())
        a.tell(Ended("cancelled", "them", 487))
        assert b.did == [("hangup", "cancelled")]

    run(main)


def test_a_caller_who_has_gone_before_the_other_was_placed_has_it_cancelled() -> None:
    async def main(world: World) -> None:
        a, a_leg = world.call("a")
        joined = Bridge(a)
        await joined.open()
        a_leg.tell(Ended("cancelled", "them"))
        b, b_leg = world.call("b", "outbound")
        joined.add_called(b)
        await turn()
        assert b_leg.did == [("hangup", "cancelled")]

    run(main)


def test_a_call_that_is_over_already_ends_the_other() -> None:
    async def main(world: World) -> None:
        (a, a_leg), (b, b_leg) = world.call("a", up=True), world.call("b", up=True)
        a_leg.tell(Ended("hangup", "them"))
        await turn()
        end = await bridge(a, b)
        assert end is a.end
        assert ("hangup", "hangup") in b_leg.did

    run(main)


# -- keys and hold -------------------------------------------------------------------------------


def test_keys_are_pressed_on_the_other_side() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        a.tell(Digit("5", 120))
        b.tell(Digit("#", 0))
        assert ("dtmf", "5") in b.did
        assert ("dtmf", "#") in a.did

    run(main)


def test_keys_are_tones_for_a_far_end_without_events() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        b.takes_keys = False
        a.tell(Digit("5", 120))
        world.media.tick(9)
        frames = [np.frombuffer(one, "<i2").astype(float) for one in b.outlet.sent]
        power = np.abs(np.fft.rfft(np.concatenate(frames[:6]))) ** 2
        top = sorted(np.argsort(power)[-2:] * 8000 / 960)
        assert top == pytest.approx([770, 1336], abs=9)

    run(main)


def test_keys_may_stay_on_their_side() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair(BridgeOptions(keys=False))
        a.tell(Digit("5", 120))
        assert ("dtmf", "5") not in b.did

    run(main)


def test_a_key_that_cannot_be_sent_is_no_trouble() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()

        def refuse(digits: str, duration_ms: int = 100) -> None:
            raise UsageError("no digits before the call has audio")

        b.send_dtmf = refuse  # type: ignore[method-assign]
        a.tell(Digit("5", 120))
        a.say(1)
        world.media.tick()
        assert b.heard == [1]

    run(main)


def test_a_hold_is_carried_across_and_back() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        a.tell(Held())
        assert ("hold", False) in b.did
        a.tell(Resumed())
        assert b.did[-1] == ("resume",)

    run(main)


def test_both_sides_may_hold_each_other_and_come_back_in_any_order() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        a.tell(Held())
        b.tell(Held())  # it answered inactive, or holds too
        assert not any(did[0] == "hold" for did in a.did), "no ping-pong"
        a.tell(Resumed())
        assert b.did[-1] == ("resume",)
        assert a.did[-1] == ("hold", False), "the other is away still"
        b.tell(Resumed())
        assert a.did[-1] == ("resume",)

    run(main)


def test_music_is_heard_while_the_other_side_is_away() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair(BridgeOptions(hold="music"))
        a.tell(Held())
        await turn()
        a.say(1, 10)
        world.media.tick(10)
        assert len(set(b.heard)) > 5, "music, and not what the other side's line has"
        a.tell(Resumed())
        await turn()
        b.outlet.sent.clear()
        a.say(2)
        world.media.tick(3)
        assert 2 in b.heard
        assert set(b.heard) <= {1, 2}

    run(main)


def test_music_is_heard_where_a_far_end_cannot_be_held() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        plain = FakeLeg(world.media)
        joined.sides[1]._leg = plain
        a.tell(Held())
        await turn()
        world.media.tick(10)
        assert len(set(b.heard)) > 5
        a.tell(Resumed())

    run(main)


def test_silence_is_heard_while_the_other_side_is_away() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair(BridgeOptions(hold="silence"))
        a.tell(Held())
        a.say(1)
        b.say(2)
        world.media.tick()
        assert (a.heard, b.heard) == ([2], [])
        a.tell(Resumed())
        a.say(3)
        world.media.tick()
        assert b.heard == [3]

    run(main)


def test_what_was_held_for_the_other_is_resumed_when_the_bridge_is_closed() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        a.tell(Held())
        await joined.close()
        await joined.close()
        assert b.did[-1] == ("resume",)
        assert await joined.wait() is None
        a.say(1)
        world.media.tick()
        assert not b.heard

    run(main)


def test_our_own_hold_is_no_hold_of_theirs() -> None:
    async def main(world: World) -> None:
        _, a, b = await world.pair()
        a.tell(HoldChanged(True))
        assert not any(did[0] == "hold" for did in b.did)

    run(main)


# -- third calls ---------------------------------------------------------------------------------


def test_a_third_call_listens_whispers_barges_in_and_leaves() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        c, c_leg = world.call("c", up=True)
        await turn()

        def speak() -> tuple[list[int], ...]:
            for leg, value in ((a, 1), (b, 20), (c_leg, 300)):
                leg.outlet.sent.clear()
                leg.say(value)
            world.media.tick()
            return a.heard, b.heard, c_leg.heard

        await joined.listen(c)
        assert speak() == ([20], [1], [21])
        await joined.whisper(c, joined.sides[0])
        assert speak() == ([320], [1], [21])
        await joined.whisper(c, joined.sides[1])
        assert speak() == ([20], [301], [21])
        await joined.barge(c)
        assert speak() == ([320], [301], [21])
        assert bridge_of(c) is joined
        await joined.leave(c)
        await joined.leave(c)
        assert speak() == ([20], [1], [])
        assert bridge_of(c) is None
        assert joined._joint.is_plain

    run(main)


def test_levels_are_for_what_a_third_call_says_or_hears() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        c, c_leg = world.call("c", up=True)
        await turn()
        await joined.listen(c, level_db=-20)
        a.say(1000)
        b.say(2000)
        world.media.tick()
        assert c_leg.heard == [pytest.approx(300, abs=2)]
        await joined.whisper(c, joined.sides[0], level_db=-6)
        c_leg.say(1000)
        world.media.tick()
        assert a.heard[-1] == pytest.approx(501, abs=2)
        with pytest.raises(UsageError, match="18 dB"):
            await joined.barge(c, level_db=40)

    run(main)


def test_a_third_call_that_ends_leaves_the_two_alone() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        c, c_leg = world.call("c", up=True)
        await joined.barge(c)
        c_leg.tell(Ended("hangup", "them"))
        a.say(1)
        world.media.tick()
        assert b.heard[-1] == 1
        assert not joined.is_over
        assert joined._joint.is_plain

    run(main)


def test_two_supervisors_hear_each_other_only_if_one_has_barged_in() -> None:
    async def main(world: World) -> None:
        joined, *_ = await world.pair()
        (c, c_leg), (d, d_leg) = world.call("c", up=True), world.call("d", up=True)
        await joined.listen(c)
        await joined.barge(d)
        c_leg.say(100)
        d_leg.say(3)
        world.media.tick()
        assert (c_leg.heard, d_leg.heard) == ([3], [0])

    run(main)


# -- another call in the place of one --------------------------------------------------------------


def test_another_call_takes_the_place_of_a_side_without_a_gap() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        c, c_leg = world.call("c", up=True)
        await turn()
        old = joined.sides[0]

        def speak() -> None:
            for leg, value in ((a, 1), (b, 2), (c_leg, 3)):
                leg.say(value)
            world.media.tick()

        speak()
        speak()
        await joined.replace(old, c)
        speak()
        speak()
        assert b.heard == [1, 1, 3, 3]
        assert a.heard == [2, 2]
        assert c_leg.heard == [2, 2]
        a.tell(Ended("hangup", "them"))
        assert not joined.is_over, "it is no side any more"
        c_leg.tell(Ended("hangup", "them"))
        assert ("hangup", "hangup") in b.did
        await turn()
        assert ("a", "b") in world.told(CallUnbridged)
        assert ("c", "b") in world.told(CallBridged)

    run(main)


def test_who_was_held_for_a_side_is_resumed_for_its_successor() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair()
        c, _ = world.call("c", up=True)
        a.tell(Held())  # to consult the third
        await joined.replace(joined.sides[0], c)
        assert b.did[-1] == ("resume",)

    run(main)


def test_a_successor_waits_with_music_as_the_one_before_it_did() -> None:
    async def main(world: World) -> None:
        joined, a, b = await world.pair(BridgeOptions(hold="music"))
        c, c_leg = world.call("c", up=True)
        await turn()
        old = joined.sides[0]
        b.tell(Held())
        await turn()
        world.media.tick(5)
        assert len(set(a.heard)) > 3
        await joined.replace(old, c)
        await turn()
        a.outlet.sent.clear()
        world.media.tick(10)
        assert not a.heard, "its music has stopped"
        assert len(set(c_leg.heard)) > 3
        b.tell(Resumed())
        await turn()
        c_leg.outlet.sent.clear()
        b.say(5)
        world.media.tick()
        assert c_leg.heard == [5]

    run(main)


def test_a_supervisor_may_take_over() -> None:
    async def main(world: World) -> None:
        joined, _, b = await world.pair()
        c, c_leg = world.call("c", up=True)
        await joined.whisper(c, joined.sides[0])
        await joined.replace(joined.sides[0], c)
        c_leg.say(8)
        b.say(9)
        world.media.tick()
        assert (b.heard, c_leg.heard) == ([8], [9])

    run(main)


def test_misuse_is_refused() -> None:
    async def main(world: World) -> None:
        joined, *_ = await world.pair()
        a, b = joined.sides
        fresh, _ = world.call("fresh")
        up, _ = world.call("up", up=True)
        for wrong in (
            Bridge(a, up).open(),
            Bridge(up, up).open(),
            joined.listen(a),
            joined.listen(fresh),
            joined.whisper(up, fresh),
            joined.replace(up, fresh),
            joined.replace(a, fresh),
            joined.replace(a, b),
        ):
            with pytest.raises(UsageError):
                await wrong
        await joined.close()
        with pytest.raises(UsageError, match="is over"):
            await joined.listen(up)
        with pytest.raises(UsageError, match="no switchboard"):
            await a.bridge(b)
        with pytest.raises(UsageError, match="somebody to call"):
            bridge_to()
        with pytest.raises(UsageError, match="no switchboard"):
            await bridge_to("sip:x@127.0.0.1")(up)

    run(main)


def test_a_bridge_that_is_cancelled_leaves_both_calls_up() -> None:
    async def main(world: World) -> None:
        (a, a_leg), (b, b_leg) = world.call("a", up=True), world.call("b", up=True)
        await turn()
        joined = asyncio.create_task(bridge(a, b))
        await turn()
        assert bridge_of(a) is bridge_of(b) is not None
        joined.cancel()
        await turn()
        assert bridge_of(a) is None
        assert a.state is b.state is CallState.UP
        a_leg.say(1)
        world.media.tick()
        assert not b_leg.heard

    run(main)


def test_an_end_tells_how_it_came() -> None:
    async def main(world: World) -> None:
        joined, a, _ = await world.pair()
        a.tell(Ended("media-timeout", "us", None, "silence"))
        end = await joined.wait()
        assert isinstance(end, CallEnded)
        assert (end.reason, end.by, end.detail) == ("media-timeout", "us", "silence")

    run(main)
