"""Every codec has one shape; what a far end sends wrongly is refused in one way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import g711
from trunkline.media.codec import G711, G722, L16, Codec
from trunkline.media.errors import MalformedAudioError
from trunkline.media.g711 import Law
from trunkline.media.resampled_codec import ResampledCodec

CODECS: tuple[Codec, ...] = (G711(), G711(Law.ALAW), L16(8000), L16(16_000), L16(48_000), G722())
by_name = pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}/{c.rate_hz}")


def tone(codec: Codec, ms: int = 20) -> np.ndarray:
    at = np.arange(codec.rate_hz * ms // 1000)
    return (9000 * np.sin(2 * np.pi * 440 * at / codec.rate_hz)).astype(np.int16)


@by_name
def test_a_frame_goes_there_and_back(codec: Codec) -> None:
    encoder, decoder = codec.encoder(), codec.decoder()
    pcm = np.tile(tone(codec, 100), 2)
    heard = decoder.decode(encoder.encode(pcm[: pcm.size // 2]))
    assert heard.dtype == np.int16
    assert heard.size == pcm.size // 2
    level = np.std(heard[heard.size // 2 :].astype(float))
    assert level == pytest.approx(9000 / np.sqrt(2), rel=0.05)


@by_name
def test_a_payload_says_how_long_it_is(codec: Codec) -> None:
    payload = codec.encoder().encode(tone(codec))
    assert codec.samples(payload) == codec.rate_hz // 50
    assert codec.channels == 1


@by_name
def test_a_codec_without_memory_of_losses_leaves_them_to_the_jitter_buffer(codec: Codec) -> None:
    decoder = codec.decoder()
    assert decoder.conceal(160) is None
    assert decoder.recover(b"\0\0", 160) is None


@by_name
def test_an_empty_or_endless_payload_is_the_far_ends_fault(codec: Codec) -> None:
    decoder = codec.decoder()
    for payload in (b"", bytes(2 * 48_000)):
        with pytest.raises(MalformedAudioError):
            decoder.decode(payload)


@by_name
def test_audio_of_another_type_or_shape_is_ours(codec: Codec) -> None:
    encoder = codec.encoder()
    wrongs: list[np.ndarray] = [np.zeros(160, np.float32), np.zeros((2, 160), np.int16)]
    for wrong in wrongs:
        with pytest.raises(UsageError, match="int16"):
            encoder.encode(wrong)


@by_name
def test_closing_is_legal_more_than_once(codec: Codec) -> None:
    for leg in (codec.encoder(), codec.decoder()):
        leg.close()
        leg.close()


@by_name
@given(payload=st.binary(max_size=400))
def test_any_bytes_are_audio_or_refused(codec: Codec, payload: bytes) -> None:
    decoder = codec.decoder()
    try:
        assert decoder.decode(payload).size == codec.samples(payload)
    except MalformedAudioError:
        with pytest.raises(MalformedAudioError):
            codec.samples(payload)


def test_the_names_and_clocks_are_those_of_the_rfc() -> None:
    found = [(codec.name, codec.rtp_clock_hz) for codec in CODECS]
    assert found == [
        ("PCMU", 8000), ("PCMA", 8000), ("L16", 8000), ("L16", 16_000), ("L16", 48_000),
        ("G722", 8000),
    ]  # fmt: skip


def test_two_legs_of_g722_share_nothing() -> None:
    codec = G722()
    first, second = codec.encoder(), codec.encoder()
    pcm = tone(codec)
    first.encode(pcm)
    assert second.encode(pcm) == codec.encoder().encode(pcm)


def test_g711_is_the_tables_code() -> None:
    pcm = tone(G711())
    assert (
        G711(Law.ALAW).encoder().encode(pcm[::2])
        == g711.encode(pcm[::2].copy(), Law.ALAW).tobytes()
    )


def test_half_a_sample_and_a_rate_that_is_none_are_refused() -> None:
    with pytest.raises(MalformedAudioError, match="whole"):
        L16().decoder().decode(b"\1\2\3")
    with pytest.raises(UsageError, match="rate"):
        L16(4000)


@pytest.mark.parametrize("codec", [G711(), L16(), G722(), ResampledCodec(G722())], ids=str)
def test_codecs_that_cannot_tell_take_no_notice_of_losses_and_pauses(codec: Codec) -> None:
    encoder = codec.encoder()
    encoder.expect_loss(30.0)
    payload = encoder.encode(np.zeros(codec.rate_hz // 50, np.int16))
    assert codec.quiet(payload) is False
