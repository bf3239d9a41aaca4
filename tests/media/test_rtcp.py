"""RTCP on the wire: what we say, what we read, and what we refuse."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import PeerError, UsageError
from trunkline.media.errors import MalformedRtcpError
from trunkline.media.rtcp import (
    CNAME,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpCompound,
    SdesChunk,
    SdesItem,
    SenderReport,
    SourceDescription,
)

# Sender report with one block (17 of 256 lost, -1 in all), CNAME "ab", BYE "bye".
CAPTURED = bytes.fromhex(
    "81c8000c 00000001 e1e2e3e4f1f2f3f4 000000a0 00000002 00000140"
    "00000009 11ffffff 00010002 00000003 e3e4f1f2 00010000"
    "81ca0003 00000001 0102616200 000000"
    "81cb0002 00000001 03627965"
)
EMPTY_RR = bytes.fromhex("80c90001 00000007")

u8, u32 = st.integers(0, 255), st.integers(0, 0xFFFFFFFF)
blocks = st.builds(ReportBlock, u32, u8, st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32)
block_lists = st.lists(blocks, max_size=31).map(tuple)
texts = st.text(max_size=255).filter(lambda text: len(text.encode(errors="ignore")) <= 255)
clean_texts = texts.map(lambda text: text.encode(errors="ignore").decode())
items = st.builds(SdesItem, st.integers(1, 255), clean_texts)
chunks = st.builds(SdesChunk, u32, st.lists(items, max_size=4).map(tuple))
reports = st.builds(
    SenderReport, u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, block_lists
) | st.builds(ReceiverReport, u32, block_lists)
others = (
    reports
    | st.builds(SourceDescription, st.lists(chunks, max_size=31).map(tuple))
    | st.builds(Goodbye, st.lists(u32, max_size=31).map(tuple), st.none() | clean_texts)
)
compounds = st.builds(
    lambda first, rest: RtcpCompound((first, *rest)), reports, st.lists(others, max_size=4)
)


def test_a_captured_compound_is_read_field_by_field() -> None:
    compound = RtcpCompound.parse(CAPTURED)
    block = ReportBlock(9, 17, -1, 0x10002, 3, 0xE3E4F1F2, 65536)
    assert compound.packets == (
        SenderReport(1, 0xE1E2E3E4F1F2F3F4, 160, 2, 320, (block,)),
        SourceDescription((SdesChunk(1, (SdesItem(CNAME, "ab"),)),)),
        Goodbye((1,), "bye"),
    )
    assert compound.skipped == 0
    assert bytes(compound) == CAPTURED


@given(compounds)
def test_a_compound_survives_the_way_there_and_back(compound: RtcpCompound) -> None:
    data = bytes(compound)
    assert len(data) % 4 == 0
    assert RtcpCompound.parse(data) == compound


def test_every_truncation_is_whole_packets_or_the_documented_error() -> None:
    ends = {52: 1, 68: 2, len(CAPTURED): 3}
    for length in range(len(CAPTURED) + 1):
        if length in ends:
            assert len(RtcpCompound.parse(CAPTURED[:length]).packets) == ends[length]
        else:
            with pytest.raises(MalformedRtcpError):
                RtcpCompound.parse(CAPTURED[:length])


@given(
    st.binary(max_size=120)
    | st.binary(max_size=120).map(lambda tail: EMPTY_RR + tail)
    | st.binary(max_size=60).map(
        lambda body: EMPTY_RR + struct.pack("!BBH", 0x81, 202, len(body) // 4) + body
    )
)
def test_random_bytes_are_a_compound_or_the_documented_error(data: bytes) -> None:
    try:
        compound = RtcpCompound.parse(data)
    except MalformedRtcpError:
        return
    assert isinstance(compound.packets[0], SenderReport | ReceiverReport)


@given(st.integers(0, len(CAPTURED) - 1), u8)
def test_one_wrong_byte_never_raises_anything_else(place: int, value: int) -> None:
    data = CAPTURED[:place] + bytes([value]) + CAPTURED[place + 1 :]
    with contextlib.suppress(MalformedRtcpError):
        assert RtcpCompound.parse(data).packets


@pytest.mark.parametrize(
    "kind",
    [204, 205, 206, 207, 192, 210],  # APP, two sorts of feedback, XR, old and unknown ones
)
def test_packets_of_other_types_are_skipped_and_counted(kind: int) -> None:
    foreign = struct.pack("!BBHI", 0x82, kind, 2, 1) + b"name"
    compound = RtcpCompound.parse(EMPTY_RR + foreign + CAPTURED[-12:] + foreign)
    assert compound.skipped == 2
    assert compound.packets == (ReceiverReport(7), Goodbye((1,), "bye"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc9\x00\x01",
        b"\x40" + EMPTY_RR[1:],  # version 1
        CAPTURED[52:],  # begins with a description
        CAPTURED[68:],  # begins with a goodbye
        b"\xa0\xc9\x00\x02" + bytes(7) + b"\x04",  # the first is padded
        EMPTY_RR + b"\x40\xcb\x00\x00",  # the second is version 1
        EMPTY_RR + b"\x00\x00",  # a tail that is no packet
        EMPTY_RR + b"\x81\xcb\x00\x05" + bytes(4),  # longer than the datagram
        EMPTY_RR + b"\xa0\xcb\x00\x01\x00\x00\x00\x04" + EMPTY_RR,  # padding before the end
        EMPTY_RR + b"\xa0\xcb\x00\x01\x00\x00\x00\x00",  # padding of nothing
        EMPTY_RR + b"\xa0\xcb\x00\x01\x00\x00\x00\x03",  # padding of part of a word
        EMPTY_RR + b"\xa0\xcb\x00\x01\x00\x00\x00\x08",  # padding into the header
        EMPTY_RR + b"\xa0\xcb\x00\x00",  # padding without room
        b"\x80\xc8\x00\x05" + bytes(20),  # a sender report one word short
        b"\x82\xc9\x00\x07" + bytes(28),  # two blocks said, one there
        EMPTY_RR + b"\x82\xcb\x00\x01" + bytes(4),  # two leaving, one there
        EMPTY_RR + b"\x81\xcb\x00\x02" + bytes(4) + b"\x04abc",  # reason cut short
        EMPTY_RR + b"\x81\xca\x00\x01" + bytes(4),  # a chunk without its end
        EMPTY_RR + b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x05ab",  # an item cut short
        EMPTY_RR + b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x02ab",  # items without an end
        EMPTY_RR + b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x01a\x01",  # an item without a length
        EMPTY_RR + b"\x82\xca\x00\x02" + bytes(8),  # two chunks said, one there
    ],
)
def test_what_the_rfc_does_not_allow_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRtcpError) as caught:
        RtcpCompound.parse(data)
    assert isinstance(caught.value, PeerError)


def test_padding_at_the_very_end_is_taken_off() -> None:
    padded = b"\xa1\xcb\x00\x02" + b"\x00\x00\x00\x01" + b"\x00\x00\x00\x04"
    assert RtcpCompound.parse(EMPTY_RR + padded).packets[1] == Goodbye((1,))


def test_a_profiles_extension_after_the_blocks_is_left_alone() -> None:
    extended = b"\x80\xc9\x00\x03\x00\x00\x00\x07" + b"whatever"
    assert RtcpCompound.parse(extended).packets == (ReceiverReport(7),)


def test_a_description_may_be_of_nobody_and_a_goodbye_of_nobody() -> None:
    data = EMPTY_RR + b"\x80\xca\x00\x00" + b"\x80\xcb\x00\x00"
    assert RtcpCompound.parse(data).packets[1:] == (SourceDescription(()), Goodbye(()))


@pytest.mark.parametrize("length", range(9))
def test_chunks_end_at_words_whatever_their_texts_length(length: int) -> None:
    chunk = SdesChunk(5, (SdesItem(CNAME, "x" * length), SdesItem(6, "tool")))
    compound = RtcpCompound((ReceiverReport(1), SourceDescription((chunk, chunk))))
    assert RtcpCompound.parse(bytes(compound)) == compound


def test_text_that_is_not_utf8_is_replaced() -> None:
    data = EMPTY_RR + b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x01\xff\x00"
    (description,) = RtcpCompound.parse(data).packets[1:]
    assert description == SourceDescription(
        (SdesChunk(0, (SdesItem(1, "\N{REPLACEMENT CHARACTER}"),)),)
    )


@pytest.mark.parametrize("lost", [-(1 << 23), -1, 0, 1, (1 << 23) - 1])
def test_cumulative_loss_is_a_signed_number_of_24_bits(lost: int) -> None:
    block = ReportBlock(1, 255, lost, 2, 3, 4, 5)
    assert len(bytes(block)) == 24
    assert ReportBlock.parse(bytes(block)) == block


@pytest.mark.parametrize(
    "packet",
    [
        Goodbye((), "x" * 256),
        Goodbye(tuple(range(32))),
        SdesChunk(1, (SdesItem(1, "é" * 128),)),
        SdesChunk(1, (SdesItem(0, "x"),)),
        ReceiverReport(1, (ReportBlock(1, 0, 0, 0, 0, 0, 0),) * 32),
    ],
)
def test_what_does_not_fit_on_the_wire_is_our_error(packet: Goodbye) -> None:
    with pytest.raises(UsageError):
        bytes(packet)


@pytest.mark.parametrize(("kind", "least"), [(200, 24), (201, 4)])
def test_a_report_holds_at_least_its_senders_part(kind: int, least: int) -> None:
    for size in range(0, least + 8, 4):
        data = bytes([0x80, kind, 0, size // 4]) + bytes(size)
        if size >= least:
            assert len(RtcpCompound.parse(data).packets) == 1
        else:
            with pytest.raises(MalformedRtcpError):
                RtcpCompound.parse(data)
