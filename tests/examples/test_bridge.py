"""``examples/bridge.py``: two desks ring, one answers, the boss listens and whispers."""

import pytest
from tests.interop.kit import until
from tests.interop.peer import Dialled, MediaPort, Peer, found_in_order, noise, sdp, stream

from .conftest import Run


def test_a_caller_is_put_through_and_the_boss_whispers(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Peer() as anna, Peer() as ben, MediaPort() as desk:
        monkeypatch.setenv("DESKS", f"sip:anna@127.0.0.1:{anna.port} sip:ben@127.0.0.1:{ben.port}")
        example = run("bridge.py")
        with Peer(example.node.sip_port) as caller, MediaPort() as ear:
            call = Dialled(caller, "100")
            call.invite(sdp(ear.port))
            invites = [anna.request("INVITE", 10), ben.request("INVITE")]
            for peer, invite in zip((anna, ben), invites, strict=True):
                peer.respond(invite, 180)
            ben.respond(invites[1], 200, body=sdp(desk.port))
            ben.request("ACK")
            anna.respond(anna.request("CANCEL"), 200)
            anna.respond(invites[0], 487)
            there = call.ok()
            call.ack()
            ear.play(there.media, stream([b"\xff" * 160] * 400))
            desk.play(invites[1].media, stream([b"\xff" * 160] * 400))
            until(lambda: len(desk.received) > 5)
            with Peer(example.node.sip_port) as boss, MediaPort() as chair:
                nine = Dialled(boss, "9")
                line = nine.answered(sdp(chair.port)).media
                until(lambda: len(chair.received) > 5)
                said = noise(400)
                chair.play(line, stream(said, timestamp=700_000))
                assert found_in_order(said, [p.payload for p in desk.received]) == 0
                nine.press("2")
                until(lambda: found_in_order(said, [p.payload for p in desk.received]) > 10)
                assert found_in_order(said, [p.payload for p in ear.received]) == 0
                nine.press("3")
                until(lambda: found_in_order(said, [p.payload for p in ear.received]) > 10)
                nine.press("#")
                boss.respond(boss.request("BYE"), 200)
            call.bye()
            ben.respond(ben.request("BYE"), 200)
            example.node.assert_clean()
