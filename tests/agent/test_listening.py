from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.agent.line import Ear
from trunkline.agent.listening import (
    FEED_MS,
    Awaited,
    CallerAudio,
    Cut,
    Hearing,
    HearingMessage,
    LineEnded,
    Pressed,
    RecentAudio,
    ReplyDrained,
    ReplyStarted,
)
from trunkline.agent.testing import Loudness, silence, tone
from trunkline.agent.turn_events import (
    BargeIn,
    CallerContinued,
    FalseStart,
    Idle,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
)
from trunkline.agent.turns import State, TurnSettings
from trunkline.media.lane import Heard


class Wire:
    """A line that only takes notes, in order."""

    id = "wire"
    rate_hz = 8000

    def __init__(self) -> None:
        self.generation = 7
        self.notes: list[object] = []
        self.posts = 0

    def listen(self, ear: Ear, *, activity: bool = True) -> None:
        raise NotImplementedError

    def unlisten(self, ear: Ear) -> None:
        raise NotImplementedError

    def play(self, pcm: NDArray[np.int16], generation: int) -> None:
        raise NotImplementedError

    def finish(self, generation: int) -> None:
        raise NotImplementedError

    def clear(self, now: float) -> Heard:
        self.notes.append("clear")
        self.generation += 1
        return Heard(self.generation - 1, 800, 160, False)

    def post(self, callback: Callable[..., None], *args: object) -> None:
        self.posts += 1
        callback(*args)

    def on_media(self, callback: Callable[..., None], *args: object) -> None:
        callback(*args)


class Scene:
    """A hearing, and what it reported."""

    def __init__(self, awaiting: int | None = None, keys: bool = True, **settings: object) -> None:
        self.wire = Wire()
        self.hearing = Hearing(
            self.wire,
            TurnSettings(**settings),  # type: ignore[arg-type]
            self._sink,
            awaiting=awaiting,
            keys=keys,
        )
        self.detector = Loudness(8000)
        self.now = 100.0
        self.most_posts_a_tick = 0

    def _sink(self, messages: tuple[HearingMessage, ...]) -> None:
        assert messages
        self.wire.notes.extend(messages)

    def hear(self, pcm: NDArray[np.int16]) -> None:
        for at in range(0, len(pcm), 160):
            self.now += 0.02
            before = self.wire.posts
            frame = pcm[at : at + 160]
            self.hearing.hear(frame, self.detector(frame), self.now)
            self.most_posts_a_tick = max(self.most_posts_a_tick, self.wire.posts - before)

    def notes(self, *without: type) -> list[type | str]:
        skipped = without or (CallerAudio,)
        return [
            note if isinstance(note, str) else type(note)
            for note in self.wire.notes
            if not isinstance(note, skipped)
        ]

    def last(self, kind: type) -> object:
        return [note for note in self.wire.notes if isinstance(note, kind)][-1]

    def audio(self) -> NDArray[np.int16]:
        return np.concatenate([n.pcm for n in self.wire.notes if isinstance(n, CallerAudio)])


def test_a_quiet_caller_costs_no_crossing() -> None:
    scene = Scene()
    scene.hear(silence(5000))
    assert scene.wire.posts == 0


def test_a_turn_crosses_with_its_pre_roll_in_order_and_at_most_once_a_tick() -> None:
    scene = Scene()
    speech = tone(800, hz=313)
    scene.hear(np.concatenate((silence(1000), speech, silence(800))))
    assert scene.notes() == [SpeechStarted, SpeechEnded, Awaited]
    assert scene.most_posts_a_tick == 1
    assert scene.wire.posts < 20
    assert isinstance(scene.wire.notes[0], SpeechStarted), "the recogniser starts, then is fed"
    assert isinstance(scene.wire.notes[-1], Awaited), "the last audio comes before the end"
    audio = scene.audio()
    start = len(audio) - np.flatnonzero(audio[::-1])[-1] - 2
    assert start == pytest.approx(2400, abs=80)
    assert np.array_equal(audio[start : start + len(speech)], speech)
    pieces = [len(note.pcm) for note in scene.wire.notes if isinstance(note, CallerAudio)]
    assert max(pieces[1:]) <= FEED_MS * 8 + 160


def test_what_is_awaited_names_the_generation_of_that_moment() -> None:
    scene = Scene()
    scene.hear(np.concatenate((tone(400), silence(800))))
    awaited = scene.last(Awaited)
    assert isinstance(awaited, Awaited)
    assert isinstance(awaited.event, TurnEnded)
    assert awaited.generation == 7
    scene.hear(tone(400))
    assert scene.notes()[-3:] == ["clear", Cut, SpeechStarted]
    cut = scene.last(Cut)
    assert isinstance(cut, Cut)
    assert isinstance(cut.event, CallerContinued)
    scene.hear(silence(800))
    awaited = scene.last(Awaited)
    assert isinstance(awaited, Awaited)
    assert awaited.generation == 8


def test_barge_in_clears_the_line_before_anything_is_told() -> None:
    scene = Scene(awaiting=7)
    scene.hearing.started(7, scene.now)
    scene.hear(tone(400))
    assert scene.notes() == [ReplyStarted, "clear", Cut, SpeechStarted]
    cut = scene.last(Cut)
    assert isinstance(cut, Cut)
    assert isinstance(cut.event, BargeIn)
    assert cut.heard == Heard(7, 800, 160, False)
    assert scene.hearing.state is State.TALKING


def test_only_the_awaited_generation_counts_as_the_reply() -> None:
    scene = Scene(awaiting=7)
    scene.hearing.started(6, scene.now)
    scene.hearing.drained(Heard(6, 10, 0, True), scene.now)
    assert scene.hearing.state is State.THINKING
    scene.hearing.started(7, scene.now)
    scene.hearing.started(7, scene.now)
    assert scene.hearing.state is State.REPLYING
    scene.hearing.drained(Heard(7, 10, 0, True), scene.now)
    assert scene.hearing.state is State.QUIET
    assert scene.notes() == [ReplyStarted, ReplyDrained]
    scene.hearing.drained(Heard(7, 10, 0, True), scene.now)
    assert scene.notes() == [ReplyStarted, ReplyDrained]


def test_audio_nobody_awaited_does_not_disturb_a_caller_who_talks() -> None:
    scene = Scene()
    scene.hear(tone(400))
    scene.hearing.started(7, scene.now)
    scene.hearing.drained(Heard(7, 10, 0, True), scene.now)
    assert scene.hearing.state is State.TALKING


def test_a_generation_without_audio_is_a_reply_of_nothing() -> None:
    scene = Scene(awaiting=7)
    scene.hearing.drained(Heard(7, 0, 0, False), scene.now)
    assert scene.hearing.state is State.QUIET


def test_a_reply_of_nothing_ends_the_wait() -> None:
    scene = Scene(awaiting=7)
    scene.hearing.reply_nothing(9)
    assert scene.hearing.state is State.THINKING
    scene.hearing.reply_nothing(1)
    assert scene.hearing.state is State.QUIET


def test_a_false_start_is_told_and_no_audio_crosses() -> None:
    scene = Scene()
    scene.hear(np.concatenate((silence(200), tone(40), silence(200))))
    assert [type(note) for note in scene.wire.notes] == [FalseStart]


def test_idle_time_awaits_a_reply() -> None:
    scene = Scene(idle_ms=1000)
    scene.hear(silence(1100))
    awaited = scene.last(Awaited)
    assert isinstance(awaited, Awaited)
    assert isinstance(awaited.event, Idle)


def test_keys_are_told_at_once_and_are_a_turn_after_a_pause() -> None:
    scene = Scene()
    scene.hearing.digit("4", scene.now)
    scene.hear(silence(1000))
    scene.hearing.digit("2", scene.now)
    scene.hear(silence(1480))
    assert scene.notes() == [Pressed, Pressed]
    scene.hear(silence(20))
    awaited = scene.last(Awaited)
    assert isinstance(awaited, Awaited)
    assert isinstance(awaited.event, TurnEnded)
    assert awaited.event.keys == "42"


def test_keys_wait_for_an_agent_that_may_not_be_interrupted() -> None:
    scene = Scene(awaiting=7, barge_in=False)
    scene.hearing.started(7, scene.now)
    scene.hearing.digit("1", scene.now)
    scene.hear(silence(3000))
    assert "clear" not in scene.notes()
    scene.hearing.drained(Heard(7, 10, 0, False), scene.now)
    scene.hear(silence(20))
    assert scene.notes()[-1] is Awaited


def test_keys_that_are_not_taken_are_still_told() -> None:
    scene = Scene(keys=False)
    scene.hearing.digit("1", scene.now)
    scene.hear(silence(3000))
    assert scene.notes() == [Pressed]


@pytest.mark.parametrize("before_ms", [0, 60, 400])
def test_the_end_is_told_once_and_nothing_follows(before_ms: int) -> None:
    scene = Scene()
    scene.hear(tone(before_ms))
    scene.hearing.ended(scene.now)
    scene.hearing.ended(scene.now)
    count = len(scene.wire.notes)
    assert isinstance(scene.wire.notes[-1], LineEnded)
    scene.hear(np.concatenate((tone(400), silence(2000))))
    scene.hearing.digit("1", scene.now)
    scene.hearing.started(7, scene.now)
    scene.hearing.drained(Heard(7, 1, 0, False), scene.now)
    scene.hearing.reply_nothing(1)
    assert len(scene.wire.notes) == count


def test_a_line_at_sixteen_kilohertz_is_heard_as_well() -> None:
    wire = Wire()
    wire.rate_hz = 16_000
    told: list[HearingMessage] = []
    hearing = Hearing(wire, TurnSettings(), told.extend)
    detector = Loudness(16_000)
    audio = np.concatenate((silence(500, rate_hz=16_000), tone(500, rate_hz=16_000)))
    audio = np.concatenate((audio, silence(800, rate_hz=16_000)))
    for at in range(0, len(audio), 320):
        frame = audio[at : at + 320]
        hearing.hear(frame, detector(frame), at / 16_000)
    assert isinstance(told[-1], Awaited)
    ended = [message for message in told if isinstance(message, SpeechEnded)]
    assert ended[0].end == pytest.approx(16_000, abs=160)


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.integers(-50, 60_000), st.integers(-50, 60_000)), max_size=10),
)
def test_recent_audio_is_the_end_of_what_came(frames: int, spans: list[tuple[int, int]]) -> None:
    recent = RecentAudio(8000, 1000)
    everything = np.arange(frames * 160).astype(np.int16)
    for at in range(0, len(everything), 160):
        recent.push(everything[at : at + 160])
    oldest = max(0, len(everything) - 8000)
    for start, end in [*spans, (0, len(everything)), (oldest, len(everything))]:
        expected = everything[max(start, oldest) : max(end, 0)]
        assert np.array_equal(recent.audio(start, end), expected)


def test_recent_audio_is_a_copy() -> None:
    recent = RecentAudio(8000, 100)
    recent.push(tone(20))
    kept = recent.audio(0, 160)
    for _ in range(10):
        recent.push(silence(20))
    assert np.array_equal(kept, tone(20))
