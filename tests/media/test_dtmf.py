"""Telephone events: each key press once, whatever the network does to its packets."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.dtmf import (
    DIGITS,
    DtmfDigit,
    DtmfReceiver,
    DtmfSender,
    EventPacket,
    TelephoneEvent,
)
from trunkline.media.rtp import RtpPacket, RtpSender

SSRC = 0xCAFE
U32 = 1 << 32


def packets_of(
    digits: str, *, start: int = 1000, tone_ms: int = 100, gap_ms: int = 60
) -> list[tuple[float, EventPacket]]:
    """(seconds, packet) of a sender's ticks, one frame of 8 kHz each."""
    sender = DtmfSender(digits, tone_ms=tone_ms, gap_ms=gap_ms)
    sent = []
    tick = 0
    while not sender.done:
        packet = sender.tick((start + 160 * tick) % U32)
        if packet is not None:
            sent.append((tick * 0.02, packet))
        tick += 1
    return sent


def heard(
    packets: Iterable[tuple[float, EventPacket]],
    receiver: DtmfReceiver | None = None,
    ssrc: int = SSRC,
) -> str:
    """The digits a receiver makes of packets, with its clock ticking to the end."""
    receiver = receiver or DtmfReceiver()
    digits, last = [], 0.0
    for now, packet in packets:
        digits += receiver.expire(now)
        digits += receiver.receive(packet.payload, packet.timestamp, ssrc, packet.marker, now)
        last = now
    digits += receiver.expire(last + 10)
    return "".join(digit.digit for digit in digits)


def event(code: int, duration: int, end: bool = False) -> bytes:
    return bytes(TelephoneEvent(code, end, 10, duration))


# --- the four bytes -----------------------------------------------------------------


def test_an_event_is_read_field_by_field() -> None:
    assert TelephoneEvent.parse(b"\x0b\x8a\x03\x20") == TelephoneEvent(11, True, 10, 800)
    assert bytes(TelephoneEvent(11, True, 10, 800)) == b"\x0b\x8a\x03\x20"


@given(st.integers(0, 255), st.booleans(), st.integers(0, 63), st.integers(0, 0xFFFF))
def test_an_event_survives_the_way_there_and_back(
    code: int, end: bool, volume: int, duration: int
) -> None:
    block = TelephoneEvent(code, end, volume, duration)
    assert TelephoneEvent.parse(bytes(block)) == block


def test_the_reserved_bit_is_ignored() -> None:
    assert TelephoneEvent.parse(b"\x01\x4a\x00\xa0") == TelephoneEvent(1, False, 10, 160)


# --- sending ------------------------------------------------------------------------


def test_a_press_has_one_marker_one_timestamp_growing_durations_and_three_ends() -> None:
    packets = [packet for _, packet in packets_of("5", tone_ms=100)]
    events = [TelephoneEvent.parse(packet.payload) for packet in packets]
    assert [packet.marker for packet in packets] == [True] + [False] * 6
    assert {packet.timestamp for packet in packets} == {1000}
    assert [block.duration for block in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [block.end for block in events] == [False] * 4 + [True] * 3
    assert {block.code for block in events} == {5}


def test_digits_follow_each_other_after_the_gap() -> None:
    starts = sorted({packet.timestamp for _, packet in packets_of("123", tone_ms=100, gap_ms=60)})
    assert starts == [1000, 1000 + 8 * 160, 1000 + 16 * 160]


def test_the_last_gap_is_waited_for() -> None:
    sender = DtmfSender("1", tone_ms=40, gap_ms=100)
    ticks = [sender.tick(0) is not None for _ in range(6)]
    assert ticks == [True, True, True, True, False, False]
    assert not sender.done
    assert sender.tick(0) is None
    assert sender.done
    assert sender.tick(0) is None


def test_tone_and_gap_are_rounded_up_to_whole_frames() -> None:
    packets = [packet for _, packet in packets_of("77", tone_ms=41, gap_ms=41)]
    assert TelephoneEvent.parse(packets[-1].payload).duration == 480
    assert packets[-1].timestamp - packets[0].timestamp == 6 * 160


def test_every_key_has_its_code_and_small_letters_are_keys_too() -> None:
    sent = [TelephoneEvent.parse(packet.payload).code for _, packet in packets_of(DIGITS)]
    assert sorted(set(sent)) == list(range(16))
    assert heard(packets_of("abcd")) == "ABCD"


def test_another_clock_rate_counts_its_own_units() -> None:
    sender = DtmfSender("1", tone_ms=100, rate_hz=48000)
    packets = [sender.tick(0) for _ in range(5)]
    assert packets[-1] is not None
    assert TelephoneEvent.parse(packets[-1].payload) == TelephoneEvent(1, True, 10, 4800)


@pytest.mark.parametrize("digits", ["12x", " ", "١", "ß", "1,2"])
def test_what_is_no_key_is_refused(digits: str) -> None:
    with pytest.raises(UsageError, match="not a key"):
        DtmfSender(digits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tone_ms": 0},
        {"tone_ms": -20},
        {"tone_ms": 8200},
        {"tone_ms": 1400, "rate_hz": 48000},
        {"gap_ms": 20},
        {"volume": 64},
        {"volume": -1},
    ],
)
def test_what_an_event_cannot_say_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        DtmfSender("1", **wrong)


def test_no_digits_are_done_at_once() -> None:
    assert DtmfSender("").done


def test_events_share_the_streams_sequence_and_audio_goes_on_where_time_has_gone() -> None:
    rtp = RtpSender(0, random.Random(1))
    began, sequence = rtp.timestamp, rtp.sequence
    sender = DtmfSender("1", tone_ms=40, gap_ms=60)
    packets = []
    while not sender.done:
        packet = sender.tick(rtp.timestamp)
        rtp.skip(160)
        if packet is not None:
            data = rtp.next_at(packet.timestamp, packet.payload, 101, packet.marker)
            packets.append(RtpPacket.parse(data))
    audio = RtpPacket.parse(rtp.next(bytes(160), 160))
    assert {packet.timestamp for packet in packets} == {began}
    assert [packet.sequence for packet in packets] == [(sequence + n) % 65536 for n in range(4)]
    assert audio.timestamp == (began + 5 * 160) % U32
    assert audio.sequence == (sequence + 4) % 65536


# --- receiving ----------------------------------------------------------------------


def test_a_press_is_one_digit_with_its_duration_at_its_first_end_packet() -> None:
    receiver = DtmfReceiver()
    digits = [
        receiver.receive(packet.payload, packet.timestamp, SSRC, packet.marker, now)
        for now, packet in packets_of("5", tone_ms=100)
    ]
    assert digits == [[]] * 4 + [[DtmfDigit("5", 100)]] + [[]] * 2
    assert receiver.next_timeout() is None


@given(st.text(DIGITS, max_size=12), st.integers(0, U32 - 1))
def test_what_is_dialled_is_heard(digits: str, start: int) -> None:
    assert heard(packets_of(digits, start=start)) == digits


def test_the_same_key_twice_is_two_digits() -> None:
    assert heard(packets_of("1111")) == "1111"


def test_a_missing_marker_does_not_matter() -> None:
    packets = [
        (now, EventPacket(packet.timestamp, packet.payload, marker=False))
        for now, packet in packets_of("1122")
    ]
    assert heard(packets) == "1122"


def test_a_lost_beginning_does_not_matter() -> None:
    packets = packets_of("9")
    for lost in range(1, len(packets)):
        assert heard(packets[lost:]) == "9"


def test_a_lost_end_gives_the_digit_after_a_while() -> None:
    receiver = DtmfReceiver(timeout_ms=200)
    packets = packets_of("9")[:4]
    for now, packet in packets:
        assert not receiver.receive(packet.payload, packet.timestamp, SSRC, packet.marker, now)
    assert receiver.next_timeout() == pytest.approx(0.26)
    assert receiver.expire(0.259) == []
    assert receiver.expire(0.261) == [DtmfDigit("9", 80)]
    assert receiver.expire(9.0) == []
    assert receiver.next_timeout() is None


def test_an_end_after_the_timeout_is_not_another_digit() -> None:
    receiver = DtmfReceiver()
    packets = packets_of("9")
    held = [(now + (1.0 if n > 2 else 0.0), packet) for n, (now, packet) in enumerate(packets)]
    assert heard(held, receiver) == "9"


def test_a_lost_end_gives_the_digit_when_the_next_begins() -> None:
    packets = [
        (now, packet)
        for now, packet in packets_of("12")
        if packet.timestamp != 1000 or not TelephoneEvent.parse(packet.payload).end
    ]
    receiver = DtmfReceiver(timeout_ms=1000)
    assert heard(packets, receiver) == "12"


def test_the_same_key_again_after_a_lost_end_is_two_digits_even_unmarked() -> None:
    packets = [
        (now, EventPacket(packet.timestamp, packet.payload, marker=False))
        for now, packet in packets_of("11")
        if packet.timestamp != 1000 or not TelephoneEvent.parse(packet.payload).end
    ]
    assert heard(packets, DtmfReceiver(timeout_ms=1000)) == "11"


def test_only_one_of_a_presss_packets_need_arrive() -> None:
    packets = packets_of("4")
    for packet in packets:
        assert heard([packet]) == "4"


@given(st.data())
def test_loss_duplication_and_reordering_within_a_press_give_one_digit(data: st.DataObject) -> None:
    packets = [packet for _, packet in packets_of("6")]
    chosen = data.draw(st.lists(st.sampled_from(packets), min_size=1, max_size=20))
    assert heard([(n * 0.01, packet) for n, packet in enumerate(chosen)]) == "6"


@given(st.text(DIGITS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_packets_doubled_and_shuffled_over_forty_milliseconds_change_nothing(
    digits: str, rng: random.Random
) -> None:
    jittered = [(now + rng.random() * 0.04, packet) for now, packet in packets_of(digits) * 2]
    assert heard(sorted(jittered, key=lambda pair: pair[0])) == digits


@given(st.text(DIGITS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_loss_that_leaves_a_packet_of_each_press_loses_no_digit(
    digits: str, rng: random.Random
) -> None:
    packets = packets_of(digits)
    kept = {
        rng.choice([n for n, (_, packet) in enumerate(packets) if packet.timestamp == timestamp])
        for timestamp in {packet.timestamp for _, packet in packets}
    }
    left = [pair for n, pair in enumerate(packets) if n in kept or rng.random() < 0.3]
    assert heard(left) == digits


def test_a_straggler_of_a_finished_press_is_ignored() -> None:
    packets = packets_of("12")
    straggler = packets[2][1]
    assert heard([*packets, (packets[-1][0] + 0.5, straggler)]) == "12"


def test_a_whole_press_overtaken_by_the_next_is_counted_and_dropped() -> None:
    receiver = DtmfReceiver()
    first, second = packets_of("1"), packets_of("2", start=1000 + 1280)
    assert heard([*second, *[(1.0, packet) for _, packet in first]], receiver) == "2"
    assert receiver.late == 7
    during = DtmfReceiver()
    assert heard([second[0], first[0], *second[1:]], during) == "2"
    assert during.late == 1


def test_a_sender_that_counts_anew_from_far_back_is_heard() -> None:
    assert heard(packets_of("1", start=900_000)) == "1"
    receiver = DtmfReceiver()
    packets = packets_of("1", start=900_000) + [
        (now + 1, packet) for now, packet in packets_of("2", start=10)
    ]
    assert heard(packets, receiver) == "12"
    assert receiver.late == 0


def test_another_source_with_the_same_timestamp_is_another_press() -> None:
    receiver = DtmfReceiver()
    assert heard(packets_of("1"), receiver, ssrc=1) == "1"
    assert heard(packets_of("1"), receiver, ssrc=2) == "1"


def test_a_new_source_ends_the_old_ones_press() -> None:
    receiver = DtmfReceiver()
    assert not receiver.receive(event(1, 160), 1000, 1, True, 0.0)
    assert receiver.receive(event(2, 160), 1000, 2, True, 0.02) == [DtmfDigit("1", 20)]
    assert receiver.receive(event(2, 320, end=True), 1000, 2, False, 0.04) == [DtmfDigit("2", 40)]


def test_a_sender_with_a_frozen_clock_is_heard_while_its_keys_differ() -> None:
    packets = [
        (now, EventPacket(1000, packet.payload, packet.marker)) for now, packet in packets_of("123")
    ]
    assert heard(packets) == "123"


# --- long presses (RFC 4733 2.5.1.3) -------------------------------------------------


def long_press(units: int, segment: int = 0xFFFF) -> list[tuple[float, EventPacket]]:
    """A key held for many units, in segments, a packet each 50 ms."""
    sent = []
    for elapsed in range(400, units + 1, 400):
        first = (elapsed - 1) // segment * segment
        end = elapsed + 400 > units
        packet = EventPacket(
            (5000 + first) % U32, event(3, elapsed - first, end), marker=elapsed == 400
        )
        sent.append((elapsed / 8000, packet))
    return sent


@pytest.mark.parametrize("segment", [0xFFFF, 65200])
def test_a_key_held_longer_than_the_field_is_one_digit(segment: int) -> None:
    receiver = DtmfReceiver()
    packets = long_press(200_000, segment)
    digits = []
    for now, packet in packets:
        digits += receiver.expire(now)
        digits += receiver.receive(packet.payload, packet.timestamp, SSRC, packet.marker, now)
    assert [digit.digit for digit in digits] == ["3"]
    assert digits[0].duration_ms == pytest.approx(25_000, abs=60)


def test_a_segments_lost_last_packet_does_not_make_two_digits() -> None:
    packets = long_press(80_000)
    at = next(n for n, (_, packet) in enumerate(packets) if packet.timestamp != 5000)
    assert heard(packets[: at - 1] + packets[at:]) == "3"


def test_a_straggler_of_an_earlier_segment_is_not_a_digit() -> None:
    packets = long_press(80_000)
    at = next(n for n, (_, packet) in enumerate(packets) if packet.timestamp != 5000)
    now = packets[at + 2][0]
    moved = [
        *packets[: at - 1],
        *packets[at : at + 2],
        (now, packets[at - 1][1]),
        *packets[at + 2 :],
    ]
    assert heard(moved) == "3"


def test_a_marked_packet_is_never_the_next_segment() -> None:
    receiver = DtmfReceiver()
    receiver.receive(event(3, 800), 1000, SSRC, True, 0.0)
    assert receiver.receive(event(3, 160), 1800, SSRC, True, 0.1) == [DtmfDigit("3", 100)]


# --- what is not a key ----------------------------------------------------------------


@pytest.mark.parametrize("code", [16, 32, 36, 64, 255])
def test_events_that_are_not_keys_are_counted(code: int) -> None:
    receiver = DtmfReceiver()
    assert receiver.receive(event(code, 800, end=True), 1, SSRC, True, 0.0) == []
    assert receiver.ignored == 1
    assert receiver.next_timeout() is None


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x0a\x00", b"\x01\x8a\x00\xa0\x01"])
def test_payloads_that_are_not_whole_events_are_counted(payload: bytes) -> None:
    receiver = DtmfReceiver()
    assert receiver.receive(payload, 1, SSRC, True, 0.0) == []
    assert receiver.malformed == 1


def test_several_blocks_in_a_packet_are_presses_in_a_row() -> None:
    receiver = DtmfReceiver()
    payload = event(1, 800, end=True) + event(2, 400, end=True)
    assert receiver.receive(payload, 1000, SSRC, True, 0.0) == [
        DtmfDigit("1", 100),
        DtmfDigit("2", 50),
    ]
    assert receiver.receive(payload, 1000, SSRC, True, 0.02) == []


def test_an_event_without_duration_is_still_a_key() -> None:
    receiver = DtmfReceiver()
    assert receiver.receive(event(0, 0, end=True), 1, SSRC, True, 0.0) == [DtmfDigit("0", 0)]


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=12), st.integers(0, U32 - 1), st.integers(0, 2), st.booleans()
        ),
        max_size=30,
    )
)
def test_no_bytes_make_a_receiver_raise(
    packets: list[tuple[bytes, int, int, bool]],
) -> None:
    receiver = DtmfReceiver()
    for n, (payload, timestamp, ssrc, marker) in enumerate(packets):
        for digit in receiver.receive(payload, timestamp, ssrc, marker, n * 0.02):
            assert digit.digit in DIGITS
            assert digit.duration_ms >= 0
    receiver.expire(1e9)
    assert receiver.next_timeout() is None


# --- two presses, one of them damaged --------------------------------------------------


def test_another_key_on_a_frozen_clock_ends_the_press_whose_end_was_lost() -> None:
    receiver = DtmfReceiver()
    assert not receiver.receive(event(1, 160), 1000, SSRC, True, 0.0)
    assert receiver.receive(event(2, 160), 1000, SSRC, True, 0.1) == [DtmfDigit("1", 20)]
    assert receiver.expire(1.0) == [DtmfDigit("2", 20)]


def test_a_straggler_of_an_earlier_press_does_not_cut_the_one_that_is_down() -> None:
    receiver = DtmfReceiver()
    assert not receiver.receive(event(2, 400), 3000, SSRC, True, 0.0)
    assert not receiver.receive(event(1, 800, end=True), 1000, SSRC, False, 0.01)
    assert receiver.late == 1
    assert receiver.receive(event(2, 800, end=True), 3000, SSRC, False, 0.05) == [
        DtmfDigit("2", 100)
    ]


def test_a_new_source_may_begin_at_an_earlier_timestamp() -> None:
    receiver = DtmfReceiver()
    assert not receiver.receive(event(1, 160), 3000, 1, True, 0.0)
    assert receiver.receive(event(2, 160), 1000, 2, True, 0.02) == [DtmfDigit("1", 20)]
    assert receiver.receive(event(2, 160, end=True), 1000, 2, False, 0.04) == [DtmfDigit("2", 20)]
    assert receiver.receive(event(3, 160, end=True), 500, 3, True, 0.1) == [DtmfDigit("3", 20)]
    assert receiver.late == 0


def test_a_press_is_waited_for_exactly_its_timeout() -> None:
    receiver = DtmfReceiver(timeout_ms=200)
    assert receiver.next_timeout() is None
    receiver.receive(event(1, 160), 1000, SSRC, True, 1.0)
    assert receiver.next_timeout() == pytest.approx(1.2)
    assert not receiver.expire(1.19)
    assert receiver.expire(1.2) == [DtmfDigit("1", 20)]
    assert receiver.next_timeout() is None


def test_a_key_held_for_ten_seconds_was_held_for_ten_seconds() -> None:
    receiver = DtmfReceiver()
    digits = [
        digit
        for now, packet in long_press(80_000)
        for digit in receiver.receive(packet.payload, packet.timestamp, SSRC, packet.marker, now)
    ]
    assert digits == [DtmfDigit("3", 10_000)]
