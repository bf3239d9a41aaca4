"""RTCP of one leg's stream: its socket, where reports go, and what they say."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence

from trunkline.media.rtcp_session import ReceptionCounters, RtcpSession
from trunkline.media.rtcp_xr import Block
from trunkline.media.srtp import SrtpReceiver, SrtpSender

from .rtp_latch import RtpLatch
from .rtp_policy import MediaPolicy
from .rtp_socket import MAX_DATAGRAM, Address, RtpSocket

__all__ = ["ReportWatcher", "RtpReports"]

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970, where Unix does."""


ReportWatcher = Callable[[bool, bytes, Address, Address, float], None]
"""Told of a datagram: whether we sent it, its bytes, our address, theirs, and when."""


class RtpReports:
    """Reports out and in; ``on_report`` is told of each one that came.

    They are taken from the address that was announced for them, and from another port or
    address only if they were authenticated, or come from the host the audio comes from and
    are of its SSRC.
    """

    __slots__ = (
        "_announced",
        "_counters",
        "_far_ssrc",
        "_latch",
        "_media",
        "_mux",
        "_on_error",
        "_on_report",
        "_policy",
        "_socket",
        "extended",
        "heard_at",
        "receiver",
        "remote",
        "sender",
        "session",
        "watcher",
    )

    def __init__(
        self,
        bound: socket.socket,
        media: RtpSocket,
        latch: RtpLatch,
        policy: MediaPolicy,
        counters: Counter[str],
        on_report: Callable[[RtcpSession], None],
        on_error: Callable[[OSError], None],
        far_ssrc: Callable[[], int | None],
    ) -> None:
        self._socket = bound
        self._media = media
        self._latch = latch
        self._policy = policy
        self._counters = counters
        self._on_report = on_report
        self._on_error = on_error
        self._far_ssrc = far_ssrc
        self._mux = False
        self._announced: Address | None = None
        self.sender: SrtpSender | None = None
        """What encrypts reports; None: nothing does."""
        self.receiver: SrtpReceiver | None = None
        """What decrypts them."""
        self.session: RtcpSession | None = None
        self.remote: Address | None = None
        """Where reports go; None: nowhere."""
        self.heard_at: float | None = None
        """When the last one came."""
        self.watcher: ReportWatcher | None = None
        """Told of every datagram in and out."""
        self.extended: Callable[[], Sequence[Block]] | None = None
        """What to say in extended reports; None: they did not ask for any."""

    def aim(self, media: Address, rtcp: Address | None) -> None:
        """Follow a session description: RFC 3605's address, or the port above the media's."""
        reports = rtcp or (media[0], media[1] + 1)
        allowed = 0 < reports[1] <= 65535 and self._policy.allows(reports[0], self._latch.peer)
        self.remote = self._announced = reports if allowed else None

    def share(self, mux: bool) -> None:
        """Whether reports go to the port of the audio (RFC 5761)."""
        self._mux = mux

    def read(self, now: float) -> None:
        """A datagram on the port of reports."""
        try:
            data, source = self._socket.recvfrom(MAX_DATAGRAM)
        except OSError:
            return
        if not self._policy.allows(source[0], self._latch.peer):
            self._counters["forbidden source"] += 1
            return
        if self.receiver is not None:
            clear = self.receiver.unprotect_rtcp(data)
            if clear is None:
                return
            data = clear
        elif source[:2] != self._announced and not self._is_of_the_far_end(data, source):
            self._counters["foreign RTCP"] += 1
            return
        self.remote = source
        self.receive(data, now)

    def _is_of_the_far_end(self, data: bytes, source: Address) -> bool:
        latched, ssrc = self._latch.source, self._far_ssrc()
        if latched is None or ssrc is None or source[0] != latched[0]:
            return False
        return data[4:8] == ssrc.to_bytes(4, "big")

    def receive(self, data: bytes, now: float) -> None:
        """One report of the far end, on whichever port."""
        if self.session is None:
            return
        self.heard_at = now
        self.session.receive(data, now)
        if self.watcher is not None:
            self.watcher(False, data, *self._places(), now)
        self._on_report(self.session)

    def second(self, now: float, reception: Callable[[], ReceptionCounters | None]) -> None:
        """Report, if it is time."""
        if self.session is not None and now >= self.session.next_timeout():
            extended = None if self.extended is None else self.extended()
            data = self.session.report(now, _ntp(), reception(), extended=extended)
            self._send(data)
            if self.watcher is not None and self.remote is not None:
                self.watcher(True, data, *self._places(), now)

    def _places(self) -> tuple[Address, Address]:
        """Ours and theirs."""
        host, port = self._socket.getsockname()[:2]
        return (host, port), self.remote or ("", 0)

    def leave(self) -> None:
        """Say goodbye."""
        if self.session is not None:
            self._send(self.session.bye())

    def _send(self, data: bytes) -> None:
        if not data or not (self._mux or (self.remote is not None and self.remote[1])):
            return
        if self.sender is not None:
            sealed = self.sender.protect_rtcp(data)
            if isinstance(sealed, int):
                self._counters["not encrypted"] += 1
                return
            data = sealed
        try:
            if self._mux:
                self._media.send(data)
            elif self.remote is not None:
                self._socket.sendto(data, self.remote)
        except OSError as error:
            self._on_error(error)


def _ntp() -> int:
    """The wall clock as a 64-bit NTP time (RFC 3550 section 4)."""
    return int((time.time() + NTP_EPOCH) * (1 << 32))
