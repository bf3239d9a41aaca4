"""The bank gives the bits of one call at a time, and rows share nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.g722 import G722Decoder, G722Encoder
from trunkline.media.g722_bank import G722DecoderBank, G722EncoderBank


def opened(bank: G722EncoderBank | G722DecoderBank, count: int) -> np.ndarray:
    return np.array([bank.open() for _ in range(count)], np.intp)


def sounds(count: int, samples: int, seed: int) -> np.ndarray:
    """Rows from silence to full scale."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1, 32767, count)[:, np.newaxis]
    return (rng.uniform(-1, 1, (count, samples)) * scale).astype(np.int16)


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_batch_gives_the_bits_of_one_at_a_time(count: int, seed: int) -> None:
    pcm = sounds(count, 480, seed)
    encoders, decoders = G722EncoderBank(2), G722DecoderBank(2)
    in_rows, out_rows = opened(encoders, count), opened(decoders, count)
    codes = np.concatenate(
        [encoders.process(pcm[:, at : at + 160], in_rows) for at in (0, 160, 320)], axis=1
    )
    heard = np.concatenate(
        [decoders.process(codes[:, at : at + 120], out_rows) for at in (0, 120)], axis=1
    )
    for row in range(count):
        payload = G722Encoder().encode(pcm[row])
        assert codes[row].tobytes() == payload
        assert np.array_equal(heard[row], G722Decoder().decode(payload))


def test_any_bytes_decode_as_one_at_a_time() -> None:
    codes = np.random.default_rng(4).integers(0, 256, (3, 400)).astype(np.uint8)
    bank = G722DecoderBank()
    heard = bank.process(codes, opened(bank, 3))
    for row in range(3):
        assert np.array_equal(heard[row], G722Decoder().decode(codes[row].tobytes()))


def test_a_neighbours_noise_changes_no_bit() -> None:
    pcm = sounds(2, 320, 5)
    other = pcm.copy()
    other[1] = 32767
    found = []
    for block in (pcm, other):
        bank = G722EncoderBank()
        found.append(bank.process(block, opened(bank, 2))[0])
    assert np.array_equal(*found)


def test_a_row_that_is_not_asked_for_keeps_its_place_in_the_stream() -> None:
    pcm = sounds(2, 320, 6)
    bank = G722EncoderBank()
    rows = opened(bank, 2)
    first = bank.process(pcm[:, :160], rows)
    bank.process(pcm[:1, :160], rows[:1])
    second = bank.process(pcm[1:, 160:], rows[1:])
    assert first[1].tobytes() + second[0].tobytes() == G722Encoder().encode(pcm[1])


def test_a_reset_or_reopened_row_begins_anew() -> None:
    pcm = sounds(1, 160, 7)
    bank = G722EncoderBank(1)
    rows = opened(bank, 1)
    first = bank.process(pcm, rows)
    assert not np.array_equal(bank.process(pcm, rows), first)
    bank.reset(int(rows[0]))
    assert np.array_equal(bank.process(pcm, rows), first)
    bank.close(int(rows[0]))
    assert len(bank) == 0
    assert np.array_equal(bank.process(pcm, opened(bank, 1)), first)


def test_no_rows_are_no_work() -> None:
    none = np.zeros(0, np.intp)
    assert G722EncoderBank().process(np.zeros((0, 320), np.int16), none).shape == (0, 160)
    assert G722DecoderBank().process(np.zeros((0, 160), np.uint8), none).shape == (0, 320)


def test_a_wrong_block_or_row_is_refused_and_changes_nothing() -> None:
    bank = G722EncoderBank()
    rows = opened(bank, 1)
    for block in (np.zeros((1, 3), np.int16), np.zeros((2, 4), np.int16), np.zeros(4, np.int16)):
        with pytest.raises(UsageError, match="not coded"):
            bank.process(block, rows)
    with pytest.raises(UsageError, match="int16"):
        bank.process(np.full((1, 4), np.nan), rows)
    with pytest.raises(UsageError, match="not open"):
        bank.process(np.zeros((1, 4), np.int16), rows + 1)
    with pytest.raises(UsageError, match="not open"):
        bank.close(5)
