"""A stream that is encrypted, keeps a NAT open, and makes comfort noise; on loopback."""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from trunkline.errors import UsageError
from trunkline.media.codec import G722
from trunkline.media.g711 import Law
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.media.rtcp import ReceiverReport, RtcpCompound
from trunkline.media.srtp import SrtpKey, SrtpReceiver, SrtpSender
from trunkline.transports.rtp_format import StreamFormat, StreamKeys
from trunkline.transports.rtp_policy import MediaPolicy

from .test_rtp import FORMAT, World, rtp

pytest.importorskip("pylibsrtp")

SUITE = "AES_CM_128_HMAC_SHA1_80"


def some_key() -> SrtpKey:
    return SrtpKey(SUITE, os.urandom(30))


class Sealed(World):
    """A stream whose far end has keys."""

    def __init__(self) -> None:
        super().__init__(timeout_seconds=5.0)
        self.keys = StreamKeys(some_key(), some_key())
        self.format = replace(FORMAT, keys=self.keys)
        self.theirs = SrtpSender(self.keys.theirs)
        self.ours = SrtpReceiver(self.keys.ours)

    def say(self, sequence: int, sock: socket.socket | None = None, **options: object) -> None:
        packet = self.theirs.protect(rtp(sequence, **options))  # type: ignore[arg-type]
        assert isinstance(packet, bytes)
        self.send(packet, sock)

    def received(self) -> int:
        return int(self.stream.statistics()["received"])


@pytest.fixture
def sealed() -> Iterator[Sealed]:
    world = Sealed()
    yield world
    world.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World(timeout_seconds=5.0, keep_alive_seconds=15.0)
    yield world
    world.close()


def test_what_is_sent_is_encrypted_and_begins_far_from_a_wrap(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(sealed.format, sealed.remote, 0.0)
    stream.outlet.send(b"\x11" * 160, 0.02, silence=False)
    packet = sealed.far.recv(2048)
    assert b"\x11" * 8 not in packet and len(packet) == 182
    clear = sealed.ours.unprotect(packet)
    assert clear is not None and clear[12:] == b"\x11" * 160
    assert int.from_bytes(clear[2:4], "big") < 0x8000


def test_keys_and_reports_are_encrypted_too(sealed: Sealed) -> None:
    stream = sealed.stream
    reports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with reports:
        reports.bind(("127.0.0.1", 0))
        reports.settimeout(1)
        stream.open(sealed.format, sealed.remote, 0.0, rtcp=reports.getsockname())
        stream.send_dtmf("5")
        stream.outlet.send(b"", 0.02, silence=True)
        clear = sealed.ours.unprotect(sealed.far.recv(2048))
        assert clear is not None and clear[1] & 0x7F == 101
        stream.second(10.0)
        data = sealed.ours.unprotect_rtcp(reports.recv(2048))
        assert data is not None and RtcpCompound.parse(data).packets
        stream.close(11.0)
        data = sealed.ours.unprotect_rtcp(reports.recv(2048))
        assert data is not None and len(RtcpCompound.parse(data).packets) == 3  # and goodbye


def test_only_what_was_authenticated_is_heard_or_opens_the_latch(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(sealed.format, sealed.remote, 0.0)
    for sequence in range(3):
        sealed.send(rtp(sequence))
    assert stream.counters == {} and sealed.received() == 0
    assert stream.statistics()["srtp_tampered"] == 3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        sealed.say(5, elsewhere)  # from nowhere that was announced, and theirs all the same
        assert stream.remote == elsewhere.getsockname()
        sealed.send(os.urandom(182))
        assert stream.remote == elsewhere.getsockname()
    sealed.say(6)
    assert stream.remote == sealed.remote and sealed.received() == 2


def test_reports_must_be_signed_and_may_then_come_from_anywhere(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(sealed.format, sealed.remote, 0.0)
    data = bytes(RtcpCompound((ReceiverReport(5, ()),)))
    there = ("127.0.0.1", stream.port + 1)
    sealed.far.sendto(data, there)
    sealed.poller.read(1.0)
    assert stream._reports.heard_at is None
    signed = sealed.theirs.protect_rtcp(data)
    assert isinstance(signed, bytes)
    sealed.far.sendto(signed, there)
    sealed.poller.read(2.0)
    assert stream._reports.heard_at == 2.0 and stream._reports.remote == sealed.remote
    again = sealed.theirs.protect_rtcp(data)
    assert isinstance(again, bytes)
    sealed.send(again)  # on the port of the audio
    assert stream._reports.heard_at == 1.0


def test_a_new_description_with_the_same_keys_changes_no_context(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(sealed.format, sealed.remote, 0.0)
    for sequence in range(65_530, 65_540):
        sealed.say(sequence % 65_536)
    before = stream._srtp, stream._receiver
    keys = StreamKeys(
        *(SrtpKey(SUITE, key.secret) for key in (sealed.keys.ours, sealed.keys.theirs))
    )
    stream.update(replace(sealed.format, keys=keys, payload_type=8, law=Law.ALAW), sealed.remote)
    assert (stream._srtp, stream._receiver) == before
    sealed.say(65_540 % 65_536)
    assert sealed.received() == 11 and stream.statistics()["srtp_tampered"] == 0


def test_a_new_key_of_ours_begins_a_new_context(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(sealed.format, sealed.remote, 0.0)
    stream.outlet.send(bytes(160), 0.02, silence=False)
    sealed.far.recv(2048)
    other = some_key()
    stream.update(replace(sealed.format, keys=StreamKeys(other, sealed.keys.theirs)), sealed.remote)
    stream.outlet.send(bytes(160), 0.04, silence=False)
    assert SrtpReceiver(other).unprotect(sealed.far.recv(2048)) is not None


def test_a_call_may_become_encrypted_and_stop_being_so(sealed: Sealed) -> None:
    stream = sealed.stream
    stream.open(FORMAT, sealed.remote, 0.0)
    sealed.send(rtp(1))
    stream.update(sealed.format, sealed.remote)
    sealed.send(rtp(2))
    sealed.say(3)
    stream.update(FORMAT, sealed.remote)
    sealed.send(rtp(4))
    assert sealed.received() == 3
    stream.outlet.send(b"\x11" * 160, 1.0, silence=False)
    assert sealed.far.recv(2048).endswith(b"\x11" * 160)


# -- reports on one port -------------------------------------------------------------------


def test_reports_share_the_port_where_that_was_agreed(world: World) -> None:
    world.stream.open(replace(FORMAT, rtcp_mux=True), world.remote, 0.0)
    world.stream.second(10.0)
    assert world.far.recv(2048)[1] == 201
    world.send(bytes(RtcpCompound((ReceiverReport(5, ()),))))
    assert world.stream._reports.heard_at == 1.0


def test_reports_of_others_are_not_believed(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    there = ("127.0.0.1", world.stream.port + 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:

        def report(ssrc: int) -> None:
            thief.sendto(bytes(RtcpCompound((ReceiverReport(ssrc, ()),))), there)
            world.poller.read(1.0)

        report(5)
        world.send(rtp(1, ssrc=5))
        report(6)
        assert world.stream._reports.heard_at is None
        assert world.stream.counters == {"foreign RTCP": 2}
        assert world.stream._reports.remote == (world.remote[0], world.remote[1] + 1)
        report(5)  # a NAT gave the far end's reports another port
        assert world.stream._reports.heard_at == 1.0


# -- comfort noise ---------------------------------------------------------------------------


def test_silence_is_described_instead_of_sent(world: World) -> None:
    stream = world.stream
    stream.open(replace(FORMAT, noise_payload_type=13), world.remote, 0.0)
    stream.outlet.send(bytes(160), 0.02, silence=False)
    for tick in range(2, 52):
        stream.outlet.send(b"\xff" * 160, 0.02 * tick, silence=True)
    stream.outlet.send(bytes(160), 1.04, silence=False)
    world.far.settimeout(0.05)
    packets = []
    for _ in range(5):
        try:
            packets.append(struct.unpack("!BBHII", world.far.recv(2048)[:12]))
        except TimeoutError:
            break
    kinds, steps = [p[1] for p in packets], [(p[3] - packets[0][3]) & 0xFFFFFFFF for p in packets]
    assert kinds == [0x80, 13, 13, 0x80]  # and the voice goes on with a marker
    assert steps[0] == 0 and steps[1] == 160 and steps[-1] == 51 * 160
    assert [(b[2] - a[2]) & 0xFFFF for a, b in zip(packets, packets[1:], strict=False)] == [1] * 3


def test_silence_is_sent_where_noise_was_not_agreed(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    for tick in range(3):
        world.stream.outlet.send(b"\xff" * 160, 0.02 * tick, silence=True)
    assert [world.far.recv(2048)[1] & 0x7F for _ in range(3)] == [0, 0, 0]


def test_noise_of_the_far_end_is_no_loss_and_no_reason_to_hang_up(world: World) -> None:
    stream = world.stream
    stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp(1))
    assert stream.expecting
    world.send(rtp(2, b"\x28", 13))
    assert not stream.expecting
    assert stream.counters == {} and stream.statistics()["received"] == 2.0
    world.send(rtp(3))
    assert stream.expecting


def test_a_held_callers_noise_is_not_heard(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.stream.deaf = True
    world.send(rtp(1, b"\x28", 13))
    assert not world.engine.jitter._noise


# -- while we are held ---------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "kind", "length"), [(13, 13, 13), (None, 127, 12)])
def test_a_nat_is_kept_open_while_we_are_held(
    world: World, noise: int | None, kind: int, length: int
) -> None:
    stream = world.stream
    stream.open(replace(FORMAT, noise_payload_type=noise), world.remote, 0.0)
    stream.outlet.send(bytes(160), 0.02, silence=False)
    first = world.far.recv(2048)
    stream.second(14.0)  # while we send there is no need
    stream.sending = False
    for now in (15.0, 16.0, 29.0, 30.0, 31.0):
        stream.second(now)
    kept = [world.far.recv(2048) for _ in range(2)]
    assert [data[1] for data in kept] == [kind, kind] and len(kept[0]) == length
    steps = [struct.unpack("!I", data[4:8])[0] for data in (first, *kept)]
    assert (steps[2] - steps[1]) & 0xFFFFFFFF == 15 * 8000
    world.far.settimeout(0.02)
    with pytest.raises(TimeoutError):
        world.far.recv(2048)


def test_nothing_is_kept_open_before_anything_is_agreed_or_without_an_address(
    world: World,
) -> None:
    world.stream.outlet.keep_alive(1.0)
    world.stream.open(FORMAT, None, 0.0)
    world.stream.sending = False
    world.stream.second(20.0)
    assert world.stream.outlet.sender.packets == 0


# -- keys that nobody agreed to ----------------------------------------------------------------


def test_a_key_as_an_event_is_taken_where_events_were_not_agreed(world: World) -> None:
    plain = StreamFormat(Law.ULAW, 0, {0: Law.ULAW}, None)
    world.stream.open(plain, world.remote, 0.0)
    world.send(rtp(1))
    for sequence in range(2, 5):  # the end, three times
        data = bytearray(rtp(sequence, bytes([5, 0x8A, 3, 32]), 101))
        data[4:8] = bytes(4)
        world.send(bytes(data))
    assert world.digits == ["5"] and world.stream.counters == {}
    world.send(rtp(9, bytes(5), 101))
    world.send(rtp(10, bytes(4), 70))
    assert world.stream.counters == {"payload type": 2}


def test_events_of_another_type_than_agreed_are_counted_only(world: World) -> None:
    world.stream.open(FORMAT, world.remote, 0.0)
    world.send(rtp(1))
    world.send(rtp(2, bytes([5, 0x8A, 3, 32]), 110))
    assert world.digits == [] and world.stream.counters == {"payload type": 1}


def test_a_wide_band_stream_is_encrypted_like_any_other(sealed: Sealed) -> None:
    wide = ResampledCodec(G722())
    format = replace(sealed.format, payload_type=9, codec=wide, receive_codecs={9: wide})
    sealed.stream.open(format, sealed.remote, 0.0)
    sealed.say(1, kind=9)
    assert sealed.received() == 1


# -- where it may go -----------------------------------------------------------------------


@pytest.fixture
def wide(world: World) -> World:
    """A stream of a node that is not on loopback."""
    policy = MediaPolicy(loopback_only=False)
    stream = world.stream
    stream._policy = stream._latch._policy = stream._reports._policy = policy
    return world


def test_a_private_address_of_a_caller_from_outside_is_never_sent_to(wide: World) -> None:
    stream, sent = wide.stream, []
    stream.open(FORMAT, ("10.1.2.3", 4000), 0.0, peer="198.51.100.7")
    stream._socket.send = lambda packet: sent.append(packet) or 172
    stream.outlet.send(bytes(160), 0.02, silence=False)
    stream.outlet.keep_alive(0.04)
    assert not sent and stream._reports.remote is None
    # Its packets, which cannot be had here, come from where its signalling does.
    there = ("198.51.100.7", 31_000)
    for sequence in (1, 2):
        stream._hear_any(rtp(sequence), there, 0.1)
    assert stream.remote == there
    stream._socket.send = lambda packet: sent.append(packet) or 172
    stream.outlet.send(bytes(160), 0.12, silence=False)
    assert len(sent) == 1


@pytest.mark.parametrize("host", ["224.1.1.1", "127.0.0.1", "255.255.255.255", "0.0.0.0"])
def test_what_is_forbidden_is_refused_in_mid_call_too(wide: World, host: str) -> None:
    stream = wide.stream
    stream.open(FORMAT, ("203.0.113.1", 4000), 0.0, peer="203.0.113.1")
    with pytest.raises(UsageError, match="may not be sent to"):
        stream.update(FORMAT, (host, 4000), peer="203.0.113.1")
    assert stream.remote == ("203.0.113.1", 4000)


def test_reports_are_not_sent_where_audio_may_not_be(wide: World) -> None:
    wide.stream.open(
        FORMAT, ("203.0.113.1", 4000), 0.0, rtcp=("10.0.0.1", 4001), peer="203.0.113.1"
    )
    assert wide.stream._reports.remote is None
