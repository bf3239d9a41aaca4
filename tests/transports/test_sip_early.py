"""Legs before the answer, sent elsewhere, refreshed: on a real socket, without a node."""

import asyncio

import pytest

from trunkline.transports.leg import (
    Answered,
    DialOptions,
    EarlyMedia,
    Ended,
    RedirectableLeg,
    Ringing,
)
from trunkline.transports.sip_leg import SipLeg

from .test_sip_leg import World, answered, offer, respond, run, sdp_of

RELIABLE = "Require: 100rel\r\nRSeq: 7"


def send(world: World, method: str, cseq: int, extra: str, body: bytes = b"") -> None:
    """As `World.send`, with header lines of one's own."""
    to = f";tag={world.tag}" if world.tag else ""
    head = (
        f"{method} sip:100@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{world.port};branch=z9hG4bK{cseq}{method}\r\n"
        f"From: <sip:+15550100@127.0.0.1>;tag=far\r\nTo: <sip:100@127.0.0.1>{to}\r\n"
        f"Call-ID: one\r\nCSeq: {cseq} {method}\r\nContact: <sip:far@127.0.0.1:{world.port}>\r\n"
        f"{extra}\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    world.far.sendto(head.encode() + body, ("127.0.0.1", world.endpoint.port))


def reply(world: World, request: str, status: str, extra: str, body: bytes = b"") -> None:
    """As `respond`, with header lines of one's own."""
    kept = [
        line
        for line in request.split("\r\n")
        if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
    ]
    kept = [
        f"{line};tag=bob" if line.startswith("To:") and ";tag=" not in line else line
        for line in kept
    ]
    contact = [] if "Contact:" in extra else [f"Contact: <sip:far@127.0.0.1:{world.port}>"]
    head = [f"SIP/2.0 {status}", *kept, *contact, extra, "Content-Type: application/sdp",
            f"Content-Length: {len(body)}", "", ""]  # fmt: skip
    world.far.sendto("\r\n".join(head).encode() + body, ("127.0.0.1", world.endpoint.port))


def field(message: str, name: str) -> str:
    lines = [line for line in message.split("\r\n") if line.startswith(f"{name}: ")]
    return lines[0].partition(": ")[2] if lines else ""


def dial(world: World, **options: object) -> SipLeg:
    leg = world.endpoint.dial(
        f"sip:bob@127.0.0.1:{world.port}", caller="", headers={}, observer=world.observe,
        options=DialOptions(**options),  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(leg, SipLeg)
    return leg


# Called.


def test_our_early_offer_is_answered_in_the_prack_and_the_audio_opens() -> None:
    async def test(world: World) -> None:
        send(world, "INVITE", 1, "Supported: 100rel")
        await world.expect("SIP/2.0 100")
        leg = world.legs[-1]
        leg.early_media()
        progress = await world.expect("SIP/2.0 183")
        assert sdp_of(progress) and leg.lane is None and world.events == []
        send(world, "PRACK", 2, f"RAck: {field(progress, 'RSeq')} 1 INVITE", offer())
        await world.expect("SIP/2.0 200")
        assert leg.lane is not None and world.events == [EarlyMedia()]
        leg.answer()
        answer = await world.expect("SIP/2.0 200")
        assert not [line for line in sdp_of(answer) if line.startswith("m=")]
        world.send("ACK", 1)
        await asyncio.sleep(0.01)
        assert world.events == [EarlyMedia(), Answered()]

    run(test)


@pytest.mark.parametrize("body", [b"", offer(formats="18")])
def test_a_prack_without_an_answer_of_use_refuses_the_call(body: bytes) -> None:
    async def test(world: World) -> None:
        send(world, "INVITE", 1, "Supported: 100rel")
        await world.expect("SIP/2.0 100")
        world.legs[-1].early_media()
        progress = await world.expect("SIP/2.0 183")
        send(world, "PRACK", 2, f"RAck: {field(progress, 'RSeq')} 1 INVITE", body)
        refused = await world.expect("SIP/2.0 488")
        assert field(refused, "Warning").startswith("305 ")
        assert world.events == [Ended("rejected", "us", 488)]

    run(test)


def test_a_caller_without_reliable_responses_hears_our_offer_in_the_200() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1)
        await world.expect("SIP/2.0 100")
        world.legs[-1].early_media()
        assert not [x for x in sdp_of(await world.expect("SIP/2.0 183")) if x.startswith("m=")]
        world.legs[-1].answer()
        assert [x for x in sdp_of(await world.expect("SIP/2.0 200")) if x.startswith("m=")]
        world.send("ACK", 1, offer())
        await asyncio.sleep(0.02)
        assert world.events == [Answered()]

    run(test)


def test_a_caller_is_sent_elsewhere() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 100")
        leg = world.legs[-1]
        assert isinstance(leg, RedirectableLeg)
        leg.redirect(["sip:a@127.0.0.1", "sip:b@127.0.0.1"])
        moved = await world.expect("SIP/2.0 302")
        assert field(moved, "Contact") == "<sip:a@127.0.0.1>;q=1.0"
        assert world.events == [Ended("redirected", "us", 302)]
        leg.redirect(["sip:c@127.0.0.1"])  # too late, and no mistake

    run(test)


def test_what_they_said_of_the_end_is_in_the_event() -> None:
    async def test(world: World) -> None:
        await answered(world)
        send(world, "BYE", 2, 'Reason: Q.850;cause=31;text="Normal"')
        await world.expect("SIP/2.0 200")
        assert world.events[-1] == Ended("hangup", "them", None, 'Q.850;cause=31;text="Normal"')

    run(test)


# Calling.


def test_their_early_offer_is_answered_in_our_prack() -> None:
    async def test(world: World) -> None:
        leg = dial(world, late_offer=True)
        invite = await world.expect("INVITE")
        assert not [line for line in sdp_of(invite) if line.startswith("m=")]
        reply(world, invite, "183 Whatever", RELIABLE, offer())
        prack = await world.expect("PRACK")
        assert field(prack, "RAck") == "7 1 INVITE"
        assert [line for line in sdp_of(prack) if line.startswith("m=audio")]
        assert leg.lane is not None and world.events == [EarlyMedia(183)]
        respond(world, prack, "200 Whatever")
        respond(world, invite, "200 Whatever")
        await world.expect("ACK")
        await asyncio.sleep(0.01)
        assert world.events[-1] == Answered()

    run(test)


def test_an_early_offer_that_nobody_can_meet_ends_the_call() -> None:
    async def test(world: World) -> None:
        dial(world, late_offer=True)
        invite = await world.expect("INVITE")
        reply(world, invite, "183 Whatever", RELIABLE, offer(formats="18"))
        respond(world, await world.expect("PRACK"), "200 Whatever")
        respond(world, await world.expect("CANCEL"), "200 Whatever")
        respond(world, invite, "487 Whatever")
        await world.expect("ACK")
        await asyncio.sleep(0.01)
        assert world.events == [Ended("error", "us", 487)]

    run(test)


@pytest.mark.parametrize("code", [180, 181, 182])
def test_what_becomes_of_a_call_before_the_answer_is_told(code: int) -> None:
    async def test(world: World) -> None:
        dial(world)
        respond(world, await world.expect("INVITE"), f"{code} Whatever")
        await asyncio.sleep(0.02)
        assert world.events == [Ringing(code)]

    run(test)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_redirect_is_followed_where_the_policy_allows_it(allowed: bool) -> None:
    async def test(world: World) -> None:
        asked: list[str] = []

        def may_redirect(uri: str) -> bool:
            asked.append(uri)
            return allowed

        world.endpoint.may_redirect = may_redirect
        dial(world)
        target = f"sip:other@127.0.0.1:{world.port}"
        reply(world, await world.expect("INVITE"), "302 Moved", f"Contact: <{target}>")
        await world.expect("ACK")
        if allowed:
            again = await world.expect(f"INVITE {target}")
            respond(world, again, "486 Busy")
            await world.expect("ACK")
        await asyncio.sleep(0.02)
        expected = Ended("busy", "them", 486) if allowed else Ended("rejected", "them", 302)
        assert (asked, world.events) == ([target], [expected])

    run(test)


def test_when_a_far_end_wants_to_be_called_again_is_told() -> None:
    async def test(world: World) -> None:
        leg = dial(world)
        reply(world, await world.expect("INVITE"), "503 Busy", "Retry-After: 30 (soon);duration=9")
        await world.expect("ACK")
        await asyncio.sleep(0.02)
        assert world.events == [Ended("error", "them", 503, "", 30)]
        assert leg.retry_after_seconds == 30

    run(test)


def test_a_refresh_whose_answer_has_moved_is_followed() -> None:
    async def test(world: World) -> None:
        send(world, "INVITE", 1, "Supported: timer\r\nSession-Expires: 2;refresher=uas", offer())
        await world.expect("SIP/2.0 100")
        world.legs[-1].answer()
        assert field(await world.expect("SIP/2.0 200"), "Session-Expires") == "2;refresher=uas"
        world.send("ACK", 1)
        refresh = await world.expect("INVITE")
        assert field(refresh, "Session-Expires") == "2;refresher=uac"
        moved = offer(version=2, direction="sendonly")
        reply(world, refresh, "200 Fine", "Session-Expires: 2;refresher=uac", moved)
        await world.expect("ACK")
        await asyncio.sleep(0.02)
        assert world.kinds() == ["Answered", "Held"]

    run(test, min_se_seconds=2)
