"""A call, on a leg that does as it is told."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from trunkline.calls.call import Call
from trunkline.calls.ears import FrameQueue
from trunkline.calls.errors import CallEndedError, HoldRefusedError
from trunkline.calls.events import (
    CallAnswered,
    CallDigit,
    CallEnded,
    CallHeld,
    CallResumed,
    CallRinging,
)
from trunkline.calls.states import CallState
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import UsageError
from trunkline.media.dtmf_tones import dtmf_audio
from trunkline.media.g711 import Law, encode
from trunkline.media.lane import Lane, StreamInlet
from trunkline.media.wav import serialise_wav
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

from .fakes import FakeLeg, FakeMedia, HoldingLeg, turn

TONE = (8000 * np.sin(np.arange(1600) / 5)).astype(np.int16)


def make(*, kind: type[FakeLeg] = FakeLeg, **options: Any) -> tuple[Call, FakeLeg, FakeMedia]:
    media = FakeMedia()
    leg = kind(media, **options)
    call = Call("call_1", leg, media)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    return call, leg, media


def test_the_observers_see_what_happens_in_order() -> None:
    async def main() -> None:
        call, leg, _ = make(headers={"X-Who": "me"})
        events: list[object] = []
        call.observe(events.append)
        leg.tell(Ringing(180))
        leg.tell(EarlyMedia())
        await call.answer()
        leg.tell(Held())
        leg.tell(Resumed())
        leg.tell(Digit("5", 100))
        await call.hangup()
        end = await call.wait_ended()
        names = [type(event).__name__ for event in events]
        assert names == [
            "CallRinging", "CallEarlyMedia", "CallAnswered", "CallHeld", "CallResumed",
            "CallDigit", "CallEnded",
        ]  # fmt: skip
        assert events[-1] is end is call.end
        assert call.headers["X-Who"] == "me" and call.answered_at and call.ended_at
        assert call.statistics == {"received": 1.0}
        assert isinstance(events[0], CallRinging | CallAnswered | CallHeld | CallDigit | CallEnded)

    asyncio.run(main())


def test_an_observer_that_fails_is_logged_and_the_others_hear(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        call, leg, _ = make()
        seen: list[object] = []
        call.observe(lambda event: 1 / 0)
        call.observe(seen.append)
        leg.tell(Ringing())
        await turn()
        assert len(seen) == 1

    asyncio.run(main())
    assert "observer" in caplog.text


def test_something_impossible_is_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        call, leg, _ = make()
        leg.tell(Held())
        await turn()
        assert call.state is CallState.NEW

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "Held cannot happen to a call that is new; ignored" in caplog.text


def test_signalling_reaches_the_leg() -> None:
    async def main() -> None:
        call, leg, _ = make()
        await call.ring()
        await call.early_media()
        await call.answer()
        await call.send_dtmf("12")
        call.send_dtmf_soon("3")
        call.hangup_soon("goodbye")
        assert (await call.wait_ended()).reason == "goodbye"
        await call.hangup()
        assert leg.did == [
            ("ring",), ("early_media",), ("answer",), ("dtmf", "12"), ("dtmf", "3"),
            ("hangup", "goodbye"),
        ]  # fmt: skip

    asyncio.run(main())


def test_an_unanswered_call_can_be_refused_and_no_other() -> None:
    async def main() -> None:
        call, _, _ = make()
        await call.reject(603)
        assert call.end is not None and call.end.code == 603
        with pytest.raises(CallEndedError):
            await call.wait_answered()
        up, _, _ = make()
        await up.answer()
        with pytest.raises(UsageError, match="hangup"):
            await up.reject()
        placed, _, _ = make(direction="outbound")
        with pytest.raises(UsageError):
            await placed.reject()

    asyncio.run(main())


def test_an_unanswered_call_can_be_sent_elsewhere_where_its_transport_can() -> None:
    class Movable(FakeLeg):
        def redirect(self, targets: Sequence[str], code: int = 302) -> None:
            self.did.append(("redirect", *targets, code))
            self.tell(Ended("redirected", "us", code))

    async def main() -> None:
        call, leg, _ = make(kind=Movable)
        await call.redirect("sip:a@h", "sip:b@h", code=301)
        assert leg.did == [("redirect", "sip:a@h", "sip:b@h", 301)]
        assert call.end is not None and call.end.reason == "redirected"
        up, _, _ = make(kind=Movable)
        await up.answer()
        placed, _, _ = make(kind=Movable, direction="outbound")
        fixed, _, _ = make()
        for other in (up, placed, fixed):
            with pytest.raises(UsageError, match="elsewhere"):
                await other.redirect("sip:a@h")

    asyncio.run(main())


def test_digits_wait_to_be_read_and_the_oldest_go() -> None:
    async def main() -> None:
        call, leg, _ = make()
        await call.answer()
        for digit in "0123456789" * 26:
            leg.tell(Digit(digit, 0))
        await turn()
        assert await call.next_digit() == "4"  # 260 came, 256 are kept
        for _ in range(255):
            await call.next_digit()
        with pytest.raises(TimeoutError):
            await call.next_digit(0.001)

    asyncio.run(main())


def test_waiting_for_a_digit_ends_with_the_call() -> None:
    async def main() -> None:
        call, leg, _ = make()
        await call.answer()
        waiting = asyncio.create_task(call.next_digit())
        await turn()
        leg.tell(Ended("hangup", "them"))
        with pytest.raises(CallEndedError) as caught:
            await waiting
        assert caught.value.end is call.end

    asyncio.run(main())


def test_audio_is_played_to_its_end_at_any_rate(tmp_path: Any) -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        path = tmp_path / "tone.wav"
        path.write_bytes(serialise_wav(np.repeat(TONE, 2)[:, None], 16_000))
        playing = asyncio.create_task(call.play_file(path))
        while not playing.done():
            media.tick()
            await asyncio.sleep(0.001)
        assert playing.result() is True
        assert len(b"".join(leg.outlet.sent)) >= 1600 * 2

    asyncio.run(main())


def test_playing_tells_when_it_was_cut_off() -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        playing = asyncio.create_task(call.play_audio(TONE, 8000))
        await turn()
        media.tick(2)
        await call.stop_playing()
        leg.inlet.push(encode(TONE[:160], Law.ULAW).tobytes())
        media.tick(2)
        assert await playing is False
        sent = len(leg.outlet.sent)
        media.tick(3)
        assert len(leg.outlet.sent) == sent

    asyncio.run(main())


def test_a_file_longer_than_the_playout_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The playout holds 60 s; what does not fit yet waits its turn."""
    waits: list[float] = []
    long = np.tile(TONE, 8000 * 90 // len(TONE) + 1)[: 8000 * 90]

    async def main() -> None:
        call, _leg, media = make()
        await call.answer()
        sleep = asyncio.sleep

        async def passing(seconds: float) -> None:
            # Time passes at the pace of the clock: as many ticks as it lasts.
            if seconds > 0.01:
                waits.append(seconds)
                media.tick(round(seconds / 0.02))
            await sleep(0)

        monkeypatch.setattr("trunkline.calls.call.asyncio.sleep", passing)
        playing = asyncio.create_task(call.play_audio(long, 8000))
        for _ in range(10_000):
            await sleep(0)
            media.tick(5)
            if playing.done():
                break
        assert await playing is True
        lane = call.lane
        assert lane is not None
        assert lane.playout.refused_samples == 0
        assert lane.playout.frames_taken == 90 * 50

    asyncio.run(main())
    assert waits


def test_playing_ends_with_the_call() -> None:
    async def main() -> None:
        call, leg, _ = make()
        await call.answer()
        playing = asyncio.create_task(call.play_audio(TONE, 8000))
        await turn()
        leg.tell(Ended("hangup", "them"))
        with pytest.raises(CallEndedError):
            await playing

    asyncio.run(main())


def test_frames_come_until_the_call_ends() -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        heard: list[Any] = []

        async def read() -> None:
            heard.extend([frame async for frame in call.frames()])

        reading = asyncio.create_task(read())
        await turn()
        for _ in range(4):
            leg.inlet.push(encode(TONE[:160], Law.ULAW).tobytes())
            media.tick()
        await turn()
        leg.tell(Ended("hangup", "them"))
        await reading
        assert len(heard) == 4 and all(len(frame) == 160 for frame in heard)
        assert abs(int(heard[0][40]) - int(TONE[40])) < 300

    asyncio.run(main())


def test_a_call_without_a_node_has_no_voice_and_no_recorder() -> None:
    async def main() -> None:
        call, _, _ = make()
        assert call.agent_host().hangup is not None
        with pytest.raises(UsageError):
            call.start_recording()
        with pytest.raises(UsageError):
            await call.say("hello")

    asyncio.run(main())


def holding() -> tuple[Call, HoldingLeg, list[object]]:
    media = FakeMedia()
    leg = HoldingLeg(media)
    call = Call("call_1", leg, media)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    events: list[object] = []
    call.observe(events.append)
    return call, leg, events


def test_a_call_is_held_and_resumed() -> None:
    async def main() -> None:
        call, leg, events = holding()
        await call.answer()
        await call.hold()
        assert call.on_hold and call.state is CallState.UP and call.is_answered
        await call.hold(silent=True)
        await call.resume()
        assert not call.on_hold
        assert leg.did[1:] == [("hold", False), ("hold", True), ("resume",)]
        assert [(type(e), getattr(e, "by", "")) for e in events] == [
            (CallAnswered, ""), (CallHeld, "us"), (CallResumed, "us"),
        ]  # fmt: skip

    asyncio.run(main())


def test_who_is_held_may_hold_as_well() -> None:
    async def main() -> None:
        call, leg, events = holding()
        await call.answer()
        leg.tell(Held())
        await turn()
        await call.hold()
        assert call.state is CallState.HELD and call.on_hold
        leg.tell(Resumed())
        await turn()
        assert call.state is CallState.UP and call.on_hold
        assert [getattr(e, "by", "") for e in events[1:]] == ["them", "us", "them"]

    asyncio.run(main())


def test_a_refused_hold_raises_and_changes_nothing() -> None:
    async def main() -> None:
        call, leg, events = holding()
        await call.answer()
        leg.answers = [HoldChanged(False, 488, "Not Acceptable Here")]
        with pytest.raises(HoldRefusedError, match="488 Not Acceptable Here") as caught:
            await call.hold()
        assert caught.value.code == 488 and not call.on_hold
        assert not any(isinstance(event, CallHeld) for event in events)
        await call.hold()

    asyncio.run(main())


def test_a_call_that_ends_while_it_is_being_held_says_so() -> None:
    async def main() -> None:
        call, leg, _ = holding()
        await call.answer()
        leg.answers = [Ended("hangup", "them")]
        with pytest.raises(CallEndedError):
            await call.hold()
        with pytest.raises(UsageError, match="not up"):
            await call.resume()

    asyncio.run(main())


def test_only_a_call_that_is_up_on_a_transport_with_hold_can_be_held() -> None:
    async def main() -> None:
        call, _, _ = holding()
        with pytest.raises(UsageError, match="not up"):
            await call.hold()
        other, leg, _ = make()
        other.transport = "twilio"
        await other.answer()
        for change in (other.hold, other.resume):
            with pytest.raises(UsageError, match="a call over twilio cannot be held"):
                await change()
        assert leg.did[1:] == []

    asyncio.run(main())


def test_keys_are_tones_for_a_far_end_that_takes_no_other() -> None:
    async def main() -> None:
        call, leg, media = make()
        leg.takes_keys = False
        await call.answer()
        await call.send_dtmf("1")
        media.tick(12)
        pcm = np.frombuffer(b"".join(leg.outlet.sent), "<i2")[:800].astype(float)
        top = np.argsort(np.abs(np.fft.rfft(pcm)))[-2:] * 10
        assert sorted(top.tolist()) == [700, 1210]
        assert ("dtmf", "1") not in leg.did
        with pytest.raises(UsageError, match="is not a key"):
            await call.send_dtmf("x")

    asyncio.run(main())


@pytest.mark.parametrize(("wanted", "takes_keys", "heard"), [
    (True, False, ["5"]), (True, True, []), (False, False, []),
])  # fmt: skip
def test_tones_are_keys_where_that_is_wanted_and_needed(
    wanted: bool, takes_keys: bool, heard: list[str]
) -> None:
    async def main() -> None:
        call, leg, media = make()
        board = Switchboard()
        board.tones_in = wanted
        call.board = board
        leg.takes_keys = takes_keys
        await call.answer()
        keys: list[str] = []
        call.observe(lambda event: keys.append(event.digit) if isinstance(event, CallDigit) else 0)
        for frame in np.pad(dtmf_audio("5"), (0, 1600)).reshape(-1, 160):
            leg.inlet.push(encode(frame, Law.ULAW).tobytes())
            media.tick()
        await turn()
        assert keys == heard
        assert bool(len(media.engine._tones)) is (wanted and not takes_keys)

    asyncio.run(main())


def test_another_lane_takes_the_place_of_the_first_with_all_that_listens() -> None:
    async def main() -> None:
        call, leg, media = make()
        ear, tap = FrameQueue(call, 5), RecordingTapForTests()
        call.listen(ear, activity=False)
        call.tap(tap)
        leg.lane = first = leg.made
        media.engine.open(first)
        leg.tell(EarlyMedia())
        assert first.ears == [ear] and first.taps == [tap]
        second = Lane("second", inlet=StreamInlet(8000), outlet=leg.outlet)
        media.engine.open(second)
        leg.lane = second
        leg.tell(Answered())
        assert call.lane is second
        assert second.ears == [ear] and second.taps == [tap]
        assert first.ears == first.taps == []
        leg.tell(Ended("hangup", "them"))
        assert second.ears == second.taps == []

    asyncio.run(main())


class RecordingTapForTests:
    """A tap that does nothing."""

    def frame(self, heard: Any, sent: Any, now: float) -> None:
        pass

    def late(self, heard: Any, now: float) -> None:
        pass


def test_a_call_without_a_board_holds_with_our_own_music() -> None:
    call, _, _ = asyncio.run(_made())
    assert call.music_source().path == ""
    assert call.music_source("x.wav").path == "x.wav"


async def _made() -> tuple[Call, FakeLeg, FakeMedia]:
    return make()


def test_an_observer_and_a_watcher_may_be_taken_away_again() -> None:
    async def main() -> None:
        call, leg, _ = make()
        seen: list[object] = []

        def watcher(call: Call, event: object, now: float) -> None:
            seen.append(event)

        call.watch_leg(watcher)
        call.observe(seen.append)
        leg.tell(Ringing())
        await turn()
        assert len(seen) == 2
        for _ in range(2):
            call.unwatch_leg(watcher)
            call.unobserve(seen.append)
        leg.tell(Ringing())
        await turn()
        assert len(seen) == 2

    asyncio.run(main())


def test_a_watcher_that_fails_does_not_keep_the_call_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        call, leg, _ = make()

        def fail(call: Call, event: object, now: float) -> None:
            raise RuntimeError("watcher")

        call.watch_leg(fail)
        leg.tell(Ended("hangup", "them"))
        await turn()
        assert call.is_over

    asyncio.run(main())
    assert "failed on Ended" in caplog.text
