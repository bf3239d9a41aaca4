"""Tells a collector of HEP3 (HOMER) of SIP messages, RTCP and quality.

What is told waits in a bounded queue, and a thread of its own makes packets of it and sends
them: a collector that is slow, gone or not to be found costs messages, which are counted,
and no call anything.
"""

import json
import logging
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from trunkline.errors import UsageError
from trunkline.media.errors import MalformedRtcpError
from trunkline.media.rtcp import RtcpCompound
from trunkline.sip.blanking import blanked
from trunkline.sip.hop import Hop
from trunkline.wire.hep import HepPacket, HepPayload

from .hep_reports import rtcp_json

__all__ = ["Collector", "HepExporter"]

log = logging.getLogger(__name__)

MOST_WAITING = 4096
TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 5.0
_TCP, _UDP = 6, 17
Address = tuple[str, int]


class Collector(NamedTuple):
    """Where a collector listens."""

    transport: Literal["udp", "tcp"]
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Collector":
        """Read ``udp:host:port``, ``tcp:[::1]:port``; raises `UsageError`."""
        transport, _, place = text.partition(":")
        host, _, port = place.rpartition(":")
        host = host.strip("[]")
        valid = port.isascii() and port.isdecimal() and 0 < int(port) < 65536 and host
        if transport not in ("udp", "tcp") or not valid:
            raise UsageError(f"a HEP collector is udp:host:port or tcp:host:port, not {text!r}")
        return cls("tcp" if transport == "tcp" else "udp", host, int(port))


class _Told(NamedTuple):
    """What waits."""

    kind: HepPayload
    at: float
    sent: bool
    near: Address
    far: Address
    protocol: int
    correlation: str
    payload: Any


class HepExporter:
    """Exports to one collector, from `start` to `close`. Its methods never wait."""

    def __init__(
        self,
        collector: Collector,
        *,
        agent: int = 1,
        password: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collector = collector
        self._agent = agent
        self._password = password
        # Times are told on the monotonic clock, a collector wants the wall's.
        self._wall = time.time() - clock()
        self._queue: deque[_Told] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._socket: socket.socket | None = None
        self._tried_at = -RETRY_SECONDS
        self._thread = threading.Thread(target=self._run, name="hep", daemon=True)
        self.local: Address = ("127.0.0.1", 5060)
        """Where SIP is received; a wildcard is told as it is."""
        self.counters: Counter[str] = Counter()
        """What was sent, and what was lost and why."""

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self, timeout_seconds: float = 3.0) -> None:
        """Send what waits, if that is possible soon, and stop. Legal more than once."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    # -- what is told; media thread ------------------------------------------------------

    def sip(self, sent: bool, data: bytes, hop: Hop, now: float) -> None:
        """A SIP message; a watcher of `SipEndpoint`."""
        protocol = _UDP if hop.transport == "UDP" else _TCP
        far = (hop.host, hop.port)
        self._put(_Told(HepPayload.SIP, now, sent, self.local, far, protocol, "", data))

    def rtcp(
        self, sent: bool, data: bytes, near: Address, far: Address, call_id: str, now: float
    ) -> None:
        """An RTCP datagram of a call, by SIP's Call-ID."""
        self._put(_Told(HepPayload.RTCP, now, sent, near, far, _UDP, call_id, data))

    def quality(
        self, figures: Mapping[str, Any], near: Address, far: Address, call_id: str, now: float
    ) -> None:
        """Figures of a stretch of a call."""
        self._put(_Told(HepPayload.QOS, now, True, near, far, _UDP, call_id, dict(figures)))

    def _put(self, told: _Told) -> None:
        if len(self._queue) >= MOST_WAITING or self._stopping:
            self.counters["dropped: queue full"] += 1
            return
        self._queue.append(told)
        if not self._wake.is_set():
            self._wake.set()

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                told = self._queue.popleft()
                try:
                    self._send(self._packet(told))
                except (UsageError, ValueError) as error:
                    self.counters["dropped: no packet"] += 1
                    log.debug("HEP: %s", error)
            if self._stopping:
                break
        self._drop_socket()

    def _packet(self, told: _Told) -> bytes:
        if told.kind is HepPayload.SIP:
            payload = blanked(told.payload)
        elif told.kind is HepPayload.RTCP:
            payload = _rtcp_payload(told.payload)
        else:
            payload = json.dumps(told.payload, default=str).encode()
        near, far = told.near, told.far
        source, destination = (near, far) if told.sent else (far, near)
        return bytes(
            HepPacket(
                source,
                destination,
                told.at + self._wall,
                told.kind,
                payload,
                agent=self._agent,
                protocol=told.protocol,
                correlation=told.correlation,
                key=self._password,
            )
        )

    def _send(self, packet: bytes) -> None:
        """Send, with one new connection for one that has broken."""
        for _ in range(2):
            if not self._connect():
                self.counters["dropped: no collector"] += 1
                return
            assert self._socket is not None
            try:
                self._socket.sendall(packet)
            except OSError as error:
                self.counters[f"failed: {error.strerror or 'timeout'}"] += 1
                self._drop_socket()
                if self._collector.transport == "udp":
                    self._tried_at = -RETRY_SECONDS  # a datagram's refusal is of an earlier one
                continue
            self.counters["sent"] += 1
            return

    def _connect(self) -> bool:
        """Whether there is a socket; tried again every few seconds."""
        if self._socket is not None:
            return True
        now = time.monotonic()
        if now - self._tried_at < RETRY_SECONDS:
            return False
        self._tried_at = now
        kind = socket.SOCK_STREAM if self._collector.transport == "tcp" else socket.SOCK_DGRAM
        try:
            found = socket.getaddrinfo(self._collector.host, self._collector.port, type=kind)
            family, kind, protocol, _, address = found[0]
            sock = _connected(socket.socket(family, kind, protocol), address)
        except OSError as error:
            log.warning("HEP: cannot reach %s: %s", ":".join(map(str, self._collector)), error)
            return False
        self._socket = sock
        self._tried_at = -RETRY_SECONDS
        return True

    def _drop_socket(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            with suppress(OSError):
                sock.close()


def _connected(sock: socket.socket, address: Any) -> socket.socket:
    sock.settimeout(TIMEOUT_SECONDS)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _rtcp_payload(data: bytes) -> bytes:
    try:
        return json.dumps(rtcp_json(RtcpCompound.parse(data))).encode()
    except MalformedRtcpError as error:
        raise UsageError(str(error)) from error
