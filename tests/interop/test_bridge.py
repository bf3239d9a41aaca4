"""Two far ends joined by the node: their audio, ringing, answers, holds, keys and ends."""

import asyncio
import itertools
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from trunkline.calls.apps import bridge_to
from trunkline.calls.bridge import BridgeOptions, bridge, bridge_of
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.wav import parse_wav
from trunkline.settings import Media, Sip

from .conftest import Start
from .kit import RunningNode, assert_explained, settled, until
from .peer import (
    Dialled,
    MediaPort,
    Message,
    Packet,
    Peer,
    found_in_order,
    gaps,
    noise,
    rtp,
    sdp,
    stream,
    tag_of,
    uri_of,
)
from .programs import Baresip

EVENT = 101


class Called:
    """The far end that the node calls."""

    def __init__(self, peer: Peer, media: MediaPort, law: int = 0) -> None:
        self.peer = peer
        self.media = media
        self.invite = peer.request("INVITE")
        self.law = law

    def body(self, **fields: object) -> bytes:
        return sdp(self.media.port, formats=f"{self.law} {EVENT}", **fields)  # type: ignore[arg-type]

    def early(self) -> None:
        self.peer.respond(self.invite, 183, body=self.body())

    def answer(self) -> None:
        self.peer.respond(self.invite, 200, body=self.body())
        self.peer.request("ACK")

    def refuse(self, code: int) -> None:
        self.peer.respond(self.invite, code)
        self.peer.request("ACK")

    def request(self, method: str, cseq: int, body: bytes = b"") -> None:
        """A request of the called side's in the dialog."""
        invite = self.invite
        headers = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{self.peer.port};branch=z9hG4bKc{cseq}{method};rport"),
            ("Max-Forwards", "70"),
            ("From", f"{invite['to']};tag=theirs"),
            ("To", invite["from"]),
            ("Call-ID", invite["call-id"]),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", self.peer.contact),
        ]
        target = uri_of(invite["contact"])
        self.peer.write(f"{method} {target} SIP/2.0", headers, body, invite.source)


@dataclass
class Scene:
    """A caller and a called side of one node."""

    node: RunningNode
    caller: Peer
    ear: MediaPort
    called: Peer
    mouth: MediaPort

    @classmethod
    def of(cls, start: Start, options: BridgeOptions | None = None, **settings: object) -> "Scene":
        board = Switchboard()
        called = Peer()
        board.answer("2*")(bridge_to(f"sip:desk@127.0.0.1:{called.port}", options=options))
        node = start(board, **settings)
        return cls(node, Peer(node.sip_port), MediaPort(), called, MediaPort())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.ear, self.mouth):
            one.stop()
            one.socket.close()
        for peer in (self.caller, self.called):
            peer.socket.close()

    def dial(self, law: int = 0) -> tuple[Dialled, Called]:
        """The caller's INVITE, and the one it has become."""
        call = Dialled(self.caller, "200")
        call.invite(sdp(self.ear.port, formats=f"{law} {EVENT}"))
        return call, Called(self.called, self.mouth)

    def up(self, law: int = 0, called_law: int = 0) -> tuple[Dialled, Called, Message]:
        call, called = self.dial(law)
        called.law = called_law
        called.answer()
        response = call.ok()
        call.ack()
        return call, called, response


def audio(received: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in received if packet.payload_type != EVENT]


def pauses(received: list[Packet]) -> list[float]:
    return [later.at - former.at for former, later in itertools.pairwise(received)]


# -- audio ---------------------------------------------------------------------------------


def test_two_far_ends_hear_each_other_bit_by_bit(start: Start) -> None:
    with Scene.of(start, media=Media(jitter_min_ms=100, jitter_start_ms=100)) as scene:
        call, called, response = scene.up()
        one, other = noise(150, 1), noise(150, 2)
        playing = [
            scene.ear.play(response.media, stream(one)),
            scene.mouth.play(called.invite.media, stream(other)),
        ]
        for thread in playing:
            thread.join()
        at_called = settled(lambda: found_in_order(one, audio(scene.mouth.received)), 150)
        at_caller = settled(lambda: found_in_order(other, audio(scene.ear.received)), 150)
        assert not gaps(scene.mouth.received)
        assert not gaps(scene.ear.received)
        assert call.bye().code == 200
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()
        for record in scene.node.records():
            whole = at_called if record.direction == "inbound" else at_caller
            assert_explained(150 - whole, record.quality)
            assert record.state == "ended"


@pytest.mark.parametrize(("law", "called_law"), [(0, 8), (8, 0), (8, 8)])
def test_each_far_end_is_sent_the_law_it_agreed_to(start: Start, law: int, called_law: int) -> None:
    with Scene.of(start) as scene:
        call, called, response = scene.up(law, called_law)
        said = noise(60)
        coming, going = (Law.ALAW if one else Law.ULAW for one in (law, called_law))
        scene.ear.play(response.media, stream(said, payload_type=law)).join()
        heard = {encode(decode(one, coming), going).tobytes() for one in said}
        until(lambda: len(heard.intersection(audio(scene.mouth.received))) > 30)
        assert {p.payload_type for p in scene.mouth.received} == {called_law}
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()
        assert called.law == called_law


def test_loss_is_concealed_once_and_packets_leave_without_a_gap(start: Start) -> None:
    with Scene.of(start) as scene:
        call, _, response = scene.up()
        said = noise(150)
        schedule = [one for index, one in enumerate(stream(said)) if index % 10 != 5]
        scene.ear.play(response.media, schedule).join()
        until(lambda: len(scene.mouth.received) > 140)
        assert not gaps(scene.mouth.received)
        steps = {
            later.timestamp - former.timestamp & 0xFFFFFFFF
            for former, later in itertools.pairwise(scene.mouth.received[5:])
        }
        assert steps == {160}
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()
        inbound, outbound = sorted(scene.node.records(), key=lambda record: record.direction)
        assert inbound.quality["lost"] == 15
        assert (inbound.quality["concealed_frames"] or 0) >= 15
        assert outbound.quality["lost"] == 0


# -- setting up -------------------------------------------------------------------------------


def test_ringing_early_media_and_the_answer_are_passed(start: Start) -> None:
    with Scene.of(start) as scene:
        call, called = scene.dial()
        scene.called.respond(called.invite, 180)
        assert scene.caller.status(180)
        called.early()
        early = scene.caller.status(183)
        announcement = noise(50)
        scene.mouth.play(called.invite.media, stream(announcement))
        scene.ear.play(early.media, stream(noise(5, 3)))  # opens the way back
        until(lambda: found_in_order(announcement, audio(scene.ear.received)) > 20)
        assert not scene.caller.poll(lambda m: m.code == 200, 0.05), "it is not answered"
        called.answer()
        call.ok()
        call.ack()
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()
        inbound, outbound = sorted(scene.node.records(), key=lambda record: record.direction)
        assert inbound.answered_at and outbound.answered_at


@pytest.mark.parametrize(
    ("answer", "told"), [(486, 486), (603, 603), (480, 480), (404, 404), (408, 480), (500, 503)]
)
def test_a_refusal_is_passed_with_its_code(start: Start, answer: int, told: int) -> None:
    with Scene.of(start) as scene:
        call, called = scene.dial()
        scene.called.respond(called.invite, 180)
        called.refuse(answer)
        call.refuse_ack(scene.caller.status(told))
        scene.node.assert_clean()


def test_nobody_answers(start: Start) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media:
        board.answer("*")(bridge_to(f"sip:desk@127.0.0.1:{desk.port}", timeout=0.4))
        node = start(board)
        with Peer(node.sip_port) as caller:
            call = Dialled(caller, "200")
            call.invite(sdp(media.port))
            invite = desk.request("INVITE")
            desk.respond(invite, 180)
            cancel = desk.request("CANCEL")
            desk.respond(cancel, 200)
            desk.respond(invite, 487)
            call.refuse_ack(caller.status(480))
            node.assert_clean()


def test_a_caller_who_gives_up_has_the_called_side_cancelled(start: Start) -> None:
    with Scene.of(start) as scene:
        call, called = scene.dial()
        scene.called.respond(called.invite, 180)
        scene.caller.status(180)
        call.cancel()
        scene.called.respond(scene.called.request("CANCEL"), 200)
        scene.called.respond(called.invite, 487)
        call.refuse_ack(scene.caller.status(487))
        scene.node.assert_clean()


def test_an_answer_that_crosses_the_cancel_is_ended(start: Start) -> None:
    with Scene.of(start) as scene:
        call, called = scene.dial()
        scene.called.respond(called.invite, 180)
        scene.caller.status(180)
        call.cancel()
        cancel = scene.called.request("CANCEL")
        called.peer.respond(called.invite, 200, body=called.body())
        scene.called.respond(cancel, 481)
        scene.called.request("ACK")
        scene.called.respond(scene.called.request("BYE"), 200)
        call.refuse_ack(scene.caller.status(487))
        scene.node.assert_clean()


@pytest.mark.parametrize("when", ["silent", "ringing", "early"])
def test_a_called_side_that_dies_in_set_up_is_given_up(start: Start, when: str) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media, MediaPort() as mouth:
        board.answer("*")(bridge_to(f"sip:desk@127.0.0.1:{desk.port}", timeout=0.5))
        node = start(board, sip=Sip(t1_ms=20))
        with Peer(node.sip_port) as caller:
            call = Dialled(caller, "200")
            call.invite(sdp(media.port))
            called = Called(desk, mouth)
            if when == "ringing":
                desk.respond(called.invite, 180)
            elif when == "early":
                called.early()
                caller.status(183)
            call.refuse_ack(caller.status(480, seconds=8))
            node.assert_clean(12)


def test_a_caller_who_dies_before_its_acknowledgement_ends_both(start: Start) -> None:
    with Scene.of(start, sip=Sip(t1_ms=20)) as scene:
        call, called = scene.dial()
        called.answer()
        call.ok()  # and nothing more is ever heard of it
        scene.called.respond(scene.called.request("BYE", 8), 200)
        scene.node.assert_clean(12)


def test_a_side_whose_packets_stop_ends_both(start: Start) -> None:
    with Scene.of(start, sip=Sip(t1_ms=20), media=Media(timeout_seconds=1.0)) as scene:
        call, called, response = scene.up()
        scene.ear.play(response.media, stream(noise(250)))
        scene.mouth.play(called.invite.media, stream(noise(20)))  # and then it is dead
        scene.called.request("BYE", 8)
        scene.caller.respond(scene.caller.request("BYE", 4), 200)
        assert call.call_id
        scene.node.assert_clean(12)
        inbound, outbound = sorted(scene.node.records(), key=lambda record: record.direction)
        assert outbound.end_reason == "media-timeout"
        assert inbound.end_by == "us"


def test_what_may_not_be_called_is_forbidden(start: Start) -> None:
    board = Switchboard()
    board.answer("*")(bridge_to("sip:+900123@192.0.2.1"))
    node = start(board)
    with Peer(node.sip_port) as caller, MediaPort() as media:
        call = Dialled(caller, "200")
        call.invite(sdp(media.port))
        call.refuse_ack(caller.status(403))
        node.assert_clean()


# -- in mid-call -------------------------------------------------------------------------------


def test_keys_are_carried_with_their_length(start: Start) -> None:
    with Scene.of(start) as scene:
        call, _, response = scene.up()
        scene.ear.play(response.media, stream(noise(10))).join()
        key = [  # 7, held for 180 ms
            (
                0.02 * n,
                rtp(
                    1010 + n,
                    60_000,
                    bytes([7, 0x80 * (n > 8) | 10]) + (160 * min(n + 1, 9)).to_bytes(2, "big"),
                    payload_type=EVENT,
                    marker=not n,
                ),
            )
            for n in range(11)
        ]
        scene.ear.play(response.media, key).join()
        events = until(
            lambda: (
                found
                if len(found := [p for p in scene.mouth.received if p.payload_type == EVENT]) > 10
                else None
            )
        )
        assert {packet.payload[0] for packet in events} == {7}
        assert len({packet.timestamp for packet in events}) == 1
        assert max(int.from_bytes(packet.payload[2:4], "big") for packet in events) == 1440
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()


def test_a_key_in_an_info_request_is_carried_as_an_event(start: Start) -> None:
    with Scene.of(start) as scene:
        call, _, response = scene.up()
        scene.ear.play(response.media, stream(noise(5)))
        call.press("4")
        found = until(lambda: [p for p in scene.mouth.received if p.payload_type == EVENT])
        assert found[0].payload[0] == 4
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()


def test_a_hold_is_carried_across_and_taken_back(start: Start) -> None:
    with Scene.of(start) as scene:
        call, called, response = scene.up()
        scene.ear.play(response.media, stream(noise(10)))
        until(lambda: len(scene.mouth.received) > 3)
        version = 2
        for direction, carried, answered in (
            ("sendonly", b"a=sendonly", "recvonly"),
            ("sendrecv", b"a=sendrecv", "sendrecv"),
        ):
            call.request("INVITE", sdp(scene.ear.port, direction=direction, version=version))
            call.ok()
            call.ack()
            change = scene.called.request("INVITE")
            assert carried in change.body
            body = called.body(direction=answered, version=version)
            scene.called.respond(change, 200, body=body)
            scene.called.request("ACK")
            version += 1
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()


def test_music_is_played_to_whoever_waits(start: Start) -> None:
    with Scene.of(start, BridgeOptions(hold="music")) as scene:
        call, called, response = scene.up()
        scene.ear.play(response.media, stream(noise(10)))
        scene.mouth.play(called.invite.media, stream(noise(10)))
        call.request("INVITE", sdp(scene.ear.port, direction="sendonly", version=2))
        call.ok()
        call.ack()

        def loud() -> int:
            frames = [decode(one, Law.ULAW) for one in audio(scene.mouth.received)[-40:]]
            return sum(int(np.abs(frame.astype(int)).max()) > 300 for frame in frames)

        until(lambda: loud() > 35)
        assert not scene.called.poll(lambda m: m.method == "INVITE" and m.is_request, 0.1)
        call.request("INVITE", sdp(scene.ear.port, version=3))
        call.ok()
        call.ack()
        until(lambda: loud() == 0, what="the music does not stop")
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()


def test_both_hold_at_once_and_nothing_is_stuck(start: Start) -> None:
    """Glare: our re-INVITE for the one's hold meets the other's own."""
    with Scene.of(start) as scene:
        call, called, response = scene.up()
        scene.ear.play(response.media, stream(noise(10)))
        call.request("INVITE", sdp(scene.ear.port, direction="sendonly", version=2))
        ours = scene.called.request("INVITE")
        called.request("INVITE", 7, called.body(direction="sendonly", version=2))
        assert scene.called.receive(lambda m: m.code in (491, 500) and m["cseq"].startswith("7 "))
        call.ok()
        call.ack()
        scene.called.respond(ours, 491)
        # It is tried again after the pause of RFC 3261 14.1.
        again = scene.called.receive(
            lambda m: m.is_request and m.method == "INVITE" and m["cseq"] != ours["cseq"], 8
        )
        scene.called.respond(again, 200, body=called.body(direction="recvonly", version=2))
        scene.called.receive(lambda m: m.method == "ACK" and m["cseq"][0] == again["cseq"][0])
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()


def test_a_supervisor_whispers_to_one_side_and_is_not_heard_by_the_other(start: Start) -> None:
    with Scene.of(start) as scene, Peer() as boss, MediaPort() as chair:
        board = scene.node.board

        @board.answer("9")
        async def supervise(call: Call) -> None:
            joined = bridge_of(scene.node.calls[0])
            assert joined is not None
            await joined.whisper(call, joined.sides[1])
            await joined.wait()

        boss.server = ("127.0.0.1", scene.node.sip_port)
        call, called, response = scene.up()
        scene.ear.play(response.media, stream([b"\xff" * 160] * 200))
        scene.mouth.play(called.invite.media, stream([b"\xff" * 160] * 200))
        there = Dialled(boss, "9").answered(sdp(chair.port))
        said = noise(100)
        chair.play(there.media, stream(said))
        until(lambda: found_in_order(said, audio(scene.mouth.received)) > 30)
        assert found_in_order(said, audio(scene.ear.received)) == 0
        assert found_in_order(said, audio(chair.received)) == 0
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        boss.respond(boss.request("BYE"), 200)
        scene.node.assert_clean()


def test_a_third_call_takes_a_sides_place_and_no_packet_is_missing(start: Start) -> None:
    with Scene.of(start) as scene, MediaPort() as port:
        call, called, response = scene.up()
        node = scene.node
        hers, new = noise(200, 5), noise(200, 6)
        scene.ear.play(response.media, stream(noise(200, 4)))
        scene.mouth.play(called.invite.media, stream(hers))
        board = node.board
        arrived: list[Call] = []
        done = threading.Event()

        @board.answer("5")
        async def consult(third: Call) -> None:
            arrived.append(third)
            await third.wait_ended()

        third = Dialled(scene.caller, "5")
        there = third.answered(sdp(port.port))
        port.play(there.media, stream(new))
        until(lambda: arrived and len(scene.mouth.received) > 20)

        async def swap() -> None:
            joined = bridge_of(node.calls[0])
            assert joined is not None
            old = joined.sides[0]
            await joined.replace(old, arrived[0])
            await old.hangup()
            done.set()

        node.run(swap())
        assert done.is_set()
        scene.caller.respond(scene.caller.request("BYE"), 200)
        until(lambda: found_in_order(new, audio(scene.mouth.received)) > 50)
        until(lambda: found_in_order(hers, audio(port.received)) > 50)
        assert not gaps(scene.mouth.received)
        assert tag_of(call.remote)
        third.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        node.assert_clean()


def test_recordings_of_both_calls_go_on_and_the_records_name_each_other(start: Start) -> None:
    with Scene.of(start, record=True) as scene:
        call, called, response = scene.up()
        one, other = noise(100, 1), noise(100, 2)
        playing = scene.ear.play(response.media, stream(one))
        scene.mouth.play(called.invite.media, stream(other)).join()
        playing.join()
        call.bye()
        scene.called.respond(scene.called.request("BYE"), 200)
        scene.node.assert_clean()
        records = scene.node.records()
        links = {record.id: record.bridged_with for record in records}
        assert links == {records[0].id: records[1].id, records[1].id: records[0].id}
        scene.node.stop()
        mine, theirs = (parse_wav(Path(record.recording).read_bytes()) for record in records)
        # What came on one is what left on the other.
        frames = {
            mine.samples[at : at + 160, 0].tobytes() for at in range(0, len(mine.samples), 160)
        }
        left = [theirs.samples[at : at + 160, 1] for at in range(0, len(theirs.samples) - 160, 160)]
        loud = [frame for frame in left if np.abs(frame.astype(int)).max() > 1000]
        assert len(loud) > 70
        assert sum(frame.tobytes() in frames for frame in loud) > 60


# -- calls there are, and other legs --------------------------------------------------------------


def test_two_callers_are_joined_by_an_app(start: Start) -> None:
    board = Switchboard()
    waiting: list[Call] = []

    @board.answer("*")
    async def pair(call: Call) -> None:
        if waiting:
            await waiting.pop().bridge(call)
        else:
            waiting.append(call)
            await call.wait_ended()

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as one, MediaPort() as two:
        first = Dialled(peer)
        there = first.answered(sdp(one.port)).media
        until(lambda: waiting)
        second = Dialled(peer)
        second.answered(sdp(two.port))
        said = noise(80)
        one.play(there, stream(said))
        until(lambda: found_in_order(said, audio(two.received)) > 30)
        second.bye()
        bye = peer.request("BYE")
        assert bye["call-id"] == first.call_id
        peer.respond(bye, 200)
        node.assert_clean()


def test_an_application_that_blocks_delays_nothing_between_the_two(start: Start) -> None:
    """What passes between two legs passes on the media thread."""
    with Scene.of(start) as scene:
        call, called, response = scene.up()
        scene.ear.play(response.media, stream(noise(100)))
        until(lambda: len(scene.mouth.received) > 10)
        blocked = threading.Event()

        async def block() -> None:
            blocked.set()
            time.sleep(1.0)

        asyncio.run_coroutine_threadsafe(block(), scene.node.loop)
        assert blocked.wait(2)
        call.request("BYE")
        bye = scene.called.receive(lambda m: m.is_request and m.method == "BYE", 0.9)
        scene.called.respond(bye, 200)
        assert called.invite["call-id"] == bye["call-id"]
        scene.node.assert_clean()


@pytest.mark.program("baresip")
@pytest.mark.parametrize("codec", ["", "G722/16000/1", "opus/48000/2"])
def test_a_softphone_is_put_through_to_another(start: Start, tmp_path: Path, codec: str) -> None:
    board = Switchboard()
    with (
        Baresip(tmp_path / "b", answer="auto", source="ausine,800")() as desk,
        Baresip(tmp_path / "a", codec=codec, source="ausine,440")() as phone,
    ):
        board.answer("*")(bridge_to(f"sip:bare@127.0.0.1:{desk.port}"))
        node = start(board, media=Media(codecs=("opus", "g722", "pcmu", "pcma")))
        phone.command("dial", f"sip:200@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 2, 8, phone.output)
        time.sleep(2.5)
        phone.command("hangup")
        node.assert_clean()
    for heard, hz in ((phone.heard, 800), (desk.heard, 440)):
        audio_heard = parse_wav(heard.read_bytes())
        pcm = audio_heard.mono().astype(np.float64)
        pcm = pcm[len(pcm) // 2 : len(pcm) // 2 + audio_heard.rate_hz // 2]
        spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
        assert np.argmax(spectrum) * audio_heard.rate_hz / len(pcm) == pytest.approx(hz, abs=4)
    assert all(record.end_reason == "hangup" for record in node.records())


def test_two_calls_are_bridged_by_name(start: Start) -> None:
    """`bridge(a, b)` itself, of calls that were placed."""
    board = Switchboard()
    node = start(board)
    with Peer() as one, Peer() as two, MediaPort() as a, MediaPort() as b:

        async def both() -> None:
            first, second = await asyncio.gather(
                board.dial(f"sip:x@127.0.0.1:{one.port}"),
                board.dial(f"sip:y@127.0.0.1:{two.port}"),
            )
            await bridge(first, second)

        future = asyncio.run_coroutine_threadsafe(both(), node.loop)
        called = [Called(one, a), Called(two, b)]
        for each in called:
            each.answer()
        said = noise(80)
        a.play(called[0].invite.media, stream(said))
        until(lambda: found_in_order(said, audio(b.received)) > 30)
        called[1].request("BYE", 9)
        one.respond(one.request("BYE"), 200)
        future.result(5)
        node.assert_clean()


@pytest.mark.parametrize(
    "hostile", ["a%3e%3btag=x", "a%20b", "%00", "sip:x@y", "x" * 70, "a%22%0d%0aX: y"]
)
def test_a_caller_with_a_hostile_name_is_put_through_without_it(start: Start, hostile: str) -> None:
    with Scene.of(start) as scene:
        call = Dialled(scene.caller, "200")
        call.local = f"<sip:{hostile}@127.0.0.1>;tag=h1"
        call.invite(sdp(scene.ear.port))
        invite = scene.called.request("INVITE")
        user = uri_of(invite["from"]).removeprefix("sip:").partition("@")[0]
        assert user == "trunkline"
        assert not invite.all("x")
        scene.called.respond(invite, 486)
        scene.called.request("ACK")
        call.refuse_ack(scene.caller.status(486))
        scene.node.assert_clean()


def test_the_caller_and_named_headers_go_along_and_no_others(start: Start) -> None:
    board = Switchboard()
    with Peer() as desk, MediaPort() as media:
        board.answer("*")(
            bridge_to(
                f"sip:desk@127.0.0.1:{desk.port}",
                headers={"X-Added": "1"},
                pass_headers=("x-account",),
            )
        )
        node = start(board)
        with Peer(node.sip_port) as caller:
            call = Dialled(caller, "200")
            call.local = "<sip:+4930123@127.0.0.1>;tag=n1"
            call.invite(sdp(media.port), [("X-Account", "7"), ("X-Secret", "no")])
            invite = desk.request("INVITE")
            assert "sip:+4930123@" in invite["from"]
            assert invite.all("x-account") == ["7"]
            assert invite.all("x-added") == ["1"]
            assert not invite.all("x-secret")
            desk.respond(invite, 486)
            desk.request("ACK")
            call.refuse_ack(caller.status(486))
            node.assert_clean()
