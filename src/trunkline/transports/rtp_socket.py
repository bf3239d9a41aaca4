"""UDP sockets for RTP: pairs of ports, the poller that reads them, a port that aims.

All sockets of the process hang on one epoll object that the media loop watches:
one wake-up reads every packet that has arrived, for whichever leg. At 300 calls
this costs a third less than a transport object and a callback for each socket.
"""

import errno
import logging
import random
import select
import socket
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable

from trunkline.errors import UsageError

__all__ = ["Address", "NoFreePortError", "RtpPoller", "RtpPorts", "RtpSocket"]

log = logging.getLogger(__name__)

Address = tuple[str, int]
MAX_DATAGRAM = 2048
READS_PER_WAKE = 512
REST_SECONDS = 5.0
"""A pair that was given back is not given out again for so long, if there is another: what is
still on its way to the last call must not come to the next."""
DRAINED = 1024
"""More datagrams than a socket's default buffer holds (208 KiB, some 280 small ones)."""


_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class NoFreePortError(UsageError):
    """Every RTP port of the configured range is in use, or the system has none left."""


class RtpPorts:
    """Gives out pairs of UDP sockets: an even port for RTP, the next for RTCP.

    ``most``: how many at once, if that is less than there is room for.
    """

    def __init__(
        self, host: str, first: int, last: int, rng: random.Random, *, most: int = 0
    ) -> None:
        self.host = host
        self._most = most
        self._given_back: dict[int, float] = {}
        self._pairs = list(range(first + first % 2, last, 2))
        if not self._pairs:
            raise UsageError(f"no pair of ports between {first} and {last}")
        # A random start keeps a restarted node off the ports its last calls used.
        self._next = rng.randrange(len(self._pairs))
        self.open_pairs = 0

    @property
    def capacity(self) -> int:
        """How many legs fit in the range."""
        return len(self._pairs)

    def open(self) -> tuple[socket.socket, socket.socket]:
        """Two bound, non-blocking sockets; raises `NoFreePortError`."""
        if self._most and self.open_pairs >= self._most:
            raise NoFreePortError(f"{self._most} calls are all there may be (media.max_calls)")
        resting: list[int] = []
        now = time.monotonic()
        for _ in range(len(self._pairs)):
            port = self._pairs[self._next]
            self._next = (self._next + 1) % len(self._pairs)
            if now - self._given_back.get(port, -REST_SECONDS) < REST_SECONDS:
                resting.append(port)
            elif (sockets := self._take(port)) is not None:
                return sockets
        # None is rested: the one that has rested longest is better than no call.
        for port in sorted(resting, key=self._given_back.__getitem__):
            if (sockets := self._take(port)) is not None:
                return sockets
        raise NoFreePortError(
            f"all {len(self._pairs)} RTP port pairs are in use; widen media.first_port to last_port"
        )

    def close(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        """Give a pair back."""
        self._given_back[sockets[0].getsockname()[1]] = time.monotonic()
        for one in sockets:
            one.close()
        self.open_pairs -= 1

    def _take(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        sockets = self._bind(port)
        if sockets is not None:
            self.open_pairs += 1
            self._given_back.pop(port, None)
        return sockets

    def _bind(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                bound.append(socket.socket(family, socket.SOCK_DGRAM))
                bound[-1].setblocking(False)
                bound[-1].bind((self.host, number))
        except OSError as error:
            for one in bound:
                one.close()
            if error.errno == errno.EADDRINUSE:
                return None
            if error.errno in _EXHAUSTED:
                raise NoFreePortError(f"no socket for RTP: {error.strerror}") from error
            raise
        return bound[0], bound[1]


class RtpPoller:
    """Reads many sockets on one wake-up of the media loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[float], None]] = {}
        self._loop = loop
        loop.add_reader(self._epoll.fileno(), self._readable)

    def add(self, sock: socket.socket, reader: Callable[[float], None]) -> None:
        """Have ``reader(now)`` called when a socket has something to read."""
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Stop reading a socket; before it is closed."""
        if self._readers.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        """Stop reading everything."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _readable(self) -> None:
        self.read(time.monotonic())

    def read(self, now: float) -> None:
        """One datagram of every socket that has some; epoll comes back for the rest."""
        readers = self._readers
        for fd, _ in self._epoll.poll(0, READS_PER_WAKE):
            reader = readers.get(fd)
            if reader is not None:
                try:
                    reader(now)
                except Exception:
                    # A bug in one call's code must not cost the others their packets.
                    log.exception("reading RTP failed")


class RtpSocket:
    """One RTP port, read for whoever sends to it and cheaper for the far end.

    Once the far end is known, `connect` opens a second socket on the same port that is
    connected to it. The kernel then sorts: what the far end sends comes without an
    address to be looked at, what we send needs none to be looked up, and both together
    cost half. Everything else still comes to the first socket, with its source. Where
    the system cannot do that, everything does.
    """

    __slots__ = (
        "_bound",
        "_far",
        "_on_error",
        "_on_far",
        "_on_other",
        "_poller",
        "_receive",
        "_twin",
        "send",
    )

    def __init__(
        self,
        bound: socket.socket,
        poller: RtpPoller,
        on_far: Callable[[bytes, float], None],
        on_other: Callable[[bytes, Address, float], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self._bound = bound
        self._poller = poller
        self._on_far = on_far
        self._on_other = on_other
        self._on_error = on_error
        self._twin: socket.socket | None = None
        self._receive: Callable[[int], bytes] = bound.recv
        self._far: Address | None = None
        self.send: Callable[[bytes], int] = self._send_to_far
        """Send a packet to the far end; raises `OSError`."""

    @property
    def far(self) -> Address | None:
        """Where packets are sent; None before `aim`."""
        return self._far

    @property
    def connected(self) -> bool:
        """Whether the kernel sorts out what the far end sends."""
        return self._twin is not None

    def hear(self, on_far: Callable[[bytes, float], None]) -> None:
        """Give what the far end sends to another reader."""
        self._on_far = on_far

    def open(self) -> None:
        """Begin to read."""
        self._poller.add(self._bound, self._read_any)

    def close(self) -> None:
        """Stop reading; the bound socket belongs to whoever made it."""
        self._poller.remove(self._bound)
        self._part()

    def aim(self, far: Address) -> None:
        """Send there from now on; packets come with their source until `connect`."""
        self._part()
        self._far = far

    def connect(self, far: Address, now: float) -> None:
        """Send there, and let the kernel tell its packets from others."""
        self.aim(far)
        try:
            twin = socket.socket(self._bound.family, socket.SOCK_DGRAM)
        except OSError:
            return  # out of files: one socket does as well, only slower
        try:
            twin.setblocking(False)
            _join(twin, self._bound, far)
        except OSError:
            twin.close()
            return
        self._twin = twin
        self._receive = twin.recv
        self.send = twin.send
        self._poller.add(twin, self._read_far)
        # What came before the twin was connected is older, and of any source.
        # A bounded number, or a flood would keep us here for ever; one of them may
        # lead to another far end, and then the twin is not ours any more.
        for one in (self._bound, twin):
            for _ in range(DRAINED):
                if self._twin is not twin or not self._read_from(one, now):
                    break

    def _part(self) -> None:
        """Close the connected socket, if there is one."""
        if self._twin is not None:
            self._poller.remove(self._twin)
            self._twin.close()
            self._twin = None
            self.send = self._send_to_far

    def _send_to_far(self, packet: bytes) -> int:
        if self._far is None:
            raise OSError(errno.EDESTADDRREQ, "the far end is not known")
        return self._bound.sendto(packet, self._far)

    def _read_far(self, now: float) -> None:
        try:
            data = self._receive(MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            self._on_error(error)
            return
        self._on_far(data, now)

    def _read_any(self, now: float) -> None:
        self._read_from(self._bound, now)

    def _read_from(self, one: socket.socket, now: float) -> bool:
        try:
            data, source = one.recvfrom(MAX_DATAGRAM)
        except BlockingIOError:
            return False
        except OSError as error:
            self._on_error(error)
            return False
        self._on_other(data, source, now)
        return True


def _join(twin: socket.socket, bound: socket.socket, far: Address) -> None:
    """Bind a socket to another's address and connect it; raises `OSError`.

    The port is shared for this moment only: other processes must not get it.
    """
    both = (bound, twin)
    try:
        for one in both:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        twin.bind(bound.getsockname())
        twin.connect(far)
    finally:
        for one in both:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
