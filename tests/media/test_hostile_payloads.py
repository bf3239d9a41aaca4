"""Anything at all as a payload of any codec: counted, never raised, nobody else disturbed."""

from collections.abc import Callable

import numpy as np
import pytest

from trunkline.errors import MissingDependencyError
from trunkline.media.codec import G722, L16, Codec
from trunkline.media.errors import MalformedAudioError
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterBank
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.speech.g722 import FFmpegG722, LibraryG722, SpandspG722
from trunkline.speech.opus import Opus, OpusEncoder, OpusLibrary, OpusSettings

PACKETS = 1500
CODECS: dict[str, Callable[[], Codec]] = {
    "Opus": lambda: Opus(OpusLibrary.load(), 8000),
    "G.722 by FFmpeg": lambda: ResampledCodec(LibraryG722(FFmpegG722())),
    "G.722 by spandsp": lambda: ResampledCodec(LibraryG722(SpandspG722())),
    "G.722": lambda: ResampledCodec(G722()),
    "L16": lambda: L16(8000),
    "L16, 48 kHz": lambda: ResampledCodec(L16(48_000)),
}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    try:
        return CODECS[request.param]()
    except MissingDependencyError as error:
        pytest.skip(str(error))


def genuine() -> list[bytes]:
    """Packets of Opus to be spoiled, if there is Opus."""
    try:
        settings = OpusSettings(expected_loss_percent=20)
        encoder = OpusEncoder(OpusLibrary.load(), 8000, settings)
    except MissingDependencyError:
        return [bytes(range(40, 100))]
    at = np.arange(160 * 60) / 8000
    voice = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 20))
    swell = 1 + 0.5 * np.sin(2 * np.pi * 3 * at)
    pcm = (3000 * voice * swell).astype(np.int16).reshape(-1, 160)
    return [encoder.encode(frame) for frame in pcm]


class Spoiler:
    """What no encoder sends, in as many ways as there are."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._genuine = genuine()

    def payload(self) -> bytes:
        rng = self._rng
        good = self._genuine[int(rng.integers(len(self._genuine)))]
        ways: list[Callable[[], bytes]] = [
            lambda: b"",
            lambda: rng.bytes(int(rng.integers(1, 200))),
            lambda: rng.bytes(int(rng.integers(200, 2000))),
            lambda: good[: int(rng.integers(len(good)))],  # cut off
            lambda: bytes([int(rng.integers(256))]) + good[1:],  # another table of contents
            lambda: bytes([good[0] | 4]) + good[1:],  # stereo
            lambda: good + rng.bytes(int(rng.integers(1, 50))),
            self._several,
            lambda: good,
        ]
        return ways[int(rng.integers(len(ways)))]()

    def _several(self) -> bytes:
        """Up to 48 frames of any kind, padded or not, of one length or not (code 3)."""
        rng = self._rng
        head, flags = int(rng.integers(32)) << 3 | 3, int(rng.integers(4)) << 6
        padding = b"\xff" * int(rng.integers(4)) + bytes([int(rng.integers(40))])
        body = rng.bytes(int(rng.integers(1300)))
        count = int(rng.integers(64))
        return bytes([head, flags | count]) + (padding if flags & 64 else b"") + body


def test_a_bank_takes_anything_and_counts_it(codec: Codec) -> None:
    spoiler, bank, rng = Spoiler(1), JitterBank(), np.random.default_rng(2)
    row, neighbour = bank.open(Law.ULAW), bank.open(Law.ULAW)
    bank.set_codec(row, codec)
    rows, refused = np.array([row, neighbour]), 0
    number = timestamp = 0
    packets = 120 if isinstance(getattr(codec, "codec", None), G722) else PACKETS
    for tick in range(packets):
        payload = spoiler.payload()
        try:
            codec.samples(payload)
        except MalformedAudioError:
            refused += 1
        match int(rng.integers(100)):
            case 0:
                number = int(rng.integers(65_536))
            case 1:
                timestamp = int(rng.integers(2**32))
        ssrc = int(rng.integers(100) == 0)
        bank.put_coded(
            row, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, False, payload, tick / 50
        )
        number, timestamp = number + 1, timestamp + codec.rtp_clock_hz // 50
        taken = bank.take(rows, tick / 50)
        assert taken.pcm.shape == (2, 160) and not taken.pcm[1].any()
    statistics = bank.statistics(row)
    assert statistics.malformed >= refused > packets // 20
    bank.set_law(row, Law.ULAW)
    assert bank.statistics(row).malformed >= refused  # it stays known


def test_a_coder_refuses_in_one_way_only(codec: Codec) -> None:
    spoiler, decoder = Spoiler(3), codec.decoder()
    uses: list[Callable[[bytes], object]] = [
        codec.samples,
        codec.quiet,
        decoder.decode,
        lambda payload: decoder.recover(payload, 160),
        lambda payload: decoder.conceal(160),
    ]
    for _ in range(60 if isinstance(getattr(codec, "codec", None), G722) else 600):
        payload = spoiler.payload()
        for use in uses:
            try:
                heard = use(payload)
            except MalformedAudioError:
                continue
            if isinstance(heard, np.ndarray):
                assert heard.dtype == np.int16 and heard.size <= 8 * 120
