"""WAV files: those we write, those others write, and those nobody finished."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import g711
from trunkline.media.errors import WavError
from trunkline.media.g711 import Law, encode
from trunkline.media.wav import HEADER_BYTES, Wav, WavFile, header, parse_wav, serialise_wav

RAMP = np.arange(-100, 100, dtype=np.int16)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(tag: int, channels: int, rate_hz: int, bits: int, more: bytes = b"") -> bytes:
    block = channels * bits // 8
    body = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits)
    return chunk(b"fmt ", body + more)


@given(
    st.integers(1, 8),
    st.lists(st.integers(-32768, 32767), max_size=60),
    st.sampled_from([8000, 16000, 22050, 48000]),
)
def test_a_file_survives_the_way_there_and_back(
    channels: int, values: list[int], rate_hz: int
) -> None:
    samples = np.array(values * channels, np.int16).reshape(-1, channels)
    again = parse_wav(serialise_wav(samples, rate_hz))
    assert again.rate_hz == rate_hz
    assert again.channels == channels
    assert np.array_equal(again.samples, samples)


def test_the_stdlib_reads_what_we_write() -> None:
    stereo = np.stack([RAMP, -RAMP], axis=1)
    with wave.open(io.BytesIO(serialise_wav(stereo, 8000))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        assert file.readframes(1000) == stereo.astype("<i2").tobytes()


def test_we_read_what_the_stdlib_writes() -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(RAMP.astype("<i2").tobytes())
    sound = parse_wav(buffer.getvalue())
    assert sound.rate_hz == 16000
    assert np.array_equal(sound.mono(), RAMP)
    assert sound.duration_seconds == pytest.approx(200 / 16000)


def test_a_header_is_44_bytes_and_says_the_files_length() -> None:
    data = header(8000, 2, 640)
    assert len(data) == HEADER_BYTES == 44
    assert struct.unpack_from("<I", data, 4) == (36 + 640,)
    assert struct.unpack_from("<IHH", data, 28) == (32000, 4, 16)
    assert struct.unpack_from("<I", data, 40) == (640,)


@pytest.mark.parametrize("law", list(Law))
def test_companded_files_are_written_and_decoded(law: Law) -> None:
    codes = bytes(range(256))
    sound = parse_wav(header(8000, 1, 256, law) + codes)
    assert np.array_equal(sound.mono(), g711.decode(codes, law))


def test_a_length_beyond_32_bits_is_the_largest_there_is() -> None:
    data = header(8000, 2, 1 << 33)
    assert struct.unpack_from("<I", data, 4) == struct.unpack_from("<I", data, 40) == (0xFFFFFFFF,)


@pytest.mark.parametrize("wrong", [(0, 1, 0), (8000, 0, 0), (8000, 1, -1), (8000, 256, 0)])
def test_a_header_of_nothing_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError):
        header(*wrong)


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 401, 1 << 20])
def test_an_unfinished_recording_is_read_to_its_end(claimed: int) -> None:
    assert np.array_equal(parse_wav(header(8000, 1, claimed) + RAMP.tobytes()).mono(), RAMP)


def test_a_recording_cut_in_the_middle_of_a_sample_keeps_its_whole_samples() -> None:
    stereo = np.stack([RAMP, RAMP], axis=1)
    whole = serialise_wav(stereo, 8000)
    for lost in (1, 2, 3):
        assert len(parse_wav(whole[:-lost]).samples) == 199
    assert len(parse_wav(whole[:-4]).samples) == 199
    assert len(parse_wav(whole[:-5]).samples) == 198


def test_a_finished_file_without_samples_is_empty_whatever_follows() -> None:
    assert len(parse_wav(header(8000, 1, 0)).samples) == 0
    assert parse_wav(header(8000, 1, 0)).duration_seconds == 0
    tagged = riff(fmt(1, 1, 8000, 16), chunk(b"data", b""), chunk(b"LIST", b"x" * 8))
    assert len(parse_wav(tagged).samples) == 0


def test_other_chunks_are_stepped_over_also_those_of_odd_length() -> None:
    data = riff(
        chunk(b"JUNK", b"odd"),
        fmt(1, 1, 8000, 16),
        chunk(b"LIST", b"INFOISFT"),
        chunk(b"data", RAMP.tobytes()),
        chunk(b"id3 ", b"tail"),
    )
    assert np.array_equal(parse_wav(data).mono(), RAMP)


def test_the_extensible_format_is_read() -> None:
    guid = struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    data = riff(fmt(0xFFFE, 1, 8000, 16, guid), chunk(b"data", RAMP.tobytes()))
    assert np.array_equal(parse_wav(data).mono(), RAMP)


def test_channels_are_mixed_to_one_by_their_mean_without_overflow() -> None:
    stereo = np.array([[32767, 32767], [-32768, -32768], [100, -50], [0, 3]], np.int16)
    assert Wav(8000, stereo).mono().tolist() == [32767, -32768, 25, 2]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "does not begin"),
        (b"RIFF", "does not begin"),
        (b"OggS" + bytes(60), "does not begin"),
        (b"RIFF\x04\x00\x00\x00AVI " + bytes(40), "does not begin"),
        (riff(), "no data chunk"),
        (riff(fmt(1, 1, 8000, 16)), "no data chunk"),
        (riff(chunk(b"data", b"ab")), "before their format"),
        (riff(chunk(b"fmt ", b"short"), chunk(b"data", b"")), "cut short"),
        (riff(fmt(1, 1, 8000, 16))[:30], "cut short"),
        (riff(fmt(1, 0, 8000, 16), chunk(b"data", b"ab")), "0 channels"),
        (riff(fmt(1, 1, 0, 16), chunk(b"data", b"ab")), "at 0 Hz"),
        (riff(fmt(1, 1, 8000, 8), chunk(b"data", b"ab")), "8-bit PCM"),
        (riff(fmt(1, 1, 8000, 24), chunk(b"data", b"abc")), "24-bit PCM"),
        (riff(fmt(3, 1, 8000, 32), chunk(b"data", b"abcd")), "32-bit floating point"),
        (riff(fmt(7, 1, 8000, 16), chunk(b"data", b"abcd")), "16-bit format 0x0007"),
        (riff(fmt(0x1234, 1, 8000, 16), chunk(b"data", b"abcd")), "format 0x1234"),
        (riff(fmt(0xFFFE, 1, 8000, 16), chunk(b"data", b"abcd")), "format 0xfffe"),
    ],
)
def test_what_we_do_not_read_is_refused_with_its_reason(data: bytes, complaint: str) -> None:
    with pytest.raises(WavError, match=complaint) as caught:
        parse_wav(data)
    assert isinstance(caught.value, UsageError)


def test_every_truncation_is_audio_or_the_documented_error() -> None:
    whole = riff(chunk(b"JUNK", b"odd"), fmt(1, 2, 8000, 16), chunk(b"data", RAMP.tobytes()))
    for length in range(len(whole)):
        try:
            sound = parse_wav(whole[:length])
        except WavError:
            assert length < len(whole) - RAMP.nbytes
        else:
            assert len(sound.samples) == (length - (len(whole) - RAMP.nbytes)) // 4


@given(
    st.binary(max_size=100)
    | st.binary(max_size=100).map(lambda tail: riff(fmt(1, 1, 8000, 16)) + tail)
    | st.binary(max_size=60).map(lambda tail: b"RIFF\xff\xff\xff\xffWAVEfmt " + tail)
)
def test_random_bytes_are_audio_or_the_documented_error(data: bytes) -> None:
    try:
        sound = parse_wav(data)
    except WavError:
        return
    assert sound.samples.dtype == np.int16
    assert sound.samples.ndim == 2


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(1, 1), (0xFFFFFFFF // 4, 255), (0xFFFFFFFF // 4, 1)]
)
def test_the_edges_of_what_a_header_can_say_are_written(rate_hz: int, channels: int) -> None:
    again = parse_wav(header(rate_hz, channels, 0))
    assert (again.rate_hz, again.channels, len(again.samples)) == (rate_hz, channels, 0)
    for wrong in ((rate_hz, 256, 0), (0xFFFFFFFF // 4 + 1, channels, 0)):
        with pytest.raises(UsageError):
            header(*wrong)


def test_a_large_file_of_the_rf64_kind_is_read_to_its_end() -> None:
    data = serialise_wav(RAMP, 8000)
    large = b"RF64" + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:]
    assert np.array_equal(parse_wav(large).samples[:, 0], RAMP)


@given(st.integers(1, 4), st.integers(0, 200), st.data())
def test_a_recording_cut_anywhere_after_its_header_keeps_every_whole_sample(
    channels: int, samples: int, data: st.DataObject
) -> None:
    pcm = np.arange(samples * channels, dtype=np.int16).reshape(-1, channels)
    file = serialise_wav(pcm, 8000)
    cut = data.draw(st.integers(HEADER_BYTES, len(file)))
    kept = parse_wav(file[:cut]).samples
    assert np.array_equal(kept, pcm[: (cut - HEADER_BYTES) // (2 * channels)])


def test_a_short_extensible_format_is_not_read_beyond_its_end() -> None:
    data = riff(fmt(0xFFFE, 1, 8000, 16, bytes(8)), chunk(b"data", b"\1\0"))
    with pytest.raises(WavError, match="0xfffe"):
        parse_wav(data)


# -- files that are read piece by piece -----------------------------------------------------------


@pytest.mark.parametrize("law", [None, Law.ULAW, Law.ALAW])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_read_piece_by_piece_is_the_file_read_at_once(
    tmp_path: Path, law: Law | None, channels: int
) -> None:
    samples = np.random.default_rng(1).integers(-20_000, 20_000, (1234, channels)).astype(np.int16)
    data = (
        samples.astype("<i2").tobytes() if law is None else encode(samples.ravel(), law).tobytes()
    )
    path = tmp_path / "a.wav"
    path.write_bytes(header(8000, channels, len(data), law) + data)
    file = WavFile.open(path)
    assert (file.rate_hz, file.frames) == (8000, 1234)
    pieces = []
    while len(piece := file.read(500)):
        pieces.append(piece)
    file.close()
    file.close()
    assert [len(piece) for piece in pieces] == [500, 500, 234]
    np.testing.assert_array_equal(np.concatenate(pieces), parse_wav(path.read_bytes()).mono())


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 99_999])
def test_a_file_whose_writer_did_not_finish_is_read_to_its_end(
    tmp_path: Path, claimed: int
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(header(8000, 1, claimed) + bytes(201))
    file = WavFile.open(path)
    assert len(file.read(1000)) == 100
    assert len(file.read(1000)) == 0
    file.close()


def test_chunks_before_the_samples_are_passed_over(tmp_path: Path) -> None:
    plain = header(8000, 1, 4) + b"\1\0\2\0"
    odd = plain[:12] + b"LIST" + (3).to_bytes(4, "little") + b"abc\0" + plain[12:]
    path = tmp_path / "a.wav"
    path.write_bytes(odd)
    file = WavFile.open(path)
    assert file.read(10).tolist() == [1, 2]
    file.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata\0\0\0\0", b"x" * 99,
     header(8000, 1, 0)[:30]],
)  # fmt: skip
def test_what_is_no_wav_file_is_refused_and_closed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(WavError):
        WavFile.open(path)
