"""Bridges with far ends that are less than a SIP telephone: streams, old gateways."""

import base64
import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from trunkline.calls.apps import bridge_to
from trunkline.calls.bridge import BridgeOptions
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.media.dtmf_tones import dtmf_audio
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.wav import serialise_wav
from trunkline.settings import Media

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Peer, found_in_order, noise, sdp, stream, uri_of


class Stream:
    """Twilio, in plain JSON: a caller on a WebSocket."""

    def __init__(self, node: RunningNode, to: str) -> None:
        self._connection = connect(f"ws://127.0.0.1:{node.node.ports.streams}/streams/twilio")
        self._to = to
        self.socket: ClientConnection
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Stream":
        self.socket = self._connection.__enter__()
        start = {
            "streamSid": "MZ1",
            "callSid": "CA1",
            "accountSid": "AC1",
            "tracks": ["inbound"],
            "customParameters": {"from": "+15550100", "to": self._to},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        self._say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._say({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)
        self._thread.join(5)

    def _say(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message))

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self.socket:
                message = json.loads(text)
                if message["event"] == "media":
                    payload = base64.b64decode(message["media"]["payload"])
                    self.heard += [payload[at : at + 160] for at in range(0, len(payload), 160)]

    def play(self, frames: list[bytes]) -> None:
        began = time.monotonic()
        for index, frame in enumerate(frames):
            time.sleep(max(0.0, began + 0.02 * index - time.monotonic()))
            media = {"track": "inbound", "payload": base64.b64encode(frame).decode()}
            self._say({"event": "media", "streamSid": "MZ1", "media": media})

    def press(self, digit: str) -> None:
        self._say({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": digit}})


def test_a_stream_is_put_through_to_a_telephone_and_back(start: Start) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media:
        board.answer("*")(bridge_to(f"sip:desk@127.0.0.1:{desk.port}"))
        node = start(board, streams=True)
        with Stream(node, "200") as caller:
            invite = desk.request("INVITE")
            assert "+15550100" in invite["from"]
            desk.respond(invite, 180)
            until(lambda: any(set(frame) - {0x7F, 0xFF} for frame in caller.heard), what="no ring")
            desk.respond(invite, 200, body=sdp(media.port))
            desk.request("ACK")
            one, other = noise(120, 1), noise(120, 2)
            media.play(invite.media, stream(other))
            caller.play(one)
            until(lambda: found_in_order(one, [p.payload for p in media.received]) > 80)
            until(lambda: found_in_order(other, caller.heard) > 80)
            caller.press("6")
            events = until(lambda: [p for p in media.received if p.payload_type == 101])
            assert events[0].payload[0] == 6
            # The other way keys are tones: a stream has no other.
            heard = len(caller.heard)
            call = node.calls[0]
            node.on_media(lambda: call.press("2", 100))
            media.play(invite.media, stream([b"\xff" * 160] * 40, sequence=3000, timestamp=90_000))
            until(lambda: len(caller.heard) > heard + 12)
            pcm = np.concatenate(
                [decode(one, Law.ULAW) for one in caller.heard[heard : heard + 12]]
            ).astype(float)
            power = np.abs(np.fft.rfft(pcm, 8000))
            low, high = int(power[600:1000].argmax()) + 600, int(power[1100:1700].argmax()) + 1100
            assert (low, high) == (pytest.approx(697, abs=8), pytest.approx(1336, abs=8))
            caller.socket.close()
            desk.respond(desk.request("BYE"), 200)
            node.assert_clean()
    inbound, outbound = sorted(node.records(), key=lambda record: record.direction)
    assert (inbound.transport, outbound.transport) == ("twilio", "sip")
    assert inbound.bridged_with == outbound.id


def test_a_stream_hears_music_where_it_cannot_be_held(start: Start) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media:
        board.answer("*")(bridge_to(f"sip:desk@127.0.0.1:{desk.port}"))
        node = start(board, streams=True)
        with Stream(node, "200") as caller:
            invite = desk.request("INVITE")
            desk.respond(invite, 200, body=sdp(media.port))
            desk.request("ACK")
            media.play(invite.media, stream([b"\xff" * 160] * 20))
            headers = [
                ("Via", f"SIP/2.0/UDP 127.0.0.1:{desk.port};branch=z9hG4bKh1;rport"),
                ("Max-Forwards", "70"), ("From", f"{invite['to']};tag=theirs"),
                ("To", invite["from"]), ("Call-ID", invite["call-id"]),
                ("CSeq", "5 INVITE"), ("Contact", desk.contact),
            ]  # fmt: skip
            target = uri_of(invite["contact"])
            body = sdp(media.port, direction="sendonly", version=2)
            desk.write(f"INVITE {target} SIP/2.0", headers, body, invite.source)
            desk.status(200)

            def loud() -> int:
                return sum(
                    int(np.abs(decode(one, Law.ULAW).astype(int)).max()) > 300
                    for one in caller.heard[-40:]
                )

            until(lambda: loud() > 35)
            caller.socket.close()
            bye = desk.request("BYE")
            desk.respond(bye, 200)
            node.assert_clean()


def test_tones_of_an_old_gateway_are_keys_and_keys_are_tones_for_it(start: Start) -> None:
    """A far end whose session description has no telephone-event."""
    board = Switchboard()
    keys: list[str] = []

    @board.answer("*")
    async def menu(call: Call) -> None:
        keys.extend([await call.next_digit(5) for _ in range(3)])
        await call.send_dtmf("9")
        await call.wait_ended()

    node = start(board, media=Media(inband_dtmf="auto"))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port, formats="0")).media
        pressed = np.pad(dtmf_audio("17#"), (800, 4000))
        frames = encode(pressed[: len(pressed) // 160 * 160], Law.ULAW).reshape(-1, 160)
        media.play(there, stream([frame.tobytes() for frame in frames]))
        until(lambda: keys == ["1", "7", "#"], what=str(keys))

        def tones() -> set[int]:
            pcm = np.concatenate(
                [decode(packet.payload, Law.ULAW) for packet in media.received]
            ).astype(float)
            loud = np.flatnonzero(np.abs(pcm) > 500)
            if len(loud) < 400:
                return set()
            power = np.abs(np.fft.rfft(pcm[loud[0] : loud[0] + 800], 8000))
            return {int(power[600:1000].argmax()) + 600, int(power[1100:1700].argmax()) + 1100}

        found = until(tones)
        assert all(min(abs(hz - wanted) for wanted in (852, 1477)) < 8 for hz in found)
        assert call.bye().code == 200
        node.assert_clean()


def test_tones_are_not_listened_for_where_the_far_end_has_events(start: Start) -> None:
    node = start(media=Media(inband_dtmf="auto"))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        until(lambda: node.lanes == 1)
        assert node.on_media(lambda: len(node.node.media.engine._tones)) == 0
        call.bye()
        node.assert_clean()


def test_whoever_is_held_hears_the_nodes_music(start: Start, tmp_path: Path) -> None:
    tune = tmp_path / "tune.wav"
    seconds = np.arange(8000) / 8000
    tune.write_bytes(
        serialise_wav(np.rint(6000 * np.sin(2 * np.pi * 500 * seconds)).astype(np.int16), 8000)
    )
    board = Switchboard()

    @board.answer("*")
    async def wait(call: Call) -> None:
        await call.hold(music=True)
        await call.wait_ended()

    node = start(board, media=Media(hold_music=str(tune)))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        media.play(there, stream(noise(5)))
        change = peer.request("INVITE")
        assert b"a=sendonly" in change.body
        peer.respond(change, 200, body=sdp(media.port, direction="recvonly", version=2))
        peer.request("ACK")

        def pitch() -> int:
            coded = b"".join(packet.payload for packet in media.received[-50:])
            pcm = decode(coded, Law.ULAW).astype(float)
            return int(np.abs(np.fft.rfft(pcm, 8000)).argmax()) if len(pcm) == 8000 else 0

        until(lambda: pitch() == 500)
        call.bye()
        node.assert_clean()


@pytest.mark.parametrize("options", [BridgeOptions(keys=False)])
def test_keys_may_be_kept_from_the_other_side(start: Start, options: BridgeOptions) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media:
        board.answer("*")(bridge_to(f"sip:desk@127.0.0.1:{desk.port}", options=options))
        node = start(board, streams=True)
        with Stream(node, "200") as caller:
            invite = desk.request("INVITE")
            desk.respond(invite, 200, body=sdp(media.port))
            desk.request("ACK")
            caller.play([b"\xff" * 160] * 5)
            caller.press("6")
            until(lambda: any(type(event).__name__ == "CallDigit" for event in node.events))
            time.sleep(0.1)
            assert not [p for p in media.received if p.payload_type == 101]
            caller.socket.close()
            desk.respond(desk.request("BYE"), 200)
            node.assert_clean()
