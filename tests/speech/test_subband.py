import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.speech.subband import SubbandBank

from .telephone import said


def probabilities(line: NDArray[np.int16], rate_hz: int = 8000) -> NDArray[np.float32]:
    bank = SubbandBank(rate_hz)
    rows = np.array([bank.open()])
    samples = bank.window_samples
    frames = line[: line.size // samples * samples].reshape(-1, samples)
    return np.concatenate([bank.process(frame[None], rows).probability for frame in frames])


def noise(dbov: float, samples: int = 24000) -> NDArray[np.int16]:
    random = np.random.default_rng(1)
    return (random.standard_normal(samples) * 32768 * 10 ** (dbov / 20)).astype(np.int16)


@pytest.mark.needs("flite")
def test_speech_is_heard_where_it_is_and_not_where_it_is_not() -> None:
    heard = probabilities(said(["I would like to book a repair for Tuesday."])[0])
    assert heard[:13].max() < 0.3
    assert (heard[25:-35] > 0.5).mean() > 0.9
    assert heard[-8:].max() < 0.3


@pytest.mark.parametrize("dbov", [-70, -50, -35, -25])
def test_steady_noise_is_not_speech_whatever_its_level(dbov: float) -> None:
    assert probabilities(noise(dbov))[25:].max() < 0.5


def test_digital_silence_is_not_speech() -> None:
    assert probabilities(np.zeros(8000, np.int16)).max() < 0.1


def test_noise_that_begins_late_is_learned_within_a_few_seconds() -> None:
    line = np.concatenate([noise(-60), noise(-45, 8000 * 6)])
    heard = probabilities(line)
    assert heard[-25:].max() < 0.5


def test_every_frame_is_a_window_that_ends_with_it() -> None:
    bank = SubbandBank()
    rows = np.array([bank.open() for _ in range(5)])
    activity = bank.process(np.zeros((5, 160), np.int16), rows)
    assert activity.index.tolist() == [0, 1, 2, 3, 4]
    assert not activity.end_offset.any()
    assert activity.probability.dtype == np.float32


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_it_hears_at_other_rates(rate_hz: int) -> None:
    time = np.arange(rate_hz) / rate_hz
    buzz = sum(np.sin(2 * np.pi * pitch * time) for pitch in range(150, 3400, 150))
    line = np.concatenate([np.zeros(rate_hz), 1000 * buzz])
    line += np.random.default_rng(0).standard_normal(line.size) * 30
    heard = probabilities(line.astype(np.int16), rate_hz)
    assert heard[10:45].max() < 0.5
    assert heard[53:70].min() > 0.9


def test_rows_do_not_touch_each_other() -> None:
    line = said_or_noise()
    loud = np.where(np.arange(160) % 2, 32767, -32768).astype(np.int16)
    bank = SubbandBank(capacity=1)
    rows = np.array([bank.open(), bank.open()])
    bank._floor[rows[1]] = np.nan
    with np.errstate(all="ignore"):
        heard = [
            bank.process(np.stack([frame, loud]), rows).probability[0]
            for frame in line.reshape(-1, 160)
        ]
    assert np.array_equal(heard, probabilities(line))


def said_or_noise() -> NDArray[np.int16]:
    return np.concatenate([noise(-60, 8000), noise(-20, 4000), noise(-60, 4000)])


def test_a_row_used_again_remembers_nothing() -> None:
    bank = SubbandBank(capacity=1)
    row = bank.open()
    for frame in noise(-20, 8000).reshape(-1, 160):
        bank.process(frame[None], np.array([row]))
    bank.close(row)
    row = bank.open()
    line = said_or_noise()
    heard = [bank.process(f[None], np.array([row])).probability[0] for f in line.reshape(-1, 160)]
    assert np.array_equal(heard, probabilities(line))


def test_misuse_is_refused() -> None:
    with pytest.raises(UsageError):
        SubbandBank(4000)
    bank = SubbandBank()
    with pytest.raises(UsageError):
        bank.process(np.zeros((1, 160), np.int16), np.array([0]))
    with pytest.raises(UsageError):
        bank.process(np.zeros((1, 80), np.int16), np.array([bank.open()]))
