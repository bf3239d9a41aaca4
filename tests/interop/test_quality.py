"""The quality monitor from outside: known losses, dead directions, holds, reports, a ladder."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.events import CallQuality
from trunkline.calls.quality_snapshot import QualitySnapshot
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.media.burst_gap import BurstGap
from trunkline.media.g711 import Law, encode
from trunkline.media.rtcp import (
    ReceiverReport,
    RtcpCompound,
    SdesChunk,
    SdesItem,
    SourceDescription,
)
from trunkline.media.rtcp_xr import ExtendedReport, StatisticsSummary, VoipMetrics
from trunkline.settings import Quality, Secret

from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Peer, sdp, stream
from .programs import Baresip

Start = Callable[..., RunningNode]
XR = "a=rtcp-xr:rcvr-rtt=all voip-metrics stat-summary=loss,dup,jitt\r\n"


def speech(frames: int, dbov: float = -26.0) -> list[bytes]:
    """A tone of this level as frames of mu-law."""
    t = np.arange(frames * 160)
    wave = 32768 * 10 ** (dbov / 20) * 2**0.5 * np.sin(2 * np.pi * 440 * t / 8000)
    codes = encode(np.rint(wave).astype(np.int16), Law.ULAW).tobytes()
    return [codes[at : at + 160] for at in range(0, len(codes), 160)]


@pytest.fixture
def peer(start: Start) -> Iterator[tuple[RunningNode, Peer, Dialled, MediaPort]]:
    """A node and a telephone beside it, which has not called yet."""
    node = start(quality=Quality(sample_seconds=1, one_way_seconds=2, silence_seconds=2))
    with Peer(node.sip_port) as phone, MediaPort() as media:
        yield node, phone, Dialled(phone), media


def record_of(node: RunningNode) -> CallRecord:
    """The only call's record with all that a list leaves out."""
    assert node.node.keeper._records is not None
    node.node.keeper._records.flush()
    (listed,) = node.records()
    assert listed.ladder == listed.series == {}
    return RecordStore(node.settings.records.path).get(listed.id)


def alarms(node: RunningNode) -> list[tuple[str, str, bool]]:
    return [(e.kind, e.way, e.raised) for e in node.events if isinstance(e, CallQuality)]


def test_losses_of_the_network_are_those_of_the_record(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    target = call.answered(sdp(media.port)).media
    frames = speech(200)
    lost = {20, 21, 22, 25, 80, 120, 121, 150}
    truth = BurstGap()
    for index in range(200):
        (truth.lost if index in lost else truth.received)()
    schedule = [each for index, each in enumerate(stream(frames)) if index not in lost]
    media.play(target, schedule).join()
    call.bye()
    node.assert_clean()
    record = record_of(node)
    found, expected = record.quality, truth.statistics()
    # A machine that is busy makes packets late beside those that are lost.
    late = found["late"] or 0
    assert found["lost"] == len(lost)
    assert found["loss"] == pytest.approx(expected.loss, abs=(late + 0.01) / 200)
    if not late:
        assert found["bursts"] == expected.bursts
        assert found["burst_ms"] == pytest.approx(expected.mean_burst_packets * 20)
        assert found["burst_density"] == pytest.approx(expected.burst_density, abs=1e-3)
        assert record.series["runs"] == {
            "1": 3, "2": 1, "3": 1, "4-5": 0, "6-10": 0, "11-20": 0, "21-50": 0, "51-": 0,
        }  # fmt: skip
    assert 1 < (found["mos"] or 0) < (found["mos_listening"] or 0) < 4.41
    assert found["speech_in_dbov"] == pytest.approx(-26, abs=1)
    assert sum(record.series["delays"].values()) > 20
    series = record.series
    assert series["step"] == 1
    assert len(series["in"]["mos"]) == len(series["out"]["level"]) >= 3
    assert max(series["in"]["loss"]) > 0


def test_a_good_call_has_the_best_score_there_is_and_no_alarm(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    target = call.answered(sdp(media.port)).media
    playing = media.play(target, stream(speech(150)))
    until(lambda: node.calls and node.calls[0].quality is not None)
    snapshot = node.calls[0].quality
    assert snapshot is not None
    assert snapshot.heard.mos is not None
    assert snapshot.sent.silence is not None
    playing.join()
    call.bye()
    node.assert_clean()
    found = record_of(node).quality
    assert found["mos_listening"] == pytest.approx(4.41, abs=0.3)
    assert alarms(node) == []
    assert "media_ended_early_seconds" not in found


def test_a_caller_who_falls_silent_is_told_of_within_the_time_and_when_he_is_back(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    target = call.answered(sdp(media.port)).media
    frames = speech(400)
    media.play(target, stream(frames[:50])).join()
    stopped = time.monotonic()
    until(lambda: ("one-way", "in", True) in alarms(node), seconds=8)
    (event,) = [e for e in node.events if isinstance(e, CallQuality) and e.kind == "one-way"]
    # By the media's own clock, as this thread may be late.
    assert event.at - stopped < 2.5
    gone = int((time.monotonic() - stopped) / 0.02)
    media.play(
        target, stream(frames[:150], sequence=1050 + gone, timestamp=50_000 + (50 + gone) * 160)
    ).join()
    until(lambda: ("one-way", "in", False) in alarms(node), seconds=8)
    call.bye()
    node.assert_clean()
    assert record_of(node).quality["alarms_one-way"] == 1


def test_a_caller_who_never_sends_is_one_way_and_his_media_ended_early(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    call.answered(sdp(media.port))
    until(lambda: ("one-way", "in", True) in alarms(node), seconds=8)
    time.sleep(1.2)
    call.bye()
    node.assert_clean()
    assert (record_of(node).quality["media_ended_early_seconds"] or 0) > 1


def test_no_alarm_before_the_answer_or_while_somebody_holds(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    call.answered(sdp(media.port, direction="sendonly", version=1))
    time.sleep(3.5)
    assert alarms(node) == []
    call.invite(sdp(media.port, version=2))
    call.ok()
    call.ack()
    # Now there is to be something again.
    until(lambda: ("one-way", "in", True) in alarms(node), seconds=8)
    node.run(node.calls[0].hangup())
    node.assert_clean()


def test_packets_full_of_silence_are_told_of_as_silence_and_not_as_one_way(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    target = call.answered(sdp(media.port)).media
    media.play(target, stream([b"\xff" * 160] * 220)).join()
    call.bye()
    node.assert_clean()
    assert ("silence", "in", True) in alarms(node)
    assert ("one-way", "in", True) not in alarms(node)
    assert record_of(node).quality["silence_in"] == 1.0


def test_a_bad_stretch_is_poor_and_a_good_one_after_it_is_not(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    target = call.answered(sdp(media.port)).media
    schedule = [
        each
        for index, each in enumerate(stream(speech(350)))
        if not (50 <= index < 200 and index % 5 < 2)
    ]
    media.play(target, schedule).join()
    call.bye()
    node.assert_clean()
    assert [e for e in alarms(node) if e[0] == "poor"] == [
        ("poor", "in", True),
        ("poor", "in", False),
    ]


def test_extended_reports_are_sent_where_they_are_asked_for_and_read(
    start: Start, tmp_path: Path
) -> None:
    node = start(quality=Quality(sample_seconds=1))
    with Peer(node.sip_port) as phone, MediaPort() as media, MediaPort() as reports:
        call = Dialled(phone)
        extra = f"a=rtcp:{reports.port}\r\n{XR}"
        answer = call.answered(sdp(media.port, extra=extra))
        assert b"a=rtcp-xr:" in answer.body
        host, port = answer.media
        playing = media.play((host, port), stream(speech(350)))
        until(lambda: media.received)
        ours = media.received[0].ssrc
        told = VoipMetrics(
            ours, loss=0.05, discard=0.02, r_factor=61, listening_score=3.4,
            conversation_score=3.1, signal_dbm0=-19,
        )  # fmt: skip
        compound = RtcpCompound(
            (
                ReceiverReport(0x1234),
                SourceDescription((SdesChunk(0x1234, (SdesItem(1, "peer"),)),)),
                ExtendedReport(0x1234, (told,)),
            )
        )
        reports.socket.sendto(bytes(compound), (host, port + 1))
        until(lambda: any(_extended(data) for data in reports.reports), seconds=12)
        playing.join()
        call.bye()
        node.assert_clean()
    (blocks, *_) = [found for data in reports.reports if (found := _extended(data))]
    metrics = next(block for block in blocks if isinstance(block, VoipMetrics))
    summary = next(block for block in blocks if isinstance(block, StatisticsSummary))
    assert metrics.ssrc == summary.ssrc == 0x1234
    assert (metrics.loss, metrics.gmin, summary.lost) == (0, 16, 0)
    assert metrics.r_factor is not None
    assert metrics.signal_dbm0 == -20
    found = record_of(node).quality
    assert (found["remote_r"], found["remote_mos"]) == (61, 3.1)
    assert found["remote_discard"] == pytest.approx(5 / 256, abs=1e-3)


def _extended(data: bytes) -> tuple[Any, ...]:
    packets = RtcpCompound.parse(data).packets
    return next((one.blocks for one in packets if isinstance(one, ExtendedReport)), ())


def test_no_extended_report_goes_to_who_did_not_ask(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    answer = call.answered(sdp(media.port))
    assert b"rtcp-xr" not in answer.body
    call.bye()
    node.assert_clean()


def test_a_calls_messages_are_with_its_record(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, phone, call, media = peer
    call.answered(sdp(media.port))
    call.bye()
    node.assert_clean()
    messages = record_of(node).ladder["messages"]
    first = [each["text"].split("\r\n")[0] for each in messages]
    assert [line.split()[0 if not line.startswith("SIP") else 1] for line in first] == [
        "INVITE", "100", "200", "ACK", "BYE", "200",
    ]  # fmt: skip
    assert [each["sent"] for each in messages] == [False, True, True, False, False, True]
    assert {each["peer"] for each in messages} == {f"udp:127.0.0.1:{phone.port}"}
    assert all(0 <= each["at"] < 30 for each in messages[2:])
    assert "m=audio" in messages[0]["text"]


def test_a_refused_calls_ladder_has_the_acknowledgement_that_came_after_its_end(
    start: Start,
) -> None:
    from trunkline.calls.switchboard import Switchboard

    node = start(Switchboard())
    with Peer(node.sip_port) as phone:
        call = Dialled(phone, "999")
        call.invite(sdp(30_000))
        call.refuse_ack(phone.status(404))
        until(node.records)
        until(lambda: record_of(node).ladder, seconds=8)
    texts = [each["text"] for each in record_of(node).ladder["messages"]]
    assert texts[-1].startswith("ACK ")
    assert " 404 " in texts[-2]


def test_passwords_and_media_keys_are_in_no_ladder(
    peer: tuple[RunningNode, Peer, Dialled, MediaPort],
) -> None:
    node, _, call, media = peer
    body = sdp(media.port, extra="a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRETKEY\r\n")
    digest = 'Digest username="u", realm="r", nonce="NONCE", response="0a4f113b"'
    call.invite(body, [("Authorization", digest)])
    call.ok()
    call.ack()
    call.bye()
    node.assert_clean()
    text = json.dumps(record_of(node).ladder)
    assert "SECRETKEY" not in text
    assert "0a4f113b" not in text
    assert 'username=\\"u\\"' in text


class Collector:
    """A HEP3 collector that reads strictly, with nothing of ours."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(3)
        self.port: int = self.socket.getsockname()[1]

    def packet(self) -> dict[int, bytes]:
        data = self.socket.recv(65_535)
        assert data[:4] == b"HEP3"
        assert struct.unpack_from("!H", data, 4)[0] == len(data)
        found: dict[int, bytes] = {}
        at = 6
        while at < len(data):
            vendor, kind, length = struct.unpack_from("!HHH", data, at)
            assert vendor == 0
            assert length >= 6
            assert at + length <= len(data)
            assert kind not in found
            found[kind] = data[at + 6 : at + length]
            at += length
        sizes = {1: 1, 2: 1, 3: 4, 4: 4, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4}
        assert {kind: len(found[kind]) for kind in sizes} == sizes
        assert found[1] == b"\x02"
        assert abs(int.from_bytes(found[9], "big") - time.time()) < 60
        assert int.from_bytes(found[10], "big") < 1_000_000
        return found

    def until(
        self, wanted: Callable[[dict[int, bytes]], bool], most: int = 200
    ) -> dict[int, bytes]:
        for _ in range(most):
            packet = self.packet()
            if wanted(packet):
                return packet
        raise AssertionError("never told")


def test_a_collector_is_told_of_sip_reports_and_quality(start: Start) -> None:
    collector = Collector()
    node = start(
        quality=Quality(
            sample_seconds=1,
            hep=f"udp:127.0.0.1:{collector.port}",
            hep_id=2002,
            hep_password=Secret("pw"),
        )
    )
    with Peer(node.sip_port) as phone, MediaPort() as media:
        call = Dialled(phone)
        target = call.answered(sdp(media.port)).media
        media.play(target, stream(speech(400)))
        invite = collector.until(lambda each: each[15].startswith(b"INVITE "))
        assert invite[11] == b"\x01"
        assert int.from_bytes(invite[12], "big") == 2002
        assert invite[14] == b"pw"
        assert int.from_bytes(invite[7], "big") == phone.port
        assert int.from_bytes(invite[8], "big") == node.sip_port
        answer = collector.until(lambda each: each[15].startswith(b"SIP/2.0 200"))
        assert int.from_bytes(answer[7], "big") == node.sip_port
        quality = collector.until(lambda each: each[11] == b"\x20")
        assert quality[17].decode() == call.call_id
        figures = json.loads(quality[15])
        assert figures["codec"] == "PCMU"
        assert figures["ssrc_in"] == 0x1234
        assert figures["mos_in"] > 3.5
        report = collector.until(lambda each: each[11] == b"\x05")
        assert report[17].decode() == call.call_id
        told = json.loads(report[15])
        assert told["type"] == 200
        assert told["report_blocks"][0]["source_ssrc"] == 0x1234
        call.bye()
        node.assert_clean()
    collector.socket.close()


@pytest.mark.program("baresip")
def test_a_softphones_call_has_a_score_both_ways_and_a_round_trip(
    start: Start, tmp_path: Path
) -> None:
    node = start(quality=Quality(sample_seconds=1, extended_reports="offered"))
    with Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.calls and node.calls[0].quality is not None)
        # Their first reports come within seven and a half seconds.
        until(lambda: _snapshot(node).round_trip_ms is not None, seconds=25)
        until(lambda: _snapshot(node).sent.mos is not None, seconds=25)
        phone.command("hangup")
        node.assert_clean()
    found = record_of(node).quality
    assert found["rtt_most_ms"] is not None
    assert found["mos_listening"] == pytest.approx(4.41, abs=0.3)
    assert (found["mos_out"] or 0) > 3.5
    assert found["silence_in"] < 0.2
    assert ("one-way", "in", True) not in alarms(node)
    assert ("one-way", "out", True) not in alarms(node)


def _snapshot(node: RunningNode) -> QualitySnapshot:
    snapshot = node.calls[0].quality
    assert snapshot is not None
    return snapshot
