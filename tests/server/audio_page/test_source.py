"""Files that are inspected: what suits is resampled, what does not is refused in one line."""

import struct
from pathlib import Path

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.wav import header, serialise_wav
from trunkline.server.audio_page import load_source

RAMP = np.arange(-400, 400, dtype=np.int16)


def file(folder: Path, data: bytes) -> Path:
    path = folder / "some.wav"
    path.write_bytes(data)
    return path


def refused(path: Path, rate_hz: int = 8000, channel: int | None = None) -> str:
    with pytest.raises(UsageError) as raised:
        load_source(path, rate_hz, channel)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_a_file_of_the_paths_rate_comes_as_it_is(tmp_path: Path) -> None:
    path = file(tmp_path, serialise_wav(RAMP, 8000))
    np.testing.assert_array_equal(load_source(path, 8000), RAMP)


@pytest.mark.parametrize("rate_hz", [1000, 11025, 22050, 44100, 48000])
def test_a_file_of_another_rate_is_resampled(tmp_path: Path, rate_hz: int) -> None:
    at = np.arange(rate_hz) / rate_hz
    tone = (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)
    loaded = load_source(file(tmp_path, serialise_wav(tone, rate_hz)), 8000)
    assert abs(len(loaded) - 8000) <= 8
    assert np.abs(loaded).max() == pytest.approx(8000, rel=0.1)


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    path = file(tmp_path, serialise_wav(np.stack([RAMP, -RAMP], axis=1), 8000))
    np.testing.assert_array_equal(load_source(path, 8000, 1), RAMP)
    np.testing.assert_array_equal(load_source(path, 8000, 2), -RAMP)


def test_a_file_of_two_channels_needs_a_choice(tmp_path: Path) -> None:
    path = file(tmp_path, serialise_wav(np.stack([RAMP, RAMP], axis=1), 8000))
    assert "--channel 1" in refused(path)


@pytest.mark.parametrize("channel", [-1, 0, 2, 99])
def test_a_channel_that_is_not_there_is_refused(tmp_path: Path, channel: int) -> None:
    path = file(tmp_path, serialise_wav(RAMP, 8000))
    assert f"no channel {channel}" in refused(path, channel=channel)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\x00" * 5000, b"ID3\x04 not a WAV", b"RIFF" * 9])
def test_what_is_no_wav_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "WAV" in refused(file(tmp_path, data))


def test_a_file_cut_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    whole = serialise_wav(RAMP[:20], 8000)
    for length in range(len(whole)):
        path = file(tmp_path, whole[:length])
        try:
            loaded = load_source(path, 8000)
        except UsageError:
            continue
        np.testing.assert_array_equal(loaded, RAMP[: len(loaded)])


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "no audio" in refused(file(tmp_path, serialise_wav(RAMP[:0], 8000)))


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    samples = np.zeros(1000 * 601, np.int16)
    assert "601 s" in refused(file(tmp_path, serialise_wav(samples, 1000)))


def test_a_file_too_large_to_read_is_refused_unread(tmp_path: Path) -> None:
    path = file(tmp_path, header(8000, 1, 0))
    with path.open("r+b") as sparse:
        sparse.truncate(1 << 33)
    assert "256 MB" in refused(path)


@pytest.mark.parametrize("rate_hz", [500, 999, 192_001, 0x3FFFFFFF])
def test_a_rate_that_no_audio_has_is_refused(tmp_path: Path, rate_hz: int) -> None:
    assert "sample rate" in refused(file(tmp_path, serialise_wav(RAMP, rate_hz)))


def test_floating_point_is_refused_by_name(tmp_path: Path) -> None:
    data = bytearray(serialise_wav(RAMP, 8000))
    data[20:22], data[34:36] = struct.pack("<H", 3), struct.pack("<H", 32)
    assert "floating point" in refused(file(tmp_path, bytes(data)))


def test_what_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.wav")
    assert "no file" in refused(tmp_path)
