import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.agent.endpointing import BlindPast, Pause
from trunkline.agent.errors import BadSettingsError, IllegalTransitionError
from trunkline.agent.turn_events import (
    BargeIn,
    CallerContinued,
    EndReason,
    FalseStart,
    Idle,
    SpeechEnded,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
    TurnEvent,
)
from trunkline.agent.turns import TRANSITIONS, Cue, State, TurnMachine, TurnSettings, diagram
from trunkline.media.lane import Window

RATE = 8000
FRAME = 160
WINDOW = 256


class Driver:
    """Feeds a machine frames of 20 ms and windows of 32 ms, as the engine does."""

    def __init__(self, machine: TurnMachine) -> None:
        self.machine = machine
        self.events: list[TurnEvent] = []
        self.now = 0.0
        self.pending = 0

    def frame(self, probability: float) -> list[TurnEvent]:
        self.now += 0.02
        self.pending += FRAME
        windows = []
        while self.pending >= WINDOW:
            self.pending -= WINDOW
            windows.append(Window(probability, self.pending, WINDOW))
        events = list(self.machine.hear(FRAME, windows, self.now))
        self.events += events
        return events

    def run(self, probability: float, ms: int) -> list[TurnEvent]:
        return [event for _ in range(ms // 20) for event in self.frame(probability)]

    def speak(self, ms: int) -> list[TurnEvent]:
        return self.run(0.95, ms)

    def silence(self, ms: int) -> list[TurnEvent]:
        return self.run(0.02, ms)

    def keys(self, keys: str) -> list[TurnEvent]:
        events = list(self.machine.keys(keys, self.now))
        self.events += events
        return events

    def to(self, state: State) -> "Driver":
        """Bring a fresh machine to a state by legal means."""
        machine = self.machine
        if state in (State.ONSET, State.TALKING, State.PAUSING):
            self.silence(400)
            self.speak(40 if state is State.ONSET else 400)
            if state is State.PAUSING:
                self.silence(60)
        elif state in (State.THINKING, State.INTERJECTING, State.REPLYING, State.OVERLAPPING):
            self.speak(400)
            self.silence(700)
            if state in (State.REPLYING, State.OVERLAPPING):
                machine.reply_started(self.now)
            if state in (State.INTERJECTING, State.OVERLAPPING):
                self.speak(40)
        elif state is State.ENDED:
            machine.end()
        assert machine.state is state
        self.events.clear()
        return self


def drive(**settings: object) -> Driver:
    return Driver(TurnMachine(TurnSettings(**settings), RATE))  # type: ignore[arg-type]


def kinds(events: list[TurnEvent]) -> list[type]:
    return [type(event) for event in events]


# The table


@pytest.mark.parametrize(("state", "cue"), list(itertools.product(State, Cue)))
def test_every_state_knows_every_cue_or_refuses_it(state: State, cue: Cue) -> None:
    machine = drive().to(state).machine
    if (state, cue) in TRANSITIONS:
        machine._step(cue)
        assert machine.state is TRANSITIONS[state, cue]
    else:
        with pytest.raises(IllegalTransitionError, match=state.value):
            machine._step(cue)
        assert machine.state is state


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.QUIET, Cue.END] = State.QUIET  # type: ignore[index]


def test_every_state_can_be_reached_and_but_for_the_last_be_left() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    assert {before for before, _ in TRANSITIONS} == set(State) - {State.ENDED}


def test_a_call_can_end_in_every_state() -> None:
    assert all((state, Cue.END) in TRANSITIONS for state in State if state is not State.ENDED)


def test_the_diagram_has_one_line_per_transition() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == len(TRANSITIONS) + 3
    assert "    overlapping --> talking: confirmed" in lines


@pytest.mark.parametrize("state", list(State))
def test_outside_cues_reach_only_the_states_that_know_them(state: State) -> None:
    cues = {
        Cue.REPLY_STARTED: lambda machine: machine.reply_started(9.0),
        Cue.REPLY_DRAINED: lambda machine: machine.reply_drained(9.0),
        Cue.KEYS: lambda machine: machine.keys("1", 9.0),
        Cue.END: lambda machine: machine.end(),
    }
    for cue, give in cues.items():
        machine = drive().to(state).machine
        if (state, cue) in TRANSITIONS:
            give(machine)
            assert machine.state is TRANSITIONS[state, cue]
        else:
            with pytest.raises(IllegalTransitionError):
                give(machine)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_a_reply_of_nothing_is_ignored_unless_it_is_the_one_awaited(state: State) -> None:
    driver = drive().to(state)
    driver.machine.reply_nothing(driver.machine.reply - 1, driver.now)
    assert driver.machine.state is state
    driver.machine.reply_nothing(driver.machine.reply, driver.now)
    expected = {State.THINKING: State.QUIET, State.INTERJECTING: State.ONSET}
    assert driver.machine.state is expected.get(state, state)


# A turn


def test_a_turn_starts_ends_and_is_said_to_be_over_once() -> None:
    driver = drive(silence_ms=600)
    driver.silence(1000)
    driver.speak(800)
    driver.silence(2000)
    assert kinds(driver.events) == [SpeechStarted, SpeechEnded, TurnEnded]
    started, ended, over = driver.events
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert isinstance(over, TurnEnded)
    assert started.at == pytest.approx(1.0, abs=0.033)
    assert ended.at == pytest.approx(1.8, abs=0.033)
    assert started.preroll_samples == 2400
    assert (over.turn, over.reply, over.reason) == (1, 1, EndReason.SILENCE)
    assert over.speech_ended_at == pytest.approx(ended.at)
    assert over.speech_started_at == pytest.approx(started.at)
    assert driver.machine.state is State.THINKING


@pytest.mark.parametrize("silence_ms", [200, 300, 410, 600, 1000])
@pytest.mark.parametrize("lead", range(0, 160, 20))
def test_a_turn_ends_on_the_frame_in_which_the_silence_is_long_enough(
    silence_ms: int, lead: int
) -> None:
    driver = drive(silence_ms=silence_ms)
    driver.silence(1000 + lead)
    driver.speak(500)
    driver.silence(2000)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    waited_ms = (over.at - over.speech_ended_at) * 1000
    assert silence_ms <= waited_ms + 1e-6 < silence_ms + 20 + 1e-6


def test_the_end_of_a_turn_does_not_wait_for_an_incomplete_window() -> None:
    driver = drive(silence_ms=220)
    driver.speak(320)  # ten windows exactly
    driver.silence(200)
    assert driver.machine.state is State.PAUSING
    assert kinds(driver.frame(0.9)) == [TurnEnded]  # completes no window, so is not speech yet
    assert driver.pending != 0


def test_a_pause_for_breath_does_not_end_a_turn() -> None:
    driver = drive(silence_ms=600)
    driver.speak(500)
    driver.silence(400)
    driver.speak(500)
    driver.silence(1000)
    assert kinds(driver.events) == [
        SpeechStarted,
        SpeechEnded,
        SpeechResumed,
        SpeechEnded,
        TurnEnded,
    ]


def test_a_weak_syllable_between_release_and_threshold_keeps_a_turn_alive_but_begins_none() -> None:
    driver = drive()
    assert driver.run(0.4, 1000) == []
    driver.speak(300)
    assert driver.run(0.4, 2000) == []
    assert driver.machine.state is State.TALKING


def test_a_pause_is_not_broken_by_what_is_below_the_threshold() -> None:
    driver = drive(silence_ms=600)
    driver.speak(300)
    driver.silence(100)
    assert kinds(driver.run(0.45, 600)) == [TurnEnded]


def test_a_click_is_forgotten() -> None:
    driver = drive(speech_ms=100)
    driver.silence(200)
    driver.speak(60)
    driver.silence(200)
    assert kinds(driver.events) == [FalseStart]
    false_start = driver.events[0]
    assert isinstance(false_start, FalseStart)
    assert not false_start.over_agent
    assert 30 <= false_start.duration_ms <= 64
    assert driver.machine.state is State.QUIET
    assert driver.machine.turn == 0


def test_music_on_hold_is_answered_once_and_must_end_before_it_counts_again() -> None:
    driver = drive(max_turn_ms=2000)
    driver.speak(10_000)
    assert kinds(driver.events) == [SpeechStarted, TurnEnded]
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert over.reason is EndReason.TOO_LONG
    driver.machine.reply_started(driver.now)
    driver.speak(2000)
    driver.machine.reply_drained(driver.now)
    assert driver.machine.state is State.QUIET
    driver.silence(100)
    driver.speak(300)
    assert driver.machine.state is State.TALKING


def test_a_pause_cannot_stretch_a_turn_beyond_its_greatest_length() -> None:
    driver = drive(max_turn_ms=2000, silence_ms=5000)
    driver.speak(1000)
    driver.silence(3000)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert over.reason is EndReason.TOO_LONG
    assert over.speech_ended_at == pytest.approx(1.0, abs=0.033)


# Continuing, interrupting


def test_a_caller_who_goes_on_while_the_reply_is_thought_of_keeps_the_turn() -> None:
    driver = drive(silence_ms=600, speech_ms=100).to(State.THINKING)
    driver.speak(400)
    assert kinds(driver.events) == [CallerContinued, SpeechStarted]
    driver.silence(1000)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert (over.turn, over.reply) == (1, 2)


def test_a_click_while_the_reply_is_thought_of_changes_nothing() -> None:
    driver = drive().to(State.THINKING)
    driver.speak(40)
    driver.silence(100)
    assert kinds(driver.events) == [FalseStart]
    assert driver.machine.state is State.THINKING


def test_speech_that_begins_before_the_reply_and_goes_on_is_barge_in() -> None:
    driver = drive(speech_ms=100, barge_in_ms=240).to(State.INTERJECTING)
    driver.machine.reply_started(driver.now)
    driver.speak(400)
    assert kinds(driver.events) == [BargeIn, SpeechStarted]
    assert driver.machine.turn == 2


@pytest.mark.parametrize("barge_in_ms", [100, 200, 240, 300, 500])
@pytest.mark.parametrize("lead", range(0, 160, 20))
def test_barge_in_comes_on_the_frame_in_which_speech_is_long_enough(
    barge_in_ms: int, lead: int
) -> None:
    driver = drive(barge_in_ms=barge_in_ms).to(State.REPLYING)
    driver.silence(lead)
    driver.speak(1000)
    barge = driver.events[0]
    assert isinstance(barge, BargeIn)
    spoken_ms = (barge.at - barge.speech_started_at) * 1000
    assert barge_in_ms <= spoken_ms + 1e-6 < barge_in_ms + 20 + 1e-6


def test_mhm_does_not_stop_the_agent() -> None:
    driver = drive(barge_in_ms=240).to(State.REPLYING)
    driver.speak(160)
    driver.silence(300)
    assert kinds(driver.events) == [FalseStart]
    false_start = driver.events[0]
    assert isinstance(false_start, FalseStart)
    assert false_start.over_agent
    assert driver.machine.state is State.REPLYING


def test_an_agent_that_may_not_be_interrupted_hears_the_turn_when_it_has_finished() -> None:
    driver = drive(barge_in=False).to(State.REPLYING)
    driver.speak(2000)
    assert driver.events == []
    driver.machine.reply_drained(driver.now)
    driver.speak(20)
    assert kinds(driver.events) == [SpeechStarted]


def test_the_opening_of_a_call_cannot_be_interrupted() -> None:
    driver = drive(opening_ms=3000).to(State.REPLYING)
    driver.speak(1000)
    assert driver.events == []
    driver.speak(2000)
    barge = driver.events[0]
    assert isinstance(barge, BargeIn)
    assert barge.at == pytest.approx(3.0, abs=0.021)


def test_a_greeting_is_awaited_from_the_start_and_speech_before_it_is_a_turn_of_its_own() -> None:
    driver = Driver(TurnMachine(TurnSettings(), RATE, awaiting=True))
    assert driver.machine.reply == 1
    driver.speak(400)
    driver.silence(1000)
    assert kinds(driver.events) == [CallerContinued, SpeechStarted, SpeechEnded, TurnEnded]
    assert driver.machine.turn == 1
    assert driver.machine.reply == 2


# Idle, keys, endpointers


def test_idle_time_counts_from_the_end_of_the_reply_and_repeats() -> None:
    driver = drive(idle_ms=2000).to(State.REPLYING)
    driver.silence(5000)
    driver.machine.reply_drained(driver.now)
    assert driver.silence(1980) == []
    first = driver.silence(40)
    assert [(event.count, event.reply) for event in first if isinstance(event, Idle)] == [(1, 2)]
    assert driver.machine.state is State.THINKING
    driver.machine.reply_started(driver.now)
    driver.machine.reply_drained(driver.now)
    second = driver.silence(2100)
    assert [event.count for event in second if isinstance(event, Idle)] == [2]


def test_speech_starts_the_count_of_idle_times_again() -> None:
    driver = drive(idle_ms=1000)
    driver.silence(1000)
    assert kinds(driver.events) == [Idle]
    driver.machine.reply_nothing(driver.machine.reply, driver.now)
    driver.speak(300)
    driver.silence(700)
    driver.machine.reply_nothing(driver.machine.reply, driver.now)
    driver.silence(1100)
    assert [event.count for event in driver.events if isinstance(event, Idle)] == [1, 1]


def test_speech_over_an_idle_prompt_that_has_not_left_is_a_new_turn() -> None:
    driver = drive(idle_ms=1000)
    driver.speak(300)
    driver.silence(700)
    driver.machine.reply_nothing(driver.machine.reply, driver.now)
    driver.silence(1020)
    driver.speak(200)
    assert driver.machine.turn == 2


def test_nothing_is_idle_by_default() -> None:
    driver = drive()
    assert driver.silence(120_000) == []


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_keys_end_a_turn_in_every_state(state: State) -> None:
    driver = drive().to(state)
    events = driver.keys("42")
    over = events[-1]
    assert isinstance(over, TurnEnded)
    assert (over.keys, over.reason) == ("42", EndReason.KEYS)
    assert over.spoken == (state in (State.TALKING, State.PAUSING))
    before = {
        State.REPLYING: [BargeIn],
        State.OVERLAPPING: [BargeIn],
        State.THINKING: [CallerContinued],
        State.INTERJECTING: [CallerContinued],
    }
    assert kinds(events[:-1]) == before.get(state, [])
    assert driver.machine.state is State.THINKING


def test_speech_that_keys_have_cut_off_does_not_count_again() -> None:
    driver = drive().to(State.TALKING)
    driver.keys("1")
    assert driver.speak(1000) == []
    driver.silence(100)
    assert kinds(driver.speak(300)) == [CallerContinued, SpeechStarted]


class Hesitant:
    """Wants three times as long after a short turn, and changes its mind once."""

    minimum_ms = 200

    def __init__(self) -> None:
        self.pauses: list[Pause] = []

    def wait_ms(self, pause: Pause) -> float:
        self.pauses.append(pause)
        return 2500 if len(self.pauses) < 4 else 700


def test_an_endpointer_is_asked_again_while_the_pause_lasts_and_may_change_its_mind() -> None:
    endpointer = Hesitant()
    driver = Driver(TurnMachine(TurnSettings(), RATE, endpointer=endpointer))
    driver.speak(960)
    driver.silence(3000)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert [pause.silence_ms // 20 * 20 for pause in endpointer.pauses] == [200, 400, 600, 800]
    assert over.at - over.speech_ended_at == pytest.approx(0.8, abs=0.021)
    assert endpointer.pauses[0].speech_ms == pytest.approx(960, abs=33)
    assert endpointer.pauses[0].audio(0, 100).dtype == np.int16


def test_an_endpointer_is_asked_anew_in_every_pause() -> None:
    endpointer = Hesitant()
    driver = Driver(TurnMachine(TurnSettings(), RATE, endpointer=endpointer))
    driver.speak(400)
    driver.silence(220)
    driver.speak(400)
    driver.silence(220)
    assert [pause.silence_ms // 20 * 20 for pause in endpointer.pauses] == [200, 200]


class Broken:
    minimum_ms = 200

    def __init__(self, answer: float | None) -> None:
        self.answer = answer

    def wait_ms(self, pause: Pause) -> float:
        if self.answer is None:
            raise RuntimeError("no model")
        return self.answer


@pytest.mark.parametrize("answer", [None, float("nan"), float("inf")])
def test_an_endpointer_that_fails_is_replaced_by_plain_silence(answer: float | None) -> None:
    driver = Driver(TurnMachine(TurnSettings(silence_ms=600), RATE, endpointer=Broken(answer)))
    driver.speak(640)
    driver.silence(1000)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert over.at - over.speech_ended_at == pytest.approx(0.6, abs=0.021)
    assert driver.machine.endpointer_failures == 3


class Late(BlindPast):
    """Knows that speech ended 100 ms before the model says so, and began 60 ms before."""

    def onset(self, first: int, received: int) -> int:
        return max(0, first - 480)

    def offset(self, voice_end: int, received: int) -> int:
        return voice_end - 800


def test_the_ends_of_speech_are_those_of_the_audio_and_not_of_the_model() -> None:
    driver = Driver(TurnMachine(TurnSettings(silence_ms=300), RATE, past=Late(RATE)))
    driver.silence(960)
    driver.speak(640)
    driver.silence(1000)
    started, ended, over = driver.events
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert started.at == pytest.approx(0.9)
    assert ended.at == pytest.approx(1.5)
    assert over.at == pytest.approx(1.8)


def test_speech_does_not_end_before_the_words_after_a_pause_began() -> None:
    driver = Driver(TurnMachine(TurnSettings(silence_ms=600), RATE, past=Late(RATE)))
    driver.speak(640)
    driver.silence(320)
    driver.speak(64)
    driver.silence(60)
    ended = [event for event in driver.events if isinstance(event, SpeechEnded)]
    assert ended[1].at >= 0.928


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 1.0},
        {"release": 0.0},
        {"threshold": 0.3},
        {"speech_ms": 0},
        {"silence_ms": -1},
        {"barge_in_ms": 10},
        {"max_turn_ms": 0},
        {"idle_ms": -5},
        {"opening_ms": -1},
        {"preroll_ms": 3000},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadSettingsError):
        TurnSettings(**settings)  # type: ignore[arg-type]


# Whatever happens

STEP = st.one_of(
    st.tuples(st.just("frames"), st.floats(0, 1), st.integers(1, 60)),
    st.tuples(st.sampled_from(["started", "drained", "nothing", "stale", "keys"])),
)


@given(st.lists(STEP, max_size=80), st.booleans(), st.booleans(), st.sampled_from([0, 1500]))
def test_no_order_of_events_breaks_the_rules(
    steps: list[tuple[object, ...]], awaiting: bool, barge_in: bool, idle_ms: int
) -> None:
    settings = TurnSettings(barge_in=barge_in, idle_ms=idle_ms, max_turn_ms=3000)
    machine = TurnMachine(settings, RATE, awaiting=awaiting)
    driver = Driver(machine)
    replying = open_turn = False
    for step in steps:
        if step[0] == "frames":
            events = driver.run(step[1], int(step[2]) * 20)  # type: ignore[arg-type,call-overload]
        else:
            events = _outside(driver, str(step[0]))
        replying = replying or (step[0] == "started" and machine.state is State.REPLYING)
        for event in events:
            if isinstance(event, BargeIn):
                assert replying, "no barge-in unless the agent speaks"
                assert barge_in or step[0] == "keys"
            if isinstance(event, SpeechStarted):
                assert not open_turn
                open_turn = True
            if isinstance(event, TurnEnded):
                assert open_turn == event.spoken, "one end per turn"
                open_turn = False
                assert event.speech_started_at <= event.speech_ended_at <= event.at + 1e-9
            if isinstance(event, BargeIn | CallerContinued):
                replying = False
        replying = machine.state in (State.REPLYING, State.OVERLAPPING)
        assert open_turn == (machine.state in (State.TALKING, State.PAUSING))
    times = [event.at for event in driver.events if isinstance(event, TurnEnded | BargeIn)]
    assert times == sorted(times)


def _outside(driver: Driver, what: str) -> list[TurnEvent]:
    """One thing that is not audio, if it is legal now."""
    machine = driver.machine
    if what == "keys":
        return driver.keys("5")
    if what == "started" and (machine.state, Cue.REPLY_STARTED) in TRANSITIONS:
        machine.reply_started(driver.now)
    elif what == "drained" and (machine.state, Cue.REPLY_DRAINED) in TRANSITIONS:
        machine.reply_drained(driver.now)
    elif what in ("nothing", "stale"):
        machine.reply_nothing(machine.reply - (what == "stale"), driver.now)
    return []


# The edges of what counts


class Early:
    """Says that every sound began long before the model noticed."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def onset(self, first: int, received: int) -> int:
        return first - self.samples

    def offset(self, voice_end: int, received: int) -> int:
        return voice_end

    def audio(self, start: int, end: int) -> NDArray[np.int16]:
        return np.empty(0, np.int16)


def test_a_breath_before_a_click_is_no_turn_however_long_the_two_are_together() -> None:
    settings = TurnSettings(speech_ms=90)
    machine = TurnMachine(settings, RATE, past=Early(4000))
    machine.hear(4160, [], 0.5)
    # One window of 32 ms is less than half of 90 ms judged to be speech; two are enough.
    assert not machine.hear(FRAME, [Window(0.9, 0, WINDOW)], 0.52)
    assert machine.state is State.ONSET
    assert kinds(list(machine.hear(WINDOW, [Window(0.9, 0, WINDOW)], 0.55))) == [SpeechStarted]


def test_a_false_start_is_as_long_as_its_windows_of_speech() -> None:
    machine = TurnMachine(TurnSettings(), RATE)
    machine.hear(WINDOW, [Window(0.9, 0, WINDOW)], 0.032)
    (event,) = machine.hear(WINDOW, [Window(0.0, 0, WINDOW)], 0.064)
    assert event == FalseStart(0.064, 32, False)


def test_a_window_at_the_threshold_is_speech_and_one_at_the_release_does_not_end_it() -> None:
    settings = TurnSettings(threshold=0.5, release=0.25)
    driver = drive(threshold=0.5, release=0.25)
    driver.run(0.499, 200)
    assert driver.machine.state is State.QUIET
    assert kinds(driver.run(settings.threshold, 200)) == [SpeechStarted]
    assert driver.run(settings.release, 400) == []
    assert kinds(driver.run(0.249, 100)) == [SpeechEnded]


def test_a_turn_that_is_too_long_ends_where_it_is_cut() -> None:
    driver = drive(max_turn_ms=1000)
    driver.speak(1200)
    over = driver.events[-1]
    assert isinstance(over, TurnEnded)
    assert over.reason is EndReason.TOO_LONG
    assert over.speech_started_at == pytest.approx(0.0)
    assert over.speech_ended_at == over.at == pytest.approx(1.0)


@pytest.mark.parametrize("state", [State.QUIET, State.THINKING, State.REPLYING])
def test_keys_alone_begin_and_end_when_they_are_pressed(state: State) -> None:
    driver = drive().to(state)
    turn = driver.machine.turn
    driver.now += 0.013
    over = driver.keys("7")[-1]
    assert isinstance(over, TurnEnded)
    assert over.at == over.speech_started_at == over.speech_ended_at == driver.now
    # While a reply to the caller is awaited the turn goes on; else it is a new one.
    assert over.turn == turn + (state is not State.THINKING)


def test_after_the_end_nothing_is_heard() -> None:
    driver = drive().to(State.TALKING)
    driver.machine.end()
    assert driver.silence(2000) == []
    assert driver.speak(2000) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"speech_ms": 20, "silence_ms": 20, "barge_in_ms": 20, "max_turn_ms": 20},
        {"preroll_ms": 2000, "opening_ms": 0, "idle_ms": 0},
        {"threshold": 0.4, "release": 0.4},
    ],
)
def test_settings_at_the_edge_of_their_range_are_taken(settings: dict[str, float]) -> None:
    TurnSettings(**settings)  # type: ignore[arg-type]


@given(st.lists(STEP, max_size=40), st.booleans(), st.sampled_from([0, 1500]))
def test_whatever_has_happened_a_caller_who_speaks_and_stops_gets_a_turn(
    steps: list[tuple[object, ...]], awaiting: bool, idle_ms: int
) -> None:
    driver = Driver(TurnMachine(TurnSettings(idle_ms=idle_ms), RATE, awaiting=awaiting))
    for step in steps:
        if step[0] == "frames":
            driver.run(step[1], int(step[2]) * 20)  # type: ignore[arg-type,call-overload]
        else:
            _outside(driver, str(step[0]))
    driver.silence(1000)
    driver.speak(500)
    events = driver.silence(1000)
    assert [event.spoken for event in events if isinstance(event, TurnEnded)] == [True]
    assert driver.machine.state is State.THINKING
