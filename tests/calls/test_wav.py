"""The recordings' WAV: readable by others, and salvaged when cut short."""

import io
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.errors import RecordingError
from trunkline.calls.wav import HEADER_BYTES, LARGEST_DATA_BYTES, header, salvage


def frames_of(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        return file.readframes(file.getnframes())


@given(rate_hz=st.integers(1, 384_000), samples=st.integers(0, 1000))
def test_the_standard_library_reads_it(rate_hz: int, samples: int) -> None:
    with wave.open(io.BytesIO(header(rate_hz, samples * 4) + bytes(samples * 4))) as file:
        assert file.getparams()[:4] == (2, 2, rate_hz, samples)


def test_the_largest_file_still_fits_its_sizes() -> None:
    assert len(header(8000, LARGEST_DATA_BYTES)) == HEADER_BYTES


@given(told=st.integers(0, 2000), there=st.integers(0, 500))
def test_whatever_the_header_told_the_samples_there_are_counted(
    tmp_path_factory: pytest.TempPathFactory, told: int, there: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "x.wav"
    samples = bytes(range(256)) * 2
    path.write_bytes(header(8000, told) + samples[:there])
    assert salvage(path) == there // 4 / 8000
    assert frames_of(path) == samples[: there // 4 * 4]
    assert path.stat().st_size == HEADER_BYTES + there // 4 * 4


def test_a_whole_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(header(8000, 400) + bytes(400))
    before = path.stat().st_mtime_ns
    assert salvage(path) == 100 / 8000
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        header(8000, 0)[:43],
        b"X" * 44,
        header(0, 0),
        header(8000, 0).replace(b"WAVE", b"AVI "),
        header(8000, 0)[:22] + b"\x01\x00" + header(8000, 0)[24:],
    ],
    ids=["empty", "four bytes", "one byte short", "noise", "no rate", "another form", "mono"],
)
def test_what_is_no_recording_of_ours_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a recording of ours"):
        salvage(path)
    assert path.read_bytes() == content


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        salvage(tmp_path / "none.wav")
