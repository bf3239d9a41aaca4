"""The UDP socket SIP messages come and go on."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable

from trunkline.errors import UsageError
from trunkline.sip.hop import Hop

__all__ = ["SipDatagrams", "bound"]

MAX_DATAGRAM = 65_535
READS_PER_WAKE = 64
"""Datagrams read before the loop gets to its other work."""
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
"""A burst of a thousand INVITEs has to wait somewhere while a tick runs."""
MAPPED = "::ffff:"
"""How an IPv4 address looks on a socket for both families."""


def bound(host: str, port: int, kind: socket.SocketKind, setting: str) -> socket.socket:
    """A socket at that address, not blocking; raises `UsageError` with advice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            # "::" is every address of either family.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        advice = {
            errno.EADDRINUSE: f"; another program may use it (sip.{setting} chooses one)",
            errno.EACCES: f"; ports below 1024 are root's (sip.{setting} chooses one)",
            errno.EADDRNOTAVAIL: "; this machine has no such address (sip.host)",
        }.get(error.errno or 0, "")
        raise UsageError(f"SIP cannot listen on {host}:{port}: {error.strerror}{advice}") from error
    return sock


class SipDatagrams:
    """Sends and receives datagrams. Media thread only.

    ``receive`` is called with each datagram and where it came from, ``read`` after as many
    as there were, or a batch of them.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[bytes, Hop], None],
        read: Callable[[], None],
        counters: Counter[str],
    ) -> None:
        self._socket = sock
        self._loop = loop
        self._receive = receive
        self._read = read
        self._counters = counters
        self._both_families = sock.family is socket.AF_INET6
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        loop.add_reader(sock.fileno(), self._readable)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def is_ipv6(self) -> bool:
        """Whether it can send to IPv6 addresses."""
        return self._both_families

    def send(self, data: bytes, hop: Hop) -> bool:
        """Send a datagram; False: it cannot be delivered."""
        host = hop.host
        if self._both_families and ":" not in host:
            host = MAPPED + host
        try:
            self._socket.sendto(data, (host, hop.port))
        except BlockingIOError:
            self._counters["send buffer full"] += 1  # a retransmission follows
        except OSError as error:
            self._counters[f"not sent: {error.strerror}"] += 1
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(READS_PER_WAKE):
            try:
                data, source = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError:
                break  # nothing more, or an ICMP error that a timer will show too
            host = source[0]
            if self._both_families and host.startswith(MAPPED):
                host = host[len(MAPPED) :]
            self._receive(data, Hop(host, source[1]))
        self._read()
