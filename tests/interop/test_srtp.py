"""Encrypted calls, met from outside: a real softphone, two nodes, and a peer of our own."""

import base64
import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.errors import DialError
from trunkline.calls.events import CallHeld, CallResumed
from trunkline.settings import Media

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Message, Peer, noise, rtp
from .programs import Baresip
from .test_baresip import packets, tone_share
from .test_signalling import dialling

pylibsrtp = pytest.importorskip("pylibsrtp")

SUITE = "AES_CM_128_HMAC_SHA1_80"


def secured(mode: str, **more: Any) -> Media:
    return Media(srtp=mode, **more)  # type: ignore[arg-type]


def is_encrypted(node: RunningNode) -> bool:
    (leg,) = node.endpoint.legs.values()
    stream = leg._stream
    return stream is not None and stream._receiver is not None


# -- a softphone ------------------------------------------------------------------------


@pytest.mark.program("baresip")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("required", "srtp-mand"),
        ("optional", "srtp-mand"),
        ("optional", "srtp"),
    ],
)
def test_baresip_calls_encrypted_and_hears_itself(
    start: Start, tmp_path: Path, ours: str, theirs: str
) -> None:
    node = start(media=secured(ours))
    with Baresip(tmp_path / "b", encryption=theirs)() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 1, what=phone.output)
        until(lambda: packets(node) > 125)
        assert is_encrypted(node)
        phone.command("hangup")
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output
    (record,) = node.records()
    # It opens the way for reports with one that it does not encrypt.
    assert record.quality["lost"] == 0 and (record.quality["srtp_tampered"] or 0) <= 2


@pytest.mark.program("baresip")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("required", "srtp-mand"),
        ("optional", "srtp"),
        ("required", "srtp"),
    ],
)
def test_we_call_baresip_encrypted(start: Start, tmp_path: Path, ours: str, theirs: str) -> None:
    node = start(media=secured(ours))
    with Baresip(tmp_path / "b", answer="auto", encryption=theirs)() as phone:
        call = node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
        until(lambda: packets(node) > 100)
        assert is_encrypted(node)
        node.run(call.hangup())
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output


@pytest.mark.program("baresip")
def test_a_phone_without_keys_calls_where_they_are_optional_only(
    start: Start, tmp_path: Path
) -> None:
    optional, required = start(media=secured("optional")), start(media=secured("required"))
    with Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{optional.sip_port}")
        until(lambda: packets(optional) > 25)
        assert not is_encrypted(optional)
        phone.command("hangup")
        optional.assert_clean()
        phone.command("dial", f"sip:100@127.0.0.1:{required.sip_port}")
        until(lambda: "488" in phone.output, 15)
    assert not required.lanes


@pytest.mark.program("baresip")
def test_a_phone_without_keys_refuses_a_call_that_must_be_encrypted(
    start: Start, tmp_path: Path
) -> None:
    node = start(media=secured("required"))
    with Baresip(tmp_path / "b", answer="auto")() as phone, pytest.raises(DialError):
        node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
    node.assert_clean()


@pytest.mark.program("baresip")
def test_an_encrypted_call_is_held_and_resumed_by_either_side(start: Start, tmp_path: Path) -> None:
    node = start(media=secured("required"))
    with Baresip(tmp_path / "b", answer="auto", encryption="srtp-mand")() as phone:
        call = node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
        until(lambda: packets(node) > 25)
        phone.command("hold")
        until(lambda: any(isinstance(event, CallHeld) for event in node.events), what=phone.output)
        phone.command("resume")
        until(lambda: any(isinstance(event, CallResumed) for event in node.events))
        before = packets(node)
        until(lambda: packets(node) > before + 25)
        node.run(call.hold())
        node.run(call.resume())
        before = packets(node)
        until(lambda: packets(node) > before + 25)
        # It opens the way for reports with one that it does not encrypt, at each change.
        assert statistics(node)["srtp_tampered"] <= 4
        node.run(call.hangup())
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output


# -- two nodes -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["optional", "required"])
@pytest.mark.parametrize("mux", ["off", "offer"])
def test_two_nodes_talk_encrypted(start: Start, mode: str, mux: str) -> None:
    one = start(media=secured(mode, rtcp_mux=mux))
    two = start(media=secured(mode))
    call = one.run(one.board.dial(f"sip:100@127.0.0.1:{two.sip_port}", app=echo))
    until(lambda: packets(one) > 50 and packets(two) > 50)
    assert is_encrypted(one) and is_encrypted(two)
    until(lambda: all("rtt_ms" in statistics(node) for node in (one, two)), 12)
    one.run(call.hold())
    one.run(call.resume())
    before = packets(one)
    until(lambda: packets(one) > before + 25)
    one.run(call.hangup())
    for node in (one, two):
        node.assert_clean()
        quality = node.records()[0].quality
        assert (quality["srtp_tampered"], quality["srtp_replayed"]) == (0, 0)


def statistics(node: RunningNode) -> dict[str, float]:
    (leg,) = node.endpoint.legs.values()
    return dict(node.on_media(leg.statistics))


@pytest.mark.parametrize(("one", "two"), [("required", "off"), ("off", "required")])
def test_who_must_and_who_will_not_do_not_meet(start: Start, one: str, two: str) -> None:
    caller, callee = start(media=secured(one)), start(media=secured(two))
    with pytest.raises(DialError) as refused:
        caller.run(caller.board.dial(f"sip:100@127.0.0.1:{callee.sip_port}", app=echo))
    assert "488" in str(refused.value)
    caller.assert_clean()


# -- a peer of our own ----------------------------------------------------------------------


class Secured:
    """A peer's half of an encrypted stream."""

    def __init__(self, ssrc: int = 0x1234, sequence: int = 65_500) -> None:
        self.secret = os.urandom(30)
        self.ssrc, self.sequence, self.timestamp = ssrc, sequence, 0
        self.anew()

    def anew(self) -> None:
        """Forget the rollover counter."""
        self.out = self._session(self.secret, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)

    def _session(self, secret: bytes, kind: int) -> Any:
        return pylibsrtp.Session(pylibsrtp.Policy(key=secret, ssrc_type=kind))

    def line(self, tag: int = 1) -> str:
        return f"a=crypto:{tag} {SUITE} inline:{base64.b64encode(self.secret).decode()}\r\n"

    def hear(self, answer: Message) -> None:
        """Take their key out of their description."""
        text = answer.body.decode()
        value = text.partition("a=crypto:")[2].split("\r\n")[0].split()[2]
        self.theirs = base64.b64decode(value.removeprefix("inline:"))
        self.into = self._session(self.theirs, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    def packet(self, payload: bytes) -> bytes:
        clear = rtp(self.sequence, self.timestamp, payload, ssrc=self.ssrc)
        self.sequence, self.timestamp = self.sequence + 1 & 0xFFFF, self.timestamp + 160
        return bytes(self.out.protect(clear))


def offer(port: int, secured: Secured, protocol: str = "RTP/SAVP", version: int = 1) -> bytes:
    return (
        f"v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} {protocol} 0\r\n{secured.line()}"
    ).encode()


@contextlib.contextmanager
def talking(node: RunningNode, secured: Secured) -> Iterator[tuple[Dialled, socket.socket, Any]]:
    """An encrypted call, its media socket, and where ours is."""
    with Peer(node.sip_port) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        media.settimeout(2)
        call = Dialled(peer)
        answer = call.answered(offer(media.getsockname()[1], secured))
        secured.hear(answer)
        yield call, media, answer.media
        assert call.bye().code == 200


def say(secured: Secured, media: socket.socket, there: Any, frames: int = 10) -> None:
    for payload in noise(frames):
        media.sendto(secured.packet(payload), there)
        time.sleep(0.02)


def heard(node: RunningNode) -> float:
    return statistics(node).get("received", 0.0)


def test_the_rollover_counter_survives_a_reinvite_with_the_same_key(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured(sequence=65_530)
    with talking(node, secured_peer) as (call, media, there):
        say(secured_peer, media, there)  # over the wrap
        until(lambda: heard(node) == 10)
        call.invite(offer(media.getsockname()[1], secured_peer, version=2))
        answer = call.ok()
        call.ack()
        key = secured_peer.theirs
        clear = secured_peer.into.unprotect(media.recv(2048))
        assert len(clear) == 172
        secured_peer_into = secured_peer.into
        secured_peer.hear(answer)
        assert secured_peer.theirs == key  # ours stays too, and its counter
        secured_peer.into = secured_peer_into
        say(secured_peer, media, there)
        until(lambda: heard(node) == 20)
        assert statistics(node)["srtp_tampered"] == 0
        until(lambda: _opens(secured_peer, media))


def _opens(secured: Secured, media: socket.socket) -> bool:
    with contextlib.suppress(pylibsrtp.Error):
        return len(secured.into.unprotect(media.recv(2048))) == 172
    return False


def test_the_rollover_counter_begins_anew_with_a_new_key(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured(sequence=65_530)
    with talking(node, secured_peer) as (call, media, there):
        say(secured_peer, media, there)
        until(lambda: heard(node) == 10)
        old = secured_peer.theirs
        secured_peer.secret = os.urandom(30)
        call.invite(offer(media.getsockname()[1], secured_peer, version=2))
        # Still under the old key, which is heard as long as nothing came under the new one.
        say(secured_peer, media, there, 3)
        answer = call.ok()
        call.ack()
        secured_peer.anew()
        secured_peer.hear(answer)
        assert secured_peer.theirs != old
        say(secured_peer, media, there)
        until(lambda: heard(node) == 23)
        until(lambda: _opens(secured_peer, media))


def test_the_rollover_counter_begins_anew_with_a_new_source(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured(sequence=65_530)
    with talking(node, secured_peer) as (_, media, there):
        say(secured_peer, media, there)
        until(lambda: heard(node) == 10)
        secured_peer.ssrc, secured_peer.sequence = 0x9999, 65_000
        say(secured_peer, media, there)
        until(lambda: heard(node) >= 19)
        assert statistics(node)["srtp_tampered"] == 0


def test_a_far_end_that_moved_and_began_anew_under_the_same_key_is_heard(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured(sequence=65_530)
    with talking(node, secured_peer) as (call, media, there):
        say(secured_peer, media, there)
        until(lambda: heard(node) == 10)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            call.invite(offer(elsewhere.getsockname()[1], secured_peer, version=2))
            call.ok()
            call.ack()
            secured_peer.anew()
            say(secured_peer, elsewhere, there)
            until(lambda: heard(node) >= 19)


def test_what_is_tampered_with_or_comes_again_is_counted_and_not_heard(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured()
    with talking(node, secured_peer) as (_, media, there), MediaPort() as thief:
        say(secured_peer, media, there, 5)
        last = secured_peer.packet(bytes(160))
        for data in (last, last, last[:40] + b"\x55" + last[41:], rtp(70, 70, bytes(160))):
            media.sendto(data, there)
        until(lambda: statistics(node)["srtp_replayed"] + statistics(node)["srtp_tampered"] == 3)
        assert heard(node) == 6
        # Somebody else has a packet of the call, and sends it first; and noise, and plain RTP.
        for data in (last, rtp(1, 1, bytes(160), ssrc=secured_peer.ssrc), os.urandom(180)):
            for _ in range(20):
                thief.socket.sendto(data, there)
        say(secured_peer, media, there, 5)
        until(lambda: heard(node) == 11)
        assert not thief.received
        report = struct.pack("!BBHII", 0x80, 201, 1, secured_peer.ssrc, 0)[:8]
        before = statistics(node)["srtp_tampered"]
        media.sendto(report, there)  # a report that nobody signed
        until(lambda: statistics(node)["srtp_tampered"] == before + 1)


@pytest.mark.parametrize(
    ("protocol", "mode", "encrypted"),
    [
        ("RTP/AVP", "optional", True),
        ("RTP/AVPF", "optional", True),
        ("RTP/SAVPF", "required", True),
        ("RTP/AVP", "off", False),
    ],
)
def test_an_answer_is_of_the_profile_of_the_offer(
    start: Start, protocol: str, mode: str, encrypted: bool
) -> None:
    node, secured_peer = start(media=secured(mode)), Secured()
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        answer = call.answered(offer(40_000, secured_peer, protocol))
        text = answer.body.decode()
        assert f" {protocol} " in text
        assert ("a=crypto:1 " in text) is encrypted
        assert call.bye().code == 200


def test_of_a_pair_of_lines_the_encrypted_one_is_taken(start: Start) -> None:
    node, secured_peer = start(media=secured("optional")), Secured()
    plain = b"m=audio 40002 RTP/AVP 0\r\n"
    head, _, line = offer(40_000, secured_peer).partition(b"m=audio")
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        answer = call.answered(head + plain + b"m=audio" + line).body.decode()
        assert "m=audio 0 RTP/AVP" in answer and " RTP/SAVP 0" in answer
        assert call.bye().code == 200


def test_keys_over_udp_are_warned_of_once_and_are_in_no_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    node, secured_peer = start(media=secured("optional")), Secured()
    with caplog.at_level("DEBUG"):
        for _ in range(2):
            with talking(node, secured_peer):
                pass
        node.stop()
    told = [record.getMessage() for record in caplog.records]
    assert sum("use TLS" in text for text in told) == 1
    secret = base64.b64encode(secured_peer.secret).decode()
    assert not any("inline" in text or secret in text for text in told)
    records = (node.folder / "calls.db").read_bytes()
    assert secret.encode() not in records and secured_peer.secret not in records


def test_early_media_is_encrypted_with_the_key_of_each_fork(start: Start) -> None:
    node = start(media=secured("required"))
    forks = [Secured(), Secured(ssrc=0x4321)]
    with Peer() as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        media.settimeout(2)
        dialled = dialling(node, peer)
        invite = peer.request("INVITE")
        assert " RTP/SAVP " in invite.body.decode()
        for number, fork in enumerate(forks):
            fork.hear(invite)
            body = offer(media.getsockname()[1], fork)
            code = 183 if number == 0 else 200
            peer.respond(invite, code, tag=f"fork{number}", body=body)
            until(lambda: node.lanes == 1)
            until(lambda fork=fork: _say_until_heard(node, fork, media, invite.media))
        peer.request("ACK")
        dialled.result(5)
        (leg,) = node.endpoint.legs.values()
        node.on_media(lambda: leg.hangup())


def _say_until_heard(node: RunningNode, fork: Secured, media: socket.socket, there: Any) -> bool:
    before = heard(node)
    say(fork, media, there, 5)
    return heard(node) >= before + 3


def test_a_late_offer_is_encrypted(start: Start) -> None:
    node, secured_peer = start(media=secured("required")), Secured()
    with Peer(node.sip_port) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        call = Dialled(peer)
        call.invite()
        theirs = call.ok()
        secured_peer.hear(theirs)
        call.ack(offer(media.getsockname()[1], secured_peer))
        until(lambda: node.lanes == 1)
        say(secured_peer, media, theirs.media)
        until(lambda: heard(node) == 10)
        assert call.bye().code == 200
