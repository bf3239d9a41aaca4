import sys
import types

import numpy as np
import pytest

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.stage import Stage
from trunkline.speech import create, names, noise_engines
from trunkline.speech.noise_engines import Noisereduce, Rnnoise, Webrtc


class FakeRnnoise:
    """librnnoise's interface: halves each frame, 20 ms late, and counts its states."""

    def __init__(self) -> None:
        self.states: dict[int, list[np.ndarray]] = {}
        self.made = 0
        self.poison = False

    def rnnoise_create(self, _model: None) -> int:
        self.made += 1
        self.states[self.made] = [np.zeros(480, np.float32)] * 2
        return self.made

    def rnnoise_destroy(self, state: int) -> None:
        del self.states[state]

    def rnnoise_process_frame(self, state: int, out: int, frame: int) -> float:
        self.states[state].append(self._at(frame).copy())
        self._at(out)[:] = np.nan if self.poison else self.states[state].pop(0) / 2
        return 0.5

    def _at(self, address: int) -> np.ndarray:
        pointer = noise_engines.ctypes.POINTER(noise_engines.ctypes.c_float)
        cast = noise_engines.ctypes.cast(address, pointer)
        return np.ctypeslib.as_array(cast, (480,))


class FakeSuppressor:
    """pywebrtc-audio's interface: takes the level off, 6 ms late; NaN spoils it for good."""

    made: list[tuple[int, int, int]]

    def __init__(self, rate_hz: int, channels: int, level: int) -> None:
        if rate_hz not in (16000, 32000, 48000):
            raise ValueError(rate_hz)
        type(self).made.append((rate_hz, channels, level))
        self.past = np.zeros(6 * rate_hz // 1000, np.float32)

    def process(self, audio: np.ndarray) -> np.ndarray:
        assert audio.dtype == np.float32
        joined = np.concatenate([self.past, audio])
        self.past = joined[audio.size :]
        return joined[: audio.size]


@pytest.fixture
def rnnoise(monkeypatch: pytest.MonkeyPatch) -> FakeRnnoise:
    fake = FakeRnnoise()
    monkeypatch.setattr(noise_engines, "_rnnoise", lambda: fake)
    return fake


@pytest.fixture
def webrtc(monkeypatch: pytest.MonkeyPatch) -> type[FakeSuppressor]:
    module = types.ModuleType("pywebrtc_audio")
    FakeSuppressor.made = []
    module.NoiseSuppressor = FakeSuppressor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", module)
    return FakeSuppressor


@pytest.fixture
def noisereduce(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    calls: list[dict[str, object]] = []

    def reduce_noise(y: np.ndarray, **options: object) -> np.ndarray:
        calls.append({"samples": y.size, **options})
        return y.astype(np.float64) / 2

    module = types.ModuleType("noisereduce")
    module.reduce_noise = reduce_noise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "noisereduce", module)
    return calls


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, samples).astype(np.float32)


def run(stage: Stage, row: int, audio: np.ndarray) -> np.ndarray:
    rows, frame = np.array([row], np.intp), stage.frame_samples
    return np.concatenate(
        [
            stage.process(audio[np.newaxis, at : at + frame], rows)[0]
            for at in range(0, audio.size, frame)
        ]
    )


def lateness(audio: np.ndarray, out: np.ndarray) -> int:
    """By how many samples the output is late, from the cross-correlation."""
    size = 2 * audio.size
    product = np.fft.rfft(out, size) * np.conj(np.fft.rfft(audio, size))
    return int(np.argmax(np.fft.irfft(product, size)[: audio.size]))


def test_the_registry_knows_them() -> None:
    assert {"noisereduce", "rnnoise", "webrtc"} <= set(names("noise"))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 48000])
def test_rnnoise_is_as_late_as_it_says(rnnoise: FakeRnnoise, rate_hz: int) -> None:
    stage = create("noise", "rnnoise", rate_hz=rate_hz)
    # Low-passed, so that resampling loses nothing of it.
    audio = np.convolve(noise(rate_hz // 2), np.ones(8) / 8, "same").astype(np.float32)
    out = run(stage, stage.open(), audio)
    assert abs(lateness(audio, out) - stage.delay_samples) <= 1
    assert stage.delay_samples / rate_hz <= 0.0262


def test_rnnoise_without_strength_is_its_delay_alone(rnnoise: FakeRnnoise) -> None:
    stage = Rnnoise(48000, strength=0.0)
    audio = noise(9600)
    out = run(stage, stage.open(), audio)
    np.testing.assert_allclose(out[960:], audio[:-960], atol=1e-6)


def test_rnnoise_frees_each_state_once(rnnoise: FakeRnnoise) -> None:
    stage = Rnnoise(48000)
    first, _second = stage.open(), stage.open()
    stage.reset(first)
    stage.close(first)
    assert len(rnnoise.states) == 1
    with pytest.raises(UsageError):
        stage.close(first)
    del stage
    assert not rnnoise.states


def test_a_state_that_gives_no_audio_is_made_anew_and_counted(rnnoise: FakeRnnoise) -> None:
    stage = Rnnoise(48000)
    row = stage.open()
    rnnoise.poison = True
    assert not run(stage, row, noise(960)).any()
    rnnoise.poison = False
    assert stage.faults[row] == 1
    assert rnnoise.made == 2
    assert run(stage, row, noise(2880)).any()


@pytest.mark.parametrize(
    ("rate_hz", "library_hz"), [(8000, 16000), (16000, 16000), (24000, 48000), (48000, 48000)]
)
def test_webrtc_runs_at_a_rate_it_takes(
    webrtc: type[FakeSuppressor], rate_hz: int, library_hz: int
) -> None:
    stage = create("noise", "webrtc", rate_hz=rate_hz)
    audio = np.convolve(noise(rate_hz // 2), np.ones(8) / 8, "same").astype(np.float32)
    out = run(stage, stage.open(), audio)
    assert webrtc.made[0][0] == library_hz
    assert abs(lateness(audio, out) - stage.delay_samples) <= 1
    assert stage.delay_samples / rate_hz <= 0.0122


@pytest.mark.parametrize(
    ("strength", "level"), [(0, 0), (0.24, 0), (0.25, 1), (0.6, 2), (0.8, 3), (1, 3)]
)
def test_strength_is_one_of_webrtcs_levels(
    webrtc: type[FakeSuppressor], strength: float, level: int
) -> None:
    Webrtc(16000, strength).open()
    assert webrtc.made[0][2] == level


def test_garbage_never_reaches_a_library(webrtc: type[FakeSuppressor]) -> None:
    stage = Webrtc(16000)
    rows = np.array([stage.open(), stage.open()], np.intp)
    block = np.stack([noise(320), noise(320, 1)])
    block[1, 5], block[1, 6] = np.nan, np.inf
    stage.process(block, rows)
    out = stage.process(np.zeros((2, 320), np.float32), rows)
    assert np.isfinite(out).all()
    assert stage.faults[rows].tolist() == [0, 1]
    np.testing.assert_array_equal(out[0, :96], block[0, -96:])


def test_rows_of_a_library_are_apart(webrtc: type[FakeSuppressor]) -> None:
    together, alone = Webrtc(8000), Webrtc(8000)
    rows = np.array([together.open() for _ in range(3)], np.intp)
    row = np.array([alone.open()], np.intp)
    for number in range(5):
        block = np.stack([noise(160, number + 10 * one) for one in range(3)])
        order = np.random.default_rng(number).permutation(3)
        out = together.process(block[order], rows[order])
        expected = alone.process(block[[1]], row)
        np.testing.assert_allclose(out[order == 1], expected, atol=1e-6)


def test_noisereduce_sees_the_last_second_and_gives_the_last_frame_but_one(
    noisereduce: list[dict[str, object]],
) -> None:
    stage = create("noise", "noisereduce", rate_hz=8000, strength=0.7)
    audio = noise(16000)
    out = run(stage, stage.open(), audio)
    np.testing.assert_allclose(out[1600:], audio[1440:-160] / 2, atol=1e-6)
    assert stage.delay_samples == 160
    assert noisereduce[-1] == {
        "samples": 8000,
        "sr": 8000,
        "stationary": True,
        "prop_decrease": 0.7,
        "n_fft": 256,
    }


def test_noisereduce_is_not_asked_about_the_silence_before_a_call(
    noisereduce: list[dict[str, object]],
) -> None:
    stage = Noisereduce(8000)
    run(stage, stage.open(), np.concatenate([np.zeros(4000, np.float32), noise(1600)]))
    assert {call["samples"] for call in noisereduce} == {800, 960, 1120, 1280, 1440, 1600}


@pytest.mark.parametrize("window_ms", [0, 199, 10_001])
def test_noisereduce_has_a_window_within_reason(
    noisereduce: list[dict[str, object]], window_ms: int
) -> None:
    with pytest.raises(UsageError, match="window"):
        Noisereduce(8000, window_ms=window_ms)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_out_of_range_is_refused(rnnoise: FakeRnnoise, strength: float) -> None:
    with pytest.raises(UsageError, match="strength"):
        Rnnoise(8000, strength)


@pytest.mark.parametrize(
    ("name", "module", "says"),
    [
        ("noisereduce", "noisereduce", "trunkline\\[noise\\]"),
        ("webrtc", "pywebrtc_audio", "trunkline\\[noise\\]"),
    ],
)
def test_a_missing_package_is_named_with_what_to_run(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, says: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=says):
        create("noise", name)


def test_a_missing_librnnoise_is_named_with_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_engines.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(noise_engines.ctypes.util, "find_library", lambda _name: None)
    with pytest.raises(MissingDependencyError, match="pyrnnoise"):
        create("noise", "rnnoise")


@pytest.mark.parametrize("name", ["noisereduce", "rnnoise", "webrtc"])
@pytest.mark.filterwarnings("ignore")
def test_the_real_library_reduces_noise(name: str) -> None:
    try:
        stage = create("noise", name, rate_hz=8000)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    audio = noise(16000)
    out = run(stage, stage.open(), audio)
    assert np.isfinite(out).all()
    assert out[8000:].std() < 0.5 * audio[8000:].std()
