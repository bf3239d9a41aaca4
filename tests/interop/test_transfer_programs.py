"""Transfers with real programs: baresip and sipp, as either side of them."""

from pathlib import Path
from typing import Any

import pytest

from trunkline.calls import succession
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import TransferError
from trunkline.calls.switchboard import Switchboard
from trunkline.media.wav import parse_wav
from trunkline.settings import Sip

from .conftest import Start
from .kit import RunningNode, until
from .peer import LOOPBACK, MediaPort, Peer, sdp, stream
from .programs import Baresip, Sipp
from .test_baresip import tone_share
from .test_transfer import begin, transfers

QUICK = Sip(t1_ms=100)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "RETIRE_SECONDS", 0.5)


def open_board() -> Switchboard:
    """A board whose calls echo, and may be transferred."""
    board = Switchboard()
    board.answer("*", transfers=True)(echo)
    return board


@pytest.mark.program("baresip")
def test_baresip_transfers_our_call_to_somebody_else(start: Start, tmp_path: Path) -> None:
    node = start(open_board(), sip=QUICK)
    with Peer() as carol, MediaPort() as media, Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@{LOOPBACK}:{node.sip_port}")
        until(lambda: node.lanes == 1)
        phone.command("transfer", f"sip:carol@{LOOPBACK}:{carol.port}")
        invite = carol.request("INVITE", 8)
        carol.respond(invite, 180, "Ringing")
        carol.respond(invite, 200, body=sdp(media.port))
        carol.request("ACK")
        (call,) = node.calls
        until(lambda: transfers(node, "them")[-1:] == [("Transferred", 200)], 8, phone.output)
        # The echo goes on with Carol, and baresip has hung up.
        media.play(invite.media, stream([bytes([0x42]) * 160] * 40))
        until(lambda: any(0x42 in packet.payload for packet in tuple(media.received)))
        until(lambda: len(node.endpoint.legs) == 1, 8, phone.output)
        assert call.is_answered
        node.run(call.hangup())
        carol.respond(carol.request("BYE"), 200, tag="")
        node.assert_clean()


@pytest.mark.program("baresip")
def test_baresip_is_told_that_we_do_not_let_ourselves_be_transferred(
    start: Start, tmp_path: Path
) -> None:
    node = start(sip=QUICK)
    with Peer() as carol, Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@{LOOPBACK}:{node.sip_port}")
        until(lambda: node.lanes == 1)
        phone.command("transfer", f"sip:carol@{LOOPBACK}:{carol.port}")
        until(lambda: "603" in phone.output, 8, phone.output)
        assert carol.poll(seconds=0.2) is None
        # This baresip gives a call up that it could not hand over: we did not.
        node.assert_clean()
    assert (node.ended[0].reason, node.ended[0].by) == ("hangup", "them")


@pytest.mark.program("baresip")
def test_baresip_goes_where_we_send_it(start: Start, tmp_path: Path) -> None:
    """It calls another number of ours, so that both ends of the transfer are real."""
    node = start(sip=QUICK)
    with Baresip(tmp_path / "b", answer="auto")() as phone:
        call = node.run(node.board.dial(f"sip:bare@{LOOPBACK}:{phone.port}"))
        waiting = begin(node, call.transfer(f"sip:200@{LOOPBACK}:{node.sip_port}"))
        assert waiting.result(15) in (200, 202), phone.output
        until(lambda: call.is_over, 8)
        until(lambda: len(node.calls) == 2 and node.calls[1].is_answered, 8, phone.output)
        assert node.calls[1].callee == "200"
        until(lambda: _received(node) > 100, 10)
        phone.command("hangup")
        node.assert_clean()
    assert any(
        tone_share(path) > 0.9
        for path in phone.folder.glob("dump-*-dec.wav")
        if len(parse_wav(path.read_bytes()).mono()) > 8000
    ), phone.output


@pytest.mark.program("baresip")
def test_baresip_says_that_nobody_took_the_call(start: Start, tmp_path: Path) -> None:
    node = start(sip=QUICK)
    with Peer() as carol, Baresip(tmp_path / "b", answer="auto")() as phone:
        call = node.run(node.board.dial(f"sip:bare@{LOOPBACK}:{phone.port}", app=echo))
        waiting = begin(node, call.transfer(f"sip:carol@{LOOPBACK}:{carol.port}"))
        carol.respond(carol.request("INVITE", 8), 486, "Busy Here")
        with pytest.raises(TransferError) as caught:
            waiting.result(15)
        assert caught.value.code == 486 and call.is_answered


def _received(node: RunningNode) -> float:
    legs = list(node.endpoint.legs.values())
    return node.on_media(legs[-1].statistics).get("received", 0.0) if legs else 0.0


@pytest.mark.program("sipp")
def test_sipp_asks_for_a_hundred_transfers(start: Start, tmp_path: Path) -> None:
    """Each of its calls is sent on to another sipp, and reported to its end."""
    node = start(open_board(), sip=Sip())
    target = Sipp("uas_plain", tmp_path / "target", calls=100)
    with target() as answering:
        target.wait_bound()
        asking = Sipp("uac_refer", tmp_path / "asking", node_port=node.sip_port, calls=100, rate=25)
        asking.with_options("-key", "target", str(target.port)).run()
        until(lambda: len(transfers(node, "them")) >= 100 and _done(node) == 100, 10)
        for call in node.calls:
            node.run(call.hangup())
        target.finish(answering)
        node.assert_clean()


def _done(node: RunningNode) -> int:
    return sum(what == ("Transferred", 200) for what in transfers(node, "them"))


@pytest.mark.program("sipp")
@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [("uas_refer", 200), ("uas_refer_early", 200), ("uas_refer_bye", 202),
     ("uas_refer_busy", 486), ("uas_refer_refused", 603)],
)  # fmt: skip
def test_sipp_is_asked_for_transfers(
    start: Start, tmp_path: Path, scenario: str, outcome: int
) -> None:
    outcomes: list[Any] = []
    board = Switchboard()

    async def hand_over(call: Call) -> None:
        try:
            outcomes.append(await call.transfer("sip:carol@127.0.0.1:9"))
        except TransferError as error:
            outcomes.append(error.code)

    node = start(board, sip=Sip())
    count = 20
    sipp = Sipp(scenario, tmp_path / "s", calls=count, code=outcome)
    with sipp() as process:
        sipp.wait_bound()
        for _ in range(count):
            node.run(board.dial(f"sip:bob@{LOOPBACK}:{sipp.port}", app=hand_over))
        sipp.finish(process)
        node.assert_clean()
    assert outcomes == [outcome] * count
