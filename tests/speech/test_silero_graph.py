from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import ConfigError
from trunkline.speech import silero
from trunkline.speech.silero_graph import STATE, build, read_weights

from .telephone import said

pytestmark = pytest.mark.needs("silero")

Floats = NDArray[np.float32]
LENGTH = {8000: 288, 16000: 576}


def model() -> bytes:
    return silero.find_model().read_bytes()


def audio_of(rate_hz: int, calls: int, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    loud = 10 ** random.uniform(-4, 0, (calls, 1))
    return (random.standard_normal((calls, LENGTH[rate_hz])) * loud).clip(-1, 1).astype(np.float32)


def states_of(calls: int, seed: int = 1) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    hidden, cell = random.uniform(-1, 1, (2, calls, STATE)).astype(np.float32)
    return hidden, cell


class TestSameNetwork:
    @pytest.mark.parametrize("rate_hz", [8000, 16000])
    def test_every_answer_is_the_published_models(self, rate_hz: int) -> None:
        path = silero.find_model()
        ours, theirs = silero._network(path, rate_hz), silero._published(path, rate_hz)
        mine = yours = (np.zeros((9, STATE), np.float32), np.zeros((9, STATE), np.float32))
        for step in range(40):
            audio = audio_of(rate_hz, 9, seed=step)
            found, *mine = ours(audio, *mine)  # type: ignore[assignment]
            expected, *yours = theirs(audio, *yours)  # type: ignore[assignment]
            assert np.abs(found - expected).max() < 1e-4
            assert np.abs(mine[0] - yours[0]).max() < 1e-4

    @pytest.mark.needs("flite")
    def test_on_speech_too(self) -> None:
        line = said(["I would like to book a repair for Tuesday."])[0].astype(np.float32) / 32768
        path = silero.find_model()
        ours, theirs = silero._network(path, 8000), silero._published(path, 8000)
        mine = yours = (np.zeros((1, STATE), np.float32), np.zeros((1, STATE), np.float32))
        heard = []
        for at in range(32, line.size - 256, 256):
            audio = line[None, at - 32 : at + 256]
            found, *mine = ours(audio, *mine)  # type: ignore[assignment]
            expected, *yours = theirs(audio, *yours)  # type: ignore[assignment]
            assert abs(float(found[0, 0] - expected[0, 0])) < 1e-3
            heard.append(float(found[0, 0]))
        assert max(heard) > 0.95
        assert min(heard) < 0.1


class TestBatches:
    @pytest.mark.parametrize("rate_hz", [8000, 16000])
    def test_a_row_is_the_same_in_batches_of_every_size(self, rate_hz: int) -> None:
        network = silero._network(silero.find_model(), rate_hz)
        audio, (hidden, cell) = audio_of(rate_hz, 130), states_of(130)
        whole = network(audio, hidden, cell)
        for size in (*range(1, 40), 63, 64, 65, 97, 128, 129):
            part = network(audio[-size:], hidden[-size:], cell[-size:])
            for one, other in zip(part, whole, strict=True):
                assert np.array_equal(one, other[-size:])


class TestReading:
    def test_both_rates_have_their_own_weights(self) -> None:
        narrow, wide = read_weights(model(), 8000), read_weights(model(), 16000)
        assert narrow is not None
        assert wide is not None
        assert narrow["stft.forward_basis_buffer"].shape == (130, 1, 128)
        assert wide["stft.forward_basis_buffer"].shape == (258, 1, 256)

    @given(st.binary(max_size=400))
    def test_rubbish_has_no_weights(self, data: bytes) -> None:
        assert read_weights(data, 8000) is None

    def test_a_file_that_was_cut_off_has_none(self) -> None:
        whole = model()
        for share in (0.1, 0.5, 0.9, 0.999):
            assert read_weights(whole[: int(len(whole) * share)], 16000) is None

    @settings(max_examples=25)
    @given(st.integers(0, 4000), st.integers(1, 255))
    def test_a_damaged_file_never_raises(self, place: int, mask: int) -> None:
        data = bytearray(model())
        data[place] ^= mask
        read_weights(bytes(data), 8000)

    def test_a_model_we_do_not_know_runs_as_it_is_or_says_so(self, tmp_path: Path) -> None:
        weights = read_weights(model(), 8000)
        assert weights is not None
        other = tmp_path / "other.onnx"
        other.write_bytes(build(weights))  # a model, but not one that Silero published
        with pytest.raises(ConfigError, match="not Silero's"):
            silero._network(other, 8000)

    def test_what_we_write_is_read_again(self) -> None:
        """Our own tensors have other names, so nothing is taken for Silero's."""
        weights = read_weights(model(), 8000)
        assert weights is not None
        assert read_weights(build(weights), 8000) is None
