"""One port for several WebSocket paths, and for the few pages that open them.

Everything a peer gets wrong before the upgrade is answered in HTTP: 400 for
what is not a handshake, 403 for the wrong origin or signature, 404, 426 for a
plain request to a WebSocket path, 503 when full. Beyond loopback a server must
know whom it lets in: `require_loopback` refuses to bind without that.
"""

import asyncio
import ipaddress
import logging
import os
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from trunkline.errors import ConfigError

from .websocket import QUIET, Connection, Limits, Watch

__all__ = [
    "Door",
    "Reply",
    "Upgrade",
    "WebSocketServer",
    "is_loopback",
    "origin_is_allowed",
    "require_loopback",
]

log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 5.0
_READ_BUFFER_BYTES = 4096  # grows when needed; 16 KB each would be most of an idle call
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to open a WebSocket."""

    path: str
    """Without the query string."""
    query: str
    """Without the question mark; empty if there is none."""
    headers: Mapping[str, str]
    """Case-insensitive; the first of repeated ones."""

    @property
    def target(self) -> str:
        """Path and query as they were requested."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """A plain HTTP answer: a refusal, or a page."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Door = Callable[[Upgrade], Connection | Reply]
"""Who decides about one path: makes the connection, or refuses."""


class WebSocketServer:
    """Listens on one TCP port; `start` and `close` run on the media loop.

    ``connections_limit`` bounds how many are open at once (503 beyond it).
    Port 0 takes a free one; `port` says which. ``setting`` is what chooses another one, for
    who is told that the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        limits: Limits | None = None,
        connections_limit: int = 2000,
        tls: ssl.SSLContext | None = None,
        setting: str = "",
    ) -> None:
        self.host = host
        self.port = port
        self.limits = limits or Limits()
        self.refused = 0
        """Requests that were not let in."""
        self.accepted = 0
        """Requests that a door let in."""
        self._connections_limit = connections_limit
        self._setting = setting
        self._tls = tls
        self._doors: dict[str, Door] = {}
        self._pages: dict[str, Reply] = {}
        self._server: asyncio.Server | None = None
        self._watch: Watch | None = None

    @property
    def connections(self) -> frozenset[Connection]:
        """What is open now."""
        return frozenset(self._watch.connections) if self._watch is not None else frozenset()

    def route(self, path: str, door: Door) -> None:
        """Open WebSockets on a path; one that ends in / takes everything below it."""
        self._doors[path] = door

    def page(self, path: str, reply: Reply) -> None:
        """Answer plain requests for a path."""
        self._pages[path] = reply

    async def start(self) -> None:
        """Begin to listen. Raises `ConfigError` when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._watch = Watch(loop)
        try:
            self._server = await ws_create_server(
                self._admit,
                self.host,
                self.port,
                websocket_handshake_timeout=_HANDSHAKE_SECONDS,
                logger_name=QUIET,
                max_frame_size=self.limits.message_bytes,
                read_buffer_init_size=_READ_BUFFER_BYTES,
                ssl=self._tls,
            )
        except OSError as error:
            raise ConfigError(
                f"cannot listen for WebSockets on {self.host}:{self.port}: {_reason(error)}"
                + (f" ({self._setting} chooses another port)" if self._setting else "")
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and close what is open (1001), within the close timeout."""
        server, self._server = self._server, None
        if server is None or self._watch is None:
            return
        server.close()
        await self._watch.close(self.limits.close_seconds + 0.5)
        # Sockets that never asked for anything are no connections yet, so nobody watches
        # them: browsers open some ahead of need. asyncio has this from Python 3.13 on,
        # aiofastnet, which picows listens with, on every version.
        abort_clients = getattr(server, "abort_clients", None)
        if abort_clients is not None:
            abort_clients()
            await asyncio.sleep(0)

    def _admit(
        self, request: WSUpgradeRequest
    ) -> WSListener | WSUpgradeResponseWithListener | None:
        """What picows asks for every request; must not raise."""
        try:
            outcome = self._decide(request)
        except Exception:
            log.exception("a WebSocket request could not be decided")
            outcome = Reply(500, b"internal error")
        if isinstance(outcome, Connection):
            self.accepted += 1
            outcome.watch = self._watch
            if not outcome.subprotocol:
                return outcome
            agreed = {"Sec-WebSocket-Protocol": outcome.subprotocol}
            response = WSUpgradeResponse.create_101_response(agreed)
            return WSUpgradeResponseWithListener(response, outcome)
        if outcome.status >= 400:
            self.refused += 1
            log.debug("refused %r: %d %r", request.path[:200], outcome.status, outcome.body)
        return _http(outcome)

    def _decide(self, request: WSUpgradeRequest) -> Connection | Reply:
        raw_path, _, raw_query = request.path.partition(b"?")
        path, query = raw_path.decode("latin-1"), raw_query.decode("latin-1")
        if not _asks_for_websocket(request):
            page = self._pages.get(path)
            if page is not None:
                return page
            if self._door(path) is None:
                return Reply(404, b"not found")
            return Reply(426, b"this is a WebSocket", headers={"Upgrade": "websocket"})
        door = self._door(path)
        if door is None:
            return Reply(404, b"not found")
        if len(self.connections) >= self._connections_limit:
            return Reply(503, b"too many connections", headers={"Retry-After": "5"})
        return door(Upgrade(path, query, request.headers))

    def _door(self, path: str) -> Door | None:
        exact = self._doors.get(path)
        if exact is not None:
            return exact
        parents = [key for key in self._doors if key.endswith("/") and path.startswith(key)]
        return self._doors[max(parents, key=len)] if parents else None


def _reason(error: OSError) -> str:
    """The system's words alone: asyncio wraps them and writes the address a second time."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _asks_for_websocket(request: WSUpgradeRequest) -> bool:
    """Whether this is an upgrade; tidies the header that picows is strict about."""
    headers = request.headers
    if headers.get("Upgrade", "").lower() != "websocket":
        return False
    options = [option.strip().lower() for option in headers.get("Connection", "").split(",")]
    if "upgrade" in options:
        # Firefox says "keep-alive, Upgrade", which RFC 9110 7.6.1 allows.
        headers["Connection"] = "upgrade"
    return True


def _http(reply: Reply) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    response: WSUpgradeResponse
    if reply.status < 400:
        response = WSUpgradeResponse.create_ok_response(reply.body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(reply.status, reply.body, headers)
    return WSUpgradeResponseWithListener(response, None)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_loopback(host: str, *, unless: str, what: str) -> None:
    """Refuse to listen for others without knowing whom to let in.

    Raises `ConfigError` when ``host`` is not loopback; ``unless`` is the setting
    that would allow it and ``what`` the server's name.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"{what} on {host or 'every address'} could be reached by anyone: "
            f"set {unless}, or listen on 127.0.0.1"
        )


def origin_is_allowed(upgrade: Upgrade, origins: Collection[str] = ()) -> bool:
    """Whether the page that opens this WebSocket is one of ours.

    A browser lets any web site open a socket to localhost and says which site
    it is (``Origin``). Ours are ``origins``, and a page that this machine itself
    served: origin and ``Host`` agree and name loopback, as a name that merely
    resolves to it (DNS rebinding) does not. No origin means no browser.
    """
    origin = upgrade.headers.get("Origin")
    if origin is None or origin in origins:
        return True
    try:
        parts = urlsplit(origin)
        name = parts.hostname
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and name in _LOOPBACK_NAMES
        and parts.netloc.lower() == upgrade.headers.get("Host", "").lower()
    )
