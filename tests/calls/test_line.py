"""The media side of a call, before, during and after its audio."""

import asyncio
from typing import Any

import numpy as np

from trunkline.calls.ears import QuietEar
from trunkline.calls.line import CallLine

from .fakes import FakeLeg, FakeMedia

FRAME = np.full(160, 1000, np.int16)


class Ear(QuietEar):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def hear(self, frame: Any, windows: Any, now: float) -> None:
        self.seen.append("frame")

    def digit(self, digit: str, now: float) -> None:
        self.seen.append(digit)

    def started(self, generation: int, now: float) -> None:
        self.seen.append(("started", generation))

    def ended(self, now: float) -> None:
        self.seen.append("ended")


class Tap:
    def __init__(self) -> None:
        self.ticks = 0

    def frame(self, heard: Any, sent: Any, now: float) -> None:
        self.ticks += 1

    def late(self, heard: Any, now: float) -> None:
        pass


def make() -> tuple[CallLine, FakeLeg, FakeMedia]:
    media = FakeMedia()
    line = CallLine("call", 8000, media)  # type: ignore[arg-type]
    leg = FakeLeg(media)
    return line, leg, media


def opened(line: CallLine, leg: FakeLeg, media: FakeMedia) -> None:
    media.engine.open(leg.made)
    line.open(leg.made)


def test_what_was_asked_for_before_the_audio_is_done_when_it_opens() -> None:
    line, leg, media = make()
    ear, tap = Ear(), Tap()
    line.listen(ear, activity=False)
    line.tap(tap)
    generation = line.generation
    line.play(FRAME, generation)
    line.finish(generation)
    assert line.generation == generation + 1
    opened(line, leg, media)
    line.open(leg.made)  # twice changes nothing
    media.tick(2)
    assert leg.outlet.sent == [FRAME.tobytes()]
    assert ("started", generation) in ear.seen and tap.ticks == 2


def test_audio_that_was_cleared_before_the_lane_opened_is_gone() -> None:
    line, leg, media = make()
    line.play(FRAME, line.generation)
    heard = line.clear(0.0)
    assert (heard.samples, heard.exact) == (0, False)
    line.play(FRAME, line.floor - 1)  # on its way when it was cleared
    opened(line, leg, media)
    media.tick(2)
    assert leg.outlet.sent == []


def test_clearing_forbids_every_older_generation() -> None:
    line, leg, media = make()
    opened(line, leg, media)
    old = line.generation
    line.play(np.tile(FRAME, 10), old)
    media.tick(2)
    heard = line.clear(media.now())
    assert heard.generation == old and heard.queued_samples == 8 * 160
    assert line.generation == line.floor > old
    line.play(FRAME, old)
    media.tick(2)
    assert len(leg.outlet.sent) == 2
    line.play(FRAME, line.generation)
    media.tick(1)
    assert len(leg.outlet.sent) == 3


def test_finishing_an_old_generation_does_not_begin_a_new_one() -> None:
    line, _, _ = make()
    line.clear(0.0)
    before = line.generation
    line.finish(before - 1)
    assert line.generation == before


def test_ears_and_taps_can_be_taken_off() -> None:
    line, leg, media = make()
    opened(line, leg, media)
    ear, tap = Ear(), Tap()
    line.listen(ear)
    line.tap(tap)
    media.tick(8)  # silence is heard after 100 ms without audio
    line.unlisten(ear)
    line.unlisten(ear)
    line.untap(tap)
    line.untap(tap)
    count, ticks = len(ear.seen), tap.ticks
    assert count and ticks
    media.tick(3)
    assert (len(ear.seen), tap.ticks) == (count, ticks)
    assert leg.made.wants_activity == 0


def test_every_ear_is_told_of_the_end_once_and_those_that_come_later_at_once() -> None:
    line, leg, media = make()
    opened(line, leg, media)
    first, late = Ear(), Ear()
    line.listen(first)
    line.digit("7", 0.0)
    line.close(1.0)
    line.close(2.0)
    assert first.seen == ["7", "ended"]
    line.listen(late)
    assert late.seen == ["ended"]
    line.play(FRAME, line.generation)
    line.tap(Tap())
    media.tick(2)
    assert leg.outlet.sent == [] and leg.made.ears == [] and leg.made.taps == []


def test_the_end_takes_its_own_taps_off_a_lane_that_goes_on() -> None:
    line, leg, media = make()
    opened(line, leg, media)
    own, other = Tap(), Tap()
    line.tap(own)
    leg.made.taps.append(other)
    line.close(1.0)
    media.tick(8)
    assert leg.made.taps == [other]
    assert own.ticks == 0 and other.ticks


def test_posting_crosses_to_the_applications_loop() -> None:
    async def main() -> None:
        line, _, _ = make()
        told: list[int] = []
        line.post(told.append, 1)
        assert told == []
        await asyncio.sleep(0)
        assert told == [1]

    asyncio.run(main())
