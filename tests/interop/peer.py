"""A telephone in plain Python: its own messages, packets and tables.

Nothing here comes from trunkline, so that a mistake there cannot hide behind
the same mistake here. Blocking sockets with timeouts; loopback only.
"""

import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

LOOPBACK = "127.0.0.1"
COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
}
_numbers = itertools.count(1)


@dataclass
class Message:
    """One SIP message, taken apart just far enough."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    source: tuple[str, int] = ("", 0)

    @classmethod
    def parse(cls, data: bytes, source: tuple[str, int]) -> "Message":
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        headers = []
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.append((COMPACT.get(name, name), value.strip()))
        return cls(start, headers, body, source)

    @property
    def code(self) -> int:
        """The status, or 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """The method, of a request or of what a response answers."""
        return self["cseq"].split()[1]

    @property
    def is_request(self) -> bool:
        return not self.code

    def __getitem__(self, name: str) -> str:
        return next(value for key, value in self.headers if key == name)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def media(self) -> tuple[str, int]:
        """Where the session description wants audio."""
        text = self.body.decode()
        host = next(line[9:] for line in text.split("\r\n") if line.startswith("c=IN IP4"))
        port = next(line.split()[1] for line in text.split("\r\n") if line.startswith("m=audio"))
        return host.strip(), int(port)


def sdp(
    port: int,
    *,
    host: str = LOOPBACK,
    formats: str = "0 8 101",
    direction: str = "sendrecv",
    version: int = 1,
    extra: str = "",
) -> bytes:
    """A session description."""
    lines = [
        "v=0", f"o=peer 4711 {version} IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {host}", "t=0 0",
        f"m=audio {port} RTP/AVP {formats}", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", f"a={direction}",
    ]  # fmt: skip
    return ("\r\n".join([line for line in lines if line]) + "\r\n" + extra).encode()


def tag_of(value: str) -> str:
    """The tag of a From or To."""
    return value.partition(";tag=")[2].partition(";")[0]


def uri_of(value: str) -> str:
    """The URI of a name-addr."""
    return value.partition("<")[2].partition(">")[0]


class Peer:
    """One SIP socket and its mailbox."""

    def __init__(self, server_port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((LOOPBACK, 0))
        self.port: int = self.socket.getsockname()[1]
        self.server = (LOOPBACK, server_port)
        self.mailbox: list[Message] = []
        self.seen: list[Message] = []
        self.contact = f"<sip:peer@{LOOPBACK}:{self.port}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, to: tuple[str, int] | None = None) -> None:
        self.socket.sendto(data, to or self.server)

    def write(
        self,
        start: str,
        headers: Iterable[tuple[str, str]],
        body: bytes = b"",
        to: tuple[str, int] | None = None,
    ) -> bytes:
        """Put a message together and send it; returns it, to be sent again."""
        lines = [start, *(f"{name}: {value}" for name, value in headers)]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self.send(data, to)
        return data

    def receive(
        self, wanted: Callable[[Message], bool] = lambda message: True, seconds: float = 3.0
    ) -> Message:
        """The next message that is wanted; what comes before it stays in the mailbox."""
        found = self.poll(wanted, seconds)
        assert found is not None, f"nothing came; seen: {[m.start for m in self.seen[-10:]]}"
        return found

    def poll(
        self, wanted: Callable[[Message], bool] = lambda message: True, seconds: float = 0.0
    ) -> Message | None:
        """The same, or None."""
        for message in self.mailbox:
            if wanted(message):
                self.mailbox.remove(message)
                return message
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data, source = self.socket.recvfrom(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
            if data[0] & 0x80:
                continue  # RTCP, to the port above that of media, where that is this one
            message = Message.parse(data, source)
            self.seen.append(message)
            if wanted(message):
                return message
            self.mailbox.append(message)
        return None

    def status(self, code: int, method: str = "INVITE", seconds: float = 3.0) -> Message:
        """A response with this status."""
        return self.receive(lambda m: m.code == code and m.method == method, seconds)

    def request(self, method: str, seconds: float = 3.0) -> Message:
        """A request of this method."""
        return self.receive(lambda m: m.is_request and m.method == method, seconds)

    def respond(
        self,
        request: Message,
        code: int,
        reason: str = "Whatever",
        *,
        tag: str = "theirs",
        body: bytes = b"",
        extra: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Answer a request; a tag makes it a dialog's."""
        to = request["to"]
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        headers = [("Via", via) for via in request.all("via")]
        headers += [("Record-Route", value) for value in request.all("record-route")]
        headers += [
            ("From", request["from"]), ("To", to), ("Call-ID", request["call-id"]),
            ("CSeq", request["cseq"]), ("Contact", self.contact), *extra,
        ]  # fmt: skip
        return self.write(f"SIP/2.0 {code} {reason}", headers, body, request.source)


class Dialled:
    """A call of the peer's to the node."""

    def __init__(self, peer: Peer, number: str = "100", *, call_id: str = "") -> None:
        self.peer = peer
        self.uri = f"sip:{number}@{LOOPBACK}:{peer.server[1]}"
        serial = next(_numbers)
        self.call_id = call_id or f"{serial}.{random.getrandbits(48):x}@peer"
        self.local = f"<sip:peer@{LOOPBACK}:{peer.port}>;tag=p{serial}"
        self.remote = f"<{self.uri}>"
        self.target = self.uri
        self.cseq = 0
        self.branch = ""
        self.sent = b""

    def _headers(self, method: str, branch: str, cseq: int) -> list[tuple[str, str]]:
        return [
            ("Via", f"SIP/2.0/UDP {LOOPBACK}:{self.peer.port};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", self.peer.contact),
        ]

    def request(
        self, method: str, body: bytes = b"", extra: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """Send a request of this dialog, with the next CSeq."""
        self.cseq += 1
        branch = f"z9hG4bK{random.getrandbits(64):x}"
        if method == "INVITE":
            self.branch = branch
        headers = [*self._headers(method, branch, self.cseq), *extra]
        self.sent = self.peer.write(f"{method} {self.target} SIP/2.0", headers, body)
        return self.sent

    def invite(self, body: bytes = b"", extra: Sequence[tuple[str, str]] = ()) -> bytes:
        return self.request("INVITE", body, extra)

    def ok(self, seconds: float = 3.0) -> Message:
        """Their 200 to our INVITE; notes the dialog, and does not acknowledge."""
        cseq = str(self.cseq)
        response = self.peer.receive(
            lambda m: (
                m.code == 200
                and m.method == "INVITE"
                and m["call-id"] == self.call_id
                and m["cseq"].split()[0] == cseq
            ),
            seconds,
        )
        return self.ok_from(response)

    def ok_from(self, response: Message) -> Message:
        """Note the dialog that a 200 makes."""
        self.remote = response["to"]
        self.target = uri_of(response["contact"])
        return response

    def ack(self, body: bytes = b"", *, of: int = 0) -> bytes:
        branch = f"z9hG4bK{random.getrandbits(64):x}"
        headers = self._headers("ACK", branch, of or self.cseq)
        return self.peer.write(f"ACK {self.target} SIP/2.0", headers, body)

    def cancel(self) -> None:
        headers = self._headers("CANCEL", self.branch, self.cseq)
        self.peer.write(f"CANCEL {self.uri} SIP/2.0", headers)

    def refuse_ack(self, response: Message) -> None:
        """The ACK of a final response that is not 2xx: in the INVITE's transaction."""
        headers = self._headers("ACK", self.branch, self.cseq)
        headers = [(n, response["to"] if n == "To" else v) for n, v in headers]
        self.peer.write(f"ACK {self.uri} SIP/2.0", headers)

    def bye(self) -> Message:
        self.request("BYE")
        return self.peer.receive(
            lambda m: m.code >= 200 and m.method == "BYE" and m["call-id"] == self.call_id
        )

    def press(self, digit: str, duration_ms: int = 120) -> None:
        """A key in an INFO request, as old gateways send it."""
        self.cseq += 1
        body = f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode()
        headers = self._headers("INFO", f"z9hG4bK{random.getrandbits(64):x}", self.cseq)
        lines = [f"INFO {self.target} SIP/2.0", *(f"{name}: {value}" for name, value in headers)]
        lines += ["Content-Type: application/dtmf-relay", f"Content-Length: {len(body)}"]
        self.peer.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def answered(self, body: bytes) -> Message:
        """INVITE, 200, ACK."""
        self.invite(body)
        response = self.ok()
        self.ack()
        return response


class Packet(NamedTuple):
    """One RTP packet, and when it came."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    at: float


def rtp(
    sequence: int,
    timestamp: int,
    payload: bytes,
    *,
    payload_type: int = 0,
    ssrc: int = 0x1234,
    marker: bool = False,
) -> bytes:
    """One RTP packet."""
    second = payload_type | (0x80 if marker else 0)
    return struct.pack(
        "!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    ) + payload  # fmt: skip


class MediaPort:
    """An RTP socket: packets out at their time, packets in with theirs."""

    def __init__(self, host: str = LOOPBACK) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.05)
        self.port: int = self.socket.getsockname()[1]
        self.received: list[Packet] = []
        self.reports: list[bytes] = []
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start(self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.socket.close()

    def stop(self) -> None:
        """Neither send nor read any more; legal more than once."""
        self._closed = True
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., Any], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _read(self) -> None:
        while not self._closed:
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                data, _ = self.socket.recvfrom(2048)
                at = time.monotonic()
                if 200 <= data[1] <= 207:
                    self.reports.append(data)  # RTCP, where ours came from
                    continue
                _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
                self.received.append(
                    Packet(second & 127, second > 127, sequence, timestamp, ssrc, data[12:], at)
                )

    def play(
        self, to: tuple[str, int], schedule: Sequence[tuple[float, bytes]]
    ) -> threading.Thread:
        """Send packets, each so many seconds from now; returns the thread that does."""

        def send() -> None:
            began = time.monotonic()
            for after, data in schedule:
                wait = began + after - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                if self._closed:
                    return
                with contextlib.suppress(ConnectionRefusedError):
                    self.socket.sendto(data, to)

        return self._start(send)


def noise(frames: int, seed: int = 1) -> list[bytes]:
    """Frames of G.711 bytes, all different; without the codes whose zero has two signs."""
    rng = random.Random(seed)
    # 0x7F/0xFF are minus and plus zero in mu-law: decoded and encoded again they are one.
    codes = [code for code in range(256) if code not in (0x7F, 0xFF, 0xD5, 0x55)]
    return [bytes(rng.choices(codes, k=160)) for _ in range(frames)]


def stream(
    payloads: Sequence[bytes],
    *,
    payload_type: int = 0,
    sequence: int = 1000,
    timestamp: int = 50_000,
    ssrc: int = 0x1234,
    start: float = 0.0,
) -> list[tuple[float, bytes]]:
    """Payloads of 20 ms as a schedule for `MediaPort.play`."""
    return [
        (
            start + index * 0.02,
            rtp(
                sequence + index,
                timestamp + index * 160,
                payload,
                payload_type=payload_type,
                ssrc=ssrc,
                marker=index == 0,
            ),
        )
        for index, payload in enumerate(payloads)
    ]


def found_in_order(sent: Sequence[bytes], received: Sequence[bytes]) -> int:
    """How many of the sent frames came back whole, in order."""
    places = {payload: index for index, payload in enumerate(sent)}
    last = -1
    count = 0
    for payload in received:
        index = places.get(payload, -1)
        if index > last:
            last = index
            count += 1
    return count


def gaps(packets: Sequence[Packet]) -> list[int]:
    """Steps between sequence numbers that are not 1: lost or reordered packets."""
    return [
        step
        for step in (
            (later.sequence - former.sequence) & 0xFFFF
            for former, later in itertools.pairwise(packets)
        )
        if step != 1
    ]


@dataclass
class Blast:
    """Datagrams nobody could want."""

    seed: int = 7
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def random(self, count: int, longest: int = 1400) -> Iterable[bytes]:
        for _ in range(count):
            yield self.rng.randbytes(self.rng.randrange(longest))

    def mutated(self, originals: Sequence[bytes], count: int) -> Iterable[bytes]:
        for _ in range(count):
            data = bytearray(self.rng.choice(originals))
            for _ in range(self.rng.randrange(1, 8)):
                at = self.rng.randrange(len(data))
                match self.rng.randrange(4):
                    case 0:
                        data[at] = self.rng.randrange(256)
                    case 1:
                        del data[at : at + self.rng.randrange(1, 20)]
                    case 2:
                        data[at:at] = self.rng.randbytes(self.rng.randrange(1, 20))
                    case _:
                        data[at:at] = data[at : at + 40]
                if not data:
                    data = bytearray(b"x")
            yield bytes(data)
