"""Resampling: how true, how late, how separate; the bank and the stream."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.frames import frame_samples
from trunkline.media.resample import Resampler, StreamResampler

TELEPHONE_PAIRS = [
    (8000, 16000),
    (16000, 8000),
    (8000, 24000),
    (24000, 8000),
    (8000, 48000),
    (48000, 8000),
    (22050, 8000),
    (44100, 8000),
]
PAIRS = [*TELEPHONE_PAIRS, (16000, 48000), (48000, 16000), (8000, 22050), (44100, 48000)]
ODD_PAIRS = [*PAIRS, (11025, 8000), (8000, 11025), (12345, 8000), (8000, 7999), (8000, 8000)]


def tone(hz: float, rate_hz: int, frames: int = 50, level: float = 8000.0) -> NDArray[np.float32]:
    time = np.arange(frames * frame_samples(rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def through_bank(audio: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    bank = Resampler(from_hz, to_hz, capacity=1)
    rows = np.array([bank.open()])
    frames = audio.reshape(-1, 1, bank.frame_in)
    return np.concatenate([bank.process(frame, rows)[0] for frame in frames]).astype(np.float32)


def spectrum_db(audio: NDArray[np.float32], rate_hz: int) -> tuple[NDArray, NDArray]:
    """(Hz, dB against a tone of level 8000), without the beginning."""
    audio = audio[rate_hz // 10 :].astype(np.float64)
    window = np.blackman(audio.size)
    lines = np.abs(np.fft.rfft(audio * window)) * 2 / window.sum() / 8000
    return np.fft.rfftfreq(audio.size, 1 / rate_hz), 20 * np.log10(lines + 1e-12)


def gain_db(hz: float, from_hz: int, to_hz: int) -> float:
    """Gain of a tone that both rates can carry."""
    places, levels = spectrum_db(through_bank(tone(hz, from_hz), from_hz, to_hz), to_hz)
    return float(levels[np.abs(places - hz) < 30].max())


def straightforward(pcm: NDArray[np.int16], from_hz: int, to_hz: int) -> NDArray[np.float64]:
    """The defining sum of a rational resampler, output by output."""
    kernel = Resampler(from_hz, to_hz)._kernel
    taps = kernel._design()
    outputs = np.arange(pcm.size * kernel.up // kernel.down)[:, np.newaxis] * kernel.down
    inputs = outputs // kernel.up - np.arange(kernel.history + 1)
    places = outputs - inputs * kernel.up
    weights = np.where(places < taps.size, taps[np.minimum(places, taps.size - 1)], 0)
    heard = np.where(inputs >= 0, pcm[np.maximum(inputs, 0)], 0)
    return (weights * heard).sum(axis=1)


# --- what comes out -----------------------------------------------------------------


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_frame_in_is_a_frame_out(from_hz: int, to_hz: int) -> None:
    bank = Resampler(from_hz, to_hz)
    rows = np.array([bank.open(), bank.open()])
    for _ in range(3):
        out = bank.process(np.zeros((2, frame_samples(from_hz)), np.int16), rows)
        assert out.shape == (2, frame_samples(to_hz))
        assert out.dtype == np.int16
        assert not out.any()


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_the_bank_equals_the_textbook(from_hz: int, to_hz: int) -> None:
    bank = Resampler(from_hz, to_hz)
    row = np.array([bank.open()])
    pcm = np.random.default_rng(3).integers(-9000, 9000, (6, 1, bank.frame_in)).astype(np.int16)
    out = np.concatenate([bank.process(frame, row)[0] for frame in pcm])
    assert np.abs(out - straightforward(pcm.reshape(-1), from_hz, to_hz)).max() <= 0.51


@pytest.mark.parametrize("hz", [100, 300, 1000, 2000, 3000, 3400])
@pytest.mark.parametrize(("from_hz", "to_hz"), TELEPHONE_PAIRS)
def test_the_telephone_band_passes_flat(from_hz: int, to_hz: int, hz: float) -> None:
    assert gain_db(hz, from_hz, to_hz) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(16000, 48000), (48000, 16000)])
def test_the_wide_band_passes_flat(from_hz: int, to_hz: int) -> None:
    for hz in (50, 1000, 5000, 6800):
        assert gain_db(hz, from_hz, to_hz) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("hz", [300, 1000, 2500, 3400, 3700])
@pytest.mark.parametrize("to_hz", [16000, 24000, 48000])
def test_images_above_the_band_are_75_db_down(to_hz: int, hz: float) -> None:
    places, levels = spectrum_db(through_bank(tone(hz, 8000), 8000, to_hz), to_hz)
    assert levels[places > 4200].max() <= -75


@pytest.mark.parametrize("from_hz", [16000, 24000, 48000, 22050, 44100])
def test_what_the_lower_rate_cannot_carry_is_75_db_down(from_hz: int) -> None:
    for hz in (4250, 4600, 5000, 6000, 7000, 7900, 10_000, 11_900, 15_900, 20_000):
        if hz < from_hz / 2:
            _, levels = spectrum_db(through_bank(tone(hz, from_hz), from_hz, 8000), 8000)
            assert levels.max() <= -75, hz


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_the_delay_is_the_one_stated_and_at_most_three_and_a_half_milliseconds(
    from_hz: int, to_hz: int
) -> None:
    delay_ms = Resampler(from_hz, to_hz).delay_ms
    assert 0 < delay_ms <= 3.5
    out = through_bank(tone(500, from_hz), from_hz, to_hz)[to_hz // 10 :]
    time = np.arange(out.size) / to_hz + 0.1 - delay_ms / 1000
    expected = 8000 * np.sin(2 * np.pi * 500 * time)
    assert np.abs(out - expected).max() < 8  # a thousandth: a shift of 0.3 µs


def test_loud_audio_is_clipped_and_not_wrapped() -> None:
    bank = Resampler(8000, 16000)
    row = np.array([bank.open()])
    square = np.where(np.arange(160) // 8 % 2, 32767, -32768).astype(np.int16)[np.newaxis]
    out = [bank.process(square, row) for _ in range(3)][-1]
    assert out.max() == 32767
    assert out.min() == -32768
    assert np.abs(np.diff(out[0].astype(int))).max() < 60000


def test_floats_keep_their_scale_and_are_not_clipped() -> None:
    bank = Resampler(8000, 16000)
    row = np.array([bank.open()])
    for _ in range(2):
        out = bank.process(np.full((1, 160), 1e5, np.float32), row)
    assert out.dtype == np.float32
    assert out == pytest.approx(1e5, rel=1e-5)


def test_a_constant_stays_exactly_what_it_is() -> None:
    for from_hz, to_hz in PAIRS:
        bank = Resampler(from_hz, to_hz)
        row = np.array([bank.open()])
        for _ in range(2):
            out = bank.process(np.full((1, bank.frame_in), 12345, np.int16), row)
        assert (out == 12345).all()


def test_equal_rates_change_nothing_and_cost_no_delay() -> None:
    bank = Resampler(8000, 8000)
    row = np.array([bank.open()])
    pcm = np.random.default_rng(1).integers(-32768, 32768, (1, 160)).astype(np.int16)
    assert bank.delay_ms == 0
    assert np.array_equal(bank.process(pcm, row), pcm)


# --- rows ---------------------------------------------------------------------------


def test_calls_in_one_block_sound_as_each_alone() -> None:
    rng = np.random.default_rng(4)
    calls = rng.integers(-9000, 9000, (5, 7, 160)).astype(np.int16)
    bank = Resampler(8000, 16000, capacity=7)
    rows = np.array([bank.open() for _ in range(7)])
    together = np.concatenate([bank.process(frame, rows) for frame in calls], axis=1)
    for call in range(7):
        alone = through_bank(calls[:, call].reshape(-1).astype(np.float32), 8000, 16000)
        assert np.abs(together[call] - alone).max() <= 0.51


@pytest.mark.parametrize(
    "garbage",
    [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30],
)
def test_garbage_in_one_row_changes_no_bit_of_another(garbage: float) -> None:
    rng = np.random.default_rng(5)
    frames = rng.normal(0, 3000, (4, 6, 160)).astype(np.float32)
    clean_bank, dirty_bank = Resampler(8000, 24000), Resampler(8000, 24000)
    rows = np.array([clean_bank.open() for _ in range(6)])
    assert [dirty_bank.open() for _ in range(6)] == rows.tolist()
    others = [0, 1, 2, 4, 5]
    for n, frame in enumerate(frames):
        dirty = frame.copy()
        if n in (1, 2):
            dirty[3, ::7] = garbage
        clean_out = clean_bank.process(frame, rows)
        dirty_out = dirty_bank.process(dirty, rows)
        assert np.array_equal(clean_out[others], dirty_out[others])
        assert np.isfinite(dirty_out).all()


def test_a_row_forgets_garbage_after_a_clean_frame() -> None:
    bank = Resampler(16000, 8000)
    rows = np.array([bank.open(), bank.open()])
    clean = np.random.default_rng(6).normal(0, 3000, (1, 320)).astype(np.float32)
    frame = np.repeat(clean, 2, axis=0)
    dirty = frame.copy()
    dirty[1] = np.nan
    bank.process(dirty, rows)
    bank.process(frame, rows)
    out = bank.process(frame, rows)
    assert np.array_equal(out[0], out[1])


def test_rows_come_in_any_order_and_absent_ones_stand_still() -> None:
    rng = np.random.default_rng(7)
    frames = rng.integers(-9000, 9000, (3, 3, 160)).astype(np.int16)
    bank, other = Resampler(8000, 16000), Resampler(8000, 16000)
    rows = np.array([bank.open() for _ in range(3)])
    assert [other.open() for _ in range(3)] == rows.tolist()
    bank.process(frames[0], rows)
    other.process(frames[0][::-1], rows[::-1])
    bank.process(frames[1][:2], rows[:2])
    other.process(frames[1][[1, 0]], rows[[1, 0]])
    assert np.array_equal(
        bank.process(frames[2], rows),
        other.process(frames[2][[2, 0, 1]], rows[[2, 0, 1]])[[1, 2, 0]],
    )


def test_a_row_opened_again_has_forgotten_the_last_call() -> None:
    bank = Resampler(8000, 16000, capacity=1)
    row = bank.open()
    bank.process(np.full((1, 160), 9000, np.int16), np.array([row]))
    bank.close(row)
    assert bank.open() == row
    assert not bank.process(np.zeros((1, 160), np.int16), np.array([row])).any()


def test_a_full_bank_grows_and_its_calls_go_on() -> None:
    bank = Resampler(8000, 16000, capacity=2)
    first = bank.open()
    constant = np.full((1, 160), 500, np.int16)
    bank.process(constant, np.array([first]))
    rows = [first] + [bank.open() for _ in range(20)]
    assert len(set(rows)) == len(bank) == 21
    assert (bank.process(constant, np.array([first])) == 500).all()


def test_a_row_is_closed_once() -> None:
    bank = Resampler(8000, 16000)
    row = bank.open()
    bank.close(row)
    assert len(bank) == 0
    for wrong in (row, 99, -1):
        with pytest.raises(UsageError, match="not open"):
            bank.close(wrong)


def test_no_calls_are_an_empty_block() -> None:
    bank = Resampler(8000, 16000)
    out = bank.process(np.zeros((0, 160), np.int16), np.zeros(0, np.intp))
    assert out.shape == (0, 320)


@pytest.mark.parametrize("shape", [(1, 159), (2, 160), (160,), (1, 320)])
def test_a_block_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    bank = Resampler(8000, 16000)
    with pytest.raises(UsageError, match="block"):
        bank.process(np.zeros(shape, np.int16), np.array([bank.open()]))


def test_audio_of_another_type_is_refused() -> None:
    bank = Resampler(8000, 16000)
    with pytest.raises(UsageError, match="int16 or float32"):
        bank.process(np.zeros((1, 160), np.float64), np.array([bank.open()]))


@pytest.mark.parametrize("pair", [(11025, 8000), (8000, 11025), (0, 8000), (8000, 96000)])
def test_a_bank_needs_rates_whose_frames_are_whole(pair: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        Resampler(*pair)


# --- streams ------------------------------------------------------------------------


@pytest.mark.parametrize(("from_hz", "to_hz"), ODD_PAIRS)
def test_a_stream_gives_all_it_was_given_and_in_time(from_hz: int, to_hz: int) -> None:
    stream = StreamResampler(from_hz, to_hz)
    pcm = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(from_hz // 4) / from_hz))
    out = np.concatenate([stream.push(pcm.astype(np.int16)), stream.flush()])
    assert out.dtype == np.int16
    assert out.size == ceil(pcm.size * to_hz / from_hz)
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(out.size) / to_hz)
    middle = slice(out.size // 10, -out.size // 10)
    # Aligned to half an output sample: 8 kHz turns 440 Hz by 0.17 of its level in that.
    assert np.abs(out - expected)[middle].max() < 8000 * 0.175


@pytest.mark.parametrize(("from_hz", "to_hz"), TELEPHONE_PAIRS)
def test_a_telephones_stream_is_aligned_exactly(from_hz: int, to_hz: int) -> None:
    stream = StreamResampler(from_hz, to_hz)
    pcm = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(from_hz // 4) / from_hz))
    out = np.concatenate([stream.push(pcm.astype(np.int16)), stream.flush()])
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(out.size) / to_hz)
    middle = slice(out.size // 10, -out.size // 10)
    assert np.abs(out - expected)[middle].max() <= 3


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ODD_PAIRS),
    st.lists(st.integers(0, 1500), min_size=1, max_size=12),
    st.integers(0, 1 << 30),
)
def test_pieces_of_any_length_sound_like_one(
    pair: tuple[int, int], lengths: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pieces = [rng.integers(-20000, 20000, n).astype(np.int16) for n in lengths]
    cut, whole = StreamResampler(*pair), StreamResampler(*pair)
    out = np.concatenate([*(cut.push(piece) for piece in pieces), cut.flush()])
    once = np.concatenate([whole.push(np.concatenate(pieces)), whole.flush()])
    assert out.size == once.size == ceil(sum(lengths) * pair[1] / pair[0])
    # One matrix product or several: the last bit of a float may round to the next integer.
    assert np.abs(out.astype(int) - once).max(initial=0) <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), ODD_PAIRS)
def test_a_stream_holds_back_no_more_than_its_filter(from_hz: int, to_hz: int) -> None:
    stream = StreamResampler(from_hz, to_hz)
    pushed = given_out = 0
    for length in (1, 7, 160, 441, 1000, 3):
        given_out += stream.push(np.zeros(length, np.int16)).size
        pushed += length
        lag = pushed * to_hz / from_hz - given_out
        assert lag <= 24 * max(1, to_hz / from_hz) + 1


def test_one_sample_at_a_time_is_as_good_as_all_at_once() -> None:
    pcm = np.random.default_rng(8).integers(-9000, 9000, 400).astype(np.int16)
    slow, fast = StreamResampler(22050, 8000), StreamResampler(22050, 8000)
    out = np.concatenate([slow.push(pcm[n : n + 1]) for n in range(400)] + [slow.flush()])
    once = np.concatenate([fast.push(pcm), fast.flush()])
    assert np.abs(out.astype(int) - once).max() <= 1


def test_a_flushed_stream_begins_anew() -> None:
    stream = StreamResampler(16000, 8000)
    pcm = np.full(1000, 3000, np.int16)
    first = np.concatenate([stream.push(pcm), stream.flush()])
    second = np.concatenate([stream.push(pcm), stream.flush()])
    assert np.array_equal(first, second)
    assert stream.flush().size == 0


def test_nothing_pushed_is_nothing_out() -> None:
    stream = StreamResampler(16000, 8000)
    assert stream.push(np.zeros(0, np.int16)).size == 0
    assert stream.flush().size == 0


def test_a_streams_tail_is_not_lost() -> None:
    stream = StreamResampler(8000, 16000)
    pcm = np.zeros(800, np.int16)
    pcm[-2] = 10000
    assert np.abs(stream.push(pcm)).max() < 2000
    assert stream.flush().max() > 9000


def test_loud_streams_are_clipped_and_not_wrapped() -> None:
    stream = StreamResampler(8000, 16000)
    out = stream.push(np.where(np.arange(800) // 8 % 2, 32767, -32768).astype(np.int16))
    assert out.max() == 32767
    assert out.min() == -32768


@pytest.mark.parametrize("pair", [(0, 8000), (8000, -1), (999, 8000), (8000, 192_001)])
def test_a_stream_of_no_such_rate_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="1000 to 192000"):
        StreamResampler(*pair)


# Every pair of the rates that codecs have.
CODEC_RATES = (8000, 16_000, 24_000, 48_000)
CODEC_PAIRS = [(a, b) for a in CODEC_RATES for b in CODEC_RATES if a != b]


@pytest.mark.parametrize(("from_hz", "to_hz"), CODEC_PAIRS)
def test_between_codecs_rates_the_delay_is_24_samples_of_the_lower(
    from_hz: int, to_hz: int
) -> None:
    bank = Resampler(from_hz, to_hz, capacity=1)
    assert bank.delay_ms == 24_000 / min(from_hz, to_hz) <= 3.5
    pulse = np.zeros(2 * bank.frame_in, np.float32)
    pulse[bank.frame_in // 2] = 8000
    heard = through_bank(pulse, from_hz, to_hz)
    late_ms = 1000 * (int(np.argmax(np.abs(heard))) / to_hz - bank.frame_in / 2 / from_hz)
    assert late_ms == pytest.approx(bank.delay_ms, abs=1000 / to_hz)


@pytest.mark.parametrize("share", [0.0125, 0.125, 0.375, 0.425])
@pytest.mark.parametrize(("from_hz", "to_hz"), CODEC_PAIRS)
def test_between_codecs_rates_the_band_passes_flat(from_hz: int, to_hz: int, share: float) -> None:
    # 0.425 of 8000 Hz are the 3400 Hz of a telephone.
    assert abs(gain_db(share * min(from_hz, to_hz), from_hz, to_hz)) < 0.05


@pytest.mark.parametrize("share", [0.05, 0.2, 0.425, 0.53, 0.7, 0.95])
@pytest.mark.parametrize(("from_hz", "to_hz"), CODEC_PAIRS)
def test_between_codecs_rates_images_and_aliases_are_75_db_down(
    from_hz: int, to_hz: int, share: float
) -> None:
    lower = min(from_hz, to_hz)
    hz = share * lower
    if hz >= from_hz / 2:
        return  # a tone that the source cannot have
    places, levels = spectrum_db(through_bank(tone(hz, from_hz), from_hz, to_hz), to_hz)
    others = np.abs(places - hz) > 60 if hz < lower / 2 else np.ones(places.size, bool)
    assert levels[others].max() < -75


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stream_of_floats_is_the_same_audio_as_one_of_pcm(dtype: type) -> None:
    pcm = np.rint(9000 * np.sin(np.arange(4000) * 0.1)).astype(np.int16)
    whole, real = StreamResampler(8000, 16000), StreamResampler(8000, 16000)
    expected = np.concatenate([whole.push(pcm), whole.flush()])
    audio = (pcm / 32768).astype(dtype)
    heard = np.concatenate([real.push(audio[:1234]), real.push(audio[1234:]), real.flush()])
    assert heard.dtype == dtype
    assert np.abs(heard * 32768 - expected).max() <= 0.51


def test_a_stream_refuses_what_is_no_row_of_audio_and_silences_what_is_no_number() -> None:
    stream = StreamResampler(8000, 16000)
    for bad in (np.zeros((2, 80), np.int16), np.zeros(80, np.int32), b"\0" * 160):
        with pytest.raises(UsageError, match="one row"):
            stream.push(bad)
    bad = np.full(400, np.nan, np.float32)
    assert not stream.push(bad).any()
