import sys

import numpy as np
import pytest

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.speech import registry


def engine(name, rate_hz, **options):
    try:
        return registry.create("echo", name, rate_hz=rate_hz, **options)
    except MissingDependencyError as error:
        pytest.skip(str(error))


def noise_echo(seconds, rate_hz, delay_ms):
    rng = np.random.default_rng(1)
    samples = int(seconds * rate_hz)
    loud = np.repeat(rng.uniform(0, 0.2, samples // (rate_hz // 8) + 1), rate_hz // 8)[:samples]
    far = (loud * rng.standard_normal(samples)).astype(np.float32)
    near = 0.5 * np.roll(far, delay_ms * rate_hz // 1000)
    return near.astype(np.float32), far


@pytest.mark.parametrize("name", ["speex", "aec3"])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("delay_ms", [40, 350])
def test_an_outside_canceller_takes_the_echo_away(name, rate_hz, delay_ms):
    bank = engine(name, rate_hz)
    near, far = noise_echo(8, rate_hz, delay_ms)
    rows, frame = np.array([bank.open()]), bank.frame_samples
    out = np.concatenate(
        [
            bank.process(near[None, at : at + frame], far[None, at : at + frame], rows)[0]
            for at in range(0, len(near), frame)
        ]
    )
    last = slice(5 * rate_hz, None)
    assert (out[last] ** 2).mean() < 0.05 * (near[last] ** 2).mean()
    bank.close(0)


@pytest.mark.parametrize("name", ["speex", "aec3"])
def test_a_row_of_an_outside_canceller_knows_nothing_of_the_others(name):
    bank = engine(name, 16000, capacity=1)
    near, far = noise_echo(1, 16000, 40)
    rows = np.array([bank.open(), bank.open()])
    both, alone = [], []
    other = engine(name, 16000)
    row = np.array([other.open()])
    for at in range(0, len(near), 320):
        one, two = near[at : at + 320], far[at : at + 320]
        wrong = np.full(320, np.nan, np.float32)
        both.append(bank.process(np.stack([one, wrong]), np.stack([two, wrong]), rows)[0])
        alone.append(other.process(one[None], two[None], row)[0])
    assert np.concatenate(both).tobytes() == np.concatenate(alone).tobytes()
    assert bank.faults[:2].tolist() == [0, 50]
    bank.reset(0)
    bank.close(0)
    with pytest.raises(UsageError):
        bank.close(0)


def test_a_library_that_is_not_there_is_named_with_how_to_get_it():
    with pytest.raises(MissingDependencyError, match="apt install libspeexdsp1"):
        registry.create("echo", "speex", library="/nowhere/libspeexdsp.so")


def test_a_package_that_is_not_there_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(MissingDependencyError, match="pip install pywebrtc-audio"):
        registry.create("echo", "aec3", rate_hz=16000)


def test_a_rate_that_aec3_does_not_know_is_refused():
    with pytest.raises(UsageError, match="not 11025"):
        registry.create("echo", "aec3", rate_hz=11025)
