"""A library where it is installed, and what needs none where it is not."""

import ctypes.util
import logging
import sys

import numpy as np
import pytest

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media import Chain, EchoCanceller, NlmsEcho, NoiseBank, NoiseSuppressor
from trunkline.speech import create, fallbacks


def missing(*_: object, **__: object) -> None:
    raise MissingDependencyError("it is not installed")


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_without_speex_there_is_nlms_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rate_hz: int
) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(fallbacks, "SpeexEcho", missing)
    with caplog.at_level(logging.WARNING):
        stage = create("echo", "speex_or_nlms", rate_hz=rate_hz)
    assert isinstance(stage, NlmsEcho)
    assert "not installed" in caplog.text
    canceller = EchoCanceller(rate_hz, stage)
    audio = np.full(rate_hz // 50, 0.1, np.float32)
    assert canceller.process(audio, audio).shape == audio.shape
    assert canceller.statistics.engine == "nlms"


def test_with_speex_it_is_speex() -> None:
    try:
        create("echo", "speex", rate_hz=8000)
    except MissingDependencyError:
        pytest.skip("libspeexdsp is not installed")
    assert EchoCanceller(8000, create("echo", "speex_or_nlms")).statistics.engine == "speex"


def test_without_noisereduce_there_is_spectral_subtraction_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    with caplog.at_level(logging.WARNING):
        stage = create("noise", "noisereduce_or_spectral", rate_hz=16000, strength=0.5)
    assert isinstance(stage, NoiseBank)
    assert (stage.settings.method, stage.settings.strength) == ("spectral", 0.5)
    assert "noisereduce" in caplog.text
    suppressor = NoiseSuppressor(16000, stage=stage)
    assert suppressor.process(np.zeros(320, np.int16)).shape == (320,)


def test_a_chain_takes_them_as_they_are_made() -> None:
    chain = Chain(
        16000,
        echo=create("echo", "speex_or_nlms", rate_hz=16000),
        noise=create("noise", "noisereduce_or_spectral", rate_hz=16000),
    )
    for number in range(20):
        out = chain.process_input(np.zeros(320, np.int16), number, number * 0.02)
        assert out is None or out.dtype == np.int16


def test_numbers_that_make_no_sense_are_refused_by_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    monkeypatch.setattr(fallbacks, "SpeexEcho", missing)
    with pytest.raises(UsageError):
        create("noise", "noisereduce_or_spectral", strength=2.0)
    with pytest.raises(UsageError):
        create("echo", "speex_or_nlms", rate_hz=11025)
