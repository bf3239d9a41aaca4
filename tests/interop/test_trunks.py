"""Calls over trunks, through real sockets: failover, limits, health, reload, figures."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from trunkline.calls.call import Call
from trunkline.calls.errors import DialError, OutboundDeniedError, TrunkBusyError
from trunkline.calls.events import CallStarted, CallWarned
from trunkline.calls.health import HealthSettings
from trunkline.calls.limits import LimitSettings
from trunkline.calls.numbers import NumberPlan, NumberRule
from trunkline.calls.routing import Rate, RateTable
from trunkline.calls.switchboard import Switchboard
from trunkline.calls.trunks import Caps, Trunk
from trunkline.calls.trunks import Gateway as At
from trunkline.server.control_socket import ask
from trunkline.settings import GatewaySettings, Outbound, TrunkSettings

from .carrier import Gateway
from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, Peer, sdp
from .programs import Sipp

ALLOWED = Outbound(allowed_prefixes=("+49", "+1"))
QUIET = HealthSettings(options_seconds=0)
NUMBER = "+4930123456"


def trunk(name: str, *servers: str, **options: object) -> Trunk:
    """A trunk whose gateways are tried in the order they are given."""
    gateways = tuple(At(server, priority) for priority, server in enumerate(servers))
    options.setdefault("health", QUIET)
    options.setdefault("plan", NumberPlan("49"))
    return Trunk(name=name, gateways=gateways, **options)  # type: ignore[arg-type]


def board_with(*trunks: Trunk) -> Switchboard:
    board = Switchboard()

    @board.answer("*")
    async def wait(call: Call) -> None:
        await call.wait_ended()

    for one in trunks:
        board.trunks.add(one)
    return board


def hang_up(node: RunningNode, call: Call) -> None:
    node.run(call.hangup())
    node.run(call.wait_ended())


# -- calls out: failover ---------------------------------------------------------------------


def test_a_silent_gateway_is_given_up_and_the_next_one_takes_the_call(start: Start) -> None:
    with Gateway(answer=0) as silent, Gateway(answer=503) as full, Gateway() as good:
        servers = (silent.server, full.server, good.server)
        node = start(
            board_with(trunk("carrier", *servers, no_response_seconds=0.5)), outbound=ALLOWED
        )
        call = node.run(node.board.dial(NUMBER))
        assert (call.callee, call.trunk) == (NUMBER, "carrier")
        assert [len(one.invites) for one in (silent, full, good)] == [1, 1, 1]
        assert len(node.calls) == 1
        hang_up(node, call)
        assert [one["code"] for one in call.attempts] == [408, 503, None]
        node.assert_clean(15)
    (record,) = node.records()
    assert record.trunk == "carrier"
    assert [one["gateway"] for one in record.attempts] == list(servers)
    assert len({one["sip_call_id"] for one in record.attempts}) == 3


@pytest.mark.parametrize("code", [486, 600, 603, 404, 484, 403, 422, 491])
def test_what_a_person_or_the_network_said_of_the_number_is_final(start: Start, code: int) -> None:
    with Gateway(answer=code) as first, Gateway() as second:
        node = start(
            board_with(trunk("a", first.server), trunk("b", second.server, priority=2)),
            outbound=ALLOWED,
        )
        with pytest.raises(DialError) as raised:
            node.run(node.board.dial(NUMBER))
        assert raised.value.code == code
        assert not second.invites


def test_the_next_trunk_is_tried_when_all_gateways_of_the_first_fail(start: Start) -> None:
    with Gateway(answer=500) as first, Gateway() as second:
        node = start(
            board_with(
                trunk("a", first.server, "sip:127.0.0.1:9"), trunk("b", second.server, priority=2)
            ),
            outbound=ALLOWED,
        )
        call = node.run(node.board.dial(NUMBER))
        assert call.trunk == "b"
        hang_up(node, call)
        assert [one["trunk"] for one in call.attempts] == ["a", "a", "b"]


def test_after_early_media_no_other_gateway_is_tried(start: Start) -> None:
    with Gateway(answer=503) as first, Gateway() as second:
        first.early = True
        node = start(board_with(trunk("a", first.server, second.server)), outbound=ALLOWED)
        with pytest.raises(DialError) as raised:
            node.run(node.board.dial(NUMBER))
        assert raised.value.code == 503
        assert not second.invites


def test_ringing_alone_does_not_keep_a_call_from_the_next_gateway(start: Start) -> None:
    with Gateway(answer=503, ring=True) as first, Gateway(ring=True) as second:
        node = start(board_with(trunk("a", first.server, second.server)), outbound=ALLOWED)
        hang_up(node, node.run(node.board.dial(NUMBER)))
        assert first.invites and second.invites


def test_who_hangs_up_while_a_gateway_is_silent_is_not_called_over_another(start: Start) -> None:
    with Gateway(answer=0) as silent, Gateway() as other:
        node = start(
            board_with(trunk("a", silent.server, other.server, no_response_seconds=30.0)),
            outbound=ALLOWED,
        )
        with pytest.raises(DialError) as raised:
            node.run(node.board.dial(NUMBER, timeout=0.3))
        assert raised.value.reason == "no-answer"
        assert silent.invites and not other.invites


def test_a_gateway_that_asked_for_a_pause_gets_it(start: Start) -> None:
    with Gateway(answer=503, retry_after=60) as first, Gateway() as second:
        node = start(board_with(trunk("a", first.server, second.server)), outbound=ALLOWED)
        for _ in range(3):
            hang_up(node, node.run(node.board.dial(NUMBER)))
        assert (len(first.invites), len(second.invites)) == (1, 3)
        shown = node.board.trunks.summaries()[0]["gateways"][0]
        assert shown["state"] == "paused" and 50 < shown["paused_seconds"] <= 60


@pytest.mark.program("sipp")
def test_sipp_as_a_carrier_of_two_gateways_the_first_full(start: Start, tmp_path: Path) -> None:
    full = Sipp("uas_refuse", tmp_path / "full", calls=20, code=503)
    good = Sipp("uas_answer", tmp_path / "good", calls=20)
    with full() as first, good() as second:
        full.wait_bound()
        good.wait_bound()
        servers = [f"sip:127.0.0.1:{one.port}" for one in (full, good)]
        node = start(board_with(trunk("carrier", *servers)), outbound=ALLOWED)

        async def dial() -> list[Call]:
            return await asyncio.gather(*[node.board.dial(NUMBER) for _ in range(20)])

        for call in node.run(dial()):
            hang_up(node, call)
        full.finish(first)
        good.finish(second)
    node.assert_clean()
    figures = node.board.trunks.summaries()[0]
    assert figures["attempts_out"] == 40 and figures["answered_out"] == 20
    assert figures["codes"] == {"200": 20, "503": 20}


@pytest.mark.program("sipp")
def test_sipp_that_says_busy_is_not_called_again(start: Start, tmp_path: Path) -> None:
    busy = Sipp("uas_refuse", tmp_path / "busy", calls=5, code=486)
    with busy() as process, Gateway() as other:
        busy.wait_bound()
        node = start(
            board_with(trunk("carrier", f"sip:127.0.0.1:{busy.port}", other.server)),
            outbound=ALLOWED,
        )
        for _ in range(5):
            with pytest.raises(DialError) as raised:
                node.run(node.board.dial(NUMBER))
            assert raised.value.code == 486
        busy.finish(process)
        assert not other.invites
    assert node.board.trunks.summaries()[0]["network_effectiveness"] == 1.0


# -- calls out: what leaves --------------------------------------------------------------------


def test_numbers_leave_as_the_carrier_wants_them(start: Start) -> None:
    with Gateway() as gateway:
        node = start(
            board_with(
                trunk(
                    "carrier",
                    gateway.server,
                    numbers_out=(NumberRule(form="international"),),
                    callers=("+4930555*",),
                    caller="+49305550",
                    identity="pai",
                    domain="carrier.example",
                    uri="phone",
                    headers={"X-Account": "42"},
                )
            ),
            outbound=ALLOWED,
        )
        for caller in ("+4930555123", "+15551234"):
            hang_up(node, node.run(node.board.dial("030 123-456", caller=caller)))
        hang_up(
            node, node.run(node.board.dial(NUMBER, caller='"Me" <sip:+4930555777@example.com>'))
        )
        mine, other, written = gateway.invites
        assert "<sip:004930555777@carrier.example>" in written["from"]
        assert mine.start.split()[1] == (
            f"sip:004930123456@127.0.0.1:{gateway.peer.port};user=phone"
        )
        assert "<sip:004930555123@carrier.example>" in mine["from"]
        assert mine["p-asserted-identity"] == "<sip:004930555123@carrier.example>"
        assert mine["x-account"] == "42"
        assert "<sip:0049305550@carrier.example>" in other["from"]


def test_a_number_nobody_may_call_is_denied_before_anything_leaves(start: Start) -> None:
    with Gateway() as gateway:
        node = start(board_with(trunk("carrier", gateway.server)), outbound=ALLOWED)
        with pytest.raises(OutboundDeniedError):
            node.run(node.board.dial("+33123456789"))
        assert not gateway.invites and not node.calls


def test_a_caller_does_not_become_an_outbound_call_without_the_routes_word(start: Start) -> None:
    errors: list[BaseException] = []
    board = Switchboard()

    async def onward(call: Call) -> None:
        try:
            await (await board.dial(NUMBER)).hangup()
        except OutboundDeniedError as error:
            errors.append(error)

    board.answer("100")(onward)
    board.answer("200", outbound=True)(onward)
    board.answer("300", outbound=("+1",))(onward)
    with Gateway() as gateway, Peer() as peer:
        board.trunks.add(trunk("carrier", gateway.server))
        node = start(board, outbound=ALLOWED)
        peer.server = ("127.0.0.1", node.sip_port)
        for number in ("100", "200", "300"):
            call = Dialled(peer, number)
            call.answered(sdp(41_000))
            peer.request("BYE", 5)
        assert len(errors) == 2 and len(gateway.invites) == 1


# -- limits -------------------------------------------------------------------------------------


def test_five_hundred_calls_at_once_never_exceed_the_channels(start: Start) -> None:
    with Gateway() as gateway:
        node = start(
            board_with(trunk("carrier", gateway.server, limits=LimitSettings(channels_out=20))),
            outbound=ALLOWED,
        )

        async def dial() -> list[object]:
            dialling = [node.board.dial(NUMBER) for _ in range(500)]
            return list(await asyncio.gather(*dialling, return_exceptions=True))

        results = node.run(dial())
        kinds = Counter(type(one).__name__ for one in results)
        assert kinds == {"Call": 20, "TrunkBusyError": 480}
        assert len(gateway.invites) == 20
        shown = node.board.trunks.summaries()[0]
        assert (shown["channels"], shown["channels_peak"]) == (20, 20)
        busy = next(one for one in results if isinstance(one, TrunkBusyError))
        assert busy.code == 503 and busy.retry_after_seconds >= 1
        for call in results:
            if isinstance(call, Call):
                hang_up(node, call)
        assert node.board.trunks.summaries()[0]["channels"] == 0


def test_five_hundred_callers_at_once_never_exceed_the_channels(start: Start) -> None:
    with Peer() as carrier:
        source = f"127.0.0.1:{carrier.port}"
        limits = LimitSettings(channels=20)
        node = start(board_with(trunk("carrier", addresses=(source,), limits=limits)))
        carrier.server = ("127.0.0.1", node.sip_port)
        calls = [Dialled(carrier, "030123456") for _ in range(500)]
        for call in calls:
            call.invite(sdp(41_000))
        finals = {}
        while len(finals) < 500:
            message = carrier.receive(lambda m: m.code >= 200 and m.method == "INVITE", 10)
            finals[message["call-id"]] = message
        codes = Counter(message.code for message in finals.values())
        assert codes == {200: 20, 503: 480}
        refused = next(message for message in finals.values() if message.code == 503)
        assert int(refused["retry-after"]) >= 1
        assert node.board.trunks.state("carrier").limits.peak == 20
        assert {call.callee for call in node.calls} == {"+4930123456"}
        assert {call.trunk for call in node.calls} == {"carrier"}
        for call in calls:
            if finals[call.call_id].code == 200:
                call.ok_from(finals[call.call_id])
                call.ack()
                call.bye()
        until(lambda: node.board.trunks.state("carrier").limits.channels == 0)


def test_trunks_that_change_under_a_storm_of_calls_lose_no_call_and_no_channel(
    start: Start,
) -> None:
    with Gateway() as one, Gateway(answer=503) as two:
        limits = LimitSettings(channels_out=30)
        node = start(
            board_with(trunk("a", one.server, limits=limits), trunk("b", two.server, priority=2)),
            outbound=ALLOWED,
        )
        trunks = node.board.trunks

        async def storm() -> list[object]:
            dialling = [asyncio.ensure_future(node.board.dial(NUMBER)) for _ in range(200)]
            for turn in range(40):
                await asyncio.sleep(0.01)
                servers = (two.server, one.server) if turn % 2 else (one.server, two.server)
                trunks.replace(trunk("a", *servers, limits=limits))
                if turn % 4 == 0:
                    trunks.remove("b")
                elif turn % 4 == 2:
                    trunks.add(trunk("b", two.server, priority=2))
            return list(await asyncio.gather(*dialling, return_exceptions=True))

        results = node.run(storm())
        up = [call for call in results if isinstance(call, Call)]
        others = [one for one in results if not isinstance(one, Call | DialError)]
        assert up and not others
        assert trunks.state("a").limits.peak <= 30
        assert trunks.state("a").limits.channels == len(up)
        for call in up:
            hang_up(node, call)
        assert trunks.state("a").limits.channels == 0
        node.assert_clean()


def test_calls_per_second_hold_in_any_second(start: Start) -> None:
    with Gateway() as gateway:
        limits = LimitSettings(calls_per_second_out=10)
        node = start(board_with(trunk("carrier", gateway.server, limits=limits)), outbound=ALLOWED)

        async def flood(seconds: float) -> list[float]:
            placed = []
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                try:
                    call = await node.board.dial(NUMBER)
                except TrunkBusyError:
                    await asyncio.sleep(0.005)
                else:
                    placed.append(call.started_monotonic)
                    call.hangup_soon()
            return placed

        placed = node.run(flood(2.5))
        # Eleven calls begin over more than a second, up to what the clocks of two threads say.
        assert all(b - a > 0.9 for a, b in zip(placed, placed[10:], strict=False))
        assert len(placed) > 10


# -- calls in ------------------------------------------------------------------------------------


def test_a_route_may_ask_for_a_trunk_and_the_record_names_it(start: Start) -> None:
    answered: list[str] = []
    board = Switchboard()

    @board.answer("+49*", trunk="two")
    async def of_two(call: Call) -> None:
        answered.append("two")

    @board.answer("+49*")
    async def of_any(call: Call) -> None:
        answered.append("any")

    with Peer() as one, Peer() as two:
        for name, peer in (("one", one), ("two", two)):
            source = f"127.0.0.1:{peer.port}"
            board.trunks.add(Trunk(name=name, addresses=(source,), plan=NumberPlan("49")))
        node = start(board)
        for peer in (one, two):
            peer.server = ("127.0.0.1", node.sip_port)
            Dialled(peer, "030123456").answered(sdp(41_000))
            peer.request("BYE", 5)
        assert answered == ["any", "two"]
        started = [event.trunk for event in node.events if isinstance(event, CallStarted)]
        assert started == ["one", "two"]
    assert [record.trunk for record in node.records()] == ["one", "two"]


# -- health ---------------------------------------------------------------------------------------


def test_a_gateway_that_dies_goes_down_and_comes_back_when_it_answers_again(
    start: Start,
) -> None:
    health = HealthSettings(options_seconds=0.3, timeout_seconds=0.3, misses=2, hits=2)
    with Gateway() as first, Gateway() as second:
        node = start(
            board_with(trunk("carrier", first.server, second.server, health=health)),
            outbound=ALLOWED,
        )

        def states() -> list[str]:
            return [one["state"] for one in node.board.trunks.summaries()[0]["gateways"]]

        until(lambda: first.asked >= 2 and second.asked >= 2)
        assert states() == ["up", "up"]
        first.options = first.answer = 0
        until(lambda: states() == ["down", "up"], 10)
        hang_up(node, node.run(node.board.dial(NUMBER)))
        assert not first.invites and second.invites
        asked = first.asked
        until(lambda: first.asked > asked, what="a gateway that is down is asked no more")
        first.options = first.answer = 200
        until(lambda: states() == ["up", "up"], 10)
        hang_up(node, node.run(node.board.dial(NUMBER)))
        assert len(first.invites) == 1


# -- changes, figures, the control socket --------------------------------------------------------


def test_a_trunk_is_replaced_and_removed_under_a_call_that_goes_on(start: Start) -> None:
    with Gateway() as old, Gateway() as new:
        node = start(
            board_with(trunk("carrier", old.server, limits=LimitSettings(channels=2))),
            outbound=ALLOWED,
        )
        call = node.run(node.board.dial(NUMBER))
        node.board.trunks.replace(trunk("carrier", new.server, limits=LimitSettings(channels=1)))
        with pytest.raises(TrunkBusyError):
            node.run(node.board.dial(NUMBER))
        node.board.trunks.change("carrier", limits=LimitSettings(channels=2))
        second = node.run(node.board.dial(NUMBER))
        assert len(old.invites) == len(new.invites) == 1
        node.board.trunks.remove("carrier")
        assert call.is_answered and second.is_answered
        hang_up(node, call)
        hang_up(node, second)
        assert old.byes == new.byes == 1
        node.assert_clean()


def test_a_reload_brings_new_trunks_and_a_wrong_one_changes_nothing(start: Start) -> None:
    with Gateway() as gateway:
        node = start(board_with(), outbound=ALLOWED)
        settings = msgspec.structs.replace(
            node.settings,
            trunks={"carrier": TrunkSettings(gateways=(GatewaySettings(server=gateway.server),))},
        )
        node.node._reread = lambda: settings
        sock = node.settings.records.path.with_suffix(".sock")
        assert sock.stat().st_mode & 0o777 == 0o600
        assert ask(sock, "reload") == ["carrier"]
        hang_up(node, node.run(node.board.dial(NUMBER)))
        (shown,) = ask(sock, "trunks")
        assert shown["name"] == "carrier" and shown["answered_out"] == 1
        (tested,) = ask(sock, "trunk-test", name="carrier")
        assert tested["code"] == 200
        settings = msgspec.structs.replace(
            settings, trunks={"carrier": TrunkSettings(addresses=("nonsense",))}
        )
        with pytest.raises(Exception, match="nonsense"):
            ask(sock, "reload")
        assert node.board.trunks["carrier"].gateways
    node.stop()
    assert not sock.exists()


def test_figures_are_recomputed_from_the_records_after_a_restart(
    start: Start, tmp_path: Path
) -> None:
    with Gateway(answer=503) as full, Gateway() as good:
        made = trunk("carrier", full.server, good.server)
        node = start(board_with(made), outbound=ALLOWED)
        for _ in range(3):
            hang_up(node, node.run(node.board.dial(NUMBER)))
        before = node.board.trunks.summaries()[0]
        node.stop()
        again = board_with(made)
        second = RunningNode(again, node.folder, outbound=ALLOWED)
        with second:
            after = again.trunks.summaries()[0]
    for name in ("attempts_out", "answered_out", "codes", "answer_seizure_ratio"):
        assert after[name] == before[name]
    assert after["post_dial_delay_p50_ms"] == before["post_dial_delay_p50_ms"]


# -- caps ------------------------------------------------------------------------------------------


def test_a_running_call_is_ended_with_a_warning_when_its_cap_is_used_up(start: Start) -> None:
    with Gateway() as gateway:
        # 60 a minute, by the second: three seconds are three.
        board = board_with(trunk("carrier", gateway.server, caps=Caps(spend_per_day=3)))
        board.trunks.route(RateTable([Rate("carrier", "+49", 60.0, 0.0, 1, 1)]))
        node = start(board, outbound=ALLOWED)
        call = node.run(node.board.dial(NUMBER))
        end = node.run(call.wait_ended(), 10)
        assert end.reason == "cap-reached"
        assert [one.rule for one in node.events if isinstance(one, CallWarned)] == ["cap"]
        used = node.node.trunks.guard
        assert used is not None
        spent = [one["spend"] for one in used.summary()["used"] if one["subject"] != "key:dial"]
        assert spent and max(spent) <= 3.0
        with pytest.raises(OutboundDeniedError):
            node.run(node.board.dial(NUMBER))


def test_parallel_calls_together_never_reserve_more_than_the_cap(start: Start) -> None:
    with Gateway() as gateway:
        board = board_with(trunk("carrier", gateway.server, caps=Caps(spend_per_day=5)))
        board.trunks.route(RateTable([Rate("carrier", "+49", 1.0)]))  # 1 a minute, whole minutes
        node = start(board, outbound=ALLOWED)

        async def dial() -> list[object]:
            dialling = [node.board.dial(NUMBER) for _ in range(50)]
            return list(await asyncio.gather(*dialling, return_exceptions=True))

        results = node.run(dial())
        calls = [one for one in results if isinstance(one, Call)]
        assert len(calls) == 5
        assert all(isinstance(one, Call | OutboundDeniedError) for one in results)
        for call in calls:
            hang_up(node, call)


def test_what_was_spent_is_known_after_a_restart(start: Start) -> None:
    with Gateway() as gateway:
        made = trunk("carrier", gateway.server, caps=Caps(spend_per_month=2))
        rates = RateTable([Rate("carrier", "+49", 1.0)])
        board = board_with(made)
        board.trunks.route(rates)
        node = start(board, outbound=ALLOWED)
        for _ in range(2):
            hang_up(node, node.run(node.board.dial(NUMBER)))
        node.stop()
        again = board_with(replace(made))
        again.trunks.route(rates)
        with (
            RunningNode(again, node.folder, outbound=ALLOWED) as second,
            pytest.raises(OutboundDeniedError),
        ):
            second.run(again.dial(NUMBER))
