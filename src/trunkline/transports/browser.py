"""A browser as a leg: a page's microphone and loudspeaker over one WebSocket.

Audio is binary, 16-bit little-endian at 8 kHz, which the page's own worklet
resamples to and from whatever its sound card runs at. The page tells with marks
what has really been played. Everything it shows (transcript, latency, states)
goes down the same socket, see `BrowserLeg.tell`.
"""

import hmac
import itertools
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

from picows import WSMsgType

from trunkline.wire import talk
from trunkline.wire.events import Connected, Dtmf, MarkReached, Stopped

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

__all__ = ["BrowserLeg", "BrowserServer"]

BINARY = WSMsgType.BINARY
READY_SECONDS = 10.0
"""How long a socket may stay open before the page says that it is ready."""
RATE_HZ = 8000
_numbers = itertools.count(1)


class BrowserServer:
    """Takes pages that talk on one path of a server.

    Pages of other web sites are kept out by their origin: allowed are pages that
    loopback itself served, and ``origins`` ("https://talk.example.com"). With a
    ``token`` the page must give it as ``?token=`` or as a bearer; without one
    the server must be on loopback (`ConfigError`).
    """

    def __init__(
        self,
        server: WebSocketServer,
        media: MediaThread,
        receiver: LegReceiver,
        *,
        path: str = "/talk",
        token: str = "",
        origins: Collection[str] = (),
        callee: str = "talk",
    ) -> None:
        if not token:
            require_loopback(server.host, unless="a token", what="the talk page")
        self.media = media
        self.receiver = receiver
        self.callee = callee
        """What routes match: ``?to=`` in the page's address says otherwise."""
        self.limits: Limits = server.limits
        self.legs: dict[str, BrowserLeg] = {}
        """Legs that are up, by id."""
        self._token = token.encode()
        self._origins = frozenset(origins)
        server.route(path, self._open)

    def tell(self, leg_id: str, type: str, data: Mapping[str, Any]) -> None:
        """`BrowserLeg.tell` for whoever has only the id; nothing when it is gone."""
        leg = self.legs.get(leg_id)
        if leg is not None:
            leg.tell(type, data)

    def _open(self, upgrade: Upgrade) -> Connection | Reply:
        if not origin_is_allowed(upgrade, self._origins):
            return Reply(403, b"this origin may not connect")
        query = parse_qs(upgrade.query)
        if self._token and not self._knows_token(upgrade, query):
            return Reply(401, b"a token is needed", headers={"WWW-Authenticate": "Bearer"})
        return _Page(self, clean_name(query.get("to", [self.callee])[0]))

    def _knows_token(self, upgrade: Upgrade, query: Mapping[str, list[str]]) -> bool:
        bearer = upgrade.headers.get("Authorization", "").removeprefix("Bearer ")
        given = query.get("token", [bearer])[0]
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token)


class BrowserLeg(SocketLeg):
    """One page as a leg."""

    def __init__(self, page: "_Page", callee: str) -> None:
        super().__init__(
            id=f"browser-{next(_numbers)}",
            transport="browser",
            party=Party(caller="browser", callee=callee),
            encoding=None,
            outlet=_Outlet(page),
            media=page.server.media,
        )
        self._page = page

    def tell(self, type: str, data: Mapping[str, Any]) -> None:
        """Tell the page something to show; ``data`` is anything JSON can carry."""
        if self._page.is_open:
            self._page.send(talk.encode(type, data))

    def statistics(self) -> Mapping[str, float]:
        """Frames in both directions, and what was lost or useless."""
        ignored = float(self._page.ignored_messages)
        return {**super().statistics(), "messages_ignored": ignored}


class _Outlet(SocketOutlet):
    """One binary message a frame."""

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        self.connection.send_media(BINARY, payload)

    def mark(self, generation: int, samples: int) -> None:
        self.connection.send(talk.encode_mark(mark_name(generation, samples)))

    def clear(self) -> None:
        self.connection.send(talk.encode_clear())


class _Page(Connection):
    """One socket from a page: waits until it is ready, then feeds its leg."""

    def __init__(self, server: BrowserServer, callee: str) -> None:
        super().__init__(server.limits)
        self.server = server
        self.ignored_messages = 0
        self._callee = callee
        self._leg: BrowserLeg | None = None
        self._opened_at = 0.0

    def checked(self, now: float) -> None:
        """Close a socket whose page never got ready."""
        self._opened_at = self._opened_at or now
        if self._leg is None and now - self._opened_at > READY_SECONDS:
            self.close(1008, "the page did not get ready")

    def binary(self, data: bytes) -> None:
        """The microphone."""
        if self._leg is None or len(data) & 1:
            self.ignored_messages += 1
        else:
            self._leg.push(data)

    def text(self, data: bytes) -> None:
        """Everything else a page says."""
        events = talk.decode(data)
        if not events:
            self.ignored_messages += 1
        for event in events:
            self._happened(event)

    def closed(self, closed: Closed) -> None:
        """The page is gone, and with it the call."""
        if self._leg is not None:
            self.server.legs.pop(self._leg.id, None)
            self._leg.connection_closed(closed)

    def _happened(self, event: talk.PageEvent) -> None:
        leg = self._leg
        match event:
            case Connected() if leg is None:
                self._begin()
            case MarkReached(name) if leg is not None and leg.mark_reached(name):
                pass
            case Dtmf(digit) if leg is not None:
                leg.emit(Digit(digit, 0))
            case Stopped() if leg is not None:
                leg.end("hangup", "them")
            case _:
                self.ignored_messages += 1

    def _begin(self) -> None:
        leg = self._leg = BrowserLeg(self, self._callee)
        self.server.legs[leg.id] = leg
        ready = {
            "version": talk.PROTOCOL_VERSION,
            "about": {"library": "trunkline"},
            "leg": leg.id,
            "audio": {"encoding": "l16", "rate_hz": RATE_HZ},
        }
        leg.tell("bot-ready", ready)
        leg.begin(self.server.receiver)
