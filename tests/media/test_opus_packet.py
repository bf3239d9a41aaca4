"""The table of contents of Opus, and every requirement on its packing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.errors import MalformedAudioError
from trunkline.media.opus_packet import OpusBandwidth, OpusMode, OpusPacket


def toc(configuration: int, code: int = 0, *, stereo: bool = False) -> int:
    return configuration << 3 | stereo << 2 | code


WIDE_20 = 9  # SILK, wideband, 20 ms


@pytest.mark.parametrize(
    ("configuration", "mode", "bandwidth", "frame_us"),
    [
        (0, OpusMode.SILK, OpusBandwidth.NARROW, 10_000),
        (7, OpusMode.SILK, OpusBandwidth.MEDIUM, 60_000),
        (9, OpusMode.SILK, OpusBandwidth.WIDE, 20_000),
        (12, OpusMode.HYBRID, OpusBandwidth.SUPERWIDE, 10_000),
        (15, OpusMode.HYBRID, OpusBandwidth.FULL, 20_000),
        (16, OpusMode.CELT, OpusBandwidth.NARROW, 2500),
        (23, OpusMode.CELT, OpusBandwidth.WIDE, 20_000),
        (31, OpusMode.CELT, OpusBandwidth.FULL, 20_000),
    ],
)
def test_the_first_five_bits_are_table_2(
    configuration: int, mode: OpusMode, bandwidth: OpusBandwidth, frame_us: int
) -> None:
    packet = OpusPacket.parse(bytes([toc(configuration), 1, 2]))
    assert (packet.mode, packet.bandwidth, packet.frame_us) == (mode, bandwidth, frame_us)


def test_samples_follow_the_rate() -> None:
    packet = OpusPacket.parse(bytes([toc(WIDE_20, 1), 1, 2, 3, 4]))
    assert packet.duration_us == 40_000
    assert [packet.samples(rate) for rate in (8000, 16_000, 48_000)] == [320, 640, 1920]


@pytest.mark.parametrize(
    ("payload", "frames"),
    [
        (bytes([toc(WIDE_20), 1, 2, 3]), (b"\1\2\3",)),
        (bytes([toc(WIDE_20, 1), 1, 2, 3, 4]), (b"\1\2", b"\3\4")),
        (bytes([toc(WIDE_20, 2), 1, 7, 8, 9]), (b"\7", b"\10\11")),
        (bytes([toc(WIDE_20, 3), 3, 1, 2, 3]), (b"\1", b"\2", b"\3")),
        (bytes([toc(WIDE_20, 3), 0x80 | 2, 1, 5, 6, 7]), (b"\5", b"\6\7")),
        (bytes([toc(WIDE_20, 3), 0x40 | 1, 2, 9, 0, 0]), (b"\11",)),
        (bytes([toc(WIDE_20, 3), 0x40 | 1, 255, 0, 9]) + bytes(254), (b"\11",)),
    ],
)
def test_all_four_packings_are_taken_apart(payload: bytes, frames: tuple[bytes, ...]) -> None:
    assert OpusPacket.parse(payload).frames == frames


def test_a_length_may_take_two_bytes() -> None:
    # 252 + 4 x 2 = 260 (section 3.2.1).
    payload = bytes([toc(WIDE_20, 2), 252, 2]) + bytes(260) + b"\1"
    assert [len(frame) for frame in OpusPacket.parse(payload).frames] == [260, 1]


@pytest.mark.parametrize(
    "payload",
    [
        b"",  # R1
        bytes([toc(WIDE_20)]) + bytes(1276),  # R2
        bytes([toc(WIDE_20, 1), 1, 2, 3]),  # R3
        bytes([toc(WIDE_20, 2)]),  # R4
        bytes([toc(WIDE_20, 2), 252]),
        bytes([toc(WIDE_20, 2), 5, 1]),
        bytes([toc(WIDE_20, 3)]),  # R6, R7
        bytes([toc(WIDE_20, 3), 0]),  # R5: no frame
        bytes([toc(WIDE_20, 3), 7]) + bytes(7),  # R5: 140 ms
        bytes([toc(11, 3), 3]) + bytes(3),  # R5: 180 ms
        bytes([toc(16, 3), 49]) + bytes(49),  # R5: 122.5 ms
        bytes([toc(WIDE_20, 3), 2, 1, 2, 3]),  # R6
        bytes([toc(WIDE_20, 3), 0x40 | 1]),  # padding cut off
        bytes([toc(WIDE_20, 3), 0x40 | 1, 255]),
        bytes([toc(WIDE_20, 3), 0x40 | 1, 9, 1]),  # more padding than packet
        bytes([toc(WIDE_20, 3), 0x80 | 2, 9, 1]),  # R7
        bytes([toc(WIDE_20, 3), 0x80 | 3, 1]),
    ],
)
def test_what_section_3_4_forbids_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedAudioError):
        OpusPacket.parse(payload)


def test_120_ms_is_the_most() -> None:
    assert OpusPacket.parse(bytes([toc(WIDE_20, 3), 6]) + bytes(6)).duration_us == 120_000
    assert OpusPacket.parse(bytes([toc(16, 3), 48]) + bytes(48)).duration_us == 120_000


def test_a_packet_without_audio_is_silent() -> None:
    assert OpusPacket.parse(bytes([toc(WIDE_20)])).silent
    assert OpusPacket.parse(bytes([toc(WIDE_20), 0])).silent
    assert not OpusPacket.parse(bytes([toc(WIDE_20), 0, 0])).silent


@pytest.mark.parametrize(
    ("configuration", "stereo", "first", "carries"),
    [
        (9, False, 0b0100_0000, True),  # 20 ms: a speech flag, then the copy's
        (9, False, 0b1011_1111, False),
        (10, False, 0b0010_0000, True),  # 40 ms: two speech flags
        (11, False, 0b0001_0000, True),  # 60 ms: three
        (11, False, 0b1110_1111, False),
        (9, True, 0b0001_0000, True),  # the second channel's
        (15, False, 0b0100_0000, True),  # hybrid
        (31, False, 0b1111_1111, False),  # CELT has no copy
    ],
)
def test_the_copy_of_the_packet_before_is_announced_by_a_bit(
    configuration: int, stereo: bool, first: int, carries: bool
) -> None:
    payload = bytes([toc(configuration, stereo=stereo), first, 0, 0])
    assert OpusPacket.parse(payload).carries_copy is carries


@given(st.binary(max_size=1500))
def test_any_bytes_are_a_packet_or_refused(payload: bytes) -> None:
    try:
        packet = OpusPacket.parse(payload)
    except MalformedAudioError:
        return
    assert 1 <= len(packet.frames) <= 48
    assert 2500 <= packet.duration_us <= 120_000
    assert sum(map(len, packet.frames)) < len(payload)
    assert packet.carries_copy in (True, False)


QUIET = [
    # SILK, 20 ms, mono: one speech flag, then the copy's.
    (bytes([9 << 3, 0x00]) + bytes(9), True),
    (bytes([9 << 3, 0x40]) + bytes(9), True),
    (bytes([9 << 3, 0x80]) + bytes(9), False),
    # Stereo: the side's flag comes after the middle's two.
    (bytes([9 << 3 | 4, 0x00]) + bytes(9), True),
    (bytes([9 << 3 | 4, 0x20]) + bytes(9), False),
    # 60 ms have three speech flags.
    (bytes([11 << 3, 0x10]) + bytes(9), True),
    (bytes([11 << 3, 0x20]) + bytes(9), False),
    # Of several frames the last decides.
    (bytes([9 << 3 | 1, 0x80, 0x00, 0x00, 0x00]), True),
    (bytes([9 << 3 | 1, 0x00, 0x00, 0x80, 0x00]), False),
    # Nothing in it at all; and CELT, which has no such flags.
    (bytes([9 << 3]), True),
    (bytes([31 << 3]), True),
    (bytes([31 << 3, 0x00]) + bytes(9), False),
]


@pytest.mark.parametrize(("payload", "quiet"), QUIET, ids=lambda value: repr(value)[:14])
def test_a_packet_tells_whether_somebody_speaks(payload: bytes, quiet: bool) -> None:
    assert OpusPacket.parse(payload).quiet is quiet
