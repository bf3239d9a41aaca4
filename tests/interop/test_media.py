"""Audio through the node, packet by packet, from a peer that counts them."""

import itertools
import socket
import struct
import time
from pathlib import Path

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.ears import EchoEar
from trunkline.calls.switchboard import Switchboard
from trunkline.media.wav import parse_wav
from trunkline.settings import Media, Sip

from .conftest import Start
from .kit import assert_explained, settled, until
from .peer import (
    Blast,
    Dialled,
    MediaPort,
    Packet,
    Peer,
    found_in_order,
    gaps,
    noise,
    rtp,
    sdp,
    stream,
)

PATIENT = Media(jitter_min_ms=200, jitter_start_ms=200)
"""A jitter buffer that a busy machine's sender does not empty."""
PLAYED_OUT_SECONDS = 0.3
"""After this much that buffer has come to the end of what was sent."""


def echoed(media: MediaPort, sent: list[bytes]) -> int:
    """How many sent frames came back whole and in order."""
    return found_in_order(sent, [packet.payload for packet in media.received])


def nearly(frames: int) -> int:
    """How many of these must come back whole.

    All of them do on a machine with a core to spare. Where a sender or the node stands
    still for longer than the jitter buffer holds, audio is lost, as it must be;
    `assert_explained` then asks whether that is what happened.
    """
    return frames * 8 // 10


def wait_for_echo(media: MediaPort, sent: list[bytes], whole: int) -> None:
    """Nearly so many frames are back whole, and no more of them come."""
    assert settled(lambda: echoed(media, sent), whole) >= nearly(whole)


@pytest.mark.parametrize("law", [0, 8], ids=["mu-law", "A-law"])
def test_audio_comes_back_sample_for_sample(start: Start, law: int) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port, formats=f"{law} 101")).media
        sent = noise(75)
        media.play(there, stream(sent, payload_type=law)).join()
        wait_for_echo(media, sent, 75)
        assert {packet.payload_type for packet in media.received} == {law}
        assert len({packet.ssrc for packet in media.received}) == 1
        assert not gaps(media.received)
        steps = {
            (b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(media.received)
        }
        assert all(step % 160 == 0 for step in steps) and 160 in steps
        assert [packet.marker for packet in media.received].count(True) >= 1
        assert call.bye().code == 200
        node.assert_clean()
    quality = node.records()[0].quality
    assert (quality["lost"], quality["duplicate"], quality["received"]) == (0, 0, 75)
    assert_explained(75 - echoed(media, sent), quality)


def test_packets_that_come_out_of_order_and_twice_are_put_right(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        sent = noise(60)
        schedule = stream(sent)
        swapped = []
        for index in range(0, 60, 2):
            (at, first), (later, second) = schedule[index : index + 2]
            swapped += [(at, first)] if not index else [(at, second), (later, first)]
            if not index:
                swapped.append((later, second))
        doubled = [item for item in swapped for _ in range(2)]
        media.play(there, doubled).join()
        wait_for_echo(media, sent, 60)
        assert call.bye().code == 200
        node.assert_clean()
    quality = node.records()[0].quality
    assert quality["lost"] == 0 and (quality["duplicate"] or 0) >= 59
    assert (quality["reordered"] or 0) >= 25
    assert_explained(60 - echoed(media, sent), quality)


def test_lost_packets_are_concealed_and_counted(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        sent = noise(60)
        schedule = [item for index, item in enumerate(stream(sent)) if index % 10 != 5]
        media.play(there, schedule).join()
        # The frame after a gap is blended with what filled it: 12 of 60 are not whole.
        wait_for_echo(media, sent, 48)
        time.sleep(PLAYED_OUT_SECONDS)
        assert not gaps(media.received)
        assert call.bye().code == 200
        node.assert_clean()
    quality = node.records()[0].quality
    assert quality["lost"] == 6 and (quality["concealed_frames"] or 0) >= 6
    assert_explained(48 - echoed(media, sent), quality)


def test_sequence_numbers_wrap_and_sources_change_in_mid_call(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        sent = noise(90)
        wrapping = stream(sent[:45], sequence=65_520, timestamp=0xFFFFFFFF - 2_000)
        other = stream(sent[45:], sequence=9, timestamp=77, ssrc=0x9999, start=0.9)
        media.play(there, wrapping + other).join()
        wait_for_echo(media, sent, 90)
        assert call.bye().code == 200
        node.assert_clean()
    quality = node.records()[0].quality
    assert quality["ssrc_changes"] == 1 and quality["lost"] == 0
    assert_explained(90 - echoed(media, sent), quality)


def test_our_stream_has_a_marker_at_its_start_and_keeps_its_pace(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        until(lambda: len(media.received) >= 50)
        packets = media.received[:50]
        assert packets[0].marker and not any(packet.marker for packet in packets[1:])
        assert not gaps(packets)
        assert 0.8 < packets[-1].at - packets[0].at < 1.5
        assert call.bye().code == 200


def test_nobody_else_can_put_audio_into_a_call_or_turn_ours_away(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as thief:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        mine, theirs = noise(60, 1), noise(60, 2)
        playing = media.play(there, stream(mine))
        until(lambda: len(media.received) > 5)
        stealing = thief.play(there, stream(theirs, ssrc=0x5555))
        playing.join()
        stealing.join()
        until(lambda: echoed(media, mine) >= nearly(60))
        assert echoed(media, theirs) == 0 and not thief.received
        assert call.bye().code == 200
        node.assert_clean()
    assert (node.records()[0].quality["datagrams_foreign source"] or 0) >= 55


def test_a_peer_behind_a_nat_is_sent_to_where_its_packets_come_from(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as announced:
        call = Dialled(peer)
        there = call.answered(sdp(announced.port)).media
        sent = noise(40)
        media.play(there, stream(sent)).join()
        until(lambda: echoed(media, sent) >= nearly(40))
        at = len(announced.received)
        time.sleep(0.1)
        assert len(announced.received) == at
        assert call.bye().code == 200


def test_noise_before_the_first_packet_does_not_turn_our_audio_away(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as noisy:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        for data in Blast().random(200, 200):
            noisy.socket.sendto(data, there)
        # A header that is right, with a payload type nobody agreed to.
        noisy.socket.sendto(rtp(1, 1, bytes(160), payload_type=97), there)
        before = len(media.received)
        until(lambda: len(media.received) > before + 5)
        assert not noisy.received
        assert call.bye().code == 200
        node.assert_clean()


def test_early_media_plays_both_ways_and_the_answer_does_not_interrupt_it(start: Start) -> None:
    board = Switchboard()

    @board.answer("*", early=True)
    async def early_echo(call: Call) -> None:
        await call.early_media()
        call.listen(EchoEar(call), activity=False)
        await call.next_digit(10)
        await call.answer()
        await call.wait_ended()

    node = start(board, media=PATIENT)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        there = peer.status(183).media
        sent = noise(80)
        playing = media.play(there, stream(sent))
        until(lambda: echoed(media, sent) > 15)
        end = bytes([1, 0x8A, 0x03, 0x20])
        media.socket.sendto(rtp(5000, 9000, end, payload_type=101, ssrc=0x1234), there)
        call.ok()
        call.ack()
        playing.join()
        until(lambda: echoed(media, sent) >= nearly(80))
        assert not gaps(media.received)
        assert call.bye().code == 200
        node.assert_clean()


@pytest.mark.parametrize("marked", [True, False], ids=["with marker", "without marker"])
def test_keys_by_rfc_4733_are_heard_once_each(start: Start, marked: bool) -> None:
    board = Switchboard()
    keys: list[str] = []

    @board.answer("*")
    async def listen(call: Call) -> None:
        while True:
            keys.append(await call.next_digit(10))

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        schedule, sequence = [], 1
        for number, code in enumerate([1, 2, 2, 11]):
            timestamp = 1000 + number * 2400
            for step in range(8):  # five while it is down, its end three times
                ended = 0x80 if step >= 5 else 0
                duration = min(step + 1, 6) * 160
                payload = bytes([code, ended | 10, duration >> 8, duration & 255])
                packet = rtp(
                    sequence, timestamp, payload, payload_type=101, marker=marked and not step
                )
                schedule.append((sequence * 0.01, packet))
                sequence += 1
        media.play(there, schedule).join()
        until(lambda: len(keys) == 4)
        assert keys == ["1", "2", "2", "#"]
        assert call.bye().code == 200
        node.assert_clean()


def test_keys_we_press_are_events_with_a_marker_and_three_ends(start: Start) -> None:
    board = Switchboard()

    @board.answer("*")
    async def press(call: Call) -> None:
        await call.send_dtmf("4#")
        await call.wait_ended()

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port, formats="0 101"))

        def events() -> list[Packet]:
            return [packet for packet in media.received if packet.payload_type == 101]

        until(lambda: sum(packet.payload[1] >> 7 for packet in events()) == 6)
        until(lambda: media.received[-1].payload_type == 0)
        presses = {packet.timestamp: packet for packet in events()}
        assert [packet.payload[0] for packet in presses.values()] == [4, 11]
        assert [packet.marker for packet in events()].count(True) == 2
        assert not gaps(media.received)
        assert call.bye().code == 200
        node.assert_clean()


def test_keys_are_tones_where_events_are_not_taken(start: Start) -> None:
    board = Switchboard()

    @board.answer("*")
    async def press(call: Call) -> None:
        await call.send_dtmf("4")
        await call.wait_ended()

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        body = sdp(media.port, formats="0").replace(b"a=rtpmap:101 telephone-event/8000\r\n", b"")
        call.answered(body)

        def loud() -> int:
            return sum(bool(set(one.payload) - {0x7F, 0xFF}) for one in media.received)

        until(lambda: loud() >= 5)
        assert {packet.payload_type for packet in media.received} == {0}
        assert call.bye().code == 200
        node.assert_clean()


def test_a_recording_has_both_sides_in_step(start: Start) -> None:
    node = start(media=PATIENT, record=True)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        sent = noise(50)
        media.play(there, stream(sent)).join()
        until(lambda: echoed(media, sent) >= nearly(50))
        time.sleep(PLAYED_OUT_SECONDS)
        assert call.bye().code == 200
        node.assert_clean()
    node.stop()
    (record,) = node.records()
    audio = parse_wav(Path(record.recording).read_bytes())
    heard, said = audio.samples[:, 0], audio.samples[:, 1]
    # The echo leaves in the same tick: both channels are the same.
    assert len(heard) > 50 * 160 and (heard == said).mean() > 0.9


def test_reports_come_and_go_by_rtcp(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        control.settimeout(12)
        # RFC 3550: the port above; taken by luck, so try until it is free.
        body = sdp(media.port, extra=f"a=rtcp:{media.port + 1}\r\n")
        try:
            control.bind(("127.0.0.1", media.port + 1))
        except OSError:
            pytest.skip("the port above is in use")
        with control:
            call = Dialled(peer)
            there = call.answered(body).media
            media.play(there, stream(noise(40)))
            data, source = control.recvfrom(2048)
            assert data[1] == 200 and source[1] == there[1] + 1
            assert struct.unpack("!H", data[2:4])[0] >= 6
            assert call.bye().code == 200
            goodbye = control.recvfrom(2048)[0]
            assert b"\x81\xcb" in goodbye  # BYE of one source, in a compound packet
    node.assert_clean()


# -- what no peer should send ----------------------------------------------------------------


def test_garbage_on_every_port_is_counted_and_no_call_notices(start: Start) -> None:
    node = start(media=PATIENT)
    with Peer(node.sip_port) as peer, Peer(node.sip_port) as vandal, MediaPort() as media:
        call = Dialled(peer)
        invite = call.invite(sdp(media.port))
        there = call.ok().media
        ack = call.ack()
        sent = noise(400)
        playing = media.play(there, stream(sent))
        blast = Blast()
        originals = [invite.replace(b"100@", b"999@"), ack, invite.replace(b"INVITE", b"OPTIONS")]
        vandal.socket.setblocking(False)
        for index, data in enumerate(
            itertools.chain(blast.random(5_000), blast.mutated(originals, 5_000))
        ):
            vandal.send(data[:60_000])
            media.socket.sendto(blast.rng.randbytes(blast.rng.randrange(11)), there)
            if index % 20 == 0:
                time.sleep(0.012)  # 1,500 a second: the buffers hold
        playing.join()
        until(lambda: echoed(media, sent) >= nearly(400))
        assert not [end for end in node.ended if end.call_id == node.calls[0].id]
        assert call.bye().code == 200
    assert sum(node.endpoint.agent.counters.values()) > 1_000
    assert len(node.calls) > 1 or node.endpoint.agent.counters["malformed"] > 1_000


def test_mutated_audio_packets_do_no_harm(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        report = bytes.fromhex("80c80006 00001234 00000000 00000000 00000000 00000000 00000000")
        event = rtp(7, 99, bytes([1, 0x8A, 0, 160]), payload_type=101)
        originals = [rtp(1, 160, bytes(160)), event, report]
        media.socket.sendto(originals[0], there)
        for index, data in enumerate(Blast().mutated(originals, 5_000)):
            media.socket.sendto(data[:2000], there)
            media.socket.sendto(data[:2000], (there[0], there[1] + 1))
            if index % 20 == 0:
                time.sleep(0.005)
        sent = noise(50, 3)
        media.play(there, stream(sent, ssrc=0x7777)).join()
        # Whatever state that left, real audio is heard again within a second.
        until(lambda: echoed(media, sent) >= 10)
        assert not gaps(media.received)
        assert call.bye().code == 200
        node.assert_clean()


# -- peers and processes that die -----------------------------------------------------------------


def test_a_peer_that_dies_in_mid_call_is_noticed_and_its_call_ends(start: Start) -> None:
    node = start(sip=Sip(t1_ms=30), media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        media.play(there, stream(noise(20))).join()
    began = time.monotonic()
    # One to two seconds of silence, then 64 times T1 for the BYE nobody answers.
    until(lambda: node.open_ports == 0, 4)
    assert time.monotonic() - began < 3.5
    node.assert_clean()
    (record,) = node.records()
    assert (record.state, record.end_reason, record.end_by) == ("ended", "media-timeout", "us")


def test_two_hundred_callers_vanish_at_once(start: Start) -> None:
    node = start(sip=Sip(t1_ms=50), media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        calls = [Dialled(peer, str(number)) for number in range(200)]
        for call in calls:
            call.invite(sdp(media.port))
        for call in calls:
            call.ok(10)
            call.ack()
        until(lambda: node.lanes == 200)
        assert node.open_ports == 200
    node.assert_clean(20)
    records = node.records()
    assert len(records) == 200
    assert {record.end_reason for record in records} <= {"media-timeout", "timeout"}
    assert all(record.state == "ended" for record in records)


def test_when_every_port_is_taken_the_next_caller_is_told_503(start: Start) -> None:
    node = start()
    node.endpoint._ports._pairs[2:] = []
    node.endpoint._ports._next = 0
    with Peer(node.sip_port) as peer, MediaPort() as media:
        calls = [Dialled(peer) for _ in range(3)]
        for call in calls[:2]:
            call.answered(sdp(media.port))
        calls[2].invite(sdp(media.port))
        calls[2].refuse_ack(peer.status(503))
        for call in calls[:2]:
            assert call.bye().code == 200
        node.assert_clean()
        calls[2].answered(sdp(media.port))
        assert calls[2].bye().code == 200
        node.assert_clean()


def test_echo_is_an_app_like_any_other() -> None:
    board = Switchboard()
    assert board.answer("9*")(echo) is echo
    assert board.find("99") is not None and board.find("1") is None


@pytest.mark.parametrize(("asked", "ms"), [(10, 10), (30, 30), (40, 40), (60, 60), (25, 20)])
def test_packets_are_as_long_as_the_far_end_asks_and_of_any_length_when_they_come(
    start: Start, asked: int, ms: int
) -> None:
    node = start()
    frames = noise(60)
    joined = b"".join(frames)
    size = 8 * ms
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        answer = call.answered(sdp(media.port, formats="0", extra=f"a=ptime:{asked}\r\n"))
        parts = [joined[at : at + size] for at in range(0, len(joined), size)]
        schedule = [
            (index * ms / 1000, rtp(index, index * size, part, marker=index == 0))
            for index, part in enumerate(parts)
        ]
        media.play(answer.media, schedule).join(10)
        until(lambda: len(media.received) * ms >= 1500)
        assert call.bye().code == 200
        node.assert_clean()
    received = media.received[:-1]  # the last one may be short: the call ended
    assert {len(packet.payload) for packet in received} == {size}
    steps = {
        (later.timestamp - former.timestamp) & 0xFFFFFFFF
        for former, later in itertools.pairwise(received)
    }
    assert size in steps and all(step % 80 == 0 for step in steps)
    assert not gaps(received)
    heard = b"".join(packet.payload for packet in received)
    found = sum(frame in heard for frame in frames)
    assert_explained(len(frames) - found, node.records()[0].quality)
