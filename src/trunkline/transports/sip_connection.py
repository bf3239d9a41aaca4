"""One connection that SIP messages come and go on, over TCP or TLS."""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Protocol, cast

from trunkline.sip.framing import Framed, FramingError, StreamFramer
from trunkline.sip.hop import Hop

__all__ = ["SipConnection", "StreamLimits"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What a connection may cost, and how long it may be useless."""

    connections: int = 4000
    """In all, both ways."""
    connections_per_address: int = 1000
    """Of those that one address has opened."""
    handshake_seconds: float = 10.0
    """For TLS; and for TCP to be connected, out."""
    unfinished_seconds: float = 10.0
    """For a message that has begun to end, and for the first one to begin."""
    idle_seconds: float = 900.0
    """After this long without a message, in or out, a connection without calls is closed; one
    that we opened after four times as long: a registration may live on it."""
    ping_seconds: float = 90.0
    """How often a connection that we opened is pinged (RFC 5626 section 4.4.1)."""
    pong_seconds: float = 10.0
    """How long the answer may take."""
    unread_bytes: int = 1_048_576
    """How much may wait for a peer that does not read."""
    unread_seconds: float = 30.0
    """And for how long, even if it is less."""


ABRUPT = ("the peer does not read", "no answer to a ping")
"""Ends where what is still to be written would never be."""


class Owner(Protocol):
    """Who has the connections."""

    limits: StreamLimits

    def now(self) -> float:
        """The media clock."""

    def arrived(self, connection: "SipConnection", framed: Framed, now: float) -> None:
        """Messages came in."""

    def cannot_be_followed(
        self, connection: "SipConnection", error: FramingError, now: float
    ) -> None:
        """The stream makes no sense any more; the connection is closed after this."""

    def ended(self, connection: "SipConnection", why: str) -> None:
        """It is gone, or never came to be."""


class SipConnection(asyncio.Protocol):
    """A connection, from before it is there until it is gone. Media thread only.

    ``hop`` is the far end, with the number of this connection as its flow. What is sent
    before the connection is there waits.
    """

    def __init__(self, owner: Owner, hop: Hop, *, outbound: bool) -> None:
        self.hop = hop
        self.outbound = outbound
        """Whether we opened it."""
        self.asked = False
        """Whether requests of ours went on it, that may wait for an answer."""
        self.closed = False
        self.received_at = self.began_at = self.used_at = owner.now()
        self.heard_at = 0.0
        """When bytes came last; 0: never."""
        self.first_message_came = False
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._framer = StreamFramer()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unfinished_since: float | None = None
        self._unread_since: float | None = None
        self._pinged_at: float | None = None
        self._answers_pings = False
        self._suspected = False

    @property
    def is_up(self) -> bool:
        """Whether it is connected, with TLS agreed."""
        return self._transport is not None and not self.closed

    # -- what asyncio reports --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, and over TLS the handshake is done."""
        self._transport = made = cast(asyncio.Transport, transport)
        if self.closed:
            made.abort()
            return
        keep_honest(transport.get_extra_info("socket"))
        self.received_at = self.used_at = self._owner.now()
        waiting, self._waiting = self._waiting, deque()
        for data in waiting:
            self.send(data)

    def data_received(self, data: bytes) -> None:
        """Bytes of the stream."""
        if self.closed:
            return
        now = self.received_at = self.heard_at = self._owner.now()
        if self._pinged_at is not None:
            self._framer.expect_pong()
        try:
            framed = self._framer.feed(data)
        except FramingError as error:
            self._take(error.framed, now)
            self._owner.cannot_be_followed(self, error, now)
            self.close("not SIP")
            return
        self._take(framed, now)
        if not self._framer.pending_bytes:
            self._unfinished_since = None
        elif self._unfinished_since is None or framed.messages:
            self._unfinished_since = now

    def _take(self, framed: Framed, now: float) -> None:
        if framed.line_ends and self._pinged_at is not None:
            self._answers_pings = True
        if self._pinged_at is not None:  # any sign of life will do
            self._pinged_at = None
            self._suspected = False
            self._framer.expect_pong(False)
        for _ in range(min(framed.pings, 8)):
            self._write(b"\r\n")
        if framed.messages:
            self.first_message_came = True
            self.used_at = now
            self._owner.arrived(self, framed, now)

    def eof_received(self) -> bool:
        """They will send no more; a half open connection is of no use here."""
        self._refuse_unfinished()
        return False

    def _refuse_unfinished(self) -> None:
        """Answer a request whose body is shorter than it says, if that is what there is."""
        if not self.closed and (head := self._framer.pending_head):
            error = FramingError("a message that is not finished")
            error.head = head
            self._owner.cannot_be_followed(self, error, self._owner.now())

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.close(f"lost: {exc}" if exc else "closed by the peer")

    def pause_writing(self) -> None:
        """The peer is slow to read."""
        self._unread_since = self._owner.now()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._unread_since = None

    # -- what the owner does ---------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a message, or have it wait for the connection."""
        self.asked = self.asked or not data.startswith(b"SIP/2.0 ")
        self.used_at = self._owner.now()
        if self._transport is not None:
            self._write(data)
        elif not self.closed:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > self._owner.limits.unread_bytes:
                self.close("too much waits for the connection")

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self.closed:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._owner.limits.unread_bytes:
            self.close("the peer does not read")

    def check(self, now: float, *, in_use: bool) -> None:
        """Once a second: close it if it is stuck, ping it if it is ours."""
        limits = self._owner.limits
        if not self.is_up:
            return  # the handshake has its own time limit
        if self._unread_since is not None and now - self._unread_since > limits.unread_seconds:
            self.close("the peer does not read")
        elif (
            self._unfinished_since is not None
            and now - self._unfinished_since > limits.unfinished_seconds
        ):
            self._refuse_unfinished()
            self.close("a message was not finished in time")
        elif (
            not self.outbound
            and not self.first_message_came
            and now - self.began_at > limits.unfinished_seconds + limits.handshake_seconds
        ):
            self.close("nothing was said")
        elif not in_use and now - self.used_at > limits.idle_seconds * (4 if self.outbound else 1):
            self.close("idle")
        elif self.outbound:
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        limits = self._owner.limits
        if self._pinged_at is None:
            if limits.ping_seconds and now - self.received_at > limits.ping_seconds:
                self._pinged_at = self.received_at = now
                self._write(b"\r\n\r\n")
        elif now - self._pinged_at > limits.pong_seconds:
            self._pinged_at = None
            # Many servers never answer pings. TCP itself notices one that is gone; one that
            # did answer, or owes an answer to a request as well, hangs.
            if self._answers_pings or self._suspected:
                self.close("no answer to a ping")

    def suspect(self, since: float) -> None:
        """A request sent at ``since`` has no answer: ask whether anybody is there."""
        if self.is_up and self.heard_at <= since and self._pinged_at is None:
            self._suspected = True
            self._pinged_at = self._owner.now()
            self._write(b"\r\n\r\n")

    def close(self, why: str) -> None:
        """End it, and tell its owner, once."""
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        if self._transport is not None:
            if why in ABRUPT:
                self._transport.abort()
            else:
                self._transport.close()
        self._owner.ended(self, why)


def keep_honest(sock: socket.socket | None) -> None:
    """Send at once, and have the kernel notice a peer that is gone."""
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Data that nobody acknowledges for this long is a path that is down.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)


def describe_failure(error: BaseException) -> str:
    """Why no connection came to be, in a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
