"""Codecs at another rate than their own."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.codec import G711, G722, L16, Codec
from trunkline.media.errors import MalformedAudioError
from trunkline.media.resampled_codec import ResampledCodec


def tone(frames: int, samples: int = 160) -> np.ndarray:
    at = np.arange(frames * samples) / 8000
    return (8000 * np.sin(2 * np.pi * 1000 * at)).astype(np.int16).reshape(frames, samples)


@pytest.mark.parametrize("inner", [G722(), L16(16_000), L16(48_000)], ids=str)
@pytest.mark.parametrize("samples", [80, 160, 240])
def test_a_tone_goes_there_and_back_a_little_later(inner: Codec, samples: int) -> None:
    codec = ResampledCodec(inner, 8000)
    encoder, decoder = codec.encoder(), codec.decoder()
    sent = tone(40, samples)
    heard = []
    for frame in sent:
        payload = encoder.encode(frame)
        assert codec.samples(payload) == samples
        heard.append(decoder.decode(payload))
        assert heard[-1].shape == (samples,) and heard[-1].dtype == np.int16
    encoder.close()
    decoder.close()
    before, after = sent.reshape(-1).astype(float), np.concatenate(heard).astype(float)
    best = min(
        np.sqrt(np.mean((after[1000:2500] - before[1000 - lag : 2500 - lag]) ** 2))
        for lag in range(40, 80)
    )
    # 24 samples each way and the codec's own 22 of 16 kHz, to a fraction of a sample.
    assert best < 3000


def test_it_is_the_inner_codec_to_the_network() -> None:
    codec = ResampledCodec(G722(), 8000)
    assert (codec.name, codec.rtp_clock_hz, codec.channels, codec.rate_hz) == (
        "G722",
        8000,
        1,
        8000,
    )
    assert codec == ResampledCodec(G722(), 8000)
    assert codec.decoder().conceal(160) is None
    assert codec.decoder().recover(bytes(160), 160) is None


def test_only_whole_fractions_of_the_rate_are_possible() -> None:
    for inner, rate_hz in ((G711(), 8000), (G722(), 48_000), (L16(48_000), 32_000)):
        with pytest.raises(UsageError, match="not resampled"):
            ResampledCodec(inner, rate_hz)


def test_what_is_no_payload_or_no_audio_is_refused() -> None:
    codec = ResampledCodec(L16(16_000), 8000)
    for payload in (b"", b"x", b"xy"):  # nothing, half a sample, half a sample of ours
        with pytest.raises(MalformedAudioError):
            codec.samples(payload)
    with pytest.raises(UsageError, match="int16"):
        codec.encoder().encode(np.zeros(160, np.float32))
