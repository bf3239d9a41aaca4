"""Twilio Media Streams as legs: Twilio connects to us, one WebSocket a call.

Configured at Twilio with ``<Connect><Stream url="wss://…">``. Custom parameters
``from`` and ``to`` name the two ends; without them the call's sid and the path
do. When we close the socket Twilio goes on with the verb after ``<Connect>``.
"""

import itertools
import logging
from collections.abc import Mapping

from picows import WSMsgType

from trunkline.media.g711 import Law
from trunkline.wire.events import Connected, Dtmf, MarkReached, Media, Started, Stopped
from trunkline.wire.signatures import twilio_signature_is_valid
from trunkline.wire.twilio import Encoder, decode

from .leg import Digit, LegReceiver, Party
from .media_thread import MediaThread
from .socket_leg import SocketLeg, SocketOutlet, clean_name, mark_name
from .websocket import Closed, Connection, Limits
from .websocket_server import (
    Reply,
    Upgrade,
    WebSocketServer,
    origin_is_allowed,
    require_loopback,
)

__all__ = ["TwilioLeg", "TwilioServer"]

log = logging.getLogger(__name__)

TEXT = WSMsgType.TEXT
START_SECONDS = 10.0
"""How long a socket may stay open without a stream."""
_numbers = itertools.count(1)


class TwilioServer:
    """Takes Twilio's streams on one path, and everything below it, of a server.

    With an ``auth_token`` only requests that Twilio signed with it get in;
    ``public_url`` is the URL Twilio was given for ``path`` (empty: made of the
    Host header, which a proxy must then leave alone). Without a token the
    server must be on loopback (`ConfigError`), and web pages are kept out.
    """

    def __init__(
        self,
        server: WebSocketServer,
        media: MediaThread,
        receiver: LegReceiver,
        *,
        path: str = "/streams/twilio",
        auth_token: str = "",
        public_url: str = "",
    ) -> None:
        if not auth_token:
            require_loopback(server.host, unless="twilio_auth_token", what="media streams")
        self.media = media
        self.receiver = receiver
        self.limits: Limits = server.limits
        self.ignored_messages = 0
        """Messages that could not be used, on all streams."""
        self.unsigned_requests = 0
        """Requests without a valid signature."""
        self.streams_started = 0
        self._path = path.rstrip("/")
        self._auth_token = auth_token
        self._public_url = public_url.rstrip("/")
        server.route(self._path or "/", self._open)
        server.route(self._path + "/", self._open)

    def _open(self, upgrade: Upgrade) -> Connection | Reply:
        if not self._auth_token:
            if not origin_is_allowed(upgrade):
                return Reply(403, b"this origin may not connect")
        elif not twilio_signature_is_valid(
            self._auth_token,
            upgrade.headers.get("X-Twilio-Signature", ""),
            self._url(upgrade),
        ):
            self.unsigned_requests += 1
            return Reply(403, b"the signature is not valid")
        return _Stream(self, upgrade.path)

    def _url(self, upgrade: Upgrade) -> str:
        """The URL as Twilio knows it."""
        if self._public_url:
            return self._public_url + upgrade.target.removeprefix(self._path)
        return f"wss://{upgrade.headers.get('Host', '')}{upgrade.target}"


class TwilioLeg(SocketLeg):
    """One Twilio stream as a leg."""

    def __init__(self, stream: "_Stream", started: Started, path: str) -> None:
        parameters = {
            clean_name(name): clean_name(value) for name, value in started.parameters.items()
        }
        super().__init__(
            id=f"twilio-{next(_numbers)}",
            transport="twilio",
            party=Party(
                caller=parameters.get("from") or clean_name(started.call_id),
                callee=parameters.get("to") or clean_name(path),
                headers=parameters,
            ),
            encoding=Law.ULAW,
            outlet=_Outlet(stream, Encoder(started.stream_id)),
            media=stream.server.media,
        )
        self.stream_id = started.stream_id
        self.call_sid = clean_name(started.call_id)
        self.account_sid = clean_name(started.account_id)
        self._stream = stream

    def statistics(self) -> Mapping[str, float]:
        """Frames in both directions, and what was lost or useless."""
        ignored = float(self._stream.ignored_messages)
        return {**super().statistics(), "messages_ignored": ignored}


class _Outlet(SocketOutlet):
    """One JSON message a frame."""

    encoding = Law.ULAW

    def __init__(self, connection: Connection, encoder: Encoder) -> None:
        super().__init__(connection)
        self._encoder = encoder
        self._media = encoder.media

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        self.connection.send_media(TEXT, self._media(payload))

    def mark(self, generation: int, samples: int) -> None:
        self.connection.send(self._encoder.mark(mark_name(generation, samples)))

    def clear(self) -> None:
        self.connection.send(self._encoder.clear())


class _Stream(Connection):
    """One socket from Twilio: waits for the stream, then feeds its leg."""

    __slots__ = (
        "_leg",
        "_opened_at",
        "_path",
        "_stream_id",
        "ignored_messages",
        "server",
    )

    def __init__(self, server: TwilioServer, path: str) -> None:
        super().__init__(server.limits)
        self.server = server
        self.ignored_messages = 0
        self._path = path
        self._leg: TwilioLeg | None = None
        self._stream_id = ""
        self._opened_at = 0.0

    def checked(self, now: float) -> None:
        """Close a socket on which no stream begins."""
        self._opened_at = self._opened_at or now
        if self._leg is None and now - self._opened_at > START_SECONDS:
            self.close(1008, "no stream was started")

    def text(self, data: bytes) -> None:
        """A message from Twilio."""
        event = decode(data)
        leg = self._leg
        if (
            leg is not None
            and type(event) is Media
            and event.stream_id == self._stream_id
            and event.track == "inbound"
        ):
            leg.push(event.payload)
            return
        match event:
            case Started() if leg is None:
                self._start(event)
            case Dtmf() if leg is not None and self._is_ours(event.stream_id):
                leg.emit(Digit(event.digit, event.duration_ms))
            case MarkReached() if leg is not None and self._is_ours(event.stream_id):
                if not leg.mark_reached(event.name):
                    self._ignore()
            case Stopped() if leg is not None and self._is_ours(event.stream_id):
                leg.end("hangup", "them")
            case Media(stream_id="", track="inbound") if leg is not None:
                leg.push(event.payload)
            case Connected():
                pass
            case _:
                self._ignore()

    def binary(self, data: bytes) -> None:
        """Twilio sends none."""
        self._ignore()

    def closed(self, closed: Closed) -> None:
        """The socket is gone, and with it the call."""
        if self._leg is not None:
            self._leg.connection_closed(closed)

    def _is_ours(self, stream_id: str) -> bool:
        """Compatible servers leave the sid out; another stream's is not ours."""
        return stream_id in (self._stream_id, "")

    def _ignore(self) -> None:
        self.ignored_messages += 1
        self.server.ignored_messages += 1

    def _start(self, started: Started) -> None:
        if (started.encoding, started.rate_hz, started.channels) != ("ulaw", 8000, 1):
            log.info("a stream in %.40s at %d Hz was refused", started.encoding, started.rate_hz)
            self._ignore()
            self.close(1003, "only mono mu-law at 8000 Hz")
            return
        self._stream_id = started.stream_id
        self._leg = TwilioLeg(self, started, self._path)
        self.server.streams_started += 1
        self._leg.begin(self.server.receiver)
