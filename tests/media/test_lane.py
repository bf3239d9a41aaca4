"""Lanes: marks, what was heard, what has been played out, and streams that come in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.g711 import Law
from trunkline.media.lane import MARK_PATIENCE_SECONDS, Heard, Lane, StreamInlet, Window
from trunkline.media.testing import MemoryOutlet

FRAME = 160
FAR_MS = 60
FAR = FAR_MS * 8


@dataclass
class Ear:
    events: list[tuple[str, Any]] = field(default_factory=list)

    def hear(self, frame: NDArray[np.int16], windows: Sequence[Window], now: float) -> None:
        self.events.append(("hear", now))

    def started(self, generation: int, now: float) -> None:
        self.events.append(("started", generation))

    def drained(self, heard: Heard, now: float) -> None:
        self.events.append(("drained", heard))

    @property
    def drains(self) -> list[Heard]:
        return [what for kind, what in self.events if kind == "drained"]


class Deaf(Ear):
    def started(self, generation: int, now: float) -> None:
        raise RuntimeError("started")

    def drained(self, heard: Heard, now: float) -> None:
        raise RuntimeError("drained")


@dataclass
class Scene:
    """A lane that is driven as the engine does it, one tick at a time."""

    lane: Lane
    outlet: MemoryOutlet
    ear: Ear
    now: float = 0.0

    def tick(self, times: int = 1) -> list[bytes]:
        frames = []
        for _ in range(times):
            if self.lane.draining:
                self.lane.drain(self.now)
            frame = self.lane.take(self.now)
            if frame is not None:
                frames.append(frame)
                if self.lane.marks:
                    self.lane.after_send()
            if self.lane.begins:
                self.lane.tell_started(self.now)
            self.now += 0.02
        return frames

    def say(self, frames: int, generation: int = 0, *, finish: bool = True) -> None:
        pcm = np.full(frames * FRAME, generation + 1, np.int16)
        assert self.lane.playout.push(pcm, generation) == len(pcm)
        if finish:
            self.lane.playout.finish(generation)

    def answer(self, generation: int, samples: int) -> None:
        """The far end says that it has played so much."""
        self.lane.mark_played(generation, samples, self.now)


def scene(*, marks: bool = False, round_trip: float = 0.0, ear: Ear | None = None) -> Scene:
    outlet = MemoryOutlet(marks=marks)
    lane = Lane("lane", inlet=StreamInlet(8000), outlet=outlet, far_buffer_ms=FAR_MS)
    lane.round_trip_seconds = round_trip
    found = Scene(lane, outlet, ear or Ear())
    lane.ears.append(found.ear)
    return found


# -- marks --------------------------------------------------------------------------------


def test_marks_are_asked_for_at_once_every_200_ms_and_at_the_end() -> None:
    talk = scene(marks=True)
    talk.say(24)
    talk.tick(30)
    assert talk.outlet.asked == [(0, 160), (0, 1760), (0, 3360), (0, 3840)]


def test_each_generation_is_marked_from_its_beginning() -> None:
    talk = scene(marks=True)
    talk.say(3, 0)
    talk.say(2, 1)
    talk.tick(10)
    assert talk.outlet.asked == [(0, 160), (0, 480), (1, 160), (1, 320)]


def test_no_mark_is_asked_of_a_far_end_without_marks() -> None:
    talk = scene()
    talk.say(30)
    talk.tick(40)
    assert talk.outlet.asked == []


def test_a_finish_that_comes_after_the_last_frame_asks_for_the_last_mark_then() -> None:
    talk = scene(marks=True)
    talk.say(5, finish=False)
    talk.tick(8)
    assert talk.outlet.asked == [(0, 160)]
    talk.answer(0, 160)
    talk.lane.playout.finish(0)
    talk.tick()
    assert talk.outlet.asked == [(0, 160), (0, 800)]
    assert not talk.ear.drains
    talk.answer(0, 800)
    assert talk.ear.drains == [Heard(0, 800, 0, True)]


def test_the_last_mark_says_how_much_audio_there_was_and_not_the_padding() -> None:
    talk = scene(marks=True)
    talk.lane.playout.push(np.ones(200, np.int16), 0)
    talk.lane.playout.finish(0)
    talk.tick(5)
    assert talk.outlet.asked == [(0, 160), (0, 200)]


# -- told of beginnings and ends -----------------------------------------------------------


def test_a_beginning_is_told_once_for_each_generation_when_its_frame_has_left() -> None:
    talk = scene()
    talk.say(3, 0)
    talk.say(3, 1)
    assert talk.lane.take(0.0) is not None
    assert talk.ear.events == []
    talk.lane.tell_started(0.0)
    talk.tick(10)
    assert [event for event in talk.ear.events if event[0] == "started"] == [
        ("started", 0),
        ("started", 1),
    ]


def test_without_marks_an_end_is_told_after_the_far_buffer_and_half_the_round_trip() -> None:
    talk = scene(round_trip=0.08)
    talk.say(10)
    talk.tick(10)  # the last one at 0.18
    while not talk.ear.drains and talk.now < 1:
        talk.tick()
    assert talk.ear.drains == [Heard(0, 1600, 0, False)]
    assert talk.now - 0.02 == pytest.approx(0.18 + 0.06 + 0.04, abs=0.0201)
    assert not talk.lane.draining


def test_frames_sent_ahead_put_the_end_off() -> None:
    ends = []
    for ahead in (0, 5):
        talk = scene()
        talk.lane.sent_ahead = ahead
        talk.say(2)
        while not talk.ear.drains and talk.now < 1:
            talk.tick()
        ends.append(talk.now)
    assert ends[1] - ends[0] == pytest.approx(0.1)


def test_with_marks_an_end_is_told_when_the_last_mark_comes_back() -> None:
    talk = scene(marks=True)
    talk.say(20)
    talk.tick(15)
    talk.answer(0, 160)
    talk.tick(20)
    talk.answer(0, 1760)
    assert not talk.ear.drains
    talk.answer(0, 3200)
    assert talk.ear.drains == [Heard(0, 3200, 0, True)]
    talk.answer(0, 3200)
    talk.tick(500)
    assert len(talk.ear.drains) == 1


def test_a_far_end_that_never_returned_a_mark_is_not_waited_for() -> None:
    talk = scene(marks=True)
    talk.say(10)
    talk.tick(20)
    assert talk.ear.drains == [Heard(0, 1600, 0, False)]


def test_a_mark_that_gets_lost_holds_the_end_up_for_seconds_and_only_once() -> None:
    talk = scene(marks=True)
    talk.say(10, 0)
    talk.tick(2)
    talk.answer(0, 160)
    talk.tick(8)
    ended = talk.now
    while not talk.ear.drains and talk.now < 60:
        talk.tick()
    assert talk.now - ended == pytest.approx(MARK_PATIENCE_SECONDS + 0.06, abs=0.05)
    assert talk.ear.drains == [Heard(0, 1600, 0, False)]
    # From here on the far end is one without marks, until it returns one.
    talk.say(10, 1)
    talk.tick(20)
    assert talk.ear.drains[1:] == [Heard(1, 1600, 0, False)]
    talk.say(10, 2)
    talk.tick(5)
    talk.answer(2, 160)
    talk.tick(20)
    assert len(talk.ear.drains) == 2
    talk.answer(2, 1600)
    assert talk.ear.drains[2:] == [Heard(2, 1600, 0, True)]


def test_a_mark_of_a_later_generation_says_that_earlier_ones_are_over() -> None:
    talk = scene(marks=True)
    talk.say(4, 0)
    talk.say(4, 1)
    talk.tick(1)
    talk.answer(0, 160)
    talk.tick(10)
    talk.answer(1, 640)
    assert talk.ear.drains == [Heard(0, 640, 0, True), Heard(1, 640, 0, True)]


def test_a_generation_without_audio_is_over_all_the_same() -> None:
    for marks in (False, True):
        talk = scene(marks=marks)
        talk.lane.playout.finish(0)
        talk.tick(10)
        assert talk.ear.drains == [Heard(0, 0, 0, False)]
        assert ("started", 0) not in talk.ear.events


def test_an_end_is_told_once_however_often_a_generation_is_finished() -> None:
    talk = scene()
    talk.say(2)
    talk.tick(10)
    talk.lane.playout.finish(0)
    assert talk.lane.playout.push(np.ones(160, np.int16), 0) == 0
    talk.tick(10)
    assert len(talk.ear.drains) == 1


# -- marks that are not believed ------------------------------------------------------------


@pytest.mark.parametrize("mark", [(0, 1601), (1, 0), (10**30, 1)])
def test_a_mark_for_audio_that_never_left_is_counted_and_not_believed(
    mark: tuple[int, int],
) -> None:
    talk = scene(marks=True)
    talk.say(20)
    talk.tick(10)
    talk.answer(*mark)
    assert talk.lane.odd_marks == 1
    assert talk.lane.played_generation == -1
    talk.answer(0, 160)
    assert talk.lane.clear(1) == Heard(0, 160, 1600, True)


def test_a_mark_of_what_was_cleared_is_counted_and_not_believed() -> None:
    talk = scene(marks=True)
    talk.say(20, 0)
    talk.tick(10)
    talk.lane.clear(1)
    talk.answer(0, 1600)
    assert talk.lane.odd_marks == 1
    assert talk.lane.played_generation == -1


def test_marks_that_come_back_twice_or_in_the_wrong_order_go_on_telling_the_truth() -> None:
    talk = scene(marks=True)
    talk.say(30, finish=False)
    talk.tick(25)
    for samples in (1760, 160, 1760):
        talk.answer(0, samples)
    assert talk.lane.clear(1) == Heard(0, 1760, 800, True)
    assert talk.lane.odd_marks == 0


# -- what was heard ---------------------------------------------------------------------------


def test_clearing_what_never_began_says_that_nothing_was_heard_of_it() -> None:
    talk = scene()
    talk.say(10)
    assert talk.lane.clear(1) == Heard(0, 0, 1600, False)
    assert talk.outlet.clears == 1
    assert talk.tick(5) == []


def test_clearing_a_line_on_which_nothing_was_ever_said_is_legal() -> None:
    talk = scene()
    assert talk.lane.clear(1) == Heard(-1, 0, 0, False)


def test_what_was_heard_is_what_left_less_the_far_buffer_and_half_the_round_trip() -> None:
    talk = scene(round_trip=0.04)
    talk.say(50)
    talk.tick(20)
    assert talk.lane.clear(1) == Heard(0, 20 * FRAME - FAR - 160, 30 * FRAME, False)


def test_what_was_sent_ahead_was_not_heard() -> None:
    talk = scene()
    talk.say(50)
    talk.tick(20)
    talk.lane.sent_ahead = 2
    assert talk.lane.clear(1).samples == 20 * FRAME - FAR - 320
    assert talk.lane.sent_ahead == 0


def test_it_is_never_less_than_nothing() -> None:
    talk = scene(round_trip=5.0)
    talk.say(50)
    talk.tick(2)
    assert talk.lane.clear(1).samples == 0


def test_with_marks_what_was_heard_is_exact_to_the_last_mark() -> None:
    talk = scene(marks=True)
    talk.say(50)
    talk.tick(30)
    talk.answer(0, 3360)
    assert talk.lane.clear(1) == Heard(0, 3360, 20 * FRAME, True)


def test_with_marks_of_an_earlier_generation_only_nothing_was_heard_of_this_one() -> None:
    talk = scene(marks=True)
    talk.say(5, 0)
    talk.tick(10)
    talk.answer(0, 800)
    talk.say(50, 1)
    talk.tick(10)
    assert talk.lane.clear(2) == Heard(1, 0, 40 * FRAME, True)


def test_before_the_first_mark_comes_back_the_far_buffer_is_guessed() -> None:
    talk = scene(marks=True)
    talk.say(50)
    talk.tick(10)
    assert talk.lane.clear(1) == Heard(0, 10 * FRAME - FAR, 40 * FRAME, False)


def test_clearing_when_everything_was_sent_cuts_what_the_far_end_still_holds() -> None:
    talk = scene()
    talk.say(10)
    talk.tick(11)
    assert talk.lane.draining
    assert talk.lane.clear(1) == Heard(0, 10 * FRAME - FAR, 0, False)
    talk.tick(50)
    assert not talk.ear.drains


def test_clearing_with_the_next_utterance_queued_speaks_of_the_one_being_heard() -> None:
    talk = scene()
    talk.say(10, 0)
    talk.tick(10)
    talk.say(20, 1)
    assert talk.lane.clear(2) == Heard(0, 10 * FRAME - FAR, 20 * FRAME, False)


def test_clearing_when_the_next_utterance_has_begun_speaks_of_that() -> None:
    talk = scene()
    talk.say(10, 0)
    talk.say(20, 1)
    talk.tick(11)
    assert talk.lane.clear(2) == Heard(1, 0, 19 * FRAME, False)


def test_what_was_told_to_be_over_stays_heard_to_its_end() -> None:
    talk = scene()
    talk.say(10)
    talk.tick(100)
    assert talk.ear.drains == [Heard(0, 1600, 0, False)]
    assert talk.lane.clear(1) == Heard(0, 1600, 0, False)
    assert talk.lane.clear(2) == Heard(0, 1600, 0, False)


def test_the_next_utterance_after_one_that_is_over_is_spoken_of_when_cleared() -> None:
    talk = scene()
    talk.say(10, 0)
    talk.tick(100)
    talk.say(10, 1)
    assert talk.lane.clear(2) == Heard(1, 0, 1600, False)


def test_nothing_old_leaves_and_no_end_is_told_after_a_clear() -> None:
    talk = scene(marks=True)
    talk.say(10, 0)
    talk.tick(5)
    talk.answer(0, 160)
    talk.lane.clear(1)
    talk.lane.playout.push(np.ones(160, np.int16), 0)
    talk.lane.playout.finish(0)
    talk.say(2, 1)
    frames = talk.tick(300)
    assert frames == [np.full(FRAME, 2, np.int16).tobytes()] * 2
    assert [heard.generation for heard in talk.ear.drains] == [1]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.integers(0, 100),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 3),
)
def test_no_more_is_heard_than_was_sent(
    lengths: list[int], ticks: int, round_trip: float, marks: bool, ahead: int
) -> None:
    talk = scene(marks=marks, round_trip=round_trip)
    for generation, length in enumerate(lengths):
        talk.say(length, generation) if length else talk.lane.playout.finish(generation)
    left = talk.tick(ticks)
    talk.lane.sent_ahead = ahead
    heard = talk.lane.clear(len(lengths))
    said = lengths[heard.generation] * FRAME if heard.generation >= 0 else 0
    assert 0 <= heard.samples <= min(said, len(left) * FRAME)
    assert heard.queued_samples == sum(lengths) * FRAME - len(left) * FRAME


# -- ears that raise ---------------------------------------------------------------------------


def test_an_ear_that_raises_does_not_keep_others_from_being_told() -> None:
    talk = scene()
    faults: list[str] = []
    talk.lane.ears.insert(0, Deaf())
    talk.lane.on_fault = lambda lane, error: faults.append(f"{lane.id} {error}")
    talk.say(2)
    assert len(talk.tick(20)) == 2
    assert talk.ear.events == [("started", 0), ("drained", Heard(0, 320, 0, False))]
    assert faults == ["lane started", "lane drained"]


def test_without_anybody_to_tell_the_fault_is_raised() -> None:
    talk = scene(ear=Deaf())
    talk.say(2)
    with pytest.raises(RuntimeError, match="started"):
        talk.tick()


# -- streams that come in ------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=700), max_size=20), st.sampled_from([Law.ULAW, None]))
def test_a_stream_in_pieces_of_any_length_becomes_frames(
    pieces: list[bytes], encoding: Law | None
) -> None:
    inlet = StreamInlet(8000, encoding, limit_ms=60_000)
    for piece in pieces:
        inlet.push(piece)
    size = FRAME if encoding is not None else 2 * FRAME
    whole = b"".join(pieces)
    assert {len(frame) for frame in inlet.frames} <= {size}
    assert b"".join(inlet.frames) == whole[: len(whole) // size * size]


def test_a_stream_that_is_not_read_drops_its_oldest_frames_and_counts_them() -> None:
    inlet = StreamInlet(8000, Law.ULAW, limit_ms=100)
    for value in range(8):
        inlet.push(bytes([value]) * FRAME)
    assert [frame[0] for frame in inlet.frames] == [3, 4, 5, 6, 7]
    inlet.push(bytes([9]) * FRAME * 20)
    assert len(inlet.frames) == 5
    assert inlet.overflow_frames == 3 + 20


def test_a_lane_of_an_impossible_rate_is_refused() -> None:
    with pytest.raises(UsageError):
        Lane("lane", inlet=StreamInlet(8000), outlet=MemoryOutlet(), rate_hz=11_025)


def test_a_new_lane_is_at_rest() -> None:
    lane = scene().lane
    lane.ears.clear()
    assert (lane.active, lane.draining, lane.begins) == (False, False, False)
    assert (lane.wants_activity, lane.frames_heard, lane.idle_ticks, lane.sent_ahead) == (0,) * 4
    assert (lane.phase, lane.played_generation, lane.played_samples, lane.odd_marks) == (
        -1,
        -1,
        0,
        0,
    )


def test_a_clear_takes_back_a_beginning_nobody_was_told_of_and_frames_shown_later() -> None:
    talk = scene()
    talk.say(3)
    talk.lane.take(talk.now)
    talk.lane.shown_later.append(b"ahead")
    talk.lane.sent_ahead = 1
    assert talk.lane.begins
    talk.lane.clear(1)
    assert not talk.lane.begins
    assert not talk.lane.shown_later
    assert talk.lane.sent_ahead == 0
    talk.tick(5)
    assert talk.ear.events == []


@pytest.mark.parametrize(("encoding", "size"), [(Law.ULAW, 160), (Law.ALAW, 160), (None, 320)])
def test_a_whole_frame_after_an_odd_piece_joins_what_is_left_of_it(
    encoding: Law | None, size: int
) -> None:
    inlet = StreamInlet(8000, encoding)
    audio = bytes(index % 251 for index in range(size * 3))
    inlet.push(audio[:50])
    inlet.push(audio[50 : 50 + size])
    assert list(inlet.frames) == [audio[:size]]
    inlet.push(audio[50 + size :])
    inlet.push(audio[:size])
    assert b"".join(inlet.frames) == audio + audio[:size]
    assert {len(frame) for frame in inlet.frames} == {size}


def test_a_stream_is_behind_for_as_many_seconds_as_frames_were_always_left() -> None:
    inlet = StreamInlet(8000)
    assert (inlet.least_frames, inlet.seconds_behind, inlet.overflow_frames) == (0, 0, 0)
    behind = []
    for least in (0, 2, 1, 0, 3):
        inlet.least_frames = least
        inlet.second()
        behind.append(inlet.seconds_behind)
    assert behind == [0, 1, 2, 0, 1]
    inlet.push(bytes(480))
    inlet.second()
    assert inlet.least_frames == 3


def test_the_shortest_stream_holds_one_frame() -> None:
    inlet = StreamInlet(8000, limit_ms=0)
    inlet.push(bytes(160) + b"\1" * 160)
    assert list(inlet.frames) == [b"\1" * 160]
    assert inlet.overflow_frames == 1
