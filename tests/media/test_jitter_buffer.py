"""The jitter buffer of a single call."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media import G711, G722, L16, Codec
from trunkline.media.jitter import JitterSettings, Kind
from trunkline.media.jitter_buffer import JitterBuffer

FRAME, TICK = 160, 0.02
EXACT = JitterSettings(concealment="silence", max_ms=140, far_ms=200)


def noise(count: int, samples: int = FRAME, seed: int = 0) -> NDArray[np.int16]:
    """(count, samples) without zeros."""
    rng = np.random.default_rng(seed)
    audio = rng.integers(1000, 20000, (count, samples)) * rng.choice([-1, 1], (count, samples))
    return audio.astype(np.int16)


def hear(
    buffer: JitterBuffer, packets: NDArray[np.int16], first: int = 0, lost: tuple[int, ...] = ()
) -> NDArray[np.int16]:
    """Packets in time, one every 20 ms."""
    heard = []
    for index, packet in enumerate(packets):
        if index not in lost:
            buffer.put(packet, first + index & 0xFFFF, index * TICK + 0.001)
        heard.append(buffer.take(index * TICK + 0.01))
    heard += [buffer.take((len(packets) + tick) * TICK + 0.01) for tick in range(10)]
    return np.concatenate(heard)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_decoded_packets_come_out_bit_exact(rate_hz: int) -> None:
    packets = noise(40, rate_hz // 50)
    heard = hear(JitterBuffer(rate_hz, EXACT), packets)
    assert np.array_equal(heard[heard != 0], packets.reshape(-1))


def test_sequence_numbers_wrap_without_timestamps() -> None:
    buffer, packets = JitterBuffer(settings=EXACT), noise(100)
    heard = hear(buffer, packets, first=65_500)
    assert np.array_equal(heard[heard != 0], packets.reshape(-1))
    assert buffer.statistics.restarts == 0


def test_packets_out_of_order_and_twice_are_put_right() -> None:
    buffer, packets = JitterBuffer(settings=EXACT), noise(6)
    for index in (1, 0, 2, 2, 4, 3, 5):
        buffer.put(packets[index], index, 0.001)
    heard = np.concatenate([buffer.take(0.1 + tick * TICK) for tick in range(10)])
    assert np.array_equal(heard[heard != 0], packets.reshape(-1))
    assert buffer.statistics.duplicate == 1
    assert buffer.statistics.reordered == 2


def test_a_lost_packet_is_concealed_and_counted() -> None:
    buffer = JitterBuffer()
    hear(buffer, noise(60), lost=(30,))
    assert buffer.statistics.lost == 1
    assert buffer.statistics.concealed_frames >= 1


def test_the_kind_of_a_frame_can_be_asked_for() -> None:
    buffer = JitterBuffer()
    buffer.take(0.0)
    assert buffer.kind is Kind.SILENT
    for index, packet in enumerate(noise(10)):
        buffer.put(packet, index, index * TICK)
        buffer.take(index * TICK + 0.01)
    assert buffer.kind is Kind.PLAYED


def test_float_packets_come_out_as_float() -> None:
    buffer = JitterBuffer(settings=EXACT)
    packets = (noise(20) / 32768).astype(np.float32)
    heard = hear(buffer, packets)
    assert heard.dtype == np.float32
    assert np.array_equal(heard[heard != 0], packets.reshape(-1))


def test_what_is_not_a_number_is_silence_and_counted() -> None:
    buffer = JitterBuffer(settings=EXACT)
    packets = np.full((10, FRAME), np.nan, np.float32)
    packets[:, 0] = np.inf
    assert not hear(buffer, packets).any()
    assert buffer.faults == 10


def test_packets_too_long_are_thrown_away_and_empty_ones_are_no_audio() -> None:
    buffer = JitterBuffer()
    buffer.put(np.zeros(3000, np.int16), 0, 0.0)
    buffer.put(np.zeros(0, np.int16), 1, 0.0)
    buffer.take(0.1)
    assert buffer.statistics.overflow == 1


def test_the_loudest_negative_sample_is_played() -> None:
    buffer = JitterBuffer(settings=EXACT)
    packets = noise(10)
    packets[:, 7] = -32768
    assert np.count_nonzero(hear(buffer, packets) == -32767) == 10


def test_a_packet_is_copied_when_it_is_put() -> None:
    buffer, packet = JitterBuffer(settings=EXACT), noise(1)[0]
    for index in range(10):
        buffer.put(packet, index, index * TICK)
    packet[:] = 7
    heard = np.concatenate([buffer.take(0.2 + tick * TICK) for tick in range(12)])
    assert 7 not in heard


def test_a_reset_buffer_begins_anew() -> None:
    buffer = JitterBuffer()
    hear(buffer, noise(20))
    buffer.reset()
    assert buffer.statistics == JitterBuffer().statistics


@pytest.mark.parametrize("codec", [G711(), G722(), L16(16000)], ids=lambda codec: codec.name)
def test_payloads_of_its_codec_are_decoded_when_their_time_comes(codec: Codec) -> None:
    samples = codec.rate_hz // 50
    buffer = JitterBuffer(codec.rate_hz, codec=codec)
    encoder, ticks = codec.encoder(), codec.rtp_clock_hz // 50
    voice = (8000 * np.sin(np.arange(60 * samples) * 0.05)).astype(np.int16)
    heard = []
    for number in range(60):
        payload = encoder.encode(voice[number * samples : (number + 1) * samples])
        if number != 30:
            buffer.put_payload(payload, number, number * TICK, timestamp=number * ticks)
        heard.append(buffer.take(number * TICK))
    assert buffer.statistics.lost == 1
    assert buffer.statistics.concealed_frames >= 1
    played = np.concatenate(heard).astype(float)
    assert np.sqrt(np.mean(played[-20 * samples :] ** 2)) == pytest.approx(5657, rel=0.1)


def test_what_no_encoder_makes_is_counted_as_lost() -> None:
    buffer = JitterBuffer(16000, codec=G722())
    for number in range(50):
        payload = b"" if number == 25 else bytes(160)
        buffer.put_payload(payload, number, number * TICK, timestamp=number * 160)
        assert buffer.take(number * TICK).shape == (320,)
    assert buffer.kind is Kind.PLAYED
    buffer.reset()
    buffer.put_payload(bytes(160), 0, 9.0, timestamp=0)
    assert buffer.statistics.received == 1


def test_payloads_and_audio_are_not_mixed_up() -> None:
    with pytest.raises(UsageError, match="codec="):
        JitterBuffer().put_payload(b"", 0, 0.0, timestamp=0)
    with pytest.raises(UsageError, match="put_payload"):
        JitterBuffer(codec=G711()).put(np.zeros(160, np.int16), 0, 0.0)
    with pytest.raises(UsageError, match="16000"):
        JitterBuffer(8000, codec=G722())


def test_other_audio_is_refused() -> None:
    with pytest.raises(UsageError):
        JitterBuffer().put(np.zeros((2, 160), np.int16), 0, 0.0)
    with pytest.raises(UsageError):
        JitterBuffer().put(np.zeros(160, np.int64), 0, 0.0)


def test_after_two_seconds_of_standstill_delay_is_as_before() -> None:
    buffer, packets = JitterBuffer(), noise(400)
    hear(buffer, packets[:150])
    before = buffer.statistics.delay_ms
    at = 150
    for tick in range(150, 400):
        now = tick * TICK
        if 160 <= tick < 260:
            continue
        while at <= tick:
            buffer.put(packets[at], at, now)
            at += 1
        buffer.take(now + 0.01)
    after = buffer.statistics
    assert after.delay_ms <= before + 45
    assert after.restarts == 0


def test_a_stop_of_seconds_is_no_delay_when_audio_goes_on() -> None:
    buffer, packets = JitterBuffer(), noise(100)
    for tick in range(50):
        buffer.put(packets[tick], tick, tick * TICK)
        buffer.take(tick * TICK)
    for tick in range(500, 550):
        buffer.put(packets[tick - 450], tick, tick * TICK)
        buffer.take(tick * TICK)
        assert buffer.statistics.delay_ms <= 260
    assert buffer.statistics.delay_ms < 60


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 600), st.floats(0, 0.1)),
        max_size=60,
    )
)
@settings(max_examples=25, deadline=None)
def test_no_packet_whatever_makes_it_raise(packets: list[tuple[int, int, float]]) -> None:
    buffer, now = JitterBuffer(), 0.0
    for sequence, size, elapsed in packets:
        now += elapsed
        buffer.put(noise(1, size)[0], sequence, now)
        assert buffer.take(now).shape == (FRAME,)
