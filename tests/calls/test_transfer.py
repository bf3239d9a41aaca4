"""Transfers as an application asks for them, and as far ends ask for them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trunkline.calls import transfer
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError, OutboundDeniedError, TransferError
from trunkline.calls.events import CallTransferFailed, CallTransferred, CallTransferring
from trunkline.calls.keeper import Keeper
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import OutboundPolicy, Route, Switchboard
from trunkline.errors import UsageError
from trunkline.transports.leg import (
    DialOptions,
    Ended,
    TransferableLeg,
    TransferAsked,
    TransferProgress,
)

from .fakes import FakeLeg, FakeMedia, FakeRequest, HandingLeg, turn

CAROL = "sip:carol@127.0.0.1"


class Scene:
    """A call that is up, and what was told of it."""

    def __init__(self, kind: type[FakeLeg] = HandingLeg) -> None:
        self.media = FakeMedia()
        self.leg: Any = kind(self.media)
        self.call = Call("call_1", self.leg, self.media)  # type: ignore[arg-type]
        self.leg.observer = self.call.leg_event
        self.events: list[Any] = []
        self.call.observe(self.events.append)

    async def up(self) -> "Scene":
        await self.call.answer()
        return self

    def said(self) -> list[tuple[str, int]]:
        kinds = CallTransferring | CallTransferred | CallTransferFailed
        return [
            (type(event).__name__, event.code) for event in self.events if isinstance(event, kinds)
        ]

    async def progress(self, code: int, final: bool = False, reason: str = "") -> None:
        self.leg.told[-1](TransferProgress(code, reason, final))
        await turn()


async def begun(scene: Scene, **options: Any) -> "asyncio.Task[int]":
    task = asyncio.create_task(scene.call.transfer(CAROL, **options))
    await turn()
    return task


def test_fake_and_real_legs_are_told_apart() -> None:
    media = FakeMedia()
    assert isinstance(HandingLeg(media), TransferableLeg)
    assert not isinstance(FakeLeg(media), TransferableLeg)


def test_a_success_ends_the_call() -> None:
    async def main() -> None:
        scene = await Scene().up()
        task = await begun(scene)
        assert scene.leg.did[-1] == ("transfer", CAROL, "", False)
        for code in (202, 180):
            await scene.progress(code)
        await scene.progress(200, True)
        assert await task == 200
        assert scene.call.end is not None and scene.call.end.reason == "transferred"
        assert scene.said() == [
            ("CallTransferring", 202), ("CallTransferring", 180), ("CallTransferred", 200),
        ]  # fmt: skip
        await scene.progress(486, True)
        assert len(scene.said()) == 3

    asyncio.run(main())


def test_a_failure_does_not() -> None:
    async def main() -> None:
        scene = await Scene().up()
        task = await begun(scene)
        await scene.progress(486, True, "Busy Here")
        with pytest.raises(TransferError, match="486 Busy Here") as caught:
            await task
        assert (caught.value.code, caught.value.target) == (486, CAROL)
        assert scene.call.is_answered and scene.said() == [("CallTransferFailed", 486)]

    asyncio.run(main())


def test_only_one_at_a_time_and_only_when_up_and_only_where_it_can_be() -> None:
    async def main() -> None:
        scene = Scene()
        with pytest.raises(UsageError, match="not up"):
            await scene.call.transfer(CAROL)
        await scene.up()
        task = await begun(scene)
        with pytest.raises(UsageError, match="being transferred"):
            await scene.call.transfer(CAROL)
        await scene.progress(603, True)
        with pytest.raises(TransferError):
            await task
        scene.leg.refuses = UsageError("no address")
        with pytest.raises(UsageError, match="no address"):
            await scene.call.transfer("nonsense")
        scene.leg.refuses = None
        task = await begun(scene)
        await scene.progress(200, True)
        assert await task == 200
        plain = await Scene(FakeLeg).up()
        assert not plain.call.can_transfer
        with pytest.raises(UsageError, match="cannot be transferred"):
            await plain.call.transfer(CAROL)

    asyncio.run(main())


def test_the_policy_is_asked_first() -> None:
    async def main() -> None:
        scene = await Scene().up()
        scene.call.check_target = OutboundPolicy(("+4930",)).check
        with pytest.raises(OutboundDeniedError):
            await scene.call.transfer("sip:+1900@carrier.example")
        assert len(scene.leg.did) == 1
        task = asyncio.create_task(scene.call.transfer("+4930123"))
        await turn()
        assert scene.leg.did[-1][1] == "+4930123"
        task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("by", "agreed", "code"), [("them", True, 202), ("them", False, 0), ("us", True, 0)]
)
def test_an_end_meanwhile_means_done_only_where_they_agreed_and_left(
    by: Any, agreed: bool, code: int
) -> None:
    async def main() -> None:
        scene = await Scene().up()
        task = await begun(scene)
        if agreed:
            await scene.progress(202)
        scene.leg.tell(Ended("hangup", by))
        if code:
            assert await task == code
            # The end is the last that is told.
            assert [type(event).__name__ for event in scene.events[-2:]] == [
                "CallTransferred", "CallEnded",
            ]  # fmt: skip
        else:
            with pytest.raises(CallEndedError):
                await task

    asyncio.run(main())


def test_a_far_end_that_stops_telling_is_given_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "GRACE_SECONDS", 0.02)

    async def main() -> None:
        scene = await Scene().up()
        task = await begun(scene)
        await scene.progress(202)
        await scene.progress(100, True)
        assert not task.done()
        with pytest.raises(TransferError, match="stopped reporting"):
            await task
        task = await begun(scene)
        await scene.progress(0, True)
        scene.leg.tell(Ended("hangup", "them"))
        assert await task == 202

    asyncio.run(main())


def test_a_timeout_is_a_408_and_what_comes_late_is_nothing() -> None:
    async def main() -> None:
        scene = await Scene().up()
        with pytest.raises(TransferError) as caught:
            await scene.call.transfer(CAROL, timeout=0.01)
        assert caught.value.code == 408
        await scene.progress(200, True)
        assert scene.call.is_answered and scene.said() == [("CallTransferFailed", 408)]

    asyncio.run(main())


def test_nobody_has_to_wait_for_it() -> None:
    async def main() -> None:
        scene = await Scene().up()
        task = await begun(scene)
        task.cancel()
        await turn()
        await scene.progress(200, True)
        assert scene.call.is_over and scene.said() == [("CallTransferred", 200)]

    asyncio.run(main())


# Attended.


def test_two_calls_are_put_together() -> None:
    async def main() -> None:
        one, two = await Scene().up(), await Scene().up()
        task = asyncio.create_task(one.call.transfer_to(two.call))
        await turn()
        assert one.leg.did[-1] == (
            "transfer", "sip:there@127.0.0.1", "call;to-tag=1;from-tag=2", False,
        )  # fmt: skip
        await one.progress(200, True)
        assert await task == 200
        await turn()
        assert one.call.is_over and two.call.is_over

    asyncio.run(main())


def test_the_other_calls_end_says_that_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "GRACE_SECONDS", 0.02)

    async def main() -> None:
        one, two = await Scene().up(), await Scene().up()
        task = asyncio.create_task(one.call.transfer_to(two.call))
        await turn()
        await one.progress(202)
        two.leg.tell(Ended("hangup", "them"))
        assert await task == 202

    asyncio.run(main())


def test_legs_of_two_kinds_are_joined_by_a_bridge_or_not_at_all() -> None:
    async def main() -> None:
        one, two = await Scene().up(), await Scene(FakeLeg).up()
        with pytest.raises(UsageError, match="cannot be transferred"):
            await one.call.transfer_to(two.call)
        joined: list[object] = []

        async def join(*calls: object) -> None:
            joined.extend(calls)

        one.call.joiner = join
        assert await one.call.transfer_to(two.call) == 200
        assert joined == [one.call, two.call]
        with pytest.raises(UsageError, match="itself"):
            await one.call.transfer_to(one.call)

    asyncio.run(main())


@pytest.mark.parametrize(("code", "bridged"), [(405, True), (603, True), (486, False)])
def test_a_bridge_helps_who_knows_no_transfer_but_not_who_is_busy(code: int, bridged: bool) -> None:
    async def main() -> None:
        one, two = await Scene().up(), await Scene().up()
        joined: list[object] = []

        async def join(*calls: object) -> None:
            joined.extend(calls)

        one.call.joiner = join
        task = asyncio.create_task(one.call.transfer_to(two.call))
        await turn()
        await one.progress(code, True)
        if bridged:
            assert await task == 200 and joined
        else:
            with pytest.raises(TransferError):
                await task
            assert not joined

    asyncio.run(main())


# They ask.


class Trunk:
    """Places calls to legs that the test drives."""

    def __init__(self, media: FakeMedia) -> None:
        self.media = media
        self.placed: list[tuple[str, str, Any, DialOptions]] = []
        self.legs: list[FakeLeg] = []
        self.fails: Exception | None = None

    def dial(
        self, target: str, *, caller: str, headers: Any, observer: Any,
        options: DialOptions,
    ) -> FakeLeg:  # fmt: skip
        if self.fails is not None:
            raise self.fails
        self.placed.append((target, caller, dict(headers), options))
        leg = FakeLeg(self.media, direction="outbound", callee=target)
        leg.observer = observer
        self.legs.append(leg)
        return leg


class Node:
    """A board with a policy, and a call that is up on it."""

    def __init__(self, *, transfers: bool, prefixes: tuple[str, ...] = ()) -> None:
        self.media = FakeMedia()
        self.trunk = Trunk(self.media)
        self.board = Switchboard()
        self.board.routes.append(Route("*", self.app, transfers=transfers))
        self.board.connect(
            self.media,  # type: ignore[arg-type]
            outgoing=self.trunk,  # type: ignore[arg-type]
            policy=OutboundPolicy(prefixes),
        )
        self.leg = FakeLeg(self.media, callee="+4989")
        self.leg.observer = self.board.receive(self.leg, 0.0)
        self.leg.answer()
        self.events: list[Any] = []
        (self.call,) = self.board.calls.values() if self.board.calls else (None,)

    async def app(self, call: Call) -> None:
        pass

    async def ask(self, request: FakeRequest) -> None:
        await turn()
        (call,) = self.board.calls.values()
        self.call = call
        call.observe(self.events.append)
        self.leg.tell(TransferAsked(request))  # type: ignore[arg-type]
        await turn()


def test_a_route_has_to_allow_it() -> None:
    async def main() -> None:
        node = Node(transfers=False)
        request = FakeRequest()
        await node.ask(request)
        assert request.said == [("refused", 603)] and not node.trunk.placed
        assert [(e.code, e.by) for e in node.events if isinstance(e, CallTransferFailed)] == [
            (603, "them")
        ]

    asyncio.run(main())


@pytest.mark.parametrize("target", ["sip:+1900@carrier.example", "tel:+1900", "sip:a@192.0.2.1"])
def test_the_policy_has_to_allow_it_too(target: str) -> None:
    async def main() -> None:
        node = Node(transfers=True, prefixes=("+4930",))
        request = FakeRequest(target)
        await node.ask(request)
        assert request.said == [("refused", 603)] and not node.trunk.placed

    asyncio.run(main())


def test_what_is_allowed_is_called_in_the_name_of_who_asked() -> None:
    async def main() -> None:
        node = Node(transfers=True)
        request = FakeRequest(CAROL, "abc;to-tag=1;from-tag=2")
        await node.ask(request)
        assert request.said == ["accepted"]
        ((target, caller, headers, options),) = node.trunk.placed
        assert (target, caller, headers) == (CAROL, "+4989", {"Referred-By": "<sip:bob@x>"})
        assert options.replaces == "abc;to-tag=1;from-tag=2"
        node.trunk.legs[0].answer()
        await turn()
        assert request.said == ["accepted", 200]
        assert [e.target for e in node.events if isinstance(e, CallTransferred)] == [CAROL]

    asyncio.run(main())


def test_a_second_one_waits_for_the_first_and_a_late_decision_is_none() -> None:
    async def main() -> None:
        node = Node(transfers=True)
        late = FakeRequest()
        late.decided = True
        await node.ask(late)
        assert not node.trunk.placed
        await node.ask(FakeRequest())
        second = FakeRequest()
        await node.ask(second)
        assert second.said == [("refused", 491)] and len(node.trunk.placed) == 1

    asyncio.run(main())


def test_a_call_that_cannot_be_placed_is_told() -> None:
    async def main() -> None:
        node = Node(transfers=True)
        node.trunk.fails = UsageError("no such host")
        request = FakeRequest()
        await node.ask(request)
        assert request.said == ["accepted", 503]
        (event,) = [e for e in node.events if isinstance(e, CallTransferFailed)]
        assert event.code == 503 and "no such host" in event.reason
        assert node.call is not None and not node.call.has_next

    asyncio.run(main())


def test_the_record_keeps_what_became_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        store = RecordStore(tmp_path / "calls.db")
        scene = await Scene().up()
        Keeper(store, None).call_started(scene.call, "")
        scene.media.time = scene.call.started_monotonic + 2.5
        task = await begun(scene)
        await scene.progress(486, True)
        with pytest.raises(TransferError):
            await task
        task = await begun(scene)
        await scene.progress(202)
        await scene.progress(200, True)
        await task
        await turn()
        store.close()
        (record,) = RecordStore(tmp_path / "calls.db").list()
        assert list(record.transfers) == [
            {"by": "us", "to": CAROL, "code": 486, "done": False, "at_seconds": 2.5},
            {"by": "us", "to": CAROL, "code": 200, "done": True, "at_seconds": 2.5},
        ]
        assert record.end_reason == "transferred"

    asyncio.run(main())
