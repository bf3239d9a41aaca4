"""Keys pressed towards the far end of an RTP stream: events in place of audio (RFC 4733)."""

from collections import deque

from trunkline.media.dtmf import DtmfSender
from trunkline.media.rtp import RtpSender

__all__ = ["KeysOut"]


class KeysOut:
    """What is being pressed and what waits for it; one packet a tick, in place of the audio."""

    __slots__ = ("_sender", "_waiting", "pressing")

    def __init__(self, sender: RtpSender) -> None:
        self._sender = sender
        self._waiting: deque[DtmfSender] = deque()
        self.pressing: DtmfSender | None = None
        """The keys whose packets are due; None while audio may be sent."""

    def press(self, digits: str, clock_hz: int, tone_ms: int = 100) -> None:
        """Press keys after those that are being pressed; raises `UsageError` for no key."""
        tones = DtmfSender(digits, rate_hz=clock_hz, tone_ms=tone_ms)
        if self.pressing is None:
            self.pressing = tones
        else:
            self._waiting.append(tones)

    def drop(self) -> None:
        """Forget all of them: the far end does not take events any more."""
        self.pressing = None
        self._waiting.clear()

    def packet(self, payload_type: int, units: int) -> bytes | None:
        """The packet of this tick, of ``units`` of the clock; None in a gap between keys."""
        tones, sender = self.pressing, self._sender
        if tones is None:
            return None
        event = tones.tick(sender.timestamp)
        sender.skip(units)
        packet = None
        if event is not None:
            packet = sender.next_at(event.timestamp, event.payload, payload_type, event.marker)
        if tones.done:
            self.pressing = self._waiting.popleft() if self._waiting else None
        return packet
