"""RTP packets: the wire both ways, the hot path, and what a stream counts."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import PeerError, UsageError
from trunkline.media.errors import MalformedRtpError
from trunkline.media.rtp import (
    HEADER,
    Datagram,
    HeaderExtension,
    RtpPacket,
    RtpSender,
    classify,
    is_rtcp,
    parse_fast,
)

# A telephone's packet as it looks on the wire: µ-law, sequence 0x1234, four samples.
PLAIN = bytes.fromhex("8000 1234 000000a0 deadbeef 7fff80ff")
# Everything at once: padding, extension 0xBEDE of one word, two CSRCs, marker, type 101.
RICH = bytes.fromhex(
    "b2e5 ffff fffffff0 00000001"
    "0000000a 0000000b"  # the contributing sources
    "bede0001 10ff0000"  # the extension
    "050a0640"  # the payload
    "00000004"  # four bytes of padding
)

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
extensions = st.builds(
    HeaderExtension,
    u16,
    st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=u16,
    timestamp=u32,
    ssrc=u32,
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrcs=st.lists(u32, max_size=15).map(tuple),
    extension=st.none() | extensions,
    padding_bytes=st.integers(0, 255),
)


def fields(packet: RtpPacket) -> tuple[Any, ...]:
    return (
        packet.payload_type,
        packet.marker,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
    )


def test_a_telephones_packet_is_read_field_by_field() -> None:
    packet = RtpPacket.parse(PLAIN)
    assert packet == RtpPacket(0, 0x1234, 160, 0xDEADBEEF, b"\x7f\xff\x80\xff")
    assert bytes(packet) == PLAIN


def test_a_packet_with_everything_is_read_field_by_field() -> None:
    packet = RtpPacket.parse(RICH)
    assert packet.marker
    assert packet.payload_type == 101
    assert packet.sequence == 0xFFFF
    assert packet.timestamp == 0xFFFFFFF0
    assert packet.csrcs == (10, 11)
    assert packet.extension == HeaderExtension(0xBEDE, b"\x10\xff\x00\x00")
    assert packet.payload == b"\x05\x0a\x06\x40"
    assert packet.padding_bytes == 4
    assert bytes(packet) == RICH


@given(packets)
def test_a_packet_survives_the_way_there_and_back(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@given(packets)
def test_the_hot_path_reads_what_the_full_parser_reads(packet: RtpPacket) -> None:
    assert parse_fast(bytes(packet)) == fields(packet)


@pytest.mark.parametrize("packet", [PLAIN, RICH])
def test_every_truncation_is_a_packet_or_the_documented_error(packet: bytes) -> None:
    for length in range(len(packet)):
        cut = packet[:length]
        try:
            parsed = RtpPacket.parse(cut)
        except MalformedRtpError:
            assert parse_fast(cut) is None
        else:
            assert parse_fast(cut) == fields(parsed)
    for length in range(12):
        assert parse_fast(packet[:length]) is None


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"\xbf\x80" + tail))
def test_random_bytes_are_a_packet_or_the_documented_error(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except MalformedRtpError:
        assert parse_fast(data) is None
    else:
        assert parse_fast(data) == fields(packet)
        assert RtpPacket.parse(bytes(packet)) == packet


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "12 bytes"),
        (PLAIN[:11], "12 bytes"),
        (b"\x40" + PLAIN[1:], "version 1"),
        (b"\x00" + PLAIN[1:], "version 0"),
        (b"\xc0" + PLAIN[1:], "version 3"),
        (b"\x8f" + PLAIN[1:], "15 contributing"),
        (b"\x90" + PLAIN[1:12], "cut short"),
        (b"\x90" + PLAIN[1:12] + b"\xbe\xde\xff\xff" + bytes(8), "65535 words"),
        (b"\xa0" + PLAIN[1:12], "padding"),
        (b"\xa0" + PLAIN[1:12] + b"\x00\x00\x00\x00", "0 bytes of padding"),
        (b"\xa0" + PLAIN[1:12] + b"\x00\x00\x00\x05", "5 bytes of padding in 4"),
    ],
)
def test_a_broken_packet_is_the_peers_error_and_says_why(data: bytes, complaint: str) -> None:
    with pytest.raises(MalformedRtpError, match=complaint) as caught:
        RtpPacket.parse(data)
    assert isinstance(caught.value, PeerError)
    assert parse_fast(data) is None


def test_padding_may_not_reach_into_the_header_extension() -> None:
    data = b"\xb0" + PLAIN[1:12] + b"\xbe\xde\x00\x01" + b"\x00\x00\x00\x03"
    with pytest.raises(MalformedRtpError, match="padding"):
        RtpPacket.parse(data)


def test_a_packet_may_be_all_padding() -> None:
    packet = RtpPacket.parse(b"\xa0" + PLAIN[1:12] + b"\x00\x00\x00\x04")
    assert packet.payload == b""
    assert packet.padding_bytes == 4


def test_a_header_alone_is_a_packet_without_payload() -> None:
    assert parse_fast(PLAIN[:12]) == (0, False, 0x1234, 160, 0xDEADBEEF, b"")


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence": 65536},
        {"timestamp": -1},
        {"timestamp": 1 << 32},
        {"ssrc": 1 << 32},
        {"padding_bytes": 256},
        {"csrcs": (1 << 32,)},
        {"csrcs": tuple(range(16))},
        {"extension": HeaderExtension(0xBEDE, b"abc")},
        {"extension": HeaderExtension(1 << 16, b"")},
        {"extension": HeaderExtension(0, bytes(4 << 16))},
    ],
)
def test_a_field_too_large_for_the_wire_is_our_error(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"payload_type": 0, "sequence": 0, "timestamp": 0, "ssrc": 0}
    with pytest.raises(UsageError):
        RtpPacket(**good | change)


# --- what a datagram is -------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PLAIN, Datagram.RTP),
        (RICH, Datagram.RTP),
        (b"\x80\xc8" + bytes(26), Datagram.RTCP),
        (b"\x81\xc9" + bytes(30), Datagram.RTCP),
        (b"\x80\xcf" + bytes(30), Datagram.RTCP),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42", Datagram.STUN),
        (b"\x01\x01\x00\x00\x21\x12\xa4\x42", Datagram.STUN),
        (b"\x16\xfe\xff", Datagram.DTLS),
        (b"\x3f", Datagram.DTLS),
        (b"\x04", Datagram.OTHER),
        (b"\x10", Datagram.OTHER),  # ZRTP
        (b"\x40", Datagram.OTHER),  # a TURN channel
        (b"\xff\xff", Datagram.OTHER),
        (b"", Datagram.OTHER),
        (b"\x80", Datagram.RTP),
    ],
)
def test_a_datagram_is_known_by_its_first_bytes(data: bytes, kind: Datagram) -> None:
    assert classify(data) is kind


def test_a_marked_packet_of_any_usual_type_is_not_taken_for_rtcp() -> None:
    for payload_type in [*range(64), *range(96, 128)]:
        for marker in (False, True):
            assert not is_rtcp(bytes(RtpPacket(payload_type, 1, 2, 3, b"x", marker)))
    for kind in (200, 201, 202, 203, 204, 205, 206, 207):
        assert is_rtcp(bytes([0x80, kind]))
    assert not is_rtcp(b"\x80")


# --- sending ------------------------------------------------------------------------


def sender_at(sequence: int, timestamp: int) -> RtpSender:
    sender = RtpSender(0, random.Random(1))
    sender.sequence, sender.timestamp = sequence, timestamp
    return sender


def test_a_stream_begins_at_random_and_repeats_with_the_same_generator() -> None:
    one, same = RtpSender(0, random.Random(5)), RtpSender(0, random.Random(5))
    other = RtpSender(0, random.Random(6))
    assert (one.ssrc, one.sequence, one.timestamp) == (same.ssrc, same.sequence, same.timestamp)
    assert one.ssrc != other.ssrc
    assert one.sequence != other.sequence
    assert one.timestamp != other.timestamp


def test_packets_follow_each_other_by_one_and_by_their_samples() -> None:
    sender = sender_at(10, 1000)
    first = RtpPacket.parse(sender.next(b"a" * 160, 160, marker=True))
    second = RtpPacket.parse(sender.next(b"b" * 160, 160))
    assert (first.sequence, first.timestamp, first.marker) == (10, 1000, True)
    assert (second.sequence, second.timestamp, second.marker) == (11, 1160, False)
    assert first.ssrc == second.ssrc == sender.ssrc
    assert second.payload == b"b" * 160


def test_sequence_and_timestamp_wrap() -> None:
    sender = sender_at(0xFFFF, 0xFFFFFFFF)
    last = RtpPacket.parse(sender.next(b"", 160))
    first = RtpPacket.parse(sender.next(b"", 160))
    assert (last.sequence, last.timestamp) == (0xFFFF, 0xFFFFFFFF)
    assert (first.sequence, first.timestamp) == (0, 159)


def test_time_without_packets_moves_the_timestamp_and_not_the_sequence() -> None:
    sender = sender_at(7, 0xFFFFFFFF)
    sender.skip(161)
    packet = RtpPacket.parse(sender.next(b"", 160))
    assert (packet.sequence, packet.timestamp) == (7, 160)


def test_another_payload_type_may_ride_along() -> None:
    sender = sender_at(1, 0)
    assert RtpPacket.parse(sender.next(b"", 160, payload_type=13)).payload_type == 13
    assert RtpPacket.parse(sender.next(b"", 160)).payload_type == 0


def test_a_packet_with_its_own_timestamp_moves_only_the_sequence() -> None:
    sender = sender_at(1, 480)
    event = RtpPacket.parse(sender.next_at(160, b"\x05\x00\x00\xa0", 101, marker=True))
    plain = RtpPacket.parse(sender.next_at(160, b"\x05\x00\x01\x40", 101))
    assert (event.sequence, event.timestamp, event.payload_type) == (1, 160, 101)
    assert (event.marker, plain.marker) == (True, False)
    audio = RtpPacket.parse(sender.next(b"", 160))
    assert (audio.sequence, audio.timestamp) == (3, 480)


def test_packets_and_octets_are_counted_for_sender_reports() -> None:
    sender = sender_at(0, 0)
    sender.next(bytes(160), 160)
    sender.next_at(0, bytes(4), 101)
    sender.skip(160)
    assert (sender.packets, sender.octets) == (2, 164)


@pytest.mark.parametrize("payload_type", [-1, 128])
def test_a_stream_of_an_impossible_type_is_refused(payload_type: int) -> None:
    with pytest.raises(UsageError, match="0 to 127"):
        RtpSender(payload_type, random.Random(1))


@given(st.binary(max_size=200), st.booleans(), st.integers(0, 127))
def test_what_is_sent_is_what_the_packet_object_would_say(
    payload: bytes, marker: bool, payload_type: int
) -> None:
    sender = sender_at(3, 4)
    expected = RtpPacket(payload_type, 3, 4, sender.ssrc, payload, marker)
    data = sender.next(payload, 160, marker, payload_type)
    assert data == bytes(expected)
    assert HEADER.unpack_from(data)[0] == 0x80
