"""Opus by libopus: audio, losses, and packets that nobody should send."""

import ctypes
import ctypes.util
import gc
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.codec import Codec
from trunkline.media.errors import MalformedAudioError
from trunkline.media.opus_packet import OpusMode, OpusPacket
from trunkline.media.packet_decoder import FillSource, PacketDecoder
from trunkline.sip.opus_parameters import OpusParameters
from trunkline.speech import opus as module
from trunkline.speech.opus import (
    RATES_HZ,
    Opus,
    OpusDecoder,
    OpusEncoder,
    OpusFailed,
    OpusLibrary,
    OpusSettings,
    find_opus,
)


@pytest.fixture(scope="module")
def library() -> OpusLibrary:
    found = find_opus()
    if found is None:
        pytest.skip("libopus is not installed")
    return found


@pytest.fixture
def encoder(library: OpusLibrary) -> OpusEncoder:
    return OpusEncoder(library, 16_000, OpusSettings(expected_loss_percent=30))


@pytest.fixture
def decoder(library: OpusLibrary) -> OpusDecoder:
    return OpusDecoder(library, 16_000)


def voiced(frames: int, rate_hz: int = 16_000) -> np.ndarray:
    """Something like a vowel: harmonics of 120 Hz that swell and fade, (frames, 20 ms)."""
    at = np.arange(frames * rate_hz // 50) / rate_hz
    tone = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 25))
    swell = 1 + 0.5 * np.sin(2 * np.pi * 3 * at)
    noise = np.random.default_rng(1).normal(0, 20, at.size)
    return (4000 * tone * swell + noise).astype(np.int16).reshape(frames, -1)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_frame_goes_there_and_back_at_every_rate(library: OpusLibrary, rate_hz: int) -> None:
    codec: Codec = Opus(library, rate_hz)
    encoder, decoder = codec.encoder(), codec.decoder()
    pcm = voiced(20, rate_hz)
    payloads = [encoder.encode(frame) for frame in pcm]
    assert all(codec.samples(payload) == rate_hz // 50 for payload in payloads)
    heard = np.concatenate([decoder.decode(payload) for payload in payloads])
    assert heard.size == pcm.size
    ahead = rate_hz // 50 * 5
    wanted = pcm.reshape(-1)[ahead : ahead + rate_hz // 10]
    delay = encoder.delay_samples  # type: ignore[attr-defined]
    part = heard[ahead + delay :][: wanted.size]
    assert np.corrcoef(part.astype(float), wanted.astype(float))[0, 1] > 0.7


def test_the_rtp_clock_and_name_are_those_of_the_rfc(library: OpusLibrary) -> None:
    codec = Opus(library)
    assert (codec.name, codec.rtp_clock_hz, codec.channels) == ("OPUS", 48_000, 1)
    assert library.version.startswith("libopus")


@pytest.mark.parametrize("ms", [2.5, 5, 10, 20, 40, 60])
def test_packets_of_all_durations_are_made(encoder: OpusEncoder, ms: float) -> None:
    payload = encoder.encode(np.zeros(int(16 * ms), np.int16))
    assert OpusPacket.parse(payload).samples(16_000) == 16 * ms


@pytest.mark.parametrize("pcm", [
    np.zeros(0, np.int16), np.zeros(321, np.int16), np.zeros(1920, np.int16),
    np.zeros((1, 320), np.int16), np.full(320, np.nan, np.float32),
])  # fmt: skip
def test_other_audio_is_refused(encoder: OpusEncoder, pcm: np.ndarray) -> None:
    with pytest.raises(UsageError, match="Opus at 16000 Hz"):
        encoder.encode(pcm)


def test_every_other_sample_of_an_array_is_encoded_as_its_copy(library: OpusLibrary) -> None:
    wide = voiced(1, 32_000).reshape(-1)
    first, second = (OpusEncoder(library, 16_000, OpusSettings()) for _ in range(2))
    assert first.encode(wide[::2]) == second.encode(wide[::2].copy())


def test_a_lost_packet_is_recovered_from_the_next(
    encoder: OpusEncoder, decoder: OpusDecoder, library: OpusLibrary
) -> None:
    pcm = voiced(20)
    payloads = [encoder.encode(frame) for frame in pcm]
    assert OpusPacket.parse(payloads[12]).carries_copy
    whole = OpusDecoder(library, 16_000)
    wanted = [whole.decode(payload) for payload in payloads]
    for payload in payloads[:11]:
        decoder.decode(payload)
    recovered = decoder.recover(payloads[12], 320)
    assert recovered is not None
    assert recovered.size == 320
    assert np.corrcoef(recovered.astype(float), wanted[11].astype(float))[0, 1] > 0.8
    assert decoder.decode(payloads[12]).size == 320


def test_a_gap_of_two_packets_is_concealed_and_then_recovered(library: OpusLibrary) -> None:
    codec = Opus(library, settings=OpusSettings(expected_loss_percent=30))
    encoder, decoder = codec.encoder(), PacketDecoder(codec)
    payloads = [encoder.encode(frame) for frame in voiced(20)]
    for payload in payloads[:10]:
        decoder.decode(payload)
    filled = decoder.fill(640, payloads[12])
    assert np.all(filled.source[:320] == FillSource.CONCEALED)
    assert np.all(filled.source[320:] == FillSource.RECOVERED)
    assert np.std(filled.pcm[320:]) > 1000
    assert decoder.decode(payloads[12]) is not None


def test_without_a_copy_nothing_is_recovered(library: OpusLibrary, decoder: OpusDecoder) -> None:
    encoder = OpusEncoder(library, 16_000, OpusSettings(fec=False))
    payloads = [encoder.encode(frame) for frame in voiced(10)]
    for payload in payloads[:5]:
        decoder.decode(payload)
    assert decoder.recover(payloads[6], 320) is None
    assert decoder.decode(payloads[6]).size == 320


def test_a_loss_is_concealed_and_fades(encoder: OpusEncoder, decoder: OpusDecoder) -> None:
    for frame in voiced(15):
        heard = decoder.decode(encoder.encode(frame))
    first = decoder.conceal(320)
    assert first.size == 320
    assert np.std(first) > 0.3 * np.std(heard)
    for _ in range(100):
        last = decoder.conceal(320)
    assert np.std(last) < 0.1 * np.std(heard)


@pytest.mark.parametrize("samples", [0, -320, 39, 321, 1921, 16_000])
def test_only_whole_steps_up_to_120_ms_are_concealed(decoder: OpusDecoder, samples: int) -> None:
    with pytest.raises(UsageError, match="conceals"):
        decoder.conceal(samples)
    with pytest.raises(UsageError, match="conceals"):
        decoder.recover(b"\x48\x40\0", samples)


def test_silence_need_not_be_sent(library: OpusLibrary, decoder: OpusDecoder) -> None:
    encoder = OpusEncoder(library, 16_000, OpusSettings(dtx=True))
    payloads = [encoder.encode(np.zeros(320, np.int16)) for _ in range(100)]
    assert sum(payload == b"" for payload in payloads) > 70
    assert all(decoder.decode(payload).size == 320 for payload in payloads if payload)


def test_a_packet_that_says_silence_is_decoded(decoder: OpusDecoder) -> None:
    assert decoder.decode(b"\x48").size == 320
    assert decoder.decode(b"\x48\0").size == 320


def test_bitrate_and_bandwidth_are_followed(library: OpusLibrary) -> None:
    pcm = voiced(25)
    sizes = []
    for bitrate in (8000, 48_000):
        encoder = OpusEncoder(library, 16_000, OpusSettings(bitrate=bitrate, fec=False))
        sizes.append(sum(len(encoder.encode(frame)) for frame in pcm))
    assert sizes[1] > 2 * sizes[0]
    narrow = OpusEncoder(library, 16_000, OpusSettings(bandwidth="narrow", fec=False))
    packet = OpusPacket.parse([narrow.encode(frame) for frame in pcm][-1])
    assert packet.bandwidth.value == 4000
    assert packet.mode is OpusMode.SILK


def test_a_codec_tells_whether_somebody_speaks(library: OpusLibrary) -> None:
    codec = Opus(library)
    encoder = codec.encoder()
    spoken = [codec.quiet(encoder.encode(frame)) for frame in voiced(30)]
    hiss = np.random.default_rng(1).normal(0, 30, (50, 320)).astype(np.int16)
    silent = [codec.quiet(encoder.encode(frame)) for frame in hiss]
    assert not any(spoken[3:13]) and all(silent[-10:])


def expected(encoder: OpusEncoder) -> int:
    """The loss that libopus was told to expect, in percent."""
    found = ctypes.c_int32()
    encoder._control(4015, ctypes.byref(found))  # OPUS_GET_PACKET_LOSS_PERC
    return found.value


def copies(encoder: OpusEncoder, rate_hz: int) -> int:
    """Of fifty packets, how many have a copy of the one before."""
    pcm = voiced(50, rate_hz)
    return sum(OpusPacket.parse(encoder.encode(frame)).carries_copy for frame in pcm)


def test_reported_loss_brings_copies_where_it_is_followed(library: OpusLibrary) -> None:
    encoder = OpusEncoder(library, 16_000, OpusSettings(follow_loss=True))
    assert expected(encoder) == 10
    encoder.expect_loss(0.0)
    assert expected(encoder) == 2 and copies(encoder, 16_000) == 0
    encoder.expect_loss(12.0)
    assert expected(encoder) == 20 and copies(encoder, 16_000) > 20
    for _ in range(60):
        encoder.expect_loss(0.0)
    assert expected(encoder) == 2


def test_a_telephones_band_has_copies_whatever_is_reported(library: OpusLibrary) -> None:
    encoder = OpusEncoder(library, 8000, OpusSettings(follow_loss=True, complexity=3))
    for _ in range(50):
        encoder.expect_loss(0.0)
    assert copies(encoder, 8000) > 20


@pytest.mark.parametrize("fec", [True, False])
def test_reported_loss_changes_nothing_where_it_is_not_followed(
    library: OpusLibrary, fec: bool
) -> None:
    settings = OpusSettings(fec=fec, follow_loss=not fec)
    told, plain = (OpusEncoder(library, 8000, settings) for _ in range(2))
    for frame in voiced(20, 8000):
        told.expect_loss(40.0)
        assert told.encode(frame) == plain.encode(frame)
    assert expected(told) == 10


def test_a_bitrate_may_be_lowered_on_the_way(encoder: OpusEncoder) -> None:
    pcm = voiced(30)
    before = sum(len(encoder.encode(frame)) for frame in pcm)
    encoder.limit_bitrate(1)
    encoder.expect_loss(-5.0)
    encoder.encode(pcm[0])
    assert sum(len(encoder.encode(frame)) for frame in pcm) < before / 2


@pytest.mark.parametrize("wrong", [
    {"bitrate": 5}, {"complexity": 11}, {"expected_loss_percent": -1}, {"bandwidth": "huge"},
])  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="Opus's"):
        OpusSettings(**wrong)  # type: ignore[arg-type]


def test_a_far_end_lowers_what_it_is_sent_and_never_raises_it() -> None:
    ours = OpusSettings(dtx=True)
    assert ours.for_peer(OpusParameters(use_inband_fec=True, use_dtx=True)) == ours
    asked = OpusParameters(
        max_playback_rate_hz=8000, max_average_bitrate=12_000, constant_bitrate=True
    )
    assert ours.for_peer(asked) == OpusSettings(
        bitrate=12_000, fec=False, dtx=False, bandwidth="narrow", constant_bitrate=True
    )
    generous = OpusParameters(max_average_bitrate=500_000, use_inband_fec=True, use_dtx=True)
    modest = OpusSettings(fec=False, bandwidth="medium")
    assert modest.for_peer(generous) == modest


@pytest.mark.parametrize(
    ("rate_hz", "bandwidth"),
    [(8000, "narrow"), (9000, "medium"), (16_000, "wide"), (24_000, "superwide"), (44_100, "full")],
)
def test_a_playback_rate_is_a_bandwidth(rate_hz: int, bandwidth: str) -> None:
    asked = OpusParameters(max_playback_rate_hz=rate_hz)
    assert OpusSettings().for_peer(asked).bandwidth == bandwidth


def test_packets_of_one_size_are_made_where_wanted(library: OpusLibrary) -> None:
    encoder = OpusEncoder(library, 16_000, OpusSettings(constant_bitrate=True))
    assert {len(encoder.encode(frame)) for frame in voiced(10)} == {60}


def test_a_rate_opus_has_not_is_refused(library: OpusLibrary) -> None:
    with pytest.raises(UsageError, match="runs at"):
        Opus(library, 44_100)
    with pytest.raises(OpusFailed, match="argument"):
        OpusDecoder(library, 44_100)


HOSTILE = [
    b"",
    b"\xff",
    b"\x4b\x3f" + bytes(100),  # 63 frames
    b"\x48" + bytes(1400),
    b"\x4a\xfc",
    b"\x4b\x41\xff\xff\xff",
]


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_packet_is_refused_and_the_stream_goes_on(
    encoder: OpusEncoder, decoder: OpusDecoder, payload: bytes
) -> None:
    for frame in voiced(3):
        decoder.decode(encoder.encode(frame))
    for use in (decoder.decode, lambda data: decoder.recover(data, 320)):
        try:
            use(payload)
        except MalformedAudioError:
            continue
    assert decoder.decode(encoder.encode(voiced(1)[0])).size == 320


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_garbage_and_truncated_packets_never_crash(
    library: OpusLibrary, data: st.DataObject
) -> None:
    decoder = OpusDecoder(library, 16_000)
    encoder = OpusEncoder(library, 16_000, OpusSettings(expected_loss_percent=30))
    for frame in voiced(4):
        payload = encoder.encode(frame)
        cut = data.draw(st.integers(0, len(payload)))
        mangled = payload[:cut] + data.draw(st.binary(max_size=60))
        for use in (decoder.decode, lambda given: decoder.recover(given, 320)):
            try:
                heard = use(mangled)
            except MalformedAudioError:
                continue
            assert heard is None or heard.size <= 1920


def test_a_packet_of_120_ms_is_decoded_whole(library: OpusLibrary, decoder: OpusDecoder) -> None:
    encoder = OpusEncoder(library, 16_000, OpusSettings())
    frames = [encoder.encode(frame)[1:] for frame in voiced(6)]
    toc = encoder.encode(voiced(1)[0])[0] | 3
    lengths = b"".join(
        bytes([n]) if n < 252 else bytes([252 + (n & 3), (n - 252 - (n & 3)) // 4])
        for n in map(len, frames[:-1])
    )
    payload = bytes([toc, 0x80 | 6]) + lengths + b"".join(frames)
    assert decoder.decode(payload).size == 6 * 320


def test_a_far_ends_stereo_is_heard_as_mono(decoder: OpusDecoder) -> None:
    assert decoder.decode(bytes([9 << 3 | 4, 0x12, 0x34, 0x56, 0x78])).size == 320


def test_a_closed_coder_is_freed_once_and_refuses(library: OpusLibrary) -> None:
    encoder, decoder = OpusEncoder(library, 16_000, OpusSettings()), OpusDecoder(library, 16_000)
    for coder in (encoder, decoder):
        coder.close()
        coder.close()
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(np.zeros(320, np.int16))
    with pytest.raises(UsageError, match="closed"):
        decoder.decode(b"\x48\0\0")


def test_a_forgotten_coder_is_freed(library: OpusLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    functions = library.functions
    destroy = functions.opus_decoder_destroy

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(functions, name)

        def opus_decoder_destroy(self, state: int) -> None:
            freed.append(state)
            destroy(state)

    monkeypatch.setattr(library, "functions", Counting())
    decoder = OpusDecoder(library, 16_000)
    gone = weakref.ref(decoder)
    del decoder
    gc.collect()
    assert gone() is None
    assert len(freed) == 1


def test_a_reset_decoder_begins_anew(encoder: OpusEncoder, library: OpusLibrary) -> None:
    payloads = [encoder.encode(frame) for frame in voiced(5)]
    decoder, fresh = OpusDecoder(library, 16_000), OpusDecoder(library, 16_000)
    for payload in payloads:
        decoder.decode(payload)
    decoder.reset()
    assert np.array_equal(decoder.decode(payloads[0]), fresh.decode(payloads[0]))


def test_a_configured_path_that_does_not_load_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "libopus.so"
    wrong.write_text("no library")
    for path in (wrong, tmp_path / "nothing.so"):
        with pytest.raises(MissingDependencyError, match="libopus"):
            find_opus(path)


def test_a_library_that_is_not_opus_is_not_taken_for_it() -> None:
    other = ctypes.util.find_library("c")
    if other is None:
        pytest.skip("no C library to try")
    with pytest.raises(MissingDependencyError, match="opus"):
        OpusLibrary.load(other)


def test_without_any_library_there_is_no_opus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_candidates", list)
    module._load.cache_clear()
    try:
        assert find_opus() is None
        with pytest.raises(MissingDependencyError, match="pip install av"):
            OpusLibrary.load()
    finally:
        module._load.cache_clear()


def test_the_wheels_library_comes_before_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (tmp_path / "av.libs").mkdir()
    for name in ("libopus-114e2b1a.so.0.11.1", "libopusfile-1.so", "libvpx-2.so"):
        (tmp_path / "av.libs" / name).touch()
    monkeypatch.delitem(sys.modules, "av", raising=False)  # it may be installed, and loaded
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so.0")
    assert module._candidates() == [
        str(tmp_path / "av.libs" / "libopus-114e2b1a.so.0.11.1"),
        "libopus.so.0",
    ]
