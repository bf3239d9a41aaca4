"""RTCP between two parties: loss, jitter, round trips, intervals, goodbyes."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpCompound,
    SdesChunk,
    SdesItem,
    SenderReport,
    SourceDescription,
)
from trunkline.media.rtcp_session import (
    ReceptionCounters,
    RtcpSession,
    advance_jitter,
    cumulative_lost,
    expected_packets,
    fraction_lost,
    ntp_middle,
    round_trip_seconds,
)
from trunkline.media.rtp import RtpSender

NTP = 0xE1E2E3E4_80000000  # some day, half past a second
HEARD = ReceptionCounters(100, 199, 95, 12.7, ssrc=77)


def a_session(
    seed: int = 1,
    now: float = 0.0,
    *,
    interval_seconds: float = 5.0,
    bandwidth_bps: float = 80_000.0,
) -> tuple[RtcpSession, RtpSender]:
    rng = random.Random(seed)
    sender = RtpSender(0, rng)
    session = RtcpSession(
        sender,
        f"leg{seed}@here",
        rng,
        now,
        interval_seconds=interval_seconds,
        bandwidth_bps=bandwidth_bps,
    )
    return session, sender


def ntp_at(seconds: float) -> int:
    return NTP + int(seconds * (1 << 32))


def block_about(ssrc: int, **fields: int) -> ReportBlock:
    return replace(ReportBlock(ssrc, 0, 0, 0, 0, 0, 0), **fields)


def only_block(data: bytes) -> ReportBlock:
    report = RtcpCompound.parse(data).packets[0]
    assert isinstance(report, SenderReport | ReceiverReport)
    (block,) = report.reports
    return block


# --- RFC 3550 appendix A as functions -----------------------------------------------


def test_expected_counts_both_ends() -> None:
    assert expected_packets(ReceptionCounters(5, 5, 1, 0.0, 1)) == 1
    assert expected_packets(HEARD) == 100
    assert expected_packets(ReceptionCounters(65530, 65540, 11, 0.0, 1)) == 11


def test_lost_is_what_was_expected_and_did_not_come() -> None:
    assert cumulative_lost(HEARD) == 5
    assert cumulative_lost(replace(HEARD, received=103)) == -3


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_cumulative_loss_always_fits_in_24_bits(first: int, highest: int, received: int) -> None:
    lost = cumulative_lost(ReceptionCounters(first, highest, received, 0.0, 1))
    assert -(1 << 23) <= lost < 1 << 23


def test_the_fraction_is_of_the_interval_and_not_of_the_whole_call() -> None:
    later = replace(HEARD, highest_extended=299, received=170)  # 25 of the last 100 lost
    assert fraction_lost(later, HEARD) == 64
    assert fraction_lost(HEARD, None) == 12  # 5 of 100


def test_the_fraction_is_never_negative_and_never_a_whole() -> None:
    assert fraction_lost(replace(HEARD, received=120), None) == 0
    assert fraction_lost(HEARD, HEARD) == 0
    assert fraction_lost(replace(HEARD, received=0), None) == 255


def test_a_new_source_is_not_compared_with_the_old_one() -> None:
    other = ReceptionCounters(0, 9, 5, 0.0, ssrc=78)
    assert fraction_lost(other, HEARD) == 128


@given(st.lists(st.integers(0, 1 << 20), min_size=6, max_size=6))
def test_the_fraction_always_fits_in_eight_bits(numbers: list[int]) -> None:
    now = ReceptionCounters(*numbers[:3], 0.0, 1)
    before = ReceptionCounters(*numbers[3:], 0.0, 1)
    assert 0 <= fraction_lost(now, before) <= 255


def test_jitter_moves_a_sixteenth_of_the_way() -> None:
    assert advance_jitter(0.0, 160) == 10
    assert advance_jitter(16.0, -16) == 16
    jitter = 0.0
    for step in range(400):
        jitter = advance_jitter(jitter, 80 if step % 2 else -80)
    assert jitter == pytest.approx(80, abs=0.01)


def test_the_middle_of_an_ntp_time_is_in_65536ths_of_a_second() -> None:
    assert ntp_middle(NTP) == 0xE3E48000
    assert ntp_middle(ntp_at(1)) - ntp_middle(NTP) == 65536


def test_a_round_trip_is_what_the_other_side_did_not_wait() -> None:
    # The example of RFC 3550 6.4.1: 6.125 s.
    assert round_trip_seconds(0xB7108000, 0xB7052000, 0x00054000) == 6.125


def test_a_round_trip_over_the_wrap_of_the_clock_is_right() -> None:
    assert round_trip_seconds(0x00004000, 0xFFFFC000, 0x4000) == 0.25


def test_no_report_heard_gives_no_round_trip_and_a_set_clock_none_below_zero() -> None:
    assert round_trip_seconds(5, 0, 0) is None
    assert round_trip_seconds(0x10000, 0x10000, 0x100) == 0.0


# --- reports ------------------------------------------------------------------------


def test_who_has_sent_nothing_writes_a_receiver_report_with_its_name() -> None:
    session, sender = a_session()
    report, description = RtcpCompound.parse(session.report(1.0, NTP)).packets
    assert report == ReceiverReport(sender.ssrc)
    assert description == SourceDescription((SdesChunk(sender.ssrc, (SdesItem(1, "leg1@here"),)),))


def test_who_sends_writes_what_it_has_sent() -> None:
    session, sender = a_session()
    sender.next(bytes(160), 160)
    sender.next(bytes(160), 160)
    report = RtcpCompound.parse(session.report(1.0, NTP)).packets[0]
    assert report == SenderReport(sender.ssrc, NTP, sender.timestamp, 2, 320)


def test_who_stops_sending_writes_one_more_sender_report_and_then_none() -> None:
    session, sender = a_session()
    kinds = []
    for sent in (1, 0, 0, 0, 1):
        for _ in range(sent):
            sender.next(bytes(160), 160)
        kinds.append(type(RtcpCompound.parse(session.report(1.0, NTP)).packets[0]))
    assert kinds == [SenderReport, SenderReport, ReceiverReport, ReceiverReport, SenderReport]


def test_counts_wrap_at_32_bits() -> None:
    session, sender = a_session()
    sender.packets, sender.octets = (1 << 32) + 5, (1 << 33) + 6
    report = RtcpCompound.parse(session.report(1.0, NTP)).packets[0]
    assert isinstance(report, SenderReport)
    assert (report.packets, report.octets) == (5, 6)


def test_what_was_heard_is_reported() -> None:
    session, _ = a_session()
    report = RtcpCompound.parse(session.report(1.0, NTP, HEARD)).packets[0]
    assert isinstance(report, ReceiverReport)
    assert report.reports == (
        block_about(77, fraction_lost=12, cumulative_lost=5, highest_extended=199, jitter_units=12),
    )


def test_a_second_report_speaks_of_the_time_since_the_first() -> None:
    session, _ = a_session()
    session.report(1.0, NTP, HEARD)
    later = replace(HEARD, highest_extended=299, received=170)
    block = only_block(session.report(6.0, NTP, later))
    assert (block.fraction_lost, block.cumulative_lost) == (64, 30)


def test_counters_beyond_their_fields_are_cut_to_fit() -> None:
    session, _ = a_session()
    huge = ReceptionCounters(0, (1 << 32) + 3, 0, 1e18, 1)
    block = only_block(session.report(1.0, NTP, huge))
    assert (block.highest_extended, block.jitter_units) == (3, 0xFFFFFFFF)


def test_a_senders_report_is_named_with_how_long_ago_it_came() -> None:
    session, _ = a_session()
    session.receive(bytes(RtcpCompound((SenderReport(77, NTP, 0, 0, 0),))), now=10.0)
    block = only_block(session.report(11.5, NTP, HEARD))
    assert (block.last_sr, block.delay_since_last_sr) == (ntp_middle(NTP), 98304)


def test_the_report_of_another_source_is_not_named() -> None:
    session, _ = a_session()
    session.receive(bytes(RtcpCompound((SenderReport(78, NTP, 0, 0, 0),))), now=10.0)
    block = only_block(session.report(11.5, NTP, HEARD))
    assert (block.last_sr, block.delay_since_last_sr) == (0, 0)


# --- what the other side says -------------------------------------------------------


def test_two_sessions_measure_the_round_trip_between_them() -> None:
    here, sender = a_session(1)
    there, _ = a_session(2)
    sender.next(bytes(160), 160)
    asked = here.report(100.0, ntp_at(0))
    there.receive(asked, now=500.03)  # 30 ms under way, and another machine's clock
    heard = ReceptionCounters(0, 99, 90, 80.0, sender.ssrc)
    answer = there.report(502.03, ntp_at(77), heard)
    here.receive(answer, now=102.05)  # 20 ms under way
    assert here.rtt_ms == pytest.approx(50, abs=0.1)
    assert here.remote_loss == pytest.approx(0.1, abs=0.005)
    assert here.remote_lost == 10
    assert here.remote_jitter_ms == 10.0
    assert here.remote_cname == "leg2@here"


def test_a_wall_clock_that_is_set_does_not_spoil_the_round_trip() -> None:
    here, sender = a_session()
    sender.next(b"", 160)
    here.report(100.0, ntp_at(0))
    block = block_about(sender.ssrc, last_sr=ntp_middle(NTP), delay_since_last_sr=0)
    here.report(103.0, ntp_at(-3600))
    here.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), now=103.25)
    assert here.rtt_ms == pytest.approx(3250, abs=0.1)


def test_an_answer_to_a_report_we_never_sent_measures_nothing() -> None:
    here, sender = a_session()
    block = block_about(sender.ssrc, last_sr=12345, delay_since_last_sr=1)
    here.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), now=1.0)
    assert here.rtt_ms is None
    assert here.remote_loss == 0.0


def test_a_delay_longer_than_possible_is_a_round_trip_of_zero() -> None:
    here, sender = a_session()
    sender.next(b"", 160)
    here.report(100.0, NTP)
    block = block_about(sender.ssrc, last_sr=ntp_middle(NTP), delay_since_last_sr=65536 * 60)
    here.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), now=101.0)
    assert here.rtt_ms == 0.0


def test_blocks_about_other_sources_say_nothing_about_us() -> None:
    here, sender = a_session()
    block = block_about(sender.ssrc ^ 1, fraction_lost=200)
    here.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), now=1.0)
    assert here.remote_loss is None
    assert here.remote_lost is None


def test_a_goodbye_names_the_source_that_left() -> None:
    here, sender = a_session()
    here.receive(bytes(RtcpCompound((ReceiverReport(9), Goodbye((sender.ssrc,))))), now=1.0)
    assert here.remote_left is None  # somebody else may not say goodbye for us
    here.receive(bytes(RtcpCompound((ReceiverReport(9), Goodbye((9,), "done")))), now=1.0)
    assert here.remote_left == 9


def test_a_name_given_to_our_own_source_is_not_the_other_sides() -> None:
    here, sender = a_session()
    names = tuple(
        SdesChunk(ssrc, (SdesItem(2, "nobody"), SdesItem(1, name)))
        for ssrc, name in ((9, "theirs"), (sender.ssrc, "ours"))
    )
    compound = RtcpCompound((ReceiverReport(9), SourceDescription(names)))
    here.receive(bytes(compound), now=1.0)
    assert here.remote_cname == "theirs"


def test_garbage_is_counted_and_changes_nothing() -> None:
    here, _ = a_session()
    due = here.next_timeout()
    assert here.receive(b"garbage", now=1.0) is None
    assert here.receive(b"", now=1.0) is None
    assert (here.malformed, here.received) == (2, 0)
    assert here.next_timeout() == due


def test_foreign_packets_inside_are_counted() -> None:
    here, _ = a_session()
    foreign = b"\x80\xcc\x00\x01\x00\x00\x00\x09"
    compound = here.receive(bytes(RtcpCompound((ReceiverReport(9),))) + foreign, now=1.0)
    assert compound is not None
    assert (here.received, here.skipped) == (1, 1)


@given(st.binary(max_size=100), st.floats(0, 1e9))
def test_receiving_never_raises(tail: bytes, now: float) -> None:
    here, sender = a_session()
    sender.next(b"", 160)
    here.report(0.0, NTP)
    here.receive(tail, now)
    here.receive(bytes.fromhex("80c90001 00000007") + tail, now)
    assert here.received + here.malformed == 2
    assert here.report(now, NTP, HEARD)


# --- when ---------------------------------------------------------------------------


def test_intervals_are_random_around_five_seconds_and_the_first_is_half() -> None:
    session, _ = a_session()
    firsts = [a_session(seed)[0].next_timeout() for seed in range(200)]
    later = []
    for _ in range(400):
        session.report(0.0, NTP)
        later.append(session.next_timeout())
    # Half to one and a half times five seconds, over 1.218 (RFC 3550 6.3.1).
    assert 2.0 < min(later) < 2.4
    assert 5.8 < max(later) < 6.2
    assert 1.0 < min(firsts) < 1.2
    assert 2.9 < max(firsts) < 3.1


def test_a_shorter_interval_may_be_asked_for() -> None:
    session, _ = a_session(interval_seconds=1.0)
    session.report(50.0, NTP)
    assert 50.4 < session.next_timeout() < 51.3


def test_a_thin_line_is_reported_on_less_often() -> None:
    session, _ = a_session(bandwidth_bps=4000.0)  # 25 bytes a second for RTCP
    session.report(0.0, NTP)
    assert session.next_timeout() > 3.5
    assert session.next_timeout() < 12


@pytest.mark.parametrize("cname", ["", "x" * 256])
def test_a_name_that_does_not_fit_is_refused(cname: str) -> None:
    rng = random.Random(1)
    with pytest.raises(UsageError, match="canonical name"):
        RtcpSession(RtpSender(0, rng), cname, rng, 0.0)


@pytest.mark.parametrize("wrong", [{"interval_seconds": 0.0}, {"bandwidth_bps": -1.0}])
def test_an_interval_or_bandwidth_of_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="more than nothing"):
        a_session(**wrong)


# --- leaving ------------------------------------------------------------------------


def test_a_goodbye_is_a_whole_compound_packet() -> None:
    session, sender = a_session()
    sender.next(b"", 160)
    report, description, goodbye = RtcpCompound.parse(session.bye("call over")).packets
    assert report == ReceiverReport(sender.ssrc)
    assert isinstance(description, SourceDescription)
    assert goodbye == Goodbye((sender.ssrc,), "call over")


def test_who_was_never_heard_says_no_goodbye() -> None:
    session, _ = a_session()
    assert session.bye() == b""
    session.report(0.0, NTP)
    assert RtcpCompound.parse(session.bye()).packets[-1] == Goodbye((session._sender.ssrc,))


class Steady:
    """A generator whose every draw is the middle one."""

    def getrandbits(self, bits: int) -> int:
        return 1 << (bits - 1)


COMPENSATION = 1.2182818284590451  # e - 1.5 (RFC 3550 6.3.1)


def test_intervals_follow_the_mean_size_of_what_is_sent_and_received() -> None:
    # 1600 bit/s leave RTCP 10 bytes a second, for two parties.
    rng = Steady()
    session = RtcpSession(RtpSender(0, rng), "leg@here", rng, 0.0, bandwidth_bps=1600)
    assert session.next_timeout() == pytest.approx(2 * 120 / 10 / COMPENSATION)
    size = 120.0
    other, _ = a_session(2)
    for _ in range(40):
        data = other.report(0.0, NTP)
        session.receive(data, 0.0)
        size += (len(data) + 28 - size) / 16
    data = session.report(0.0, NTP)
    size += (len(data) + 28 - size) / 16
    assert session.next_timeout() == pytest.approx(2 * size / 10 / COMPENSATION)


def test_the_fraction_is_in_256ths_of_what_was_expected() -> None:
    assert fraction_lost(ReceptionCounters(1, 3, 1, 0.0, 7), None) == 170
    assert fraction_lost(ReceptionCounters(1, 4, 3, 0.0, 7), None) == 64
    assert fraction_lost(ReceptionCounters(1, 1, 0, 0.0, 7), None) == 255


def test_before_a_senders_report_is_heard_none_is_named() -> None:
    session, _ = a_session()
    (report, _) = RtcpCompound.parse(session.report(1.0, NTP, HEARD)).packets
    assert isinstance(report, ReceiverReport)
    assert (report.reports[0].last_sr, report.reports[0].delay_since_last_sr) == (0, 0)


def test_the_loss_that_the_other_side_reports_is_a_share() -> None:
    session, sender = a_session()
    block = ReportBlock(sender.ssrc, 128, 10, 0, 80, 0, 0)
    session.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), 0.0)
    assert (session.remote_loss, session.remote_lost, session.remote_jitter_ms) == (0.5, 10, 10.0)


def test_who_has_heard_no_report_measures_nothing_even_at_midnight_of_the_clock() -> None:
    session, sender = a_session()
    sender.next_at(0, b"audio", 0, False)
    session.report(0.0, 0)  # the middle of this NTP time is 0, which also means "none heard"
    block = ReportBlock(sender.ssrc, 0, 0, 0, 0, 0, 0)
    session.receive(bytes(RtcpCompound((ReceiverReport(9, (block,)),))), 5.0)
    assert session.rtt_ms is None
