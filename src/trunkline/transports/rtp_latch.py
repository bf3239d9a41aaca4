"""Whose packets are the far end's: symmetric RTP that nobody else can take over."""

from collections import Counter
from typing import NamedTuple

from trunkline.media.rtp import is_rtcp, parse_fast

from .rtp_format import StreamFormat
from .rtp_policy import MediaPolicy
from .rtp_socket import Address

__all__ = ["RtpLatch"]

MOVED_SECONDS = 1.0
"""After this much silence a far end may go on from another address: its NAT's new port."""
PATIENCE_SECONDS = 1.0
"""So long the address of the session description is waited for before another is taken."""
PORT_PATIENCE_SECONDS = 0.1
"""The same for another port of that address: a NAT that its owner knows of, all but its port."""
PROBATION_PACKETS = 2
"""In a row from one source, before it is believed."""


class _Candidate(NamedTuple):
    """A source that may become the far end's."""

    source: Address
    ssrc: int
    sequence: int
    packets: int


class RtpLatch:
    """The source that is taken to be the far end (RFC 4961), by these rules.

    1. A packet from the announced address is the far end's, and so is one that was
       authenticated (SRTP), wherever it comes from.
    2. Another source is taken where none is yet and the announced address has never been
       heard: at once where that is private and the source is not (a NAT between us), after
       a tenth of a second for another port of that address, and otherwise after a second,
       in which the announced address could have spoken.
    3. Another source is taken in place of one after a second of silence, if it goes on with
       the same SSRC: who did not see the stream does not know the number.
    4. By 2 and 3 only after two packets in a row, of agreed payload types, from where policy
       lets media go.

    Only packets whose source is still to be judged come here.
    """

    __slots__ = (
        "_candidate",
        "_counters",
        "_patience_from",
        "_policy",
        "_proven",
        "announced",
        "peer",
        "source",
    )

    def __init__(self, policy: MediaPolicy, counters: Counter[str]) -> None:
        self._policy = policy
        self._counters = counters
        self._candidate: _Candidate | None = None
        self._patience_from: float | None = None
        self._proven = False  # they were heard from where they said
        self.announced: Address | None = None
        """Where the session description wants packets."""
        self.peer = ""
        """Where the other end's signalling comes from."""
        self.source: Address | None = None
        """Where packets come from; None until one has come."""

    def announce(self, far: Address) -> bool:
        """A session description names an address; whether it is a new one."""
        if self.announced == far:
            return False
        self.announced = far
        self.source = self._candidate = self._patience_from = None
        return True

    def judge(
        self,
        source: Address,
        data: bytes,
        format: StreamFormat | None,
        now: float,
        *,
        far_ssrc: int | None,
        last_packet: float | None,
        authentic: bool = False,
    ) -> bool:
        """Whether to accept a packet of a source that is not the latched one."""
        named = source[:2] == self.announced
        if is_rtcp(data):  # a report without a word in it is too short for RTP
            if not named and not authentic:
                self._counters["foreign source"] += 1
            return named or authentic
        packet = parse_fast(data)
        if packet is None:
            self._counters["not RTP"] += 1
            return False
        payload_type, _, sequence, _, ssrc, _ = packet
        if not self._policy.allows(source[0], self.peer):
            self._counters["forbidden source"] += 1
            return False
        if not (named or authentic or self._may_change(source, ssrc, far_ssrc, last_packet, now)):
            self._counters["foreign source"] += 1
            return False
        if format is None or not format.announces(payload_type):
            # Noise that looks like RTP must not turn our audio towards its sender.
            self._counters["payload type"] += 1
            return False
        if not (named or authentic or self._has_passed(source, ssrc, sequence)):
            self._counters["on probation"] += 1
            return False
        self._proven |= named
        self._candidate = None
        self.source = source
        return True

    def _may_change(
        self,
        source: Address,
        ssrc: int,
        far_ssrc: int | None,
        last_packet: float | None,
        now: float,
    ) -> bool:
        """Whether a source that nobody announced may become the far end's at all."""
        if self.source is not None or self._proven:
            silent = last_packet is None or now - last_packet > MOVED_SECONDS
            return silent and ssrc == far_ssrc
        announced = self.announced
        # Of all the addresses outside, that of its signalling needs no patience.
        by_peer = self.peer in ("", source[0])
        if by_peer and announced and self._policy.is_translated(announced[0], source[0]):
            return True
        if self._patience_from is None:
            self._patience_from = now
        by_port = announced is not None and source[0] == announced[0]
        patience = PORT_PATIENCE_SECONDS if by_port else PATIENCE_SECONDS
        return now - self._patience_from >= patience

    def _has_passed(self, source: Address, ssrc: int, sequence: int) -> bool:
        """Whether this packet is the last of a source's probation."""
        before = self._candidate
        goes_on = before is not None and before[:3] == (source, ssrc, sequence - 1 & 0xFFFF)
        packets = before.packets + 1 if before is not None and goes_on else 1
        self._candidate = _Candidate(source, ssrc, sequence, packets)
        return packets >= PROBATION_PACKETS
