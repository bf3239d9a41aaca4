"""SIP legs and their endpoint: what signalling does to ports, audio and events."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trunkline.errors import UsageError
from trunkline.media.engine import Engine
from trunkline.transports.leg import Answered, EarlyMedia, Ended, Held, LegEvent, Resumed, Ringing
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
        await self.endpoint.close()
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
    with pytest.raises(UsageError, match="legs speak PCMU and PCMA, not OPUS"):
        SipOptions(codecs=("OPUS", "PCMU"))


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


def respond(world: World, request: str, code: int, body: bytes = b"") -> None:
    """Answer a request of the endpoint's."""
    kept = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
    lines = [line for line in request.split("\r\n") if line.startswith(kept)]
    lines = [f"{line};tag=bob" if line.startswith("To:") else line for line in lines]
    head = [f"SIP/2.0 {code} Said", *lines, f"Contact: <sip:bob@127.0.0.1:{world.port}>"]
    head += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    data = "\r\n".join(head).encode() + b"\r\n\r\n" + body
    world.far.sendto(data, ("127.0.0.1", world.endpoint.port))


def test_a_call_out_rings_plays_early_and_is_answered() -> None:
    async def test(world: World) -> None:
        leg = world.endpoint.dial(
            f"sip:bob@127.0.0.1:{world.port}",
            caller="<sip:7@h>",
            headers={},
            observer=world.observe,
        )
        invite = await world.expect("INVITE")
        respond(world, invite, 180)
        respond(world, invite, 183, offer())
        respond(world, invite, 200, offer())
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
