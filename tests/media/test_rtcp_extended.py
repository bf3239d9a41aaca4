"""Extended reports between two sessions."""

import random

import pytest

from trunkline.media.rtcp import ReceiverReport, RtcpCompound
from trunkline.media.rtcp_extended import ExtendedReports
from trunkline.media.rtcp_session import RtcpSession
from trunkline.media.rtcp_xr import (
    ExtendedReport,
    ReceiverDelay,
    ReceiverTime,
    StatisticsSummary,
    VoipMetrics,
)
from trunkline.media.rtp import RtpSender

NTP = 0xE1E2E3E4_80000000


def a_session(seed: int) -> tuple[RtcpSession, RtpSender]:
    rng = random.Random(seed)
    sender = RtpSender(0, rng)
    return RtcpSession(sender, f"leg{seed}", rng, 0.0), sender


def ntp_at(seconds: float) -> int:
    return NTP + int(seconds * (1 << 32))


def extended(data: bytes) -> ExtendedReport | None:
    packets = RtcpCompound.parse(data).packets
    return next((one for one in packets if isinstance(one, ExtendedReport)), None)


def test_two_sides_that_send_nothing_learn_the_round_trip_all_the_same() -> None:
    (here, _), (there, _) = a_session(1), a_session(2)
    asked = here.report(1.0, ntp_at(1.0), extended=())
    there.receive(asked, 1.05)
    answer = there.report(3.05, ntp_at(3.05))
    here.receive(answer, 3.12)
    assert here.rtt_ms == pytest.approx(120, abs=0.1)


def test_who_did_not_ask_is_sent_none() -> None:
    here, _ = a_session(1)
    assert extended(here.report(1.0, ntp_at(1.0))) is None


def test_a_sender_does_not_ask_for_what_its_sender_report_tells() -> None:
    here, sender = a_session(1)
    sender.next(bytes(160), 160, False)
    metrics = VoipMetrics(7, r_factor=80)
    report = extended(here.report(1.0, ntp_at(1.0), extended=(metrics,)))
    assert report is not None
    assert report.blocks == (metrics,)
    assert report.ssrc == sender.ssrc


def test_a_time_is_answered_once() -> None:
    here, _ = a_session(1)
    asked = bytes(RtcpCompound((ReceiverReport(9), ExtendedReport(9, (ReceiverTime(NTP),)))))
    here.receive(asked, 1.0)
    first = extended(here.report(2.0, ntp_at(2.0)))
    assert first is not None
    assert first.blocks == ((ReceiverDelay(9, NTP >> 16 & 0xFFFFFFFF, 65536),),)
    assert extended(here.report(3.0, ntp_at(3.0))) is None


def test_metrics_of_our_audio_are_kept_and_those_of_others_are_not() -> None:
    ours = ExtendedReports()
    about_us = VoipMetrics(5, r_factor=70)
    counted = StatisticsSummary(5, 0, 10, lost=2)
    report = ExtendedReport(9, (VoipMetrics(6, r_factor=10), about_us, counted), skipped=2)
    assert ours.hear(report, 5, 1.0) is None
    assert (ours.metrics, ours.summary) == (about_us, counted)
    assert (ours.heard, ours.skipped) == (1, 2)


@pytest.mark.parametrize(
    "delay",
    [ReceiverDelay(5, 0, 0), ReceiverDelay(5, 123, 0), ReceiverDelay(6, 0x80000000, 0)],
)
def test_answers_to_nothing_we_asked_tell_nothing(delay: ReceiverDelay) -> None:
    ours = ExtendedReports()
    ours.blocks(1.0, NTP, ask=True)
    assert ours.hear(ExtendedReport(9, ((delay,),)), 5, 2.0) is None


def test_a_broken_extended_report_costs_nothing_but_itself() -> None:
    here, _ = a_session(1)
    broken = b"\x80\xcf\x00\x03" + bytes(4) + b"\x07\x00\x00\x00" + b"\x07\x00\x00\x08"
    assert here.receive(bytes(ReceiverReport(9)) + broken, 1.0) is not None
    assert (here.received, here.malformed, here.skipped) == (1, 0, 1)
    assert here.extended.heard == 0


def test_reports_that_know_nothing_new_of_our_packets_are_counted() -> None:
    from dataclasses import replace

    from trunkline.media.rtcp import ReportBlock

    here, sender = a_session(1)
    block = ReportBlock(sender.ssrc, 0, 0, 100, 0, 0, 0)

    def hear(*blocks: ReportBlock) -> int:
        here.receive(bytes(RtcpCompound((ReceiverReport(9, blocks),))), 1.0)
        return here.remote_deaf

    assert [hear(), hear(), hear(block), hear(block)] == [1, 2, 0, 1]
    assert hear(replace(block, highest_extended=101)) == 0
