"""Waveform substitution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media.sample_ring import HOLE
from trunkline.media.substitution import Pitch, after_gap

PAST, FRAME, FADE = 1280, 160, 32
Audio = NDArray[np.float32]


def voice(samples: int, hertz: float = 125.0, rate_hz: int = 8000) -> Audio:
    """A voice of steady pitch, (1, samples)."""
    at = np.arange(samples) / rate_hz
    waves = [np.cos(2 * np.pi * hertz * n * at + n) / n for n in range(1, 11)]
    return (3000 * np.sum(waves, axis=0)).astype(np.float32)[np.newaxis]


def glide(samples: int, first: float, last: float) -> Audio:
    """A voice whose pitch changes."""
    phase = 2 * np.pi * np.cumsum(np.linspace(first, last, samples)) / 8000
    waves = [np.cos(n * phase + n) / n for n in range(1, 11)]
    return (3000 * np.sum(waves, axis=0)).astype(np.float32)[np.newaxis]


def extend(past: Audio, samples: int, concealed: int = 0, future: Audio | None = None) -> Audio:
    audio: Audio = Pitch(8000).extend(past, np.array([concealed]), samples, future)
    return audio


def known(audio: Audio, gap: int, frames: int) -> Audio:
    """What is known of audio from a gap's beginning on: nothing, then some frames."""
    future = np.full((1, 4 * FRAME), HOLE, np.float32)
    stop = min(gap + frames * FRAME, 4 * FRAME)
    future[:, gap:stop] = audio[:, gap:stop]
    return future


def error(heard: Audio, meant: Audio) -> float:
    """Of power, relative."""
    return float(np.mean((heard - meant) ** 2) / np.mean(meant**2))


@pytest.mark.parametrize("hertz", [100.0, 125.0, 160.0, 200.0])
def test_a_steady_voice_goes_on_as_if_nothing_were_missing(hertz: float) -> None:
    audio = voice(PAST + FRAME, hertz)
    heard = extend(audio[:, :PAST], FRAME)
    assert error(heard[:, :80], audio[:, PAST : PAST + 80]) < 0.01


def test_it_fades_evenly_from_5_ms_on_and_is_gone_after_100() -> None:
    heard = extend(voice(PAST, 100.0), 6 * FRAME)[0].reshape(-1, 80)
    levels = np.sqrt(np.mean(heard**2, axis=1))
    for step, gain in enumerate([1, 0.9, 0.79, 0.69, 0.58, 0.48, 0.37, 0.26, 0.16, 0.05]):
        assert levels[step] / levels[0] == pytest.approx(gain, abs=0.06)
    assert not heard[10:].any()


def test_phase_and_fade_go_on_over_consecutive_losses() -> None:
    past = voice(PAST)
    whole = extend(past, 3 * FRAME)
    frame = whole[:, :FRAME]
    after = np.concatenate([past, frame], axis=1)[:, FRAME:]
    again = extend(after, 2 * FRAME, concealed=FRAME)
    assert np.allclose(again, whole[:, FRAME:], atol=1e-2)


def test_nothing_steps_where_a_concealment_begins() -> None:
    past = glide(PAST, 90, 180)
    heard = np.concatenate([past[:, -2:], extend(past, FRAME)], axis=1)[0]
    usual = np.abs(np.diff(past[0])).max()
    assert np.abs(np.diff(heard)).max() < 1.5 * usual


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize(("first", "last"), [(110, 130), (150, 130), (200, 220)])
def test_audio_after_the_gap_is_arrived_at_in_phase(frames: int, first: int, last: int) -> None:
    audio = glide(PAST + 4 * FRAME, first, last)
    past, after = audio[:, :PAST], audio[:, PAST:]
    one = extend(past, FRAME)
    both = extend(past, FRAME + FADE, future=known(after, FRAME, frames))
    assert error(both[:, :FRAME], after[:, :FRAME]) < error(one, after[:, :FRAME])
    assert error(both[:, :FRAME], after[:, :FRAME]) < 0.2
    # What follows the gap is what was received: blending with it changes nothing.
    assert np.array_equal(both[:, FRAME:], after[:, FRAME : FRAME + FADE])


def test_a_future_with_nothing_in_it_is_none() -> None:
    past = voice(PAST)
    nothing = np.full((1, 4 * FRAME), HOLE, np.float32)
    assert np.array_equal(extend(past, FRAME, future=nothing), extend(past, FRAME))


def test_a_future_shorter_than_a_frame_is_left_aside() -> None:
    past = voice(PAST)
    little = np.full((1, 4 * FRAME), HOLE, np.float32)
    little[:, FRAME : FRAME + 60] = 1000
    assert np.array_equal(extend(past, FRAME, future=little), extend(past, FRAME))


@pytest.mark.parametrize(("first", "last"), [(110, 130), (150, 130), (200, 220)])
def test_10_ms_of_what_follows_are_arrived_at_in_phase(first: int, last: int) -> None:
    audio = glide(PAST + 4 * FRAME, first, last)
    past, after = audio[:, :PAST], audio[:, PAST:]
    future = known(after, FRAME, 1)
    future[:, FRAME + 80 :] = HOLE
    aimed = extend(past, FRAME, future=future)
    assert error(aimed, after[:, :FRAME]) < error(extend(past, FRAME), after[:, :FRAME])
    some = np.concatenate([future, np.full_like(future, HOLE)])
    both = Pitch(8000).extend(np.concatenate([past, past]), np.zeros(2, int), FRAME, some)
    assert np.array_equal(both[:1], aimed)
    assert np.array_equal(both[1:], extend(past, FRAME))


def test_of_a_gap_it_is_told_where_it_begins_ends_and_how_much_follows() -> None:
    future = np.full((4, 8), HOLE, np.float32)
    future[0, 3:] = 1
    future[1, 2:5] = 1
    future[1, 6:] = 1
    future[3, :4] = 1
    gap, follows = after_gap(future)
    assert gap[[0, 1, 3]].tolist() == [3, 2, 0]
    assert follows.tolist() == [5, 3, 0, 4]


def test_silence_stays_silence_and_full_scale_stays_finite() -> None:
    assert not extend(np.zeros((1, PAST), np.float32), FRAME).any()
    square = np.where(np.arange(PAST) // 40 % 2, 32767, -32767).astype(np.float32)[np.newaxis]
    heard = extend(square, FRAME, future=known(-square, FRAME, 2))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 3 * 32767


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_it_is_the_same_at_every_rate(rate_hz: int) -> None:
    size, frame = rate_hz * 160 // 1000, rate_hz // 50
    audio = voice(size + frame, 125.0, rate_hz)
    heard = Pitch(rate_hz).extend(audio[:, :size], np.array([0]), frame)
    half = frame // 2
    assert error(heard[:, :half], audio[:, size : size + half]) < 0.02


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.sampled_from([8000, 16000]))
@settings(max_examples=30, deadline=None)
def test_a_row_is_concealed_to_the_bit_as_it_is_alone(seed: int, rows: int, rate_hz: int) -> None:
    rng = np.random.default_rng(seed)
    frame = rate_hz // 50
    history = rng.integers(-32767, 32768, (rows, 8 * frame)).astype(np.float32)
    history *= rng.choice([0, 0.001, 1], (rows, 1)).astype(np.float32)
    concealed = rng.choice([0, 37, frame, 3 * frame, 9 * frame], rows)
    future = rng.integers(-32767, 32768, (rows, 4 * frame)).astype(np.float32)
    future[:, :10] = HOLE
    for row in range(rows):
        future[row, : rng.integers(10, 4 * frame + 1)] = HOLE
        future[row, rng.integers(10, 4 * frame + 1) :] = HOLE
    pitch = Pitch(rate_hz)
    together = pitch.extend(history, concealed, frame + 40, future)
    assert np.isfinite(together).all()
    for row in range(rows):
        one = slice(row, row + 1)
        alone = pitch.extend(history[one], concealed[one], frame + 40, future[one])
        assert np.array_equal(alone[0], together[row])
