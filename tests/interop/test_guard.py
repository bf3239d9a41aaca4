"""Scanners, guessed passwords and floods, against a node that trusts nobody here."""

import time
from pathlib import Path

import pytest

from trunkline.calls.limits import LimitSettings
from trunkline.calls.switchboard import Switchboard
from trunkline.calls.trunks import Trunk
from trunkline.server.control_socket import ask
from trunkline.settings import Protection, Secret, Sip

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, Message, Peer, sdp
from .programs import Sipp

WARY = Protection(trust_loopback=False, failures=4, numbers=5, requests=20, malformed=5)
ACCOUNTS = Sip(t1_ms=100, accounts={"alice": Secret("sesame")})


def wary(start: Start, protection: Protection = WARY, sip: Sip = ACCOUNTS) -> RunningNode:
    return start(sip=sip, protection=protection)


def blocked(node: RunningNode) -> list[str]:
    return [one.reason for one in node.node.trunks.blocks.listing(time.time())]


def ask_options(peer: Peer, agent: str = "") -> Message | None:
    """What an OPTIONS is answered with, if it is."""
    call = Dialled(peer)
    call.request("OPTIONS", extra=[("User-Agent", agent)] if agent else [])
    return peer.poll(lambda m: m["call-id"] == call.call_id and m.code >= 200, 0.5)


@pytest.mark.parametrize("agent", ["friendly-scanner", "sipvicious v0.3", "pplsip", "sipcli/v1.8"])
def test_a_scanner_gets_no_answer_from_its_first_word_on(start: Start, agent: str) -> None:
    node = wary(start)
    with Peer(node.sip_port) as peer:
        assert ask_options(peer, agent) is None
        assert ask_options(peer) is None, "it is blocked now, whatever it calls itself"
    assert blocked(node) == ["says that it is a scanner"]


def test_an_honest_stranger_is_answered(start: Start) -> None:
    node = wary(start)
    with Peer(node.sip_port) as peer:
        for _ in range(10):
            answer = ask_options(peer, "Linphone/5.2")
            assert answer is not None and answer.code == 200
    assert not blocked(node)


def test_who_dials_number_after_number_without_a_password_is_not_heard_any_more(
    start: Start,
) -> None:
    node = wary(start)
    with Peer(node.sip_port) as peer:
        for number in range(5):
            call = Dialled(peer, f"9001{number}")
            call.invite(sdp(41_000))
            peer.receive(lambda m, call=call: m.code == 401 and m["call-id"] == call.call_id)
        last = Dialled(peer, "90099")
        last.invite(sdp(41_000))
        assert peer.poll(lambda m: m["call-id"] == last.call_id, 0.5) is None
    assert blocked(node) == ["dials number after number"]
    assert not node.calls


def test_nonsense_again_and_again_is_enough(start: Start) -> None:
    node = wary(start)
    with Peer(node.sip_port) as peer:
        for _ in range(5):
            peer.send(b"INVITE nonsense\r\n\r\n")
        until(lambda: blocked(node) == ["sends what is no SIP"])
        assert ask_options(peer) is None


@pytest.mark.program("sipp")
def test_who_guesses_passwords_is_blocked_and_the_right_one_is_not(
    start: Start, tmp_path: Path
) -> None:
    node = wary(start, Protection(trust_loopback=False, failures=4, numbers=100))
    right = Sipp("uac_digest", tmp_path / "right", node_port=node.sip_port, calls=20, rate=20)
    right.with_options("-au", "alice", "-ap", "sesame").run()
    assert not blocked(node)
    wrong = Sipp("uac_digest_wrong", tmp_path / "wrong", node_port=node.sip_port, calls=4, rate=4)
    wrong.with_options("-au", "alice", "-ap", "open").run()
    assert blocked(node) == ["guesses passwords"]
    with Peer(node.sip_port) as peer:
        assert ask_options(peer) is None
    assert node.node.trunks.gate is not None
    assert node.node.trunks.gate.counters["digest refused"] == 4


def test_a_trunks_address_is_never_blocked_whatever_it_sends(start: Start) -> None:
    board = Switchboard()
    node = start(board, sip=ACCOUNTS, protection=WARY)
    with Peer(node.sip_port) as peer, Peer(node.sip_port) as other:
        board.trunks.add(Trunk(name="carrier", addresses=(f"127.0.0.1:{peer.port}",)))
        for _ in range(20):
            peer.send(b"OPTIONS nonsense\r\n\r\n")
        answer = ask_options(peer, "friendly-scanner")
        assert answer is not None and answer.code == 200
        assert ask_options(other, "friendly-scanner") is None
        answer = ask_options(peer)
        assert answer is not None, "its address is blocked, the trunk on it is not"


def test_the_list_is_seen_and_changed_and_kept_over_a_restart(start: Start) -> None:
    node = wary(start)
    sock = node.settings.records.path.with_suffix(".sock")
    with Peer(node.sip_port) as peer:
        assert ask_options(peer, "friendly-scanner") is None
        ask(sock, "block", address="192.0.2.0/24", reason="by hand")
        shown = ask(sock, "blocked")
        assert {one["address"] for one in shown["blocked"]} == {"127.0.0.1", "192.0.2.0/24"}
        assert ask(sock, "unblock", address="127.0.0.1") is True
        answer = ask_options(peer)
        assert answer is not None and answer.code == 200
        assert ask_options(peer, "friendly-scanner") is None
    node.stop()
    with RunningNode(
        Switchboard(), node.folder, sip=ACCOUNTS, protection=WARY
    ) as again, Peer(again.sip_port) as peer:  # fmt: skip
        assert ask_options(peer) is None
        assert len(blocked(again)) == 2


def test_a_trunk_by_account_is_held_to_its_limit(start: Start, tmp_path: Path) -> None:
    board = Switchboard()

    @board.answer("*")
    async def wait(call: object) -> None:
        await call.wait_ended()  # type: ignore[attr-defined]

    board.trunks.add(
        Trunk(name="carrier", accounts={"carl": "secret"}, limits=LimitSettings(channels=1))
    )
    node = start(board)
    sipp = Sipp("uac_digest", tmp_path / "s", node_port=node.sip_port, calls=1, rate=1)
    sipp.with_options("-au", "carl", "-ap", "secret").run()
    node.assert_clean()
    limits = board.trunks.state("carrier").limits
    assert (limits.channels, limits.peak) == (0, 1)
    assert [call.trunk for call in node.calls] == ["carrier"]
    wrong = Sipp("uac_digest_wrong", tmp_path / "w", node_port=node.sip_port, calls=5, rate=50)
    wrong.with_options("-au", "carl", "-ap", "guess").run()
    assert (limits.channels, limits.peak) == (0, 1), "a wrong password takes no channel"
