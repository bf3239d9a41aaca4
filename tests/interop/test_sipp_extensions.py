"""What trunks ask of a user agent, with sipp at the other end.

Reliable provisional responses, UPDATE, session timers in both roles, redirects, late
offers and forked early media. The scenarios check the fields; a call that does not go
as they say fails the run.
"""

import asyncio
from pathlib import Path

import pytest

from trunkline.calls.call import Call
from trunkline.calls.events import CallEarlyMedia, CallHeld, CallResumed
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Outbound, Sip
from trunkline.transports.leg import DialOptions, LegEvent

from .conftest import Start
from .kit import until
from .programs import Sipp
from .test_sipp import dial_many, ends

pytestmark = pytest.mark.program("sipp")

TIMERS = Sip(min_se_seconds=2)
"""Intervals that a test can wait for; RFC 4028 has none below 90 s."""


def early_board() -> Switchboard:
    """A board whose app plays before it answers."""
    board = Switchboard()

    @board.answer("*", early=True)
    async def announce(call: Call) -> None:
        await call.early_media()
        await asyncio.sleep(0.1)
        await call.answer()
        await call.wait_ended()

    return board


@pytest.mark.parametrize("scenario", ["uac_prack", "uac_prack_late", "uac_prack_wrong"])
def test_callers_acknowledge_our_provisional_responses(
    start: Start, tmp_path: Path, scenario: str
) -> None:
    node = start(early_board())
    Sipp(scenario, tmp_path / "s", node_port=node.sip_port, calls=30, rate=30).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 30
    early = [event for event in node.events if isinstance(event, CallEarlyMedia)]
    assert len(early) == 30


def test_callers_change_their_calls_by_update(start: Start, tmp_path: Path) -> None:
    node = start()
    Sipp("uac_update", tmp_path / "s", node_port=node.sip_port, calls=30, rate=30).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 30
    changes = [event for event in node.events if isinstance(event, CallHeld | CallResumed)]
    assert len(changes) == 60


def test_callers_with_session_timers_get_422_and_then_what_they_ask(
    start: Start, tmp_path: Path
) -> None:
    node = start(sip=Sip())
    Sipp("uac_timer", tmp_path / "s", node_port=node.sip_port, calls=30, rate=30).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "them")] * 30


def test_callers_who_promise_to_refresh_and_do_not_are_hung_up_on(
    start: Start, tmp_path: Path
) -> None:
    node = start(sip=TIMERS)
    Sipp("uac_timer_dies", tmp_path / "s", node_port=node.sip_port, calls=20, rate=20).run()
    node.assert_clean()
    assert ends(node) == [("timeout", "them")] * 20


def test_we_refresh_the_calls_of_those_who_take_update(start: Start, tmp_path: Path) -> None:
    board = Switchboard()

    @board.answer("*")
    async def a_while(call: Call) -> None:
        await asyncio.sleep(2.7)

    node = start(board, sip=TIMERS)
    Sipp("uac_timer_update", tmp_path / "s", node_port=node.sip_port, calls=20, rate=20).run()
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 20


@pytest.mark.parametrize("scenario", ["uas_prack", "uas_update", "uas_forks"])
def test_calls_out_with_early_media(start: Start, tmp_path: Path, scenario: str) -> None:
    node = start(sip=Sip())
    sipp = Sipp(scenario, tmp_path / "s", calls=20)
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 20, timeout=10.0))
        assert all(isinstance(call, Call) for call in answered), answered
        early = [event for event in node.events if isinstance(event, CallEarlyMedia)]
        assert len(early) == 20
        if scenario == "uas_update":  # held while it rang, resumed when it was up
            until(lambda: sum(isinstance(event, CallResumed) for event in node.events) == 20)
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 20


def test_a_422_is_no_failure_and_the_call_is_refreshed_by_reinvite(
    start: Start, tmp_path: Path
) -> None:
    node = start(sip=Sip(min_se_seconds=2, session_expires_seconds=2))
    sipp = Sipp("uas_timer", tmp_path / "s", calls=10)
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 10, timeout=10.0))
        assert all(isinstance(call, Call) for call in answered), answered
        node.run(asyncio.sleep(2.4))
        for call in answered:
            assert isinstance(call, Call)
            node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us")] * 10


@pytest.mark.parametrize("follow", [True, False])
def test_redirects_are_followed_where_that_is_allowed(
    start: Start, tmp_path: Path, follow: bool
) -> None:
    node = start(sip=Sip(), outbound=Outbound(follow_redirects=follow))
    scenario = "uas_redirects" if follow else "uas_refuse"
    sipp = Sipp(scenario, tmp_path / "s", calls=10, code=302)
    with sipp() as process:
        sipp.wait_bound()
        answered = node.run(dial_many(node, sipp.port, 10, timeout=10.0))
        assert all(isinstance(call, Call) is follow for call in answered), answered
        for call in answered:
            if isinstance(call, Call):
                node.run(call.hangup())
        sipp.finish(process)
    node.assert_clean()
    assert ends(node) == [("hangup", "us") if follow else ("rejected", "them")] * 10


def test_an_app_sends_its_callers_elsewhere(start: Start, tmp_path: Path) -> None:
    board = Switchboard()

    @board.answer("*", early=True)
    async def elsewhere(call: Call) -> None:
        await call.redirect("sip:other@127.0.0.1:5999")

    node = start(board)
    Sipp("uac_redirected", tmp_path / "s", node_port=node.sip_port, calls=30, rate=30).run()
    node.assert_clean()
    assert ends(node) == [("redirected", "us")] * 30


def test_a_call_out_may_leave_the_offer_to_them(start: Start, tmp_path: Path) -> None:
    node = start(sip=Sip())
    sipp = Sipp("uas_late_offer", tmp_path / "s", calls=1)
    events: list[str] = []

    def observe(leg: object, event: LegEvent, now: float) -> None:
        events.append(type(event).__name__)

    def dial() -> object:
        return node.endpoint.dial(
            f"sip:bob@127.0.0.1:{sipp.port}", caller="", headers={}, observer=observe,
            options=DialOptions(late_offer=True),
        )  # fmt: skip

    with sipp() as process:
        sipp.wait_bound()
        leg = node.on_media(dial)
        until(lambda: "Answered" in events)
        node.on_media(leg.hangup)  # type: ignore[attr-defined]
        sipp.finish(process)
    until(lambda: events[-1:] == ["Ended"])
    assert events == ["Ringing", "Answered", "Ended"]
    node.assert_clean()
