"""SIP legs and their endpoint: what signalling does to ports, audio and events."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trunkline.errors import UsageError
from trunkline.media.codec import G722
from trunkline.media.engine import Engine
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.transports.leg import (
    Answered,
    EarlyMedia,
    Ended,
    Held,
    HoldableLeg,
    HoldChanged,
    LegEvent,
    Resumed,
    Ringing,
)
from trunkline.transports.rtp_socket import RtpPoller, RtpPorts
from trunkline.transports.sip import SipEndpoint, SipOptions
from trunkline.transports.sip_leg import SipLeg

OFFER = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
)


def offer(
    version: int = 1, host: str = "127.0.0.1", formats: str = "0 101", direction: str = "sendrecv"
) -> bytes:
    return OFFER.format(version=version, host=host, formats=formats, direction=direction).encode()


NARROW_G722 = ResampledCodec(G722())
WIDE = {"G722": lambda agreement: NARROW_G722}


class World:
    """An endpoint on the test's loop, and a socket at the far end."""

    def __init__(self, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        self.engine = Engine()
        self.poller = RtpPoller(loop)
        self.ports = RtpPorts("127.0.0.1", 48_000, 48_999, random.Random())
        self.legs: list[SipLeg] = []
        self.events: list[LegEvent] = []
        self.fail = False
        self.endpoint = SipEndpoint(
            SipOptions(port=0, t1_ms=20, **options),
            loop=loop,
            engine=self.engine,
            ports=self.ports,
            poller=self.poller,
            receiver=self.receive,
            codecs=WIDE,
            rng=random.Random(),
        )
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far.bind(("127.0.0.1", 0))
        self.far.setblocking(False)
        self.port = self.far.getsockname()[1]
        self.tag = ""

    def receive(self, leg: Any, now: float) -> Callable[..., None]:
        if self.fail:
            raise RuntimeError("nobody home")
        self.legs.append(leg)
        return self.observe

    def observe(self, leg: Any, event: LegEvent, now: float) -> None:
        self.events.append(event)

    def send(self, method: str, cseq: int, body: bytes = b"", branch: str = "") -> None:
        to = f";tag={self.tag}" if self.tag else ""
        head = (
            f"{method} sip:100@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{branch or cseq}{method}\r\n"
            f"From: <sip:+15550100@127.0.0.1>;tag=far\r\nTo: <sip:100@127.0.0.1>{to}\r\n"
            f"Call-ID: one\r\nCSeq: {cseq} {method}\r\nContact: <sip:far@127.0.0.1:{self.port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.far.sendto(head.encode() + body, ("127.0.0.1", self.endpoint.port))

    async def expect(self, start: str) -> str:
        """The next message that begins so."""
        seen = []
        for _ in range(400):
            await asyncio.sleep(0.005)
            try:
                text = self.far.recv(65535).decode()
            except BlockingIOError:
                continue
            seen.append(text.split("\r\n")[0])
            if text.startswith(start):
                if text.startswith("SIP/2.0") and "To: " in text:
                    line = next(line for line in text.split("\r\n") if line.startswith("To: "))
                    self.tag = self.tag or line.partition(";tag=")[2]
                return text
        raise AssertionError(f"{start} did not come; {seen}")

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    async def close(self) -> None:
        closing = asyncio.create_task(self.endpoint.close())
        while not closing.done():  # agree to every BYE, or each test takes a second more
            await asyncio.sleep(0.002)
            with contextlib.suppress(BlockingIOError):
                text = self.far.recv(65535).decode()
                if text.startswith(("BYE", "CANCEL")):
                    respond(self, text, "200 OK")
        await closing
        self.poller.close()
        self.far.close()
        assert self.ports.open_pairs == 0 and len(self.engine) == 0


def run(test: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        world = World(**options)
        try:
            await test(world)
        finally:
            await world.close()

    asyncio.run(main())


async def answered(world: World, body: bytes | None = None) -> SipLeg:
    world.send("INVITE", 1, offer() if body is None else body)
    await world.expect("SIP/2.0 100")
    leg = world.legs[-1]
    leg.answer()
    leg.answer()  # legal more than once
    await world.expect("SIP/2.0 200")
    world.send("ACK", 1)
    await asyncio.sleep(0.01)
    return leg


def test_an_inbound_leg_rings_plays_early_and_is_answered() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 100")
        leg = world.legs[0]
        assert (leg.party.caller, leg.party.callee) == ("+15550100", "100")
        assert leg.lane is None and world.ports.open_pairs == 0
        leg.ring()
        await world.expect("SIP/2.0 180")
        leg.early_media()
        leg.early_media()
        early = await world.expect("SIP/2.0 183")
        assert leg.lane is not None and world.ports.open_pairs == 1
        leg.answer()
        final = await world.expect("SIP/2.0 200")
        assert early.partition("\r\n\r\n")[2] == final.partition("\r\n\r\n")[2]
        leg.ring()
        leg.reject(486)  # too late: neither does anything
        world.send("ACK", 1)
        await asyncio.sleep(0.02)
        assert world.kinds() == ["Ringing", "EarlyMedia", "Answered"]

    run(test)


def test_hanging_up_frees_the_audio_at_once_and_ends_when_they_agree() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        assert len(world.engine) == 1
        leg.hangup("done")
        leg.hangup("again")
        assert len(world.engine) == 0 and world.ports.open_pairs == 0 and leg.lane is None
        await world.expect("BYE")
        assert not any(isinstance(event, Ended) for event in world.events)
        await asyncio.sleep(1.4)  # 64 times T1: they never answer
        assert world.events[-1] == Ended("done", "us")
        assert "packets_sent" in leg.statistics() and not world.endpoint.legs

    run(test)


def test_an_offer_nobody_can_meet_is_refused_with_488() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer(formats="18"))
        await world.expect("SIP/2.0 100")
        world.legs[0].answer()
        await world.expect("SIP/2.0 488")
        await asyncio.sleep(0)
        assert world.events == [Ended("rejected", "us", 488)]

    run(test)


def test_no_free_port_is_503() -> None:
    async def test(world: World) -> None:
        world.ports._pairs[1:] = []
        world.ports._next = 0
        taken = world.ports.open()
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 100")
        world.legs[0].answer()
        await world.expect("SIP/2.0 503")
        world.ports.close(taken)

    run(test)


def test_hold_and_resume_are_told_once_each() -> None:
    async def test(world: World) -> None:
        await answered(world)
        for cseq, direction in ((2, "sendonly"), (3, "inactive"), (4, "sendrecv")):
            world.send("INVITE", cseq, offer(cseq, direction=direction))
            await world.expect("SIP/2.0 200")
            world.send("ACK", cseq)
            await asyncio.sleep(0.01)
        assert world.events == [Answered(), Held(), Resumed()]
        world.send("INVITE", 5, offer(5, host="192.0.2.1"))
        await world.expect("SIP/2.0 488")
        world.send("BYE", 6)
        await world.expect("SIP/2.0 200")
        await asyncio.sleep(0)
        assert world.events[-1] == Ended("hangup", "them")

    run(test)


def test_a_late_offer_is_up_when_the_ack_brings_the_answer() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1)
        await world.expect("SIP/2.0 100")
        leg = world.legs[0]
        leg.answer()
        assert "m=audio" in await world.expect("SIP/2.0 200")
        assert leg.lane is None
        world.send("ACK", 1, offer())
        await asyncio.sleep(0.03)
        assert world.events == [Answered()] and leg.lane is not None

    run(test)


def test_digits_need_audio() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 100")
        with pytest.raises(UsageError, match="before the call has audio"):
            world.legs[0].send_dtmf("1")

    run(test)


def test_a_leg_that_nobody_takes_is_500(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        world.fail = True
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 500")

    run(test)
    assert "nobody took leg" in caplog.text


def test_a_call_out_that_goes_nowhere_frees_its_port() -> None:
    async def test(world: World) -> None:
        leg = world.endpoint.dial(
            f"sip:bob@127.0.0.1:{world.port}", caller="", headers={}, observer=world.observe
        )
        assert world.ports.open_pairs == 1
        invite = await world.expect("INVITE")
        assert "From: <sip:trunkline@" in invite
        leg.hangup("cancelled")
        assert world.ports.open_pairs == 0
        await asyncio.sleep(1.5)
        assert [event for event in world.events if isinstance(event, Ended)]
        with pytest.raises(UsageError):
            world.endpoint.dial("nonsense", caller="", headers={}, observer=world.observe)
        assert world.ports.open_pairs == 0

    run(test)


def test_a_name_that_does_not_resolve_ends_the_call() -> None:
    async def test(world: World) -> None:
        world.endpoint.dial(
            "sip:bob@nowhere.invalid", caller="7", headers={}, observer=world.observe
        )
        for _ in range(300):
            await asyncio.sleep(0.02)
            if world.events:
                break
        assert isinstance(world.events[-1], Ended)
        assert world.events[-1].by == "them"

    run(test)


def test_strangers_are_not_read() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer())
        await asyncio.sleep(0.05)
        assert world.endpoint.counters["not allowed"] == 1 and not world.legs

    run(test, allowed=("192.0.2.0/24",))


def test_a_codec_that_legs_cannot_speak_is_not_offered() -> None:
    async def test(world: World) -> None:
        with pytest.raises(UsageError, match="legs speak PCMU, PCMA, G722, not OPUS"):
            SipEndpoint(
                SipOptions(port=0, codecs=("OPUS", "PCMU")),
                loop=asyncio.get_running_loop(),
                engine=world.engine,
                ports=world.ports,
                poller=world.poller,
                receiver=world.receive,
                codecs=WIDE,
            )

    run(test)


def test_a_wideband_call_is_answered_in_its_codec_and_at_its_clocks() -> None:
    async def test(world: World) -> None:
        formats = "9 0 101\r\na=rtpmap:9 G722/8000"
        world.send("INVITE", 1, offer(formats=formats))
        await world.expect("SIP/2.0 100")
        world.legs[0].answer()
        answer = await world.expect("SIP/2.0 200")
        assert "a=rtpmap:9 G722/8000" in answer and "a=rtpmap:0 PCMU" not in answer
        stream = world.legs[0]._stream
        assert stream is not None and stream.outlet.encoding is None
        assert stream._format is not None and stream._format.receive == {}
        assert stream._format.codec == stream._format.receive_codecs[9] == NARROW_G722
        world.send("ACK", 1)

    run(test, codecs=("PCMU", "G722"))


def test_a_port_that_is_taken_says_so() -> None:
    async def test(world: World) -> None:
        with pytest.raises(UsageError, match="another program may use it"):
            SipEndpoint(
                SipOptions(port=world.endpoint.port),
                loop=asyncio.get_running_loop(),
                engine=world.engine,
                ports=world.ports,
                poller=world.poller,
                receiver=world.receive,
            )

    run(test)


def test_ringing_is_an_event_of_its_own() -> None:
    assert Ringing() == Ringing(180) and EarlyMedia() == EarlyMedia(183)


def respond(world: World, request: str, status: str, body: bytes = b"") -> None:
    """Answer a request of theirs as the far end."""
    kept = [
        line
        for line in request.split("\r\n")
        if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
    ]
    kept = [
        f"{line};tag=bob" if line.startswith("To:") and ";tag=" not in line else line
        for line in kept
    ]
    head = [
        f"SIP/2.0 {status}", *kept, f"Contact: <sip:far@127.0.0.1:{world.port}>",
        "Content-Type: application/sdp", f"Content-Length: {len(body)}", "", "",
    ]  # fmt: skip
    world.far.sendto("\r\n".join(head).encode() + body, ("127.0.0.1", world.endpoint.port))


def test_a_call_out_rings_plays_early_and_is_answered() -> None:
    async def test(world: World) -> None:
        leg = world.endpoint.dial(
            f"sip:bob@127.0.0.1:{world.port}",
            caller="<sip:7@h>",
            headers={},
            observer=world.observe,
        )
        invite = await world.expect("INVITE")
        respond(world, invite, "180 Whatever")
        respond(world, invite, "183 Whatever", offer())
        respond(world, invite, "200 Whatever", offer())
        await world.expect("ACK")
        await asyncio.sleep(0.01)
        assert world.events == [Ringing(180), EarlyMedia(183), Answered()]
        assert leg.lane is not None and leg.party.callee == "bob"

    run(test)


@pytest.mark.parametrize("body", [b"", offer(formats="18"), offer(host="192.0.2.1")])
def test_an_answer_that_cannot_be_used_ends_the_call(body: bytes) -> None:
    async def test(world: World) -> None:
        world.endpoint.dial(
            f"sip:bob@127.0.0.1:{world.port}", caller="", headers={}, observer=world.observe
        )
        respond(world, await world.expect("INVITE"), 200, body)
        await world.expect("ACK")
        respond(world, await world.expect("BYE"), 200)
        await asyncio.sleep(0.05)
        assert world.events == [Ended("error", "us")]

    run(test)


def test_a_reinvite_without_an_offer_gets_a_fresh_one() -> None:
    async def test(world: World) -> None:
        await answered(world)
        world.send("INVITE", 2)
        assert "m=audio" in await world.expect("SIP/2.0 200")
        world.send("ACK", 2, offer(2))
        await asyncio.sleep(0.02)
        assert world.events == [Answered()]

    run(test)


# Holding them.


def sdp_of(message: str) -> list[str]:
    return message.partition("\r\n\r\n")[2].split("\r\n")


def version_of(message: str) -> int:
    return int(next(line for line in sdp_of(message) if line.startswith("o=")).split()[2])


async def hold_answered(world: World, direction: str, version: int = 2) -> str:
    """Their 200 to our re-INVITE; returns the re-INVITE."""
    request = await world.expect("INVITE")
    respond(world, request, "200 OK", offer(version, direction=direction))
    await world.expect("ACK")
    await asyncio.sleep(0.01)
    return request


@pytest.mark.parametrize(("silent", "offered"), [(False, "sendonly"), (True, "inactive")])
def test_we_hold_and_resume(silent: bool, offered: str) -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        assert isinstance(leg, HoldableLeg) and leg._stream is not None
        leg.hold(silent=silent)
        first = await hold_answered(world, "inactive" if silent else "recvonly")
        assert f"a={offered}" in sdp_of(first)
        stream = leg._stream
        assert (stream.deaf, stream.sending, stream.expecting) == (True, not silent, False)
        leg.hold(silent=silent)  # nothing to change is told as well
        leg.resume()
        second = await hold_answered(world, "sendrecv", 3)
        assert "a=sendrecv" in sdp_of(second) and version_of(second) == version_of(first) + 1
        assert stream.expecting
        assert world.events == [
            Answered(),
            HoldChanged(True, 200, "OK"),
            HoldChanged(True),
            HoldChanged(False, 200, "OK"),
        ]

    run(test)


def test_a_refused_hold_leaves_the_call_as_it_was() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        request = await world.expect("INVITE")
        respond(world, request, "488 Not Acceptable Here")
        await world.expect("ACK")
        await asyncio.sleep(0.01)
        assert world.events[-1] == HoldChanged(False, 488, "Not Acceptable Here")
        assert leg._stream is not None and leg._stream.expecting
        # Their next change is answered from what holds, with a version that is new.
        world.send("INVITE", 2, offer(2))
        response = await world.expect("SIP/2.0 200")
        world.send("ACK", 2)
        assert "a=sendrecv" in sdp_of(response)
        assert version_of(response) == version_of(request) + 1

    run(test)


@pytest.mark.parametrize(
    "body", [b"", b"v=0\r\n", offer(2, formats="18"), offer(2, host="192.0.2.1")]
)
def test_a_hold_answered_with_nothing_to_use_is_a_refused_one(body: bytes) -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        respond(world, await world.expect("INVITE"), "200 OK", body)
        await world.expect("ACK")
        await asyncio.sleep(0.01)
        assert world.events[-1] == HoldChanged(False, 488, "OK")
        assert leg._stream is not None and leg._stream.expecting
        assert leg._negotiation is not None and not leg._negotiation.is_open

    run(test)


def test_a_hold_that_meets_theirs_waits_and_is_offered_anew() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        request = await world.expect("INVITE")
        world.send("INVITE", 2, offer(2, formats="8 0"))
        await world.expect("SIP/2.0 491")
        world.send("ACK", 2, branch="2INVITE"[:-6])
        respond(world, request, "491 Request Pending")
        await world.expect("ACK")
        # They try again first (we were called, so we may wait up to 2 s).
        world.send("INVITE", 3, offer(3, formats="8 0"))
        theirs = await world.expect("SIP/2.0 200")
        world.send("ACK", 3)
        assert "a=sendonly" in sdp_of(theirs)  # what we want goes into the answer too
        again = await hold_answered(world, "recvonly", 4)
        assert "a=sendonly" in sdp_of(again)
        audio = next(line for line in sdp_of(again) if line.startswith("m=audio"))
        assert audio.split()[3] == "8", "what they changed meanwhile is in the new offer"
        assert world.events[-1] == HoldChanged(True, 200, "OK")

    run(test)


def test_a_hold_before_their_ack_waits_for_it() -> None:
    async def test(world: World) -> None:
        world.send("INVITE", 1, offer())
        await world.expect("SIP/2.0 100")
        leg = world.legs[0]
        leg.early_media()
        with pytest.raises(UsageError, match="answered"):
            leg.hold()
        leg.answer()
        leg.hold()
        await world.expect("SIP/2.0 200")
        world.send("ACK", 1)
        await hold_answered(world, "recvonly")
        assert world.events[-1] == HoldChanged(True, 200, "OK")

    run(test)


def test_resuming_before_the_hold_is_answered_resumes_after_it() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        request = await world.expect("INVITE")
        leg.resume()
        respond(world, request, "200 OK", offer(2, direction="recvonly"))
        await world.expect("ACK")
        assert "a=sendrecv" in sdp_of(await hold_answered(world, "sendrecv", 3))
        assert world.events == [Answered(), HoldChanged(False, 200, "OK")]

    run(test)


def test_both_hold_and_both_resume() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        assert leg._stream is not None
        leg.hold()
        await hold_answered(world, "recvonly")
        for cseq, theirs, ours in ((2, "sendonly", "inactive"), (3, "sendrecv", "sendonly")):
            world.send("INVITE", cseq, offer(cseq, direction=theirs))
            assert f"a={ours}" in sdp_of(await world.expect("SIP/2.0 200"))
            world.send("ACK", cseq)
            await asyncio.sleep(0.01)
            assert leg._stream.deaf
        assert [type(e).__name__ for e in world.events[1:]] == ["HoldChanged", "Held", "Resumed"]

    run(test)


def test_an_offer_they_ask_for_says_that_we_hold_and_may_go_unanswered() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        await hold_answered(world, "recvonly")
        world.send("INVITE", 2)
        assert "a=sendonly" in sdp_of(await world.expect("SIP/2.0 200"))
        world.send("ACK", 2)  # without an answer
        await asyncio.sleep(0.01)
        assert leg._negotiation is not None and not leg._negotiation.is_open
        assert leg._stream is not None and leg._stream.deaf and leg.lane is not None

    run(test)


def test_a_call_that_begins_on_hold_says_so() -> None:
    async def test(world: World) -> None:
        await answered(world, offer(direction="sendonly"))
        world.send("INVITE", 2, offer(2))
        await world.expect("SIP/2.0 200")
        world.send("ACK", 2)
        await asyncio.sleep(0.01)
        assert world.events == [Answered(), Held(), Resumed()]

    run(test)


def test_a_refused_change_of_theirs_leaves_ours_as_it_was() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        assert leg._negotiation is not None
        before = leg._negotiation.agreement
        world.send("INVITE", 2, offer(2, host="192.0.2.1", formats="8", direction="sendonly"))
        await world.expect("SIP/2.0 488")
        assert leg._negotiation.agreement is before

    run(test)


@pytest.mark.parametrize(
    ("answer", "ends"),
    [("200 OK", []), ("405 Method Not Allowed", []), ("481 Gone", ["Ended"]), ("", ["Ended"])],
)
def test_who_is_silent_on_hold_is_asked_whether_the_call_is_still_there(
    answer: str, ends: list[str]
) -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        await hold_answered(world, "recvonly")
        leg.media_timed_out(0.0)
        leg.media_timed_out(0.0)  # one question at a time
        question = await world.expect("OPTIONS")
        if answer:
            respond(world, question, answer)
        if answer.startswith("2"):
            await asyncio.sleep(0.05)
            leg.media_timed_out(0.0)
            respond(world, await world.expect("OPTIONS"), answer)
        if ends:
            respond(world, await world.expect("BYE"), "481 Gone")
        await asyncio.sleep(0.05)
        assert world.kinds() == ["Answered", "HoldChanged", *ends]

    run(test)


def test_the_end_of_a_call_that_is_being_held_is_its_end() -> None:
    async def test(world: World) -> None:
        leg = await answered(world)
        leg.hold()
        request = await world.expect("INVITE")
        world.send("BYE", 2)
        await world.expect("SIP/2.0 200")
        respond(world, request, "487 Request Terminated")
        await asyncio.sleep(0.02)
        leg.hold()
        leg.resume()
        assert world.kinds() == ["Answered", "Ended"]

    run(test)
