"""FLAC and Opus of a WAV: read by another's decoder, equal or nearly so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.errors import RecordingError
from trunkline.calls.recording_convert import convert, decoded, plain_pieces, require
from trunkline.calls.recording_manifest import Manifest
from trunkline.calls.sealing import Sealer
from trunkline.calls.sealing_keys import new_key
from trunkline.calls.wav import header
from trunkline.errors import MissingDependencyError


def tones(seconds: float, rate_hz: int, channels: int) -> np.ndarray:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    sides = [9000 * np.sin(2 * np.pi * pitch * times) for pitch in (440, 660)[:channels]]
    return np.stack(sides, axis=1).astype("<i2")


def spool(
    folder: Path, samples: np.ndarray, rate_hz: int, **manifest: Any
) -> tuple[Path, Manifest]:
    channels = samples.shape[1]
    (folder / "a.wav").write_bytes(header(rate_hz, samples.nbytes, channels) + samples.tobytes())
    known = {"file": "a.wav", "rate_hz": rate_hz, "channels": channels, "call_id": "a"}
    return folder / "a.json", Manifest(**{**known, **manifest})


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_flac_is_the_same_to_the_bit(tmp_path: Path, rate_hz: int, channels: int) -> None:
    samples = tones(1.23, rate_hz, channels)
    path, manifest = spool(tmp_path, samples, rate_hz, wanted_format="flac")
    made = convert(path, manifest)
    found, rate = decoded(made)
    assert (made.name, rate) == ("a.flac", rate_hz)
    assert np.array_equal(found, samples)
    assert made.stat().st_mode & 0o077 == 0
    assert (tmp_path / "a.wav").exists(), "it goes when the manifest knows of the other"


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_keeps_time_and_sides(tmp_path: Path, channels: int) -> None:
    samples = tones(2.0, 8000, channels)
    path, manifest = spool(tmp_path, samples, 8000, wanted_format="opus", bit_rate=32_000)
    found, rate = decoded(convert(path, manifest))
    assert abs(len(found) / rate - 2.0) < 0.03
    for side, pitch in zip(range(channels), (440, 660), strict=False):
        piece = found[rate // 2 : rate // 2 + rate, side]
        spectrum = np.abs(np.fft.rfft(piece))
        assert abs(int(spectrum.argmax()) - pitch) <= 1
        assert np.abs(piece).max() == pytest.approx(9000, rel=0.25)


def test_a_bit_rate_is_kept_to(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, (8000 * 5, 2)).astype("<i2")
    sizes = []
    for bit_rate in (12_000, 48_000):
        path, manifest = spool(tmp_path, noise, 8000, wanted_format="opus", bit_rate=bit_rate)
        sizes.append(convert(path, manifest).stat().st_size * 8 / 5)
    assert sizes[0] < 20_000 < 30_000 < sizes[1] < 60_000


def test_a_recording_without_a_sample_is_a_file_without_one(tmp_path: Path) -> None:
    path, manifest = spool(tmp_path, tones(0, 8000, 2), 8000, wanted_format="flac")
    made = convert(path, manifest)
    assert made.read_bytes().startswith(b"fLaC")


def test_a_sealed_one_never_lies_there_in_the_clear(tmp_path: Path) -> None:
    key, samples = new_key(), tones(3.0, 8000, 2)
    path, manifest = spool(tmp_path, samples, 8000, wanted_format="flac", file="a.wav.sealed")
    wav = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").unlink()
    sealer = Sealer((key,))
    sealed = sealer.header + sealer.seal(wav[:50]) + sealer.seal(wav[50:], last=True)
    (tmp_path / "a.wav.sealed").write_bytes(sealed)
    made = convert(path, manifest, (key,))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.flac.sealed", "a.wav.sealed"]
    assert b"fLaC" not in made.read_bytes()
    (tmp_path / "open.flac").write_bytes(b"".join(plain_pieces(made, (key,))))
    assert np.array_equal(decoded(tmp_path / "open.flac")[0], samples)
    with pytest.raises(RecordingError, match=key.id):
        convert(path, manifest, (new_key(),))


def test_what_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    path, manifest = spool(tmp_path, tones(0.1, 11_025, 1), 11_025, wanted_format="opus")
    with pytest.raises(RecordingError, match="11025"):
        convert(path, manifest)
    assert [one.name for one in tmp_path.iterdir()] == ["a.wav"]
    (tmp_path / "a.wav").unlink()
    manifest.rate_hz = 8000
    with pytest.raises(FileNotFoundError):
        convert(path, manifest)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("wav")
    require("flac")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    require("wav")
    with pytest.raises(MissingDependencyError, match=r"trunkline\[recording\]"):
        require("opus")


@pytest.mark.parametrize("data", [b"", b"fLaC", b"OggS" + bytes(100), b"noise" * 100])
def test_what_is_no_audio_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(RecordingError, match=r"a\.flac"):
        decoded(tmp_path / "a.flac")
