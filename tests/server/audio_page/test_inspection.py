"""An inspection: the parts that were asked for, and scores of them."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trunkline.errors import MissingDependencyError, TrunklineError, UsageError
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.wav import serialise_wav
from trunkline.server.audio_page import InspectionOptions, inspect_audio
from trunkline.server.audio_page import inspection as module
from trunkline.speech.opus import find_opus

from .material import CALLER, FAR, a_file, value


@pytest.fixture(autouse=True)
def _no_foreign_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_package", lambda name: None)


def test_a_good_network_has_a_good_score(tmp_path: Path) -> None:
    made = inspect_audio(InspectionOptions(a_file(tmp_path, CALLER)))
    assert value(made, "network_snr_db") > 30
    assert value(made, "concealed_snr_db") is None
    assert made.counters["packets_lost"] == 0
    assert (made.codec, made.echo) == ("PCMU", "off")


def test_losses_lower_it(tmp_path: Path) -> None:
    path = a_file(tmp_path, CALLER)
    good = inspect_audio(InspectionOptions(path))
    bad = inspect_audio(InspectionOptions(path, network=NetworkPattern(0.2)))
    assert value(bad, "network_snr_db") < value(good, "network_snr_db")
    assert bad.counters["frames_concealed"] > 10
    assert bad.counters["packets_lost"] == np.isnan(bad.run.network_ms).sum()


def test_a_far_file_has_its_echo_taken_away(tmp_path: Path) -> None:
    near = np.zeros_like(FAR)
    near[320:] = FAR[:-320] // 2
    options = InspectionOptions(a_file(tmp_path, near), a_file(tmp_path, FAR, "far.wav"))
    made = inspect_audio(options)
    assert made.echo == "kalman"
    assert value(made, "erle_db") > 4


def test_an_echo_canceller_may_be_switched_off(tmp_path: Path) -> None:
    options = InspectionOptions(
        a_file(tmp_path, CALLER), a_file(tmp_path, FAR, "f.wav"), echo="off"
    )
    made = inspect_audio(options)
    assert "erle_db" not in {score.name for score in made.scores}


@pytest.mark.parametrize("noise", ["logmmse", "spectral"])
def test_noise_is_suppressed(tmp_path: Path, noise: str) -> None:
    hiss = np.random.default_rng(2).normal(0, 300, 16_000).astype(np.int16)
    made = inspect_audio(InspectionOptions(a_file(tmp_path, hiss), noise=noise))
    assert value(made, "level_out_dbov") < value(made, "level_in_dbov") - 5


def test_opus_conceals_and_recovers_by_itself(tmp_path: Path) -> None:
    options = InspectionOptions(
        a_file(tmp_path, CALLER), rate_hz=16000, codec="opus", network=NetworkPattern(0.15, seed=2)
    )
    if find_opus() is None:
        with pytest.raises(MissingDependencyError, match="libopus"):
            inspect_audio(options)
        return
    found = inspect_audio(options)
    assert found.codec == "OPUS"
    assert found.counters["frames_recovered"] > 0.5 * found.counters["packets_lost"] > 2
    assert value(found, "network_snr_db") > 0


def test_another_rate_goes_as_linear_audio(tmp_path: Path) -> None:
    made = inspect_audio(InspectionOptions(a_file(tmp_path, CALLER), rate_hz=16000))
    assert (made.codec, made.run.rate_hz) == ("L16", 16000)


@pytest.mark.parametrize(
    ("wrong", "known"),
    [
        ({"concealment": "magic"}, "pitch"),
        ({"noise": "magic"}, "logmmse"),
        ({"echo": "magic"}, "kalman"),
        ({"codec": "magic"}, "pcmu"),
    ],
)
def test_a_part_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, wrong: dict[str, str], known: str
) -> None:
    path = a_file(tmp_path, CALLER)
    with pytest.raises(UsageError, match=known):
        inspect_audio(InspectionOptions(path, far=path, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_hz": 7000},
        {"rate_hz": 11025},
        {"rate_hz": 96000},
        {"strength": 2.0},
        {"strength": float("nan")},
        {"echo": "kalman"},
        {"codec": "pcmu", "rate_hz": 16000},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    options = {"noise": "logmmse", **wrong}
    with pytest.raises(UsageError):
        inspect_audio(InspectionOptions(a_file(tmp_path, CALLER), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["speex", "aec3"])
def test_a_library_runs_or_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    options = InspectionOptions(
        a_file(tmp_path, CALLER), a_file(tmp_path, FAR, "f.wav"), rate_hz=16000, echo=name
    )
    try:
        made = inspect_audio(options)
    except TrunklineError as error:
        assert isinstance(error, MissingDependencyError)  # noqa: PT017
    else:
        assert made.echo == name


def test_scores_and_counters_are_plain(tmp_path: Path) -> None:
    plain = inspect_audio(InspectionOptions(a_file(tmp_path, CALLER))).plain()
    assert plain["scores"]["network_snr_db"] > 30
    assert plain["counters"]["packets_sent"] == 150
    assert plain["far"] is None


def test_one_sample_is_enough(tmp_path: Path) -> None:
    made = inspect_audio(InspectionOptions(a_file(tmp_path, CALLER[:1]), noise="logmmse"))
    assert len(made.run.output) >= 160


def test_foreign_scores_are_there_where_their_packages_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {
        "pesq": SimpleNamespace(pesq=lambda rate, clean, after, band: 4.2),
        "pystoi": SimpleNamespace(stoi=lambda clean, after, rate: 1 / 0),
    }
    monkeypatch.setattr(module, "_package", packages.get)
    made = inspect_audio(InspectionOptions(a_file(tmp_path, CALLER)))
    assert value(made, "pesq_mos") == 4.2
    assert value(made, "stoi") is None  # it refused


def test_foreign_scores_are_left_out_without_their_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "import_module", missing)
    assert module._package("pesq") is None
    assert importlib.import_module is not missing


def test_a_stereo_file_can_be_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(serialise_wav(np.stack([CALLER, FAR[: len(CALLER)]], axis=1), 8000))
    made = inspect_audio(InspectionOptions(path, path, channel=1, far_channel=2))
    np.testing.assert_array_equal(made.near, CALLER)
    assert made.far is not None
