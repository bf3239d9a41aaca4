"""L16 in both byte orders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import PeerError
from trunkline.media import l16
from trunkline.media.errors import MalformedAudioError

ORDERS: list[l16.ByteOrder] = ["big", "little"]
samples = st.lists(st.integers(-32768, 32767), max_size=200)


def test_rtp_carries_the_most_significant_byte_first() -> None:
    assert l16.encode(np.array([0x0102, -2], np.int16)) == b"\x01\x02\xff\xfe"
    assert l16.decode(b"\x01\x02\xff\xfe").tolist() == [0x0102, -2]


def test_websockets_carry_the_least_significant_byte_first() -> None:
    assert l16.encode(np.array([0x0102, -2], np.int16), "little") == b"\x02\x01\xfe\xff"
    assert l16.decode(b"\x02\x01\xfe\xff", "little").tolist() == [0x0102, -2]


@given(samples, st.sampled_from(ORDERS))
def test_samples_survive_the_way_there_and_back(values: list[int], order: l16.ByteOrder) -> None:
    pcm = np.array(values, np.int16)
    again = l16.decode(l16.encode(pcm, order), order)
    assert again.dtype == np.int16
    assert again.dtype.isnative
    assert np.array_equal(again, pcm)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("payload", [b"\x00", bytes(319)])
def test_half_a_sample_is_the_peers_error(payload: bytes, order: l16.ByteOrder) -> None:
    with pytest.raises(MalformedAudioError, match="whole 16-bit samples") as caught:
        l16.decode(payload, order)
    assert isinstance(caught.value, PeerError)


@pytest.mark.parametrize("order", ORDERS)
def test_an_empty_payload_is_no_samples(order: l16.ByteOrder) -> None:
    assert l16.decode(b"", order).size == 0
    assert l16.encode(np.zeros(0, np.int16), order) == b""


@given(samples, st.lists(st.integers(0, 400)), st.sampled_from(ORDERS))
def test_a_byte_stream_cut_anywhere_gives_all_its_samples(
    values: list[int], cuts: list[int], order: l16.ByteOrder
) -> None:
    stream = l16.encode(np.array(values, np.int16), order)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    left, heard = b"", []
    for start, end in zip(places, places[1:], strict=False):
        pcm, left = l16.decode_whole(left + stream[start:end], order)
        heard += pcm.tolist()
    assert left == b""
    assert heard == values


def test_the_odd_byte_of_a_piece_is_kept_for_the_next() -> None:
    pcm, left = l16.decode_whole(b"\x01\x02\x03")
    assert pcm.tolist() == [0x0102]
    assert left == b"\x03"


def test_buffers_other_than_bytes_are_read_too() -> None:
    assert l16.decode(bytearray(b"\x00\x05")).tolist() == [5]
    assert l16.decode(memoryview(b"\x00\x05")).tolist() == [5]


def test_a_block_is_written_row_after_row_and_gaps_do_not_matter() -> None:
    block = np.arange(8, dtype=np.int16).reshape(2, 4)
    assert l16.encode(block[:, ::2]) == b"\x00\x00\x00\x02\x00\x04\x00\x06"
