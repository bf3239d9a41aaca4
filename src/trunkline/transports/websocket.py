"""One WebSocket on the media thread, accepted or made, and what protects it.

picows does the framing. What is added here: messages in fragments are put
together within a bound, a peer that does not read is noticed, one that fell
silent is pinged, and every end (close frame, lost connection, protocol error,
our own close) comes out as exactly one `Connection.closed`. Whatever a peer
does, nothing is raised and nothing is logged above DEBUG.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

__all__ = ["QUIET", "Closed", "Connection", "Limits", "Watch"]

log = logging.getLogger(__name__)

TEXT, BINARY = WSMsgType.TEXT, WSMsgType.BINARY
NO_STATUS, ABNORMAL = 1005, 1006  # RFC 6455 7.4.1: never sent, only reported
_CLOSE_REASON_BYTES = 123  # RFC 6455 5.5: a control frame carries 125, two are the code
_FIRST_CONTROL_OPCODE = 0x8


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """picows calls a peer's protocol error an ERROR; to a server it is weather."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 (logging's name)
        return self.logger.isEnabledFor(logging.DEBUG)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        self.logger.log(logging.DEBUG, msg, *args, **kwargs)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


QUIET = _Quiet(log, {})
"""What is given to picows as its logger."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a WebSocket may cost us."""

    message_bytes: int = 65_536
    """The longest message, in one frame or in fragments; longer ones close with 1009."""
    write_pause_bytes: int = 32_768
    """Unsent bytes above which media is dropped: 2.7 s of base64 µ-law."""
    send_buffer_bytes: int = 65_536
    """The kernel's part of what is unsent. Left to itself it grows to megabytes: minutes of
    stale audio before a peer that does not read is noticed."""
    write_limit_bytes: int = 262_144
    """Unsent bytes above which the connection is cut."""
    stall_seconds: float = 5.0
    """How long media may be dropped before the connection is cut."""
    idle_seconds: float = 15.0
    """Silence after which a ping is sent; after twice this the connection is cut."""
    close_seconds: float = 2.0
    """How long a peer may take to answer our close."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended."""

    code: int
    """The close code: the peer's, else ours; 1006 when there was none."""
    reason: str
    """What was said with it, or what we found wrong."""
    by: Literal["us", "them"]
    """Who began the end. A peer that breaks the protocol did."""
    clean: bool
    """True: both sides said goodbye, and not because of an error."""


class Connection(WSListener):
    """One WebSocket; subclasses say what its messages mean.

    ``subprotocol`` is what the handshake agrees to (RFC 6455 section 1.9); empty is none.
    All methods belong to the media thread. Subclasses override `opened`,
    `text`, `binary`, `closed` and `checked`; what these raise is a bug of ours:
    it is logged, and closes this connection only (1011).
    """

    __slots__ = (
        "_by",
        "_closing",
        "_closing_since",
        "_congested_since",
        "_ended",
        "_failure",
        "_parts",
        "_parts_kind",
        "_pinged",
        "_quiet_since",
        "congested",
        "dropped_messages",
        "heard",
        "limits",
        "transport",
        "watch",
    )

    subprotocol: ClassVar[str] = ""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.transport: WSTransport | None = None
        self.watch: Watch | None = None
        self.heard = True
        """Something came since the last check."""
        self.congested = False
        """The peer does not read as fast as we send; media is being dropped."""
        self.dropped_messages = 0
        """Media messages dropped because of that."""
        self._closing = False
        self._by: Literal["us", "them"] = "them"
        self._ended = False
        self._failure = ""
        self._parts: list[bytes] = []
        self._parts_kind = TEXT
        self._quiet_since = 0.0
        self._pinged = False
        self._congested_since = 0.0
        self._closing_since = 0.0

    # -- for subclasses ------------------------------------------------------------

    def opened(self) -> None:
        """The handshake is done; sending is allowed from here on."""

    def text(self, data: bytes) -> None:
        """A text message, as its UTF-8 bytes (not checked)."""

    def binary(self, data: bytes) -> None:
        """A binary message."""

    def closed(self, closed: Closed) -> None:
        """The connection is gone. Exactly once, always last, only after `opened`."""

    def checked(self, now: float) -> None:
        """About once a second while open."""

    # -- for owners ------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True from the handshake until either side began to close."""
        return self.transport is not None and not self._closing and not self._ended

    def send_media(self, kind: WSMsgType, data: bytes) -> bool:
        """Send what may be dropped when the peer does not read; False if it was."""
        transport = self.transport
        if self.congested or transport is None:
            self.dropped_messages += 1
            return False
        watch = self.watch
        if watch is not None and watch.batching:
            watch.outbox.append((transport, kind, data))
        else:
            transport.send(kind, data)
        return True

    def send(self, data: bytes) -> None:
        """Send a text message that must arrive, after the media that came before it."""
        if self.transport is not None:
            if self.watch is not None:
                self.watch.flush()
            self.transport.send(TEXT, data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; the connection is cut if the peer does not answer. Repeatable."""
        transport = self.transport
        if self._closing or self._ended or transport is None:
            return
        self._closing = True
        self._by = "us"
        self._parts.clear()
        said = reason.encode()[:_CLOSE_REASON_BYTES].decode(errors="ignore")
        transport.send_close(WSCloseCode(code), said)
        asyncio.get_running_loop().call_later(self.limits.close_seconds, self.abort)

    def abort(self, failure: str = "") -> None:
        """Cut the connection without a word. Repeatable."""
        if self.transport is None or self._ended:
            return
        self._failure = self._failure or failure
        self.transport.disconnect(False)

    # -- what picows calls -------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin; see `opened`."""
        self.transport = transport
        lower = transport.underlying_transport
        lower.set_write_buffer_limits(self.limits.write_pause_bytes)
        lower.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_buffer_bytes
        )
        if self.watch is not None:
            self.watch.add(self)
        try:
            self.opened()
        except Exception:
            log.exception("opening a %s failed", type(self).__name__)
            self.close(1011, "internal error")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Dispatch one frame; the common case is one whole message."""
        self.heard = True
        kind = frame.msg_type
        try:
            plain = not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            if frame.fin and plain and not self._parts and not self._closing:
                if kind is BINARY:
                    self.binary(frame.get_payload_as_bytes())
                    return
                if kind is TEXT:
                    self.text(frame.get_payload_as_bytes())
                    return
            self._rare_frame(frame, kind)
        except Exception:
            log.exception("a message for a %s failed", type(self).__name__)
            self.close(1011, "internal error")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End; see `closed`."""
        if self._ended:
            return
        self._ended = True
        if self.watch is not None:
            self.watch.discard(self)
        try:
            self.closed(self._how(transport))
        except Exception:
            log.exception("closing a %s failed", type(self).__name__)
        self.transport = None

    def pause_writing(self) -> None:
        """More is waiting to be sent than the peer reads."""
        self.congested = True
        self._congested_since = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.congested = False

    # -- inside --------------------------------------------------------------------------

    def _rare_frame(self, frame: WSFrame, kind: WSMsgType) -> None:
        if kind is WSMsgType.CLOSE:
            self._peer_closes()
        elif kind.value >= _FIRST_CONTROL_OPCODE or self._closing:
            pass  # a pong, or audio that was on its way when we closed
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violation(1002, "no extension was agreed")
        else:
            self._fragment(frame, kind)

    def _fragment(self, frame: WSFrame, kind: WSMsgType) -> None:
        """RFC 6455 5.4: a message in several frames."""
        if (kind is WSMsgType.CONTINUATION) is not bool(self._parts):
            self._violation(1002, "fragments out of order")
            return
        if kind is not WSMsgType.CONTINUATION:
            self._parts_kind = kind
        self._parts.append(frame.get_payload_as_bytes())
        # An empty fragment costs memory too: 64 bytes is about what CPython pays for it.
        if sum(map(len, self._parts)) + 64 * len(self._parts) > self.limits.message_bytes:
            self._violation(1009, "message too big")
        elif frame.fin:
            message = b"".join(self._parts)
            self._parts.clear()
            if self._parts_kind is BINARY:
                self.binary(message)
            else:
                self.text(message)

    def _peer_closes(self) -> None:
        transport = self.transport
        if transport is None:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()  # `check` cuts it if what is unsent does not go out

    def _violation(self, code: int, reason: str) -> None:
        """The peer broke the protocol: we say so, but they began the end."""
        self.close(code, reason)
        self._by = "them"

    def _how(self, transport: WSTransport) -> Closed:
        handshake = transport.close_handshake
        if handshake is None or self._failure:
            return Closed(ABNORMAL, self._failure or "connection lost", self._by, clean=False)
        received, sent = handshake.recv, handshake.sent
        if received is not None and handshake.recv_then_sent:
            code = int(received.code) or NO_STATUS  # type: ignore[call-overload]
            return Closed(code, received.reason or "", self._by, clean=True)
        # Ours was first. picows sends one itself when it cannot read what came.
        code = int(sent.code) if sent is not None else ABNORMAL  # type: ignore[call-overload]
        reason = sent.reason if sent is not None else ""
        return Closed(code, reason, self._by, clean=received is not None and self._by == "us")

    def _is_stalled(self, now: float, unsent_bytes: int) -> bool:
        stalled = self.congested and now - self._congested_since > self.limits.stall_seconds
        return stalled or unsent_bytes > self.limits.write_limit_bytes

    def check(self, now: float) -> None:
        """Look after the connection; called about once a second."""
        transport = self.transport
        if transport is None:
            return
        lower = transport.underlying_transport
        limits = self.limits
        if lower.is_closing():
            # The peer half-closed or said goodbye, and does not take what is unsent.
            self._closing_since = self._closing_since or now
            if now - self._closing_since > limits.close_seconds:
                self.abort()
        elif self._is_stalled(now, lower.get_write_buffer_size()):
            self.abort("the peer does not read")
        elif self.heard or not self._quiet_since:
            self.heard = False
            self._pinged = False
            self._quiet_since = now
        elif now - self._quiet_since > 2 * limits.idle_seconds:
            self.abort("the peer fell silent")
        elif now - self._quiet_since > limits.idle_seconds and not self._pinged:
            self._pinged = True
            transport.send_ping()
        if self.is_open:
            try:
                self.checked(now)
            except Exception:
                log.exception("checking a %s failed", type(self).__name__)
                self.close(1011, "internal error")


class Watch:
    """Checks open connections once a second: one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, every_seconds: float = 1.0) -> None:
        self._loop = loop
        self._every_seconds = every_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self.connections: set[Connection] = set()
        self.batching = False
        """True: media waits in ``outbox`` for somebody to call `flush`, once a tick.

        A hundred sends in a row find the readers awake; each of them between other
        work finds its reader asleep again and pays for waking it, which on
        loopback is most of what a send costs.
        """
        self.outbox: list[tuple[WSTransport, WSMsgType, bytes]] = []

    def flush(self) -> None:
        """Send the media of this tick."""
        if self.outbox:
            outbox, self.outbox = self.outbox, []
            for transport, kind, data in outbox:
                transport.send(kind, data)

    def add(self, connection: Connection) -> None:
        """Look after a connection until it is discarded."""
        self.connections.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_seconds, self._round)

    def discard(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if self._emptied is not None and not self.connections:
            self._emptied.set()

    async def close(self, seconds: float) -> None:
        """Close every connection (1001), wait for their ends, and stop looking."""
        for connection in tuple(self.connections):
            connection.close(1001, "shutting down")
        if self.connections:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection in tuple(self.connections):
            connection.check(now)
        if self.connections:
            self._timer = self._loop.call_later(self._every_seconds, self._round)
