"""Calls in codecs beside G.711, with a peer whose coders are other people's."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.media.opus_packet import OpusPacket
from trunkline.settings import Media, Opus

from .conftest import Start
from .kit import settled, until
from .peer import Dialled, MediaPort, Packet, Peer, gaps, rtp, sdp
from .peer_codecs import G722Peer, L16Peer, OpusPeer, PeerCodec

ALL = Media(codecs=("opus", "g722", "l16", "pcmu"), jitter_min_ms=100, jitter_start_ms=100)
EVENTS = 100
FRAMES = 100
PEERS = [OpusPeer, G722Peer, L16Peer]
TONE_HZ = 440

every_codec = pytest.mark.parametrize("make", PEERS, ids=["opus", "g722", "l16"])


def description(codec: PeerCodec, port: int, *, fmtp: str = "") -> bytes:
    kind = codec.payload_type
    extra = f"a=rtpmap:{kind} {codec.rtpmap}\r\na=rtpmap:{EVENTS} telephone-event/{codec.event_hz}"
    extra += f"\r\na=fmtp:{kind} {fmtp}\r\n" if fmtp else "\r\n"
    return sdp(port, formats=f"{kind} 0 {EVENTS}", extra=extra)


def tone(codec: PeerCodec, frames: int = FRAMES) -> NDArray[np.int16]:
    """(frames, 20 ms) of a tone that swells, or Opus takes it for noise and copies none of it."""
    at = np.arange(frames * codec.rate_hz // 50) / codec.rate_hz
    swell = 1 + 0.9 * np.sin(2 * np.pi * 4 * at)
    pcm = (8000 * swell * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)
    return pcm.reshape(frames, -1)


def schedule(
    codec: PeerCodec, payloads: Sequence[bytes], lost: Callable[[int], bool]
) -> list[tuple[float, bytes]]:
    step = codec.clock_hz // 50
    return [
        (
            index * 0.02,
            rtp(1 + index, 9000 + index * step, payload, payload_type=codec.payload_type),
        )
        for index, payload in enumerate(payloads)
        if not lost(index)
    ]


def tone_shares(codec: PeerCodec, packets: Sequence[Packet]) -> list[float]:
    """How much of each 200 ms of what came is the tone; of silence nothing is."""
    payloads = [packet.payload for packet in packets]
    heard = np.concatenate([codec.decode(payload) for payload in payloads]).astype(np.float64)
    size = codec.rate_hz // 5
    shares = []
    for start in range(0, len(heard) - size, size):
        part = heard[start : start + size] * np.hanning(size)
        power = np.abs(np.fft.rfft(part)) ** 2
        centre = TONE_HZ // 5
        loud = power.sum() > 1e9
        shares.append(float(power[centre - 3 : centre + 4].sum() / power.sum()) if loud else 0.0)
    return shares


@every_codec
@pytest.mark.parametrize("loss", [0, 10], ids=["whole", "every tenth lost"])
def test_a_tone_goes_both_ways(start: Start, make: type[PeerCodec], loss: int) -> None:
    codec = make()
    node = start(media=ALL)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        answer = call.answered(description(codec, media.port, fmtp="useinbandfec=1"))
        assert f"a=rtpmap:{codec.payload_type} {codec.rtpmap}" in answer.body.decode()
        payloads = [codec.encode(frame) for frame in tone(codec)]
        sent = schedule(codec, payloads, lambda index: bool(loss) and index % loss == loss - 1)
        media.play(answer.media, sent).join()
        settled(lambda: len(media.received), FRAMES + 20)
        received = [p for p in media.received if p.payload_type == codec.payload_type]
        assert len(received) == len(media.received) >= FRAMES * 9 // 10
        assert not gaps(received)
        steps = {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(received)}
        assert all(step % (codec.clock_hz // 50) == 0 for step in steps)
        assert codec.clock_hz // 50 in steps
        shares = tone_shares(codec, received)
        # Two seconds of tone; the beginning and the end are not whole. G.722 takes a while to
        # find its step size again after a loss, and has no concealment of its own.
        pure = 0.7 if loss and make is G722Peer else 0.9
        assert sum(share > pure for share in shares) >= 7, shares
        assert call.bye().code == 200
        node.assert_clean()
    quality = node.records()[0].quality
    # What is lost last has no packet after it that would tell.
    assert quality["lost"] == (len(payloads) // loss - 1 if loss else 0)
    if loss and make is OpusPeer:
        copies = sum(OpusPacket.parse(payload).carries_copy for payload in payloads[loss::loss])
        # A frame that was concealed while the next packet was waited for is not made again.
        assert copies >= 3 and 1 <= (quality["recovered_frames"] or 0) <= copies


@every_codec
def test_keys_are_heard_and_pressed_at_the_codecs_clock(
    start: Start, make: type[PeerCodec]
) -> None:
    codec, keys = make(), list[str]()
    board = Switchboard()

    @board.answer("*")
    async def press(call: Call) -> None:
        for _ in range(2):
            keys.append(await call.next_digit(10))
        await call.send_dtmf("4#")
        await call.next_digit(10)

    node = start(board, media=ALL)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(description(codec, media.port)).media
        step = codec.event_hz // 50
        plan = []
        for number, code in enumerate([1, 11]):
            for at in range(8):
                ended, units = 0x80 if at >= 5 else 0, min(at + 1, 6) * step
                block = bytes([code, ended | 10, units >> 8, units & 255])
                packet = rtp(
                    1 + number * 8 + at, 1000 + number * 20 * step, block, payload_type=EVENTS
                )
                plan.append(((number * 8 + at) * 0.01, packet))
        media.play(there, plan).join()

        def events() -> list[Packet]:
            return [packet for packet in media.received if packet.payload_type == EVENTS]

        until(lambda: sum(packet.payload[1] >> 7 for packet in events()) == 6)
        assert keys == ["1", "#"]
        assert {int.from_bytes(packet.payload[2:4], "big") for packet in events()} == {
            step * ticks for ticks in range(1, 6)
        }
        assert [packet.payload[0] for packet in events() if packet.marker] == [4, 11]
        assert call.bye().code == 200
        node.assert_clean()


def test_a_caller_without_them_is_answered_in_g711_as_ever(start: Start) -> None:
    node = start(media=ALL)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        until(lambda: len(media.received) > 5)
        assert {packet.payload_type for packet in media.received} == {0}
        assert {len(packet.payload) for packet in media.received} == {160}
        assert call.bye().code == 200
        node.assert_clean()


def test_garbage_in_a_codec_costs_nobody_a_call(start: Start) -> None:
    library_needed = OpusPeer()
    rng = np.random.default_rng(3)
    node = start(media=ALL)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(description(library_needed, media.port)).media
        plan = [
            (
                index * 0.005,
                rtp(index, int(rng.integers(0, 2**32)), rng.bytes(int(rng.integers(0, 900))),
                    payload_type=111 if index % 3 else 0),
            )
            for index in range(200)
        ]  # fmt: skip
        media.play(there, plan).join()
        assert call.bye().code == 200
        node.assert_clean()


def test_nothing_is_sent_in_silence_to_who_asks_for_that(start: Start) -> None:
    codec = OpusPeer()
    node = start(media=Media(codecs=("opus",), opus=Opus(dtx=True, bitrate=16_000)))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        answer = call.answered(description(codec, media.port, fmtp="usedtx=1;useinbandfec=1"))
        assert b"usedtx=1" in answer.body
        silence = [codec.encode(np.zeros(320, np.int16)) for _ in range(FRAMES)]
        media.play(answer.media, schedule(codec, silence, lambda index: False)).join()
        received = [p for p in media.received if p.payload_type == codec.payload_type]
        assert 5 < len(received) < FRAMES // 2  # it goes on for 200 ms, then now and then
        assert not gaps(received)  # and no number is left out
        assert received[-1].marker  # a new beginning each time
        assert call.bye().code == 200
        node.assert_clean()


@pytest.mark.parametrize("outbound", [False, True], ids=["answered", "offered"])
def test_a_far_end_gets_no_more_bits_than_it_asks_for(start: Start, outbound: bool) -> None:
    codec = OpusPeer()
    fmtp = "maxaveragebitrate=8000;cbr=1;stereo=1;sprop-stereo=1;maxplaybackrate=16000"
    node = start(media=Media(codecs=("opus",), opus=Opus(bitrate=32_000)))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        wanted = description(codec, media.port, fmtp=fmtp)
        if outbound:
            dialled = node.board.dial(f"sip:you@127.0.0.1:{peer.port}", app=echo)
            future = asyncio.run_coroutine_threadsafe(dialled, node.loop)
            invite = peer.request("INVITE")
            peer.respond(invite, 200, body=wanted)
            there = invite.media
            future.result(10)
        else:
            there = Dialled(peer).answered(wanted).media
        payloads = [codec.encode(frame) for frame in tone(codec, 40)]
        media.play(there, schedule(codec, payloads, lambda index: False)).join()
        received = [p for p in media.received if p.payload_type == codec.payload_type]
        assert len(received) > 20
        assert {len(packet.payload) for packet in received} == {8000 // 8 // 50}


def test_a_call_out_offers_them_in_our_order(start: Start) -> None:
    codec = OpusPeer()
    node = start(media=ALL)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        dialled = node.board.dial(f"sip:you@127.0.0.1:{peer.port}", app=echo)
        future = asyncio.run_coroutine_threadsafe(dialled, node.loop)
        invite = peer.request("INVITE")
        offer = invite.body.decode()
        assert "RTP/AVP 111 9 97 0 " in offer and "maxplaybackrate=8000" in offer
        there = invite.media
        peer.respond(invite, 200, body=description(codec, media.port))
        call = future.result(10)
        payloads = [codec.encode(frame) for frame in tone(codec, 60)]
        media.play(there, schedule(codec, payloads, lambda index: False)).join()
        settled(lambda: len(media.received), 80)
        assert sum(share > 0.9 for share in tone_shares(codec, media.received)) >= 3
        ending = asyncio.run_coroutine_threadsafe(call.hangup(), node.loop)
        peer.respond(peer.request("BYE"), 200)
        ending.result(10)
        node.assert_clean()
