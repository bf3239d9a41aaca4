"""What becomes of lost packets, with codecs that can and cannot help."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.codec import G711, G722, Codec, Decoder, Encoder
from trunkline.media.errors import MalformedAudioError
from trunkline.media.packet_decoder import FillSource, PacketDecoder


@dataclass
class Scripted:
    """A decoder whose payloads are one number: audio of that value, 20 ms of it."""

    copy: Callable[[bytes], bool] = lambda payload: True
    concealing: bool = True
    calls: list[tuple[str, int]] = field(default_factory=list)

    def decode(self, payload: bytes) -> np.ndarray:
        if len(payload) != 1:
            raise MalformedAudioError("not one number")
        self.calls.append(("decode", payload[0]))
        return np.full(160, payload[0], np.int16)

    def conceal(self, samples: int) -> np.ndarray | None:
        if samples % 20:
            raise UsageError("not whole 2.5 ms")
        self.calls.append(("conceal", samples))
        return np.full(samples, -1, np.int16) if self.concealing else None

    def recover(self, payload: bytes, samples: int) -> np.ndarray | None:
        self.calls.append(("recover", samples))
        return np.full(samples, payload[0] - 1, np.int16) if self.copy(payload) else None

    def close(self) -> None:
        self.calls.append(("close", 0))


@dataclass
class ScriptedCodec:
    leg: Scripted
    name: str = "SCRIPTED"
    rate_hz: int = 8000
    rtp_clock_hz: int = 8000
    channels: int = 1

    def samples(self, payload: bytes) -> int:
        if len(payload) != 1:
            raise MalformedAudioError("not one number")
        return 160

    def encoder(self) -> Encoder:
        raise NotImplementedError

    def decoder(self) -> Decoder:
        return self.leg


def sources(filled: np.ndarray) -> list[int]:
    """One a packet of 20 ms."""
    return [int(part[0]) for part in filled.reshape(-1, 160)]


def test_a_single_loss_is_recovered_from_the_next_packet() -> None:
    leg = Scripted()
    decoder = PacketDecoder(ScriptedCodec(leg))
    filled = decoder.fill(160, bytes([5]))
    assert np.all(filled.pcm == 4)
    assert np.all(filled.source == FillSource.RECOVERED)
    assert decoder.recovered == 160
    assert leg.calls == [("recover", 160)]


def test_of_a_longer_gap_only_the_end_is_recovered() -> None:
    leg = Scripted()
    filled = PacketDecoder(ScriptedCodec(leg)).fill(480, bytes([5]))
    assert sources(filled.source) == [
        FillSource.CONCEALED,
        FillSource.CONCEALED,
        FillSource.RECOVERED,
    ]
    assert leg.calls == [("conceal", 160), ("conceal", 160), ("recover", 160)]


def test_without_the_next_packet_or_a_copy_in_it_the_codec_conceals() -> None:
    for following in (None, bytes([5])):
        decoder = PacketDecoder(ScriptedCodec(Scripted(copy=lambda payload: False)))
        filled = decoder.fill(320, following)
        assert sources(filled.source) == [FillSource.CONCEALED] * 2
        assert (decoder.concealed, decoder.recovered) == (320, 0)


def test_ten_seconds_are_not_concealed_but_their_end_is_recovered() -> None:
    leg = Scripted()
    filled = PacketDecoder(ScriptedCodec(leg)).fill(80_000, bytes([5]))
    found = sources(filled.source)
    assert found[:8] == [FillSource.CONCEALED] * 8
    assert found[8:-1] == [FillSource.MISSING] * (len(found) - 9)
    assert found[-1] == FillSource.RECOVERED
    assert not filled.pcm[8 * 160 : -160].any()
    assert len(leg.calls) == 9


def test_a_codec_without_concealment_leaves_it_to_others() -> None:
    filled = PacketDecoder(ScriptedCodec(Scripted(concealing=False))).fill(320)
    assert not filled.source.any()
    assert not filled.pcm.any()


@pytest.mark.parametrize("codec", [G711(), G722()], ids=lambda codec: codec.name)
def test_g711_and_g722_leave_every_loss_to_others(codec: Codec) -> None:
    decoder = PacketDecoder(codec)
    payload = codec.encoder().encode(np.ones(codec.rate_hz // 50, np.int16))
    filled = decoder.fill(codec.rate_hz // 50, payload)
    assert filled.pcm.size == codec.rate_hz // 50
    assert not filled.source.any()
    assert decoder.decode(payload) is not None


def test_a_gap_shorter_than_the_next_packet_is_not_filled_from_it() -> None:
    leg = Scripted()
    filled = PacketDecoder(ScriptedCodec(leg)).fill(80, bytes([5]))
    assert np.all(filled.source == FillSource.CONCEALED)
    assert ("recover", 80) not in leg.calls


def test_the_odd_end_of_a_gap_that_no_codec_conceals_is_missing() -> None:
    filled = PacketDecoder(ScriptedCodec(Scripted())).fill(167)
    assert np.all(filled.source[:160] == FillSource.CONCEALED)
    assert np.all(filled.source[160:] == FillSource.MISSING)


def test_a_malformed_payload_is_counted_and_is_a_loss() -> None:
    decoder = PacketDecoder(ScriptedCodec(Scripted()))
    assert decoder.decode(b"") is None
    assert decoder.decode(b"ab") is None
    assert decoder.malformed == 2
    assert sources(decoder.fill(160, b"ab").source) == [FillSource.CONCEALED]
    heard = decoder.decode(bytes([7]))
    assert heard is not None
    assert np.all(heard == 7)


def test_no_gap_is_nothing_and_less_than_none_is_refused() -> None:
    decoder = PacketDecoder(ScriptedCodec(Scripted()))
    assert decoder.fill(0, bytes([5])).pcm.size == 0
    with pytest.raises(UsageError, match="gap"):
        decoder.fill(-1)


def test_closing_frees_the_codecs_decoder() -> None:
    leg = Scripted()
    PacketDecoder(ScriptedCodec(leg)).close()
    assert leg.calls == [("close", 0)]


@pytest.mark.parametrize("error", [MalformedAudioError("corrupt"), UsageError("length")])
def test_a_decoder_that_can_make_nothing_of_a_gap_harms_nobody(error: Exception) -> None:
    class Failing(Scripted):
        def conceal(self, samples: int) -> np.ndarray | None:
            raise error

        def recover(self, payload: bytes, samples: int) -> np.ndarray | None:
            raise error

    decoder = PacketDecoder(ScriptedCodec(Failing()))
    filled = decoder.fill(320, b"\x05")
    assert not filled.pcm.any() and (filled.source == FillSource.MISSING).all()
    assert decoder.decode(b"\x05") is not None


def test_a_decoder_is_renewed_and_its_counts_go_on() -> None:
    leg = Scripted()
    decoder = PacketDecoder(ScriptedCodec(leg))
    decoder.decode(b"too long")
    assert decoder.samples(b"too long") is None
    assert decoder.samples(b"x") == 160
    decoder.renew()
    assert leg.calls == [("close", 0)] and decoder.malformed == 2
