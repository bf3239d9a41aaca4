"""Extended reports: bytes as the RFC draws them, round trips, and what peers get wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.errors import MalformedRtcpError
from trunkline.media.rtcp_xr import (
    Concealing,
    ExtendedReport,
    ReceiverDelay,
    ReceiverTime,
    StatisticsSummary,
    VoipMetrics,
)

SHARES = st.integers(0, 255).map(lambda value: value / 256)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
LEVELS = st.none() | st.integers(-128, 126)
FACTORS = st.none() | st.integers(0, 100)
SCORES = st.none() | st.integers(10, 50).map(lambda value: value / 10)

METRICS = st.builds(
    VoipMetrics,
    ssrc=U32, loss=SHARES, discard=SHARES, burst_density=SHARES, gap_density=SHARES,
    burst_ms=U16, gap_ms=U16, round_trip_ms=U16, end_system_ms=U16,
    signal_dbm0=LEVELS, noise_dbm0=LEVELS, echo_return_loss_db=st.none() | st.integers(0, 126),
    gmin=st.integers(1, 255), r_factor=FACTORS, external_r_factor=FACTORS,
    listening_score=SCORES, conversation_score=SCORES,
    concealing=st.sampled_from(Concealing), adaptive=st.sampled_from([None, True, False]),
    adaptation_rate=st.integers(0, 15), buffer_ms=U16, buffer_maximum_ms=U16, buffer_limit_ms=U16,
)  # fmt: skip
DELAYS = st.lists(st.builds(ReceiverDelay, U32, U32, U32), min_size=1, max_size=5).map(tuple)
BLOCKS = METRICS | st.builds(ReceiverTime, st.integers(0, (1 << 64) - 1)) | DELAYS
REPORTS = st.builds(ExtendedReport, U32, st.lists(BLOCKS, max_size=5).map(tuple))


@given(REPORTS)
def test_what_is_written_is_read(report: ExtendedReport) -> None:
    written = bytes(report)
    assert len(written) % 4 == 0
    assert written[0] == 0x80
    assert written[1] == 207
    assert int.from_bytes(written[2:4], "big") == len(written) // 4 - 1
    assert ExtendedReport.parse(written[4:]) == report


def test_voip_metrics_are_laid_out_as_the_rfc_draws_them() -> None:
    written = bytes(
        VoipMetrics(
            0x01020304, loss=0.05, discard=0.5, burst_ms=300, round_trip_ms=120, signal_dbm0=-20,
            r_factor=88, listening_score=4.1, conversation_score=3.9,
            concealing=Concealing.ENHANCED, adaptive=True, adaptation_rate=2,
            buffer_ms=60, buffer_maximum_ms=120, buffer_limit_ms=200,
        )
    )  # fmt: skip
    assert written[:4] == bytes([7, 0, 0, 8])
    assert written[4:8] == bytes([1, 2, 3, 4])
    assert written[8:10] == bytes([12, 128])  # 0.05 * 256, rounded down
    assert written[12:14] == (300).to_bytes(2, "big")
    assert written[20:22] == bytes([0xEC, 127])  # -20 dBm0; the noise is not known
    assert written[22:28] == bytes([127, 16, 88, 127, 41, 39])
    assert written[28] == 0b10_11_0010
    assert written[30:] == bytes([0, 60, 0, 120, 0, 200])


def test_figures_out_of_range_are_told_as_the_nearest() -> None:
    found = VoipMetrics.parse(
        bytes(VoipMetrics(1, loss=1.0, round_trip_ms=70_000, signal_dbm0=-300, r_factor=120))[4:]
    )
    assert (found.loss, found.round_trip_ms) == (255 / 256, 65535)
    assert (found.signal_dbm0, found.r_factor) == (-128, 100)


def test_other_blocks_are_skipped_and_counted() -> None:
    body = bytes([0, 0, 0, 9]) + bytes([1, 0, 0, 1, 9, 9, 9, 9]) + bytes(ReceiverTime(5))
    report = ExtendedReport.parse(body)
    assert report == ExtendedReport(9, (ReceiverTime(5),), 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\1",
        b"\0\0\0\1\7\0",
        b"\0\0\0\1\7\0\0\1\0\0\0\0",
        b"\0\0\0\1\4\0\0\1\0\0\0\0",
        b"\0\0\0\1\5\0\0\1\0\0\0\0",
        b"\0\0\0\1\7\0\0\x08",
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRtcpError):
        ExtendedReport.parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        report = ExtendedReport.parse(body)
    except MalformedRtcpError:
        return
    ExtendedReport.parse(bytes(report)[4:])


def test_a_packet_has_an_end() -> None:
    with pytest.raises(UsageError, match="at most"):
        bytes(ExtendedReport(1, (VoipMetrics(1),) * 8000))


@given(
    st.builds(
        StatisticsSummary,
        ssrc=U32, begin=U16, end=U16, lost=st.none() | U32, duplicates=st.none() | U32,
        jitter_units=st.none() | st.tuples(U32, U32, U32, U32),
    )
)  # fmt: skip
def test_a_summary_that_is_written_is_read(summary: StatisticsSummary) -> None:
    written = bytes(ExtendedReport(1, (summary,)))
    assert ExtendedReport.parse(written[4:]).blocks == (summary,)


def test_a_summary_is_laid_out_as_the_rfc_draws_it() -> None:
    written = bytes(StatisticsSummary(0x01020304, 5, 260, lost=3, jitter_units=(1, 9, 4, 2)))
    assert written[:4] == bytes([6, 0xA0, 0, 9])
    assert written[4:12] == bytes([1, 2, 3, 4, 0, 5, 1, 4])
    assert written[12:20] == bytes([0, 0, 0, 3, 0, 0, 0, 0])
    assert written[20:36] == bytes([0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 2])
    assert len(written) == 40


def test_a_summary_of_another_length_is_malformed() -> None:
    with pytest.raises(MalformedRtcpError):
        ExtendedReport.parse(bytes(4) + b"\x06\x00\x00\x01" + bytes(4))
