"""RTP ports and streams, on loopback sockets and an engine the test ticks."""

import asyncio
import errno
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.codec import G722
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.media.rtcp import ReceiverReport, ReportBlock, RtcpCompound
from trunkline.transports.rtp import MediaPolicy, RtpStream, StreamFormat
from trunkline.transports.rtp_socket import RtpPoller, RtpPorts, RtpSocket

FORMAT = StreamFormat(Law.ULAW, 0, {0: Law.ULAW, 8: Law.ALAW}, 101, 96)
LOCAL = MediaPolicy(loopback_only=True)


def rtp(sequence: int = 1, payload: bytes = bytes(160), kind: int = 0, ssrc: int = 5) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, sequence, sequence * 160, ssrc) + payload


class World:
    """A stream, its engine and a far end."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.engine = Engine()
        self.poller = RtpPoller(self.loop)
        self.ports = RtpPorts("127.0.0.1", 42_000, 48_000, random.Random())
        self.digits: list[str] = []
        self.timeouts: list[float] = []
        self.stream = RtpStream(
            "leg",
            engine=self.engine,
            poller=self.poller,
            ports=self.ports,
            policy=LOCAL,
            rng=random.Random(1),
            on_digit=lambda digit, duration, now: self.digits.append(digit),
            on_timeout=self.timeouts.append,
            **options,
        )
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far.bind(("127.0.0.1", 0))
        self.far.settimeout(1)
        self.remote = ("127.0.0.1", self.far.getsockname()[1])
        self.there = ("127.0.0.1", self.stream.port)

    def send(self, data: bytes, sock: socket.socket | None = None) -> None:
        """One datagram, read at once."""
        (sock or self.far).sendto(data, self.there)
        self.poller.read(1.0)

    def close(self) -> None:
        self.stream.close(9.0)
        self.poller.close()
        self.far.close()
        self.loop.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World(timeout_seconds=5.0)
    yield world
    world.close()


@pytest.mark.parametrize(
    ("host", "local", "anywhere"),
    [
        ("127.0.0.1", True, True),
        ("127.9.9.9", True, True),
        ("::1", True, True),
        ("192.0.2.1", False, True),
        ("10.0.0.1", False, True),
        ("224.0.0.1", False, False),
        ("0.0.0.0", False, False),
        ("255.255.255.255", False, False),
        ("192.0.2.255", False, False),
        ("a.name", False, False),
        ("", False, False),
    ],
)
def test_where_media_may_go(host: str, local: bool, anywhere: bool) -> None:
    assert LOCAL.allows(host) is local
    assert MediaPolicy(loopback_only=False).allows(host) is anywhere


@pytest.mark.parametrize("local", [True, False])
def test_an_address_of_the_other_family_cannot_be_sent_to(local: bool) -> None:
    four, six = (MediaPolicy(loopback_only=local, version=version) for version in (4, 6))
    assert (four.allows("127.0.0.1"), four.allows("::1")) == (True, False)
    assert (six.allows("127.0.0.1"), six.allows("::1")) == (False, True)


def test_a_stream_sends_silence_with_a_marker_at_its_start(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    for tick in range(3):
        for phase in range(PHASES):
            world.engine.tick(phase, 0.02 * tick)
    packets = [world.far.recv(2048) for _ in range(3)]
    seconds = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    assert [second[1] for second in seconds] == [0x80, 0, 0]
    assert {(b[3] - a[3]) & 0xFFFFFFFF for a, b in zip(seconds, seconds[1:], strict=False)} == {160}
    assert packets[0][12:] == b"\xff" * 160


def test_a_hold_advances_the_timestamp_and_is_followed_by_a_marker(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    stream.outlet.send(bytes(160), 1.00, silence=False)
    stream.sending = False
    assert stream.outlet.busy
    stream.outlet.send(b"", 1.02, silence=True)
    stream.sending = True
    stream.outlet.send(bytes(160), 2.00, silence=False)
    first, second = (struct.unpack("!BBHII", world.far.recv(2048)[:12]) for _ in range(2))
    assert (second[2] - first[2]) & 0xFFFF == 1
    assert (second[3] - first[3]) & 0xFFFFFFFF == 50 * 160
    assert second[1] == 0x80


def test_audio_is_taken_from_the_first_source_and_no_other(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        world.send(rtp(2), thief)
    assert world.stream.counters["foreign source"] == 1
    # A new address in the session description opens the latch.
    world.stream.update(FORMAT, ("127.0.0.1", 9))
    world.send(rtp(3))
    assert world.stream.remote == world.remote


def test_noise_is_counted_and_does_not_latch(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        world.send(b"hello", other)
        world.send(rtp(kind=50), other)
    assert world.stream.counters == {"not RTP": 1, "payload type": 1}
    world.send(rtp())
    world.send(rtp(2, kind=50))
    assert world.stream.counters["payload type"] == 2
    assert world.stream.statistics()["datagrams_payload type"] == 2.0


def test_media_may_not_be_sent_where_policy_forbids(world: World) -> None:
    with pytest.raises(UsageError, match="may not be sent to"):
        world.stream.open(FORMAT, ("192.0.2.1", 4000), 0.0)
    assert world.stream.lane is None


def test_digits_come_as_either_payload_type(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    end = bytes([5, 0x8A, 3, 32])
    world.send(rtp(1, end, 101))
    world.send(rtp(30, bytes([6, 0x8A, 3, 32]), 96))
    assert world.digits == ["5", "6"]


def test_a_digit_whose_end_was_lost_is_told_a_moment_after_its_last_packet(
    world: World,
) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp(1, bytes([5, 0x0A, 3, 32]), 101))
    assert world.digits == []
    world.stream.outlet.send(b"\xff" * 160, 1.1, silence=True)
    assert world.digits == []
    world.stream.outlet.send(b"\xff" * 160, 1.3, silence=True)
    assert world.digits == ["5"]
    world.stream.outlet.send(b"\xff" * 160, 1.5, silence=True)
    assert world.digits == ["5"]


def test_digits_are_sent_one_after_the_other_in_place_of_audio(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    stream.send_dtmf("1")
    stream.send_dtmf("2")
    assert stream.outlet.busy
    now = 0.0
    while stream.outlet.busy:
        now += 0.02
        stream.outlet.send(b"", now, silence=True)
        assert now < 5
    codes = []
    world.far.setblocking(False)
    while True:
        try:
            packet = world.far.recv(2048)
        except BlockingIOError:
            break
        assert packet[1] & 127 == 101
        if packet[12] not in codes:
            codes.append(packet[12])
    assert codes == [1, 2]


def test_digits_wait_while_we_are_held(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    stream.sending = False
    stream.send_dtmf("1")
    for tick in range(20):
        stream.outlet.send(b"", 0.02 * tick, silence=True)
    world.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        world.far.recv(2048)
    stream.sending = True
    assert stream.outlet.busy
    stream.outlet.send(b"", 1.0, silence=True)
    assert world.far.recv(2048)[1] & 127 == 101


def test_a_round_trip_nobody_can_believe_is_not_followed(world: World) -> None:
    stream = world.stream
    lane = stream.open(FORMAT, world.remote, 0.0)
    believed = lane.round_trip_seconds
    assert stream._reports.session is not None
    for rtt_ms, expected in ((3_600_000.0, believed), (80.0, 0.08), (2_001.0, 0.08)):
        stream._reports.session.rtt_ms = rtt_ms
        stream._reports.receive(b"", 1.0)
        assert lane.round_trip_seconds == expected


def test_digits_need_an_agreement_and_real_keys(world: World) -> None:
    with pytest.raises(UsageError):
        world.stream.send_dtmf("1")
    world.stream.open(StreamFormat(Law.ULAW, 0, {0: Law.ULAW}, None), world.remote, 0.0)
    with pytest.raises(UsageError, match="does not take"):
        world.stream.send_dtmf("1")
    world.stream.update(FORMAT, world.remote)
    with pytest.raises(UsageError):
        world.stream.send_dtmf("x")


def test_silence_is_told_when_it_is_watched_and_again_after_as_long(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    stream.second(100.0)  # ringing, with early media promised
    assert world.timeouts == []
    stream.watch(100.0)
    stream.second(104.0)
    assert world.timeouts == []
    stream.second(105.5)
    stream.second(106.5)
    assert world.timeouts == [105.5]
    stream.second(111.0)
    assert world.timeouts == [105.5, 111.0]


def test_nothing_is_expected_while_either_side_holds(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    assert stream.expecting
    for name, held in (("sending", False), ("receiving", False), ("deaf", True)):
        setattr(stream, name, held)
        assert not stream.expecting
        setattr(stream, name, not held)
    assert stream.expecting


def test_a_report_is_a_sign_of_life(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    stream.watch(-9.0)
    world.far.sendto(struct.pack("!BBHI", 0x80, 201, 1, 5), ("127.0.0.1", stream.port + 1))
    world.poller.read(1.0)
    stream.second(2.0)
    assert world.timeouts == []


def test_who_is_held_is_not_heard_but_counted(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp(0, b"\xff" * 160))
    stream.deaf = True
    for sequence in range(1, 9):
        world.send(rtp(sequence, b"\x10" * 160))
    heard = []
    for tick in range(12):
        taken = world.engine.jitter.take(np.array([stream._row]), 1.0 + 0.02 * tick)
        heard.append(int(abs(taken.pcm).max()))
    assert max(heard) < 100
    assert (stream.statistics()["received"], stream.statistics()["lost"]) == (9, 0)


def test_the_address_of_the_session_description_takes_the_call_back(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        world.send(rtp(ssrc=6), thief)
        assert world.stream.remote == ("127.0.0.1", thief.getsockname()[1])
        world.send(rtp(2))
        world.poller.read(1.0)
        assert world.stream.remote == world.remote
        world.send(rtp(3, ssrc=6), thief)
        assert world.stream.remote == world.remote
    assert world.stream.counters["foreign source"] == 1
    world.stream.outlet.send(bytes(160), 1.0, silence=False)
    assert len(world.far.recv(2048)) == 172


def test_a_far_end_whose_nat_gives_it_another_port_is_followed(world: World) -> None:
    world.stream.open(FORMAT, ("127.0.0.1", 9), 0.0)
    world.send(rtp())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        for now, ssrc, moved in ((1.5, 5, False), (2.5, 6, False), (2.5, 5, True)):
            other.sendto(rtp(2, ssrc=ssrc), world.there)
            world.poller.read(now)
            assert (world.stream.remote == other.getsockname()) is moved
    assert world.stream._socket.connected
    assert world.stream.counters == {"foreign source": 2}


def test_the_shortest_report_is_one_on_either_port(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp())
    world.send(struct.pack("!BBHI", 0x80, 201, 1, 5))
    assert not world.stream.counters


def test_a_flood_does_not_keep_us_at_the_latch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    reads = []
    read = RtpSocket._read_from

    def endless(self: RtpSocket, one: socket.socket, now: float) -> bool:
        reads.append(one)
        read(self, one, now)
        return True

    monkeypatch.setattr(RtpSocket, "_read_from", endless)
    world.send(rtp())
    assert 100 < len(reads) < 5_000 and world.stream._socket.connected


def test_the_old_hold_keeps_what_is_known_of_the_far_end(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, ("127.0.0.1", 9), 0.0)
    world.send(rtp())
    stream.update(FORMAT, None)
    stream.update(FORMAT, ("127.0.0.1", 9))  # they resume, from behind the same NAT
    assert stream.remote == world.remote and stream._socket.connected


def test_reports_go_where_the_session_description_wants_them(world: World) -> None:
    stream = world.stream
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports:
        reports.bind(("127.0.0.1", 0))
        reports.settimeout(1)
        stream.open(FORMAT, world.remote, 0.0, rtcp=reports.getsockname())
        stream.outlet.send(bytes(160), 0.5, silence=False)
        stream.second(10.0)
        assert 200 <= reports.recv(2048)[1] <= 207


@pytest.mark.parametrize("rtcp", [None, ("192.0.2.1", 53)])
def test_reports_that_may_not_be_sent_are_not(world: World, rtcp: tuple[str, int] | None) -> None:
    there = world.remote if rtcp else ("127.0.0.1", 65_535)
    world.stream.open(FORMAT, there, 0.0, rtcp=rtcp)
    assert world.stream._reports.remote is None
    world.stream.second(10.0)


def test_a_timeout_of_zero_never_ends_a_call() -> None:
    world = World(timeout_seconds=0.0)
    world.stream.open(FORMAT, world.remote, 0.0)
    world.stream.watch(0.0)
    world.stream.second(10_000.0)
    assert world.timeouts == []
    world.close()


def test_closing_frees_everything_once(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.stream.close(1.0)
    world.stream.close(2.0)
    assert world.ports.open_pairs == 0 and len(world.engine) == len(world.engine.jitter) == 0


def test_what_cannot_be_sent_is_counted(world: World) -> None:
    def refuse(_: bytes) -> int:
        raise OSError(errno.ENOBUFS, "full")

    world.stream.open(FORMAT, world.remote, 0.0)
    world.stream._socket.send = refuse  # a socket's own errors cannot be had at will
    world.stream.outlet.send(bytes(160), 0.02, silence=False)
    assert world.stream.counters["not sent: ENOBUFS"] == 1


def test_a_far_end_that_is_gone_is_counted_and_gets_every_packet_all_the_same(
    world: World,
) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp())
    assert world.stream._socket.connected
    world.far.close()
    for number in range(1, 5):
        world.stream.outlet.send(bytes(160), 0.02 * number, silence=False)
    assert world.stream.counters["not sent: ECONNREFUSED"] == 3
    world.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    world.far.bind(world.remote)
    world.far.settimeout(1)
    # It is back, and nothing it is sent goes missing for what was refused before.
    for number in range(5, 8):
        world.stream.outlet.send(bytes(160), 0.02 * number, silence=False)
    sequences = [struct.unpack("!H", world.far.recv(2048)[2:4])[0] for _ in range(3)]
    assert [(each - sequences[0]) & 0xFFFF for each in sequences] == [0, 1, 2]


def test_a_second_description_lets_another_source_in_and_the_first_one_no_more(
    world: World,
) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(1)
        world.stream.update(FORMAT, other.getsockname())
        assert not world.stream._socket.connected
        world.send(rtp(2), other)
        world.stream.outlet.send(bytes(160), 0.04, silence=False)
        assert len(other.recv(2048)) == 172
        world.send(rtp(3))
        assert world.stream.counters == {"foreign source": 1}


# -- codecs beside G.711 -------------------------------------------------------------


WIDE = ResampledCodec(G722())
WIDE_FORMAT = StreamFormat(
    Law.ULAW, 9, {0: Law.ULAW}, 98, 98, codec=WIDE, receive_codecs={9: WIDE}, dtmf_clock_hz=8000
)


@dataclass(frozen=True)
class Marked:
    """A codec of 48,000 ticks whose payloads say how loud the frame is; silence is not sent."""

    name: str = "MARKED"
    rate_hz: int = 8000
    rtp_clock_hz: int = 48_000
    channels: int = 1

    def samples(self, payload: bytes) -> int:
        return 160

    def quiet(self, payload: bytes) -> bool:
        return False

    def encoder(self) -> "Marked":
        return self

    def decoder(self) -> "Marked":
        return self

    def encode(self, pcm: Any) -> bytes:
        assert pcm.shape == (160,) and pcm.dtype == np.int16
        return bytes([int(pcm.max()) // 128]) if pcm.any() else b""

    def decode(self, payload: bytes) -> Any:
        return np.full(160, payload[0] * 128, np.int16)

    def conceal(self, samples: int) -> None:
        return None

    def recover(self, payload: bytes, samples: int) -> None:
        return None

    def expect_loss(self, percent: float) -> None:
        REPORTED.append(percent)

    def close(self) -> None:
        """Nothing is held."""


REPORTED: list[float] = []
"""What `Marked` was told of loss."""

MARKED_FORMAT = StreamFormat(
    Law.ULAW,
    111,
    {0: Law.ULAW},
    110,
    110,
    codec=Marked(),
    receive_codecs={111: Marked()},
    dtmf_clock_hz=48_000,
)


def headers(packets: list[bytes]) -> list[tuple[int, ...]]:
    return [struct.unpack("!BBHII", packet[:12]) for packet in packets]


def run_ticks(world: World, first: int, count: int) -> None:
    for tick in range(first, first + count):
        for phase in range(PHASES):
            world.engine.tick(phase, 0.02 * tick)


def test_a_wideband_stream_sends_its_codec_at_its_clock(world: World) -> None:
    lane = world.stream.open(WIDE_FORMAT, world.remote, 0.0)
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(800) / 8000)).astype(np.int16)
    world.engine.push(lane, tone, lane.playout.floor)
    run_ticks(world, 0, 5)
    packets = [world.far.recv(2048) for _ in range(5)]
    assert {len(packet) for packet in packets} == {172}
    found = headers(packets)
    assert [head[1] & 0x7F for head in found] == [9] * 5
    assert {(b[3] - a[3]) & 0xFFFFFFFF for a, b in pairwise(found)} == {160}
    decoder = WIDE.decoder()
    heard = np.concatenate([decoder.decode(packet[12:]) for packet in packets])
    assert np.abs(heard[200:]).max() > 7000
    assert world.engine.faults == 0


def test_a_wideband_stream_is_heard_through_the_jitter_buffer(world: World) -> None:
    world.stream.open(MARKED_FORMAT, world.remote, 0.0)
    heard = []
    for tick in range(12):
        head = struct.pack("!BBHII", 0x80, 111, tick, 0xFFFFFF00 + tick * 960 & 0xFFFFFFFF, 5)
        world.far.sendto(head + bytes([100 + tick]), world.there)
        world.poller.read(0.02 * tick)
        pcm = world.engine.jitter.take(np.array([world.stream._row]), 0.02 * tick).pcm[0]
        heard.append(int(pcm[80]) // 128)
    assert [value for value in heard if value][:5] == [100, 101, 102, 103, 104]
    counters = world.stream._reception()
    assert counters is not None and counters.received == 12


def test_the_encoder_hears_what_the_far_end_loses(world: World) -> None:
    REPORTED.clear()
    world.stream.open(MARKED_FORMAT, world.remote, 0.0)
    ours = world.stream.outlet.sender.ssrc
    other = ReportBlock(ours ^ 1, 128, 0, 0, 0, 0, 0)
    report = bytes(RtcpCompound((ReceiverReport(7, (ReportBlock(ours, 64, 9, 0, 0, 0, 0),)),)))
    world.stream._reports.receive(bytes(RtcpCompound((ReceiverReport(7, (other,)),))), 1.0)
    assert not REPORTED
    world.stream._reports.receive(report, 1.0)
    assert REPORTED == [25.0]
    world.stream.update(FORMAT, world.remote)  # G.711 has no encoder to be told
    world.stream._reports.receive(report, 2.0)
    assert REPORTED == [25.0]


def test_jitter_is_reported_in_units_of_the_streams_clock(world: World) -> None:
    world.stream.open(MARKED_FORMAT, world.remote, 0.0)
    for index in range(40):
        head = struct.pack("!BBHII", 0x80, 111, index, index * 960, 5)
        world.far.sendto(head + b"\x10", world.there)
        world.poller.read(0.02 * index + 0.005 * (index % 2))
    counters = world.stream._reception()
    assert counters is not None
    assert counters.jitter_units / 48 == pytest.approx(5, abs=1)  # ms
    assert (
        world.stream._reports.session is not None
        and world.stream._reports.session.rate_hz == 48_000
    )


def test_what_need_not_be_sent_lets_the_timestamp_go_on(world: World) -> None:
    lane = world.stream.open(MARKED_FORMAT, world.remote, 0.0)
    loud = np.full(320, 10_000, np.int16)
    world.engine.push(lane, loud, lane.playout.floor)
    run_ticks(world, 0, 10)
    world.engine.push(lane, loud, lane.playout.floor)
    run_ticks(world, 10, 2)
    packets = [world.far.recv(2048) for _ in range(4)]
    world.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        world.far.recv(2048)
    found = headers(packets)
    assert [head[1] for head in found] == [0x80 | 111, 111, 0x80 | 111, 111]
    assert [(b[2] - a[2]) & 0xFFFF for a, b in pairwise(found)] == [1, 1, 1]
    steps = [(b[3] - a[3]) & 0xFFFFFFFF for a, b in pairwise(found)]
    assert steps == [960, 9 * 960, 960]


def test_digits_are_timed_by_the_clock_that_was_agreed(world: World) -> None:
    stream = world.stream
    stream.open(MARKED_FORMAT, world.remote, 0.0)
    stream.send_dtmf("5")
    for tick in range(8):
        stream.outlet.send(b"", 0.02 * tick, silence=True)
    packets = [world.far.recv(2048) for _ in range(7)]
    durations = [struct.unpack("!BBH", packet[12:16])[2] for packet in packets]
    assert durations[:5] == [960, 1920, 2880, 3840, 4800]
    assert {head[1] & 0x7F for head in headers(packets)} == {110}
    for index, duration in enumerate((960, 4800)):
        block = struct.pack("!BBH", 7, 0x80 if index else 0, duration)
        world.send(struct.pack("!BBHII", 0x80, 110, 50 + index, 777, 5) + block)
    assert world.digits == ["7"]


def test_a_new_agreement_changes_the_codec_both_ways(world: World) -> None:
    stream = world.stream
    lane = stream.open(FORMAT, world.remote, 0.0)
    assert stream.outlet.encoding is Law.ULAW
    world.send(rtp(1))
    stream.update(MARKED_FORMAT, world.remote)
    assert stream.outlet.encoding is None and stream._reports.session is not None
    assert stream._reports.session.rate_hz == 48_000
    world.engine.push(lane, np.full(160, 10_000, np.int16), lane.playout.floor)
    run_ticks(world, 0, 1)
    assert world.far.recv(2048)[1] & 0x7F == 111
    world.send(struct.pack("!BBHII", 0x80, 111, 2, 960, 5) + b"\x10")
    assert stream._row in world.engine.jitter._state.coded
    stream.update(FORMAT, world.remote)
    world.send(rtp(3))
    assert stream._row not in world.engine.jitter._state.coded
    run_ticks(world, 1, 1)
    assert world.far.recv(2048)[1] & 0x7F == 0
    assert world.engine.faults == 0


def test_a_held_caller_is_not_heard_in_any_codec(world: World) -> None:
    world.stream.open(MARKED_FORMAT, world.remote, 0.0)
    world.stream.deaf = True
    world.send(struct.pack("!BBHII", 0x80, 111, 2, 960, 5) + b"\x10")
    assert not world.engine.jitter._state.coded
