"""What a call costs over UDP, TCP and TLS: signalling alone, one process, one run.

    python benchmarks/transports.py --calls 2000

The endpoint is a process of its own: it answers each INVITE, with RTP ports opened and closed
for each call and no audio. Callers are plain sockets in this process: INVITE, 200, ACK, BYE, 200,
twenty calls at a time. CPU time is the endpoint's, user and system, less nothing. The ways take
turns, three rounds of each, so that what else the machine does falls on all; the median counts.
"""

import argparse
import asyncio
import json
import random
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trustme
import uvloop

from _harness import load
from _machine import describe
from trunkline.media.engine import Engine
from trunkline.transports.rtp_socket import RtpPoller, RtpPorts
from trunkline.transports.sip import SipEndpoint, SipOptions
from trunkline.transports.sip_carrier import Listening

AT_ONCE = 20
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 21998 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


# -- the endpoint ----------------------------------------------------------------------------


def serve(certificate: str) -> None:
    """Answer calls until stdin ends; each line asked is answered with the CPU time."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    rng = random.SystemRandom()

    def receive(leg: Any, now: float) -> Callable[..., None]:
        loop.call_soon(leg.answer)
        return lambda *_: None

    endpoint = SipEndpoint(
        SipOptions(port=0, listening=Listening(tls_port=0, tls_certificate=certificate)),
        loop=loop,
        engine=Engine(),
        ports=RtpPorts("127.0.0.1", 21_000, 21_899, rng),
        poller=RtpPoller(loop),
        receiver=receive,
    )

    def asked() -> None:
        if not sys.stdin.readline():
            loop.stop()
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(usage.ru_utime + usage.ru_stime, len(endpoint.legs), flush=True)

    loop.add_reader(sys.stdin.fileno(), asked)
    print(json.dumps({"UDP": endpoint.port, **endpoint.ports}), flush=True)
    loop.run_forever()


# -- callers ---------------------------------------------------------------------------------


def message(method: str, number: int, transport: str, call: str, port: int, tag: str) -> bytes:
    """A request of a caller."""
    body = SDP if method == "INVITE" else b""
    to = f";tag={tag}" if tag else ""
    return (
        f"{method} sip:100@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{call}{number}{method};rport\r\n"
        f"From: <sip:caller@127.0.0.1>;tag=c{call}\r\nTo: <sip:100@127.0.0.1>{to}\r\n"
        f"Call-ID: {call}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:caller@127.0.0.1:{port}>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Caller(asyncio.Protocol, asyncio.DatagramProtocol):
    """A socket, and the calls that wait for its answers."""

    def __init__(self, transport: str) -> None:
        self.name = transport
        self.waiting: dict[str, asyncio.Future[str]] = {}
        self._rest = ""

    def connection_made(self, transport: Any) -> None:
        """Connected."""
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def send(self, data: bytes) -> None:
        """Send a request."""
        if self.name == "UDP":
            self.transport.sendto(data)
        else:
            self.transport.write(data)

    def datagram_received(self, data: bytes, _: object) -> None:
        """A message."""
        self._take(data.decode())

    def data_received(self, data: bytes) -> None:
        """A part of the stream."""
        self._rest += data.decode()
        while (end := self._rest.find("\r\n\r\n")) >= 0:
            head = self._rest[:end]
            length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
            if len(self._rest) < end + 4 + length:
                return
            self._rest = self._rest[end + 4 + length :]
            self._take(head)

    def _take(self, head: str) -> None:
        if head.startswith("SIP/2.0 200"):
            call = head.split("Call-ID: ")[1].split("\r\n")[0]
            waiting = self.waiting.pop(call, None)
            if waiting is not None:
                waiting.set_result(head.split("\r\nTo: ")[1].split("\r\n")[0].partition("tag=")[2])

    async def call(self, call: str) -> None:
        """One call from INVITE to the 200 of its BYE."""
        tag = ""
        for number, method in ((1, "INVITE"), (2, "BYE")):
            answered = self.waiting[call] = asyncio.get_running_loop().create_future()
            self.send(message(method, number, self.name, call, self.port, tag))
            async with asyncio.timeout(30):
                tag = await answered
            if method == "INVITE":
                self.send(message("ACK", 1, self.name, call, self.port, tag))


async def connect(transport: str, port: int, tls: ssl.SSLContext) -> Caller:
    """A caller's socket."""
    loop = asyncio.get_running_loop()
    if transport == "UDP":
        _, caller = await loop.create_datagram_endpoint(
            lambda: Caller(transport), remote_addr=("127.0.0.1", port)
        )
        return caller
    secure = {"ssl": tls, "server_hostname": "127.0.0.1"} if transport == "TLS" else {}
    _, caller = await loop.create_connection(lambda: Caller(transport), "127.0.0.1", port, **secure)
    return caller


async def calls(
    count: int, transport: str, port: int, tls: ssl.SSLContext, *, each: bool, mark: str
) -> None:
    """So many calls, on one connection, or each on its own."""
    numbers = iter(range(count))
    shared = None if each else await connect(transport, port, tls)

    async def work() -> None:
        for number in numbers:
            caller = shared or await connect(transport, port, tls)
            await caller.call(f"{mark}{number}")
            if each:
                caller.transport.close()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    if shared is not None:
        shared.transport.close()


WAYS = [
    ("UDP", "UDP", False),
    ("TCP, one connection", "TCP", False),
    ("TLS, one connection", "TLS", False),
    ("TCP, a connection a call", "TCP", True),
    ("TLS, a connection a call", "TLS", True),
]


def measure(count: int, rounds: int) -> None:
    """Print what each way costs."""
    authority = trustme.CA()
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    spent: dict[str, list[float]] = {name: [] for name, _, _ in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "node.pem")
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        command = [sys.executable, __file__, "--serve", str(certificate)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            ports = json.loads(child.stdout.readline())

            def seconds() -> float:
                child.stdin.write("\n")  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
                return float(child.stdout.readline().split()[0])  # type: ignore[union-attr]

            for turn in range(-1, rounds):  # the first warms up
                for index, (name, transport, each) in enumerate(WAYS):
                    many = count if turn >= 0 else count // 10
                    before = seconds()
                    work: Awaitable[None] = calls(
                        many, transport, ports[transport], tls, each=each, mark=f"{turn}.{index}."
                    )
                    asyncio.run(work)  # type: ignore[arg-type]
                    if turn >= 0:
                        spent[name].append((seconds() - before) / many)
            child.stdin.close()
    base = statistics.median(spent["UDP"])
    print(f"{'way':28}{'ms a call':>10}{'calls a CPU-second':>20}{'to UDP':>8}")
    for name, values in spent.items():
        median = statistics.median(values)
        print(f"{name:28}{1000 * median:10.3f}{1 / median:20.0f}{median / base:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="calls a round and way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    print(describe())
    measure(given.calls, given.rounds)
    print(load())


if __name__ == "__main__":
    main()
