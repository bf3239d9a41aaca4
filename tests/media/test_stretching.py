"""Stretching by pitch periods."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterBank, JitterSettings, Kind
from trunkline.media.jitter_state import JitterRows
from trunkline.media.stretching import Stretcher, lengthened, shortened

FRAME, TICK = 160, 0.02


def voice(samples: int, hertz: float = 125.0) -> NDArray[np.int16]:
    at = np.arange(samples) / 8000
    waves = [np.cos(2 * np.pi * hertz * n * at + n) / n for n in range(1, 11)]
    return (2500 * np.sum(waves, axis=0)).astype(np.int16)


def test_a_period_left_out_of_a_steady_voice_is_not_to_be_seen() -> None:
    audio = voice(2 * FRAME)
    heard = shortened(audio[np.newaxis], np.array([64]))[0]
    assert np.abs(heard.astype(int) - audio[:FRAME]).max() <= 2


def test_a_period_more_of_a_steady_voice_is_not_to_be_seen() -> None:
    audio = voice(120 + FRAME)
    heard = lengthened(audio[np.newaxis, :120], audio[np.newaxis, 120:], np.array([64]))[0]
    assert np.abs(heard.astype(int) - audio[120:]).max() <= 2


def test_a_shortened_frame_ends_where_the_rest_goes_on() -> None:
    audio = np.arange(2 * FRAME, dtype=np.int16)[np.newaxis]
    heard = shortened(audio, np.array([50]))[0]
    assert heard[-1] == FRAME - 1 + 50
    assert heard[0] == pytest.approx(0, abs=2)


def test_a_lengthened_frame_ends_where_the_rest_goes_on() -> None:
    audio = np.arange(120 + FRAME, dtype=np.int16)[np.newaxis]
    heard = lengthened(audio[:, :120], audio[:, 120:], np.array([50]))[0]
    assert heard[-1] == 120 + FRAME - 1 - 50
    assert heard[0] == pytest.approx(120, abs=2)


def test_each_row_has_its_own_period() -> None:
    audio = np.stack([voice(2 * FRAME, 125), voice(2 * FRAME, 100)])
    heard = shortened(audio, np.array([64, 80]))
    assert np.abs(heard.astype(int) - audio[:, :FRAME]).max() <= 2


def test_full_scale_is_not_wrapped() -> None:
    audio = np.full((1, 2 * FRAME), 32767, np.int16)
    audio[:, ::2] = -32767
    assert shortened(audio, np.array([41])).min() > -32768


def call(
    hertz: float, delays: NDArray[np.float64], level: float = 1.0
) -> tuple[JitterBank, NDArray[np.int16], NDArray[np.uint8]]:
    """A steady voice over a network with these delays, in seconds: what is heard, and kinds."""
    count = len(delays)
    payload = encode((voice(count * FRAME, hertz) * level).astype(np.int16), Law.ULAW).tobytes()
    bank = JitterBank(settings=JitterSettings(start_ms=60))
    row, at, heard, kinds = bank.open(Law.ULAW), 0, [], []
    arrives = np.arange(count) * TICK + 0.005 + delays
    order = np.argsort(arrives, kind="stable").tolist()
    for tick in range(1, count):
        now = tick * TICK
        while at < count and arrives[order[at]] <= now:
            index = order[at]
            part = payload[index * FRAME : (index + 1) * FRAME]
            bank.put(row, index, index * FRAME, 1, False, part, float(arrives[index]))
            at += 1
        taken = bank.take(np.array([row]), now)
        heard.append(taken.pcm[0])
        kinds.append(taken.kind[0])
    return bank, np.concatenate(heard), np.array(kinds)


def stalled() -> NDArray[np.float64]:
    """One stall of 160 ms, then a perfect network."""
    delays = np.zeros(500)
    delays[100:108] = 0.16 - 0.02 * np.arange(8)
    return delays


@pytest.mark.parametrize("hertz", [100.0, 125.0, 200.0])
def test_delay_after_a_stall_goes_in_steps_of_periods_that_nobody_hears(hertz: float) -> None:
    bank, heard, kinds = call(hertz, stalled())
    statistics = bank.statistics(0)
    assert statistics.stretched_frames == np.count_nonzero(kinds == Kind.STRETCHED) > 0
    assert statistics.dropped_frames > 0
    assert statistics.delay_ms <= statistics.target_ms + 25
    # Once it plays again no sample steps further than the voice itself does, and G.711's steps.
    after = heard[130 * FRAME :].astype(int)
    usual = np.abs(np.diff(voice(8000, hertz).astype(int))).max()
    assert np.abs(np.diff(after)).max() < 1.25 * usual + 300


def test_no_frame_is_stretched_while_the_delay_is_right() -> None:
    _, _, kinds = call(125.0, np.abs(np.random.default_rng(1).normal(0, 0.003, 400)))
    assert np.count_nonzero(kinds[100:] == Kind.STRETCHED) <= 1


def test_delay_grows_in_periods_where_the_network_gets_worse() -> None:
    rng = np.random.default_rng(2)
    delays = np.concatenate([np.zeros(200), rng.uniform(0, 0.12, 400)])
    bank, _, _ = call(125.0, delays)
    statistics = bank.statistics(0)
    assert statistics.inserted_frames >= 1
    assert statistics.stretched_frames >= 3


def test_quiet_frames_are_stretched_whatever_is_in_them() -> None:
    bank, _, _ = call(125.0, stalled(), level=0.005)
    assert bank.statistics(0).delay_ms <= bank.statistics(0).target_ms + 25


def turns_of(times: list[float]) -> list[bool]:
    state = JitterRows(8000, JitterSettings(), 1)
    stretcher = Stretcher(state, 0.0, 480.0)
    stretcher.turns(times[0] - 0.01)  # The first time of all is a turn whenever it is.
    return [stretcher.turns(now) for now in times]


@pytest.mark.parametrize("phase", [0.0, 0.005, 0.01, 0.015])
@pytest.mark.parametrize("late", [0.0, 0.002])
def test_every_third_tick_is_a_turn_in_every_phase(phase: float, late: float) -> None:
    found = turns_of([100 + phase + late + tick * TICK for tick in range(60)])
    assert sum(found) == 20
    assert found[:3] * 20 == found


def test_phases_of_a_tick_do_not_all_have_their_turn_at_once() -> None:
    found = turns_of([100 + quarter * TICK / 4 for quarter in range(12)])
    assert max(sum(found[tick : tick + 4]) for tick in (0, 4, 8)) == 2


@pytest.mark.parametrize("start", [100.0, 100.02, 100.04])
def test_who_takes_every_60_ms_has_turns_all_the_same(start: float) -> None:
    assert sum(turns_of([start + 0.06 * number for number in range(50)])) >= 20
