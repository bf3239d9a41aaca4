"""Whose packets are the far end's: symmetric RTP that nobody else can take over."""

from collections import Counter

from trunkline.media.rtp import is_rtcp, parse_fast

from .rtp_format import StreamFormat
from .rtp_policy import MediaPolicy
from .rtp_socket import Address

__all__ = ["RtpLatch"]

MOVED_SECONDS = 1.0
"""After this much silence a far end may go on from another address: its NAT's new port."""


class RtpLatch:
    """The source that is taken to be the far end (RFC 4961).

    Only packets whose source is still to be judged come here.
    """

    __slots__ = ("_counters", "_policy", "announced", "source")

    def __init__(self, policy: MediaPolicy, counters: Counter[str]) -> None:
        self._policy = policy
        self._counters = counters
        self.announced: Address | None = None
        """Where the session description wants packets."""
        self.source: Address | None = None
        """Where they come from; None until one has come."""

    def announce(self, far: Address) -> bool:
        """A session description names an address; whether it is a new one."""
        if self.announced == far:
            return False
        self.announced = far
        self.source = None
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
    ) -> bool:
        """Whether to accept a packet of a source that is not the latched one."""
        packet = parse_fast(data)
        if packet is None:
            self._counters["not RTP"] += 1
            return False
        named = source[:2] == self.announced
        if self.source is not None and not named:
            # A stream from elsewhere that goes on with its SSRC after a silence is
            # the far end's: who did not see it cannot know the number.
            silent = last_packet is None or now - last_packet > MOVED_SECONDS
            if not silent or packet[4] != far_ssrc:
                self._counters["foreign source"] += 1
                return False
        if is_rtcp(data):
            return named or self.source is None
        if not self._policy.allows(source[0]):
            self._counters["forbidden source"] += 1
            return False
        if format is None or not format.announces(packet[0]):
            # Noise that looks like RTP must not turn our audio towards its sender.
            self._counters["payload type"] += 1
            return False
        self.source = source
        return True
