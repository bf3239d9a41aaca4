"""An endpoint with connections, and far ends made of plain sockets, for tests."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from trunkline.media.engine import Engine
from trunkline.transports.leg import DialOptions, Ended, LegEvent
from trunkline.transports.rtp_socket import RtpPoller, RtpPorts
from trunkline.transports.sip import SipEndpoint, SipOptions
from trunkline.transports.sip_carrier import Listening
from trunkline.transports.sip_connection import StreamLimits
from trunkline.transports.sip_leg import SipLeg

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)


def request(
    method: str, number: int = 1, *, port: int = 5060, to_tag: str = "", transport: str = "TCP",
    call: str = "one", extra: str = "", host: str = "127.0.0.1",
) -> bytes:  # fmt: skip
    """A request of somebody at that port."""
    body = SDP if method == "INVITE" else b""
    tag = f";tag={to_tag}" if to_tag else ""
    head = (
        f"{method} sip:100@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{call}{number}{method}\r\n"
        f"From: <sip:far@127.0.0.1>;tag=far\r\nTo: <sip:100@127.0.0.1>{tag}\r\n"
        f"Call-ID: {call}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n{extra}"
        f"Contact: <sip:far@{host}:{port};transport={transport.lower()}>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(message: str, status: str, *, body: bytes = b"", contact: str = "") -> bytes:
    """A response to what was read, as a server would make it."""
    lines = message.split("\r\n")
    kept = [one for one in lines if one.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))]
    (to,) = (one for one in lines if one.startswith("To:"))
    to += "" if ";tag=" in to or status.startswith("100") else ";tag=callee"
    if contact:
        kept.append(f"Contact: <{contact}>")
    kept += [to, "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"SIP/2.0 {status}", *kept, "", ""]).encode() + body


class Far:
    """One end of a connection, reading whole messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def port(self) -> int:
        return int(self.writer.get_extra_info("sockname")[1])

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> str:
        """The next message."""
        async with asyncio.timeout(5):
            head = b""
            while not head.strip():
                head = await self.reader.readuntil(b"\r\n\r\n")
            text = head.decode()
            (line,) = (one for one in text.split("\r\n") if one.startswith("Content-Length:"))
            return text + (await self.reader.readexactly(int(line.split()[1]))).decode()

    async def expect(self, start: str) -> str:
        """The next message that begins so; others are passed over."""
        while not (text := await self.read()).startswith(start):
            pass
        return text

    async def ended(self) -> bytes:
        """What still comes until the end of the connection."""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""

    def close(self) -> None:
        self.writer.close()


class World:
    """An endpoint on the test's loop."""

    def __init__(
        self,
        *,
        listening: Listening | None = None,
        limits: StreamLimits | None = None,
        t1_ms: int = 500,
        **options: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        listening = listening or Listening(limits=limits or StreamLimits())
        self.engine = Engine()
        self.poller = RtpPoller(loop)
        self.legs: list[SipLeg] = []
        self.events: list[LegEvent] = []
        self.endpoint = SipEndpoint(
            SipOptions(port=0, t1_ms=t1_ms, listening=listening, **options),
            loop=loop,
            engine=self.engine,
            ports=RtpPorts("127.0.0.1", 21_500, 21_899, random.Random()),
            poller=self.poller,
            receiver=self._receive,
            rng=random.Random(),
        )
        self._far: list[Far] = []

    def _receive(self, leg: Any, now: float) -> Callable[..., None]:
        self.legs.append(leg)
        return self._observe

    def _observe(self, leg: Any, event: LegEvent, now: float) -> None:
        self.events.append(event)

    @property
    def connections(self) -> int:
        return len(self.endpoint._carrier.streams)

    @property
    def ended(self) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended)]

    def dial(self, target: str, **options: Any) -> SipLeg:
        leg = self.endpoint.dial(
            target,
            caller="us",
            headers=options.pop("headers", {}),
            observer=self._observe,
            options=DialOptions(**options),
        )
        assert isinstance(leg, SipLeg)
        return leg

    async def connect(self, transport: str = "TCP", **options: Any) -> Far:
        port = self.endpoint.ports[transport]  # type: ignore[index]
        far = Far(*await asyncio.open_connection("127.0.0.1", port, **options))
        self._far.append(far)
        return far

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    @contextlib.asynccontextmanager
    async def server(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        """Somebody we can connect to."""
        server = Server()
        listener = await asyncio.start_server(server.accepted, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listener.close()
            for far in server.all:
                far.close()

    async def close(self) -> None:
        for far in self._far:
            far.close()
        await self.endpoint.close()
        self.poller.close()
        assert self.connections == 0


class Server:
    """What it accepted."""

    def __init__(self) -> None:
        self.port = 0
        self.all: list[Far] = []
        self._new: asyncio.Queue[Far] = asyncio.Queue()

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.all.append(Far(reader, writer))
        self._new.put_nowait(self.all[-1])

    async def next(self) -> Far:
        async with asyncio.timeout(5):
            return await self._new.get()


def run(test: Callable[[World], Any], **options: Any) -> None:
    async def main() -> None:
        world = World(**options)
        try:
            await test(world)
        finally:
            await world.close()

    asyncio.run(main())
