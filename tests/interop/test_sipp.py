"""Hundreds of calls with sipp: in, out, cancelled, challenged, held, with datagrams lost."""

import asyncio
from pathlib import Path

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.events import CallEarlyMedia, CallHeld, CallResumed
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Media, Outbound, Secret, Sip

from .conftest import Start
from .kit import RunningNode, until
from .programs import Sipp

pytestmark = pytest.mark.program("sipp")

TONE = bytes([0xD5, 0x94, 0x8C, 0x94, 0xD5, 0x14, 0x0C, 0x14]) * 1000
"""A second of 1 kHz in A-law, as sipp streams it."""


def ends(node: RunningNode) -> list[tuple[str, str]]:
    """How the records say that the calls ended."""
    records = node.records()
    assert all(record.state == "ended" for record in records)
    return [(record.end_reason, record.end_by) for record in records]


# -- calls in ----------------------------------------------------------------------------


def test_three_hundred_callers_with_audio_at_a_hundred_a_second(
    start: Start, tmp_path: Path
) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uac_media", tmp_path / "sipp", node_port=node.sip_port, calls=300, rate=100)
    (sipp.folder / "tone.al").write_bytes(TONE)
    sipp.run()
    node.assert_clean()
    assert int(sipp.statistics()["FailedCall(C)"]) == 0
    assert ends(node) == [("hangup", "them")] * 300
    qualities = [record.quality for record in node.records()]
    # sipp sends from one RTP port for all, and drops what does not leave at once.
    assert sum((quality.get("received") or 0) > 25 for quality in qualities) >= 250
    assert all((quality["packets_sent"] or 0) > 25 for quality in qualities)


@pytest.mark.parametrize(
    ("scenario", "calls", "rate"),
    [("uac_hold", 30, 20), ("uac_late_offer", 50, 50), ("uac_odd", 50, 50)],
)
def test_calls_change_and_end_as_they_should(
    start: Start, tmp_path: Path, scenario: str, calls: int, rate: int
) -> None:
    node = start(media=Media(timeout_seconds=1.0) if scenario == "uac_hold" else None)
    Sipp(scenario, tmp_path / "s", node_port=node.sip_port, calls=calls, rate=rate).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * calls
    if scenario == "uac_hold":
        held = [event for event in node.events if isinstance(event, CallHeld | CallResumed)]
        assert len(held) == 6 * calls


def test_callers_who_give_up_while_it_rings(start: Start, tmp_path: Path) -> None:
    board = Switchboard()

    @board.answer("*", early=True)
    async def ring(call: Call) -> None:
        await call.ring()
        await call.wait_ended()

    node = start(board)
    Sipp("uac_cancel", tmp_path / "s", node_port=node.sip_port, calls=100, rate=100).run()
    node.assert_clean()
    assert ends(node) == [("cancelled", "them")] * 100


def test_the_right_password_opens_and_the_wrong_one_does_not(start: Start, tmp_path: Path) -> None:
    node = start(sip=Sip(accounts={"alice": Secret("sesame")}))
    right = Sipp("uac_digest", tmp_path / "right", node_port=node.sip_port, calls=50, rate=50)
    right.with_options("-au", "alice", "-ap", "sesame").run()
    wrong = Sipp("uac_digest_wrong", tmp_path / "wrong", node_port=node.sip_port, calls=20, rate=20)
    wrong.with_options("-au", "alice", "-ap", "open").run()
    other = Sipp("uac_digest_wrong", tmp_path / "other", node_port=node.sip_port, calls=20, rate=20)
    other.with_options("-au", "mallory", "-ap", "sesame").run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 50


def test_a_tenth_of_all_datagrams_lost_costs_no_call(start: Start, tmp_path: Path) -> None:
    node = start()
    sipp = Sipp("uac_plain", tmp_path / "s", node_port=node.sip_port, calls=60, rate=60)
    sipp.with_options("-lost", "10").run()
    node.assert_clean(20)
    found = ends(node)
    # sipp takes a repeated 200 of the INVITE for the one of its BYE, and is gone: such a
    # call, whose ACK was lost, ends when our patience does.
    assert len(found) == 60 and set(found) <= {("hangup", "them"), ("timeout", "them")}
    assert found.count(("hangup", "them")) >= 50


def test_options_is_answered(start: Start, tmp_path: Path) -> None:
    node = start()
    Sipp("uac_options", tmp_path / "s", node_port=node.sip_port, calls=200, rate=200).run()
    assert node.sessions == 0 and not node.calls


# -- calls out -----------------------------------------------------------------------------


async def dial_many(
    node: RunningNode, port: int, calls: int, transport: str = "", **options: object
) -> list[object]:
    """Dial all at once; answers and errors."""
    target = f"sip:bob@127.0.0.1:{port}" + f";transport={transport}" * bool(transport)
    dialling = [node.board.dial(target, **options) for _ in range(calls)]  # type: ignore[arg-type]
    return await asyncio.gather(*dialling, return_exceptions=True)


@pytest.mark.parametrize("scenario", ["uas_answer", "uas_early", "uas_slow"])
def test_calls_out_are_answered_and_we_hang_up(start: Start, tmp_path: Path, scenario: str) -> None:
    node = start()
    sipp = Sipp(scenario, tmp_path / "s", calls=50)
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 50, timeout=10.0))
        assert all(isinstance(call, Call) for call in answered), answered
        if scenario == "uas_early":
            early = [event for event in node.events if isinstance(event, CallEarlyMedia)]
            assert len(early) == 50
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 50


def test_callees_hang_up(start: Start, tmp_path: Path) -> None:
    node = start()
    sipp = Sipp("uas_hangs_up", tmp_path / "s", calls=50)
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 50, app=echo))
        assert all(isinstance(call, Call) for call in answered), answered
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 50


@pytest.mark.parametrize(
    ("code", "reason"), [(486, "busy"), (404, "rejected"), (302, "rejected"), (503, "error")]
)
def test_refusals_are_told_as_what_they_are(
    start: Start, tmp_path: Path, code: int, reason: str
) -> None:
    node = start()
    sipp = Sipp("uas_refuse", tmp_path / "s", calls=30, code=code)
    with sipp() as process:
        sipp.wait_bound()
        errors = node.run(dial_many(node, sipp.port, 30))
        sipp.finish(process)
    assert [error.code for error in errors if isinstance(error, DialError)] == [code] * 30
    node.assert_clean()
    assert ends(node) == [(reason, "them")] * 30


@pytest.mark.parametrize("scenario", ["uas_cancelled", "uas_crossing"])
def test_calls_that_nobody_answers_in_time_are_given_up(
    start: Start, tmp_path: Path, scenario: str
) -> None:
    node = start(sip=Sip())  # sipp takes a repeated CANCEL for a mistake
    sipp = Sipp(scenario, tmp_path / "s", calls=50)
    with sipp() as process:
        sipp.wait_bound()
        errors = node.run(dial_many(node, sipp.port, 50, timeout=1.0))
        sipp.finish(process)
    assert [error.reason for error in errors if isinstance(error, DialError)] == ["no-answer"] * 50
    node.assert_clean()
    assert ends(node) == [("no-answer", "us")] * 50


@pytest.mark.parametrize(("password", "code"), [("sesame", 200), ("wrong", 403)])
def test_we_prove_who_we_are(start: Start, tmp_path: Path, password: str, code: int) -> None:
    node = start(outbound=Outbound(username="trunk", password=Secret(password)))
    sipp = Sipp("uas_digest", tmp_path / "s", calls=20)
    with sipp() as process:
        sipp.wait_bound()
        results = node.run(dial_many(node, sipp.port, 20))
        for call in results:
            if isinstance(call, Call):
                node.run(call.hangup())
        sipp.finish(process)
    codes = {result.code if isinstance(result, DialError) else 200 for result in results}
    assert codes == {code}, results
    node.assert_clean()


def test_a_callee_that_is_not_there_is_given_up_after_the_patience_of_sip(start: Start) -> None:
    node = start(sip=Sip(t1_ms=20))
    (error,) = node.run(dial_many(node, 9, 1))
    assert isinstance(error, DialError) and error.code in (408, 503)
    node.assert_clean()
    until(lambda: not node.endpoint.agent.live["client transactions"])
