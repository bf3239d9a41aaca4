"""Routes, and what becomes of a call that comes in or is placed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trunkline.calls import trunks
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError, DialError, OutboundDeniedError
from trunkline.calls.guard_outbound import Alarm
from trunkline.calls.numbers import NumberPlan
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.switchboard import OutboundPolicy, Route, Switchboard, new_call_id
from trunkline.errors import UsageError
from trunkline.transports.leg import Answered, Ended, Ringing

from .fakes import FakeLeg, FakeMedia, turn


async def nothing(call: Call) -> None:
    """An app that hangs up."""


class Trunk:
    """Places calls to a leg that the test drives."""

    def __init__(self, media: FakeMedia) -> None:
        self.media = media
        self.legs: list[FakeLeg] = []
        self.on_dial: Callable[[FakeLeg], None] = lambda leg: None

    def dial(
        self, target: str, *, caller: str, headers: Any, observer: Any, options: Any = None
    ) -> FakeLeg:
        leg = FakeLeg(self.media, direction="outbound", callee=target)
        leg.observer = observer
        self.legs.append(leg)
        self.on_dial(leg)
        return leg


class World:
    """A board that runs, and its fakes."""

    def __init__(self, board: Switchboard | None = None, drain: float = 1.0) -> None:
        self.media = FakeMedia()
        self.trunk = Trunk(self.media)
        self.board = board or Switchboard()
        self.started: list[tuple[Call, str]] = []
        self.stop = asyncio.Event()
        self.drain = drain

    def call_started(self, call: Call, app: str) -> None:
        self.started.append((call, app))

    async def __aenter__(self) -> "World":
        self.board.connect(self.media, outgoing=self.trunk, listeners=(self,))  # type: ignore[arg-type]
        ready = asyncio.Event()
        self.running = asyncio.create_task(self.board.run(ready, self.stop, self.drain))
        await ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self.running, 20)

    async def incoming(self, callee: str = "100") -> FakeLeg:
        leg = FakeLeg(self.media, callee=callee)
        leg.observer = self.board.receive(leg, 0.0)
        await turn()
        return leg


def test_the_first_pattern_that_matches_wins() -> None:
    board = Switchboard()
    board.answer("100")(nothing)
    board.answer("+49*", early=True)(nothing)
    board.answer("help@*")(nothing)
    assert board.find("100") is board.routes[0]
    assert board.find("100@example.com") is board.routes[0]
    assert board.find("+4930") is board.routes[1] and board.routes[1].early
    assert board.find("help@example.com") is board.routes[2]
    assert board.find("999") is None


def test_an_app_is_named_by_its_function_or_its_class() -> None:
    class Desk:
        async def __call__(self, call: Call) -> None:
            pass

    assert Route("*", nothing).name == "nothing" and Route("*", Desk()).name == "Desk"


def test_call_ids_are_long_and_differ() -> None:
    assert len({new_call_id() for _ in range(100)}) == 100 and len(new_call_id()) == 21


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("sip:bob@127.0.0.1:5070", True),
        ("sip:bob@localhost", True),
        ("sip:127.0.0.1", True),
        ("sip:bob@[::1]:5060;transport=udp", True),
        ("sip:+4930123@trunk.example", True),
        ("tel:+4930123", True),
        ("sip:+1900@trunk.example", False),
        ("sip:bob@127.0.0.1.evil.example", False),
        ("sip:localhost@evil.example", False),
        ("sip:x@localhost@evil.example", False),
    ],
)
def test_what_may_be_called(target: str, allowed: bool) -> None:
    policy = OutboundPolicy(("+4930",))
    assert policy.allows(target) is allowed
    if allowed:
        policy.check(target)
    else:
        with pytest.raises(OutboundDeniedError):
            policy.check(target)


def test_loopback_may_be_forbidden() -> None:
    with pytest.raises(OutboundDeniedError):
        OutboundPolicy((), allow_loopback=False).check("sip:bob@127.0.0.1")


def test_a_call_is_answered_served_and_hung_up() -> None:
    async def main() -> None:
        board = Switchboard()
        board.answer("100")(nothing)
        async with World(board) as world:
            leg = await world.incoming()
            (entry,) = world.started
            await asyncio.wait_for(entry[0].wait_ended(), 2)
            assert leg.did == [("answer",), ("hangup", "hangup")]
            assert entry[1] == "nothing" and not board.calls

    asyncio.run(main())


def test_an_early_app_gets_the_call_while_it_rings() -> None:
    async def main() -> None:
        board = Switchboard()

        @board.answer("*", early=True)
        async def door(call: Call) -> None:
            await call.ring()
            await call.reject(480)

        async with World(board) as world:
            leg = await world.incoming()
            await asyncio.wait_for(world.started[0][0].wait_ended(), 2)
            assert leg.did[:2] == [("ring",), ("reject", 480)]

    asyncio.run(main())


def test_no_route_is_404_and_draining_is_503() -> None:
    async def main() -> None:
        board = Switchboard()
        async with World(board) as world:
            assert (await world.incoming()).did == [("reject", 404)]
            board._draining = True
            assert (await world.incoming()).did == [("reject", 503)]
            assert board.refused == 2 and not board.calls

    asyncio.run(main())


def test_an_app_that_fails_ends_its_call_with_error(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def broken(call: Call) -> None:
            raise ValueError("no")

        async with World(board) as world:
            leg = await world.incoming()
            end = await asyncio.wait_for(world.started[0][0].wait_ended(), 2)
            assert end.reason == "error" and leg.did[-1] == ("hangup", "error")

    asyncio.run(main())
    assert "the app broken failed" in caplog.text


def test_an_app_with_a_task_group_ends_as_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def two_things(call: Call) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(call.next_digit())
                tasks.create_task(call.next_digit())

        async with World(board) as world:
            leg = await world.incoming()
            leg.tell(Ended("hangup", "them"))
            await turn()

    asyncio.run(main())
    assert not caplog.records


def test_an_app_that_waits_ends_quietly_when_the_caller_hangs_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def menu(call: Call) -> None:
            await call.next_digit()

        async with World(board) as world:
            leg = await world.incoming()
            leg.tell(Ended("hangup", "them"))
            await turn()

    asyncio.run(main())
    assert not caplog.records


def test_an_app_that_goes_on_after_the_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trunkline.calls.switchboard.END_SECONDS", 0.01)
    cancelled: list[bool] = []

    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def endless(call: Call) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        async with World(board) as world:
            leg = await world.incoming()
            leg.tell(Ended("hangup", "them"))
            await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert cancelled and "goes on after the end" in caplog.text


def test_a_listener_that_fails_costs_nobody_the_call(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        board = Switchboard()
        board.answer("*")(nothing)
        world = World(board)
        world.call_started = lambda call, app: 1 / 0  # type: ignore[assignment,method-assign]
        async with world:
            leg = await world.incoming()
            await turn(10)
            assert leg.did[0] == ("answer",)

    asyncio.run(main())
    assert "listener" in caplog.text


def test_dialling_returns_the_call_once_it_is_answered_and_runs_its_app() -> None:
    async def main() -> None:
        async with World() as world:
            dialling = asyncio.create_task(world.board.dial("sip:b@127.0.0.1", app=nothing))
            await turn()
            (leg,) = world.trunk.legs
            leg.tell(Ringing())
            leg.lane = leg.made
            world.media.engine.open(leg.made)
            leg.tell(Answered())
            call = await asyncio.wait_for(dialling, 2)
            assert call.direction == "outbound"
            assert (await asyncio.wait_for(call.wait_ended(), 2)).reason == "hangup"

    asyncio.run(main())


def test_a_call_that_is_over_before_dial_returns_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with World() as world:
            world.trunk.on_dial = lambda leg: leg.tell(Ended("busy", "them", 486))
            with pytest.raises(DialError) as caught:
                await world.board.dial("sip:b@127.0.0.1")
            assert (caught.value.reason, caught.value.code) == ("busy", 486)
            assert not world.board.calls and len(world.started) == 1

    asyncio.run(main())


def test_a_call_nobody_answers_is_given_up() -> None:
    async def main() -> None:
        async with World() as world:
            with pytest.raises(DialError, match="no-answer"):
                await world.board.dial("sip:b@127.0.0.1", timeout=0.01)
            assert world.trunk.legs[0].did == [("hangup", "no-answer")]

    asyncio.run(main())


def test_a_dial_that_is_cancelled_hangs_up() -> None:
    async def main() -> None:
        async with World() as world:
            dialling = asyncio.create_task(world.board.dial("sip:b@127.0.0.1"))
            await turn()
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            assert world.trunk.legs[0].did == [("hangup", "hangup")]

    asyncio.run(main())


def test_a_board_that_is_not_connected_places_no_calls() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="not connected"):
            await Switchboard().dial("sip:b@127.0.0.1")
        async with World() as world:
            with pytest.raises(UsageError, match="connected already"):
                world.board.connect(world.media)  # type: ignore[arg-type]
            world.board._draining = True
            with pytest.raises(OutboundDeniedError, match="draining"):
                await world.board.dial("sip:b@127.0.0.1")

    asyncio.run(main())


def test_stopping_waits_for_calls_then_hangs_up() -> None:
    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def long(call: Call) -> None:
            await call.wait_ended()

        async with World(board, drain=0.01) as world:
            leg = await world.incoming()
        assert leg.did[-1] == ("hangup", "shutdown")
        assert not board.calls

    asyncio.run(main())


def test_stopping_does_not_wait_for_far_ends_that_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trunkline.calls.switchboard.SHUTDOWN_SECONDS", 0.01)

    async def main() -> None:
        board = Switchboard()

        @board.answer("*")
        async def long(call: Call) -> None:
            await call.next_digit()

        async with World(board, drain=0.01) as world:
            leg = await world.incoming()
            leg.ends_at_once = False
        assert ("hangup", "shutdown") in leg.did

    asyncio.run(main())


def test_the_error_says_how_the_call_ended() -> None:
    assert str(CallEndedError(None)) == "the call has ended: unknown"


def test_a_route_says_whether_and_how_its_calls_are_recorded() -> None:
    async def main() -> None:
        mono = RecordingOptions(mix="mono")
        async with World() as world:
            for pattern, record in (("1", True), ("2", False), ("3", mono), ("4", None)):
                world.board.answer(pattern, record=record)(echo)
            for callee in "12345":
                await world.incoming(callee)
            await turn()
            wanted = [call.record for call, _ in world.started]
            # One that no route answers is refused, and there is nothing to record.
            assert wanted == [True, False, mono, None, False]
            for call, _ in world.started:
                await call.hangup()

    asyncio.run(main())


# -- trunks --------------------------------------------------------------------------------


def carrier(name: str = "carrier", **options: Any) -> trunks.Trunk:
    gateways = (trunks.Gateway("sip:203.0.113.9"),)
    return trunks.Trunk(name=name, gateways=gateways, plan=NumberPlan("49"), **options)


def test_a_route_may_be_for_one_trunk_only() -> None:
    board = Switchboard()
    board.answer("+49*", trunk="carrier")(nothing)
    board.answer("*")(nothing)
    assert board.find("+4930", "carrier") is board.routes[0]
    assert board.find("+4930", "other") is board.find("+4930") is board.routes[1]
    assert board.find("+331", "carrier") is board.routes[1]


def test_what_a_route_allows_to_call() -> None:
    assert not Route("*", nothing).may_call("+4930")
    assert Route("*", nothing, outbound=True).may_call("sip:bob@example.com")
    prefixes = Route("*", nothing, outbound=("+49", "desk@"))
    assert prefixes.may_call("+4930") and prefixes.may_call("sip:desk@example.com")
    assert not prefixes.may_call("+331") and not Route("*", nothing, outbound=()).may_call("+1")


class TrunkTransport(Trunk):
    """Takes the options that a trunk gives."""

    def dial(self, target: str, *, caller: str, headers: Any, observer: Any, options: Any = None):  # type: ignore[no-untyped-def,override]
        leg = super().dial(target, caller=caller, headers=headers, observer=observer)
        leg.party = replace(leg.party, trunk=options.trunk if options else "")
        return leg


async def connected(*made: trunks.Trunk) -> World:
    world = World()
    world.trunk = TrunkTransport(world.media)
    for one in made:
        world.board.trunks.add(one)
    return world


def test_a_number_goes_over_a_trunk_and_an_address_does_not() -> None:
    async def scenario() -> None:
        world = await connected(carrier())
        async with world:
            world.board._policy = OutboundPolicy(("+49", "bob@"))
            world.trunk.on_dial = lambda leg: asyncio.get_running_loop().call_soon(
                leg.tell, Answered()
            )  # fmt: skip
            call = await world.board.dial("030 123456", caller="+491")
            assert (call.callee, call.caller, call.trunk) == ("+4930123456", "+491", "carrier")
            assert world.trunk.legs[0].party.callee == "sip:+4930123456@203.0.113.9"
            plain = await world.board.dial("sip:bob@example.com")
            assert plain.trunk == "" and world.trunk.legs[1].party.callee == "sip:bob@example.com"
            forced = await world.board.dial("sip:bob@example.com", trunk="carrier")
            assert forced.trunk == "carrier"
            await call.hangup()
            assert [one["trunk"] for one in call.attempts] == ["carrier"]
            await plain.hangup()
            await forced.hangup()

    asyncio.run(scenario())


def test_prefixes_are_of_the_number_in_e164() -> None:
    async def scenario() -> None:
        world = await connected(carrier())
        async with world:
            world.board._policy = OutboundPolicy(("+4930",))
            with pytest.raises(OutboundDeniedError):
                await world.board.place("0331 123456")
            with pytest.raises(OutboundDeniedError):
                await world.board.place("0033 1 123456")
            with pytest.raises(UsageError, match="no trunk 'x'"):
                await world.board.place("030 123456", trunk="x")
            assert not world.trunk.legs

    asyncio.run(scenario())


def test_a_call_that_came_in_stays_on_this_machine_unless_its_route_says_otherwise() -> None:
    denied: list[str] = []

    async def onward(call: Call) -> None:
        for target in ("sip:x@127.0.0.1", "+4930123456", "sip:x@example.com"):
            try:
                await world.board.place(target)
            except OutboundDeniedError:
                denied.append(f"{call.callee} {target}")

    async def scenario() -> None:
        async with world:
            world.board._policy = OutboundPolicy(("+49", "x@"))
            world.board.answer("100")(onward)
            world.board.answer("200", outbound=("+49",))(onward)
            for callee in ("100", "200"):
                leg = await world.incoming(callee)
                await turn(20)
                leg.hangup()
            for leg in world.trunk.legs:
                leg.hangup()
            await turn(20)

    async def begin() -> World:
        return await connected(carrier())

    world = asyncio.run(begin())
    asyncio.run(scenario())
    assert denied == ["100 +4930123456", "100 sip:x@example.com", "200 sip:x@example.com"]


def test_an_alarm_is_told_to_who_listens_whatever_another_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board, told = Switchboard(), []

    def broken(alarm: Alarm) -> None:
        raise RuntimeError("broken")

    board.on_alarm(broken)
    board.on_alarm(told.append)
    alarm = Alarm("cap", "key:a", "used up", 0.0)
    board.alarm(alarm)
    assert told == [alarm] and "broken" in caplog.text
