"""What one leg sends over RTP: audio, keys, and nothing while it is held."""

import contextlib
import errno
import random
from collections import Counter
from collections.abc import Callable

import numpy as np

from trunkline.errors import UsageError
from trunkline.media.codec import Encoder
from trunkline.media.comfort_noise import NoiseDescription
from trunkline.media.frames import FRAMES_PER_SECOND
from trunkline.media.g711 import Law
from trunkline.media.packet_time import PacketTime
from trunkline.media.rtp import RtpSender
from trunkline.media.srtp import SrtpSender

from .rtp_format import G711_CLOCK_HZ, StreamFormat
from .rtp_keys import KeysOut
from .rtp_socket import RtpSocket

__all__ = ["RtpOut"]

TICK_SECONDS = 0.020
NOISE_SECONDS = 0.5
"""How often comfort noise is described again: one such packet may be lost."""
NOISE = bytes(NoiseDescription(-70))
"""A quiet room's."""


class RtpOut:
    """The sending half of a stream: the `Outlet` of its lane."""

    __slots__ = (
        "_counters",
        "_encoder",
        "_format",
        "_keys",
        "_last_sent",
        "_noise_due",
        "_noise_type",
        "_packing",
        "_paused",
        "_sending",
        "_socket",
        "_srtp",
        "_transmit",
        "_units",
        "aimed",
        "busy",
        "each_second",
        "each_tick",
        "encoding",
        "sender",
    )

    lead_frames = 0
    continuous = True
    marks = False

    def __init__(
        self,
        socket: RtpSocket,
        rng: random.Random,
        counters: Counter[str],
        each_second: Callable[[float], None],
    ) -> None:
        self._socket = socket
        self._counters = counters
        self._format: StreamFormat | None = None
        self.sender = RtpSender(0, rng)
        """Numbers and counts of the stream."""
        self._keys = KeysOut(self.sender)
        self._units = G711_CLOCK_HZ // FRAMES_PER_SECOND
        self._encoder: Encoder | None = None
        self._last_sent: float | None = None
        self._packing: PacketTime | None = None  # only where packets are not of 20 ms
        self._paused = True
        self._sending = True
        self._noise_type: int | None = None
        self._noise_due = 0.0
        self._srtp: SrtpSender | None = None
        self._transmit: Callable[[bytes], None] = self._send
        self.encoding: Law | None = Law.ULAW
        self.aimed = False
        """Whether there is anywhere to send to."""
        self.busy = False
        """True while audio has to wait: on hold, or digits are being sent."""
        self.each_tick: Callable[[float], None] | None = None
        """Called before each frame, while somebody has to look at the clock."""
        self.each_second = each_second

    @property
    def sending(self) -> bool:
        """False while the far end asked us not to send (hold)."""
        return self._sending

    @sending.setter
    def sending(self, sending: bool) -> None:
        self._sending = sending
        self._settle_busy()

    def _settle_busy(self) -> None:
        # A plain attribute, because the engine reads it fifty times a second.
        self.busy = self._keys.pressing is not None or not self._sending

    def follow(self, format: StreamFormat) -> bool:
        """Send as agreed from now on; whether that is another codec."""
        before, self._format = self._format, format
        self.sender.payload_type = format.payload_type
        self.encoding = format.law if format.codec is None else None
        self._noise_type = format.noise_payload_type
        known = (before.codec, before.packet_ms) if before is not None else None
        if known == (format.codec, format.packet_ms):
            return False
        encoder = None if format.codec is None else format.codec.encoder()
        self.close()
        self._encoder = encoder
        self._units = format.clock_hz // FRAMES_PER_SECOND
        self._flush()
        self._packing = PacketTime(format.packet_ms) if format.packet_ms != 20 else None
        return True

    def encrypt(self, srtp: SrtpSender | None) -> None:
        """Encrypt what is sent from now on; None: send it as it is."""
        if srtp is not None and not self.sender.packets:
            # So far from a wrap that who misses the first packets still knows there was
            # none (RFC 3711 section 3.3.1).
            self.sender.sequence &= 0x7FFF
        self._srtp = srtp
        self._transmit = self._send if srtp is None else self._send_sealed

    def keep_alive(self, now: float) -> None:
        """A packet that says nothing, while nothing is sent, for a NAT (RFC 6263)."""
        if self._format is None or not self.aimed:
            return
        sender = self.sender
        if self._last_sent is not None and now > self._last_sent:
            sender.skip(round((now - self._last_sent) / TICK_SECONDS) * self._units)
        self._last_sent = now
        if self._noise_type is not None:
            packet = sender.next_at(sender.timestamp, NOISE, self._noise_type)
        else:
            packet = sender.next_at(sender.timestamp, b"", self._format.unused_type)
        self._transmit(packet)

    def close(self) -> None:
        """Free the encoder."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def expect_loss(self, percent: float) -> None:
        """The far end loses this much of what we send."""
        if self._encoder is not None:
            self._encoder.expect_loss(percent)

    # -- Outlet --------------------------------------------------------------------

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """One encoded frame, or nothing while the outlet is busy."""
        if self.each_tick is not None:
            self.each_tick(now)
        if self._keys.pressing is not None and self._sending:
            self._flush()
            self._send_digit(now)
            return
        if not self._sending or not self.aimed or not payload:
            self._flush()
            self._paused = True
            return
        sender = self.sender
        # Time that passed without packets (a hold, a stalled process) is counted
        # by the timestamp; after a pause the marker says so too (RFC 3551 4.1).
        if self._last_sent is not None and now - self._last_sent > 0.030:
            self._flush()
            sender.skip(self._units * (round((now - self._last_sent) / TICK_SECONDS) - 1))
        self._last_sent = now
        if silence and self._noise_type is not None:
            self._flush()
            self._send_noise(self._noise_type, now)
            return
        if self._encoder is not None:
            payload = self._encoder.encode(np.frombuffer(payload, "<i2"))
            if not payload:  # discontinuous transmission: time goes on
                sender.skip(self._units)
                self._paused = True
                return
        marker, self._paused = self._paused, False
        if self._packing is None:
            self._transmit(sender.next(payload, self._units, marker))
            return
        for chunk in self._packing.push(payload, self._units, marker):
            self._transmit(sender.next(*chunk))

    def _flush(self) -> None:
        """Send what waits for a longer packet to be full: audio pauses."""
        packing = self._packing
        for chunk in packing.flush() if packing is not None and self._sending else ():
            self._transmit(self.sender.next(*chunk))

    def _send_noise(self, payload_type: int, now: float) -> None:
        """Comfort noise in place of silence: at its beginning, and now and then (RFC 3389)."""
        if not self._paused or now >= self._noise_due:
            self._noise_due = now + NOISE_SECONDS
            sender = self.sender
            self._transmit(sender.next_at(sender.timestamp, NOISE, payload_type))
        self.sender.skip(self._units)
        self._paused = True

    def mark(self, generation: int, samples: int) -> None:
        """RTP has no marks."""

    def cleared(self) -> None:
        """RTP has no queue at the far end to clear."""

    def second(self, now: float) -> None:
        """Once a second."""
        self.each_second(now)

    def _send(self, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except OSError as error:
            self.not_sent(error)
            self._send_again(packet, error)

    def _send_sealed(self, packet: bytes) -> None:
        assert self._srtp is not None
        sealed = self._srtp.protect(packet)
        if isinstance(sealed, int):
            self._counters["not encrypted"] += 1
            return
        self._send(sealed)

    def _send_again(self, packet: bytes, error: OSError) -> None:
        """A connected socket tells of an earlier packet's refusal instead of sending this one."""
        if error.errno == errno.ECONNREFUSED:
            with contextlib.suppress(OSError):
                self._socket.send(packet)

    def not_sent(self, error: OSError) -> None:
        """Count a packet that the system did not take."""
        reason = errno.errorcode.get(error.errno or 0, "error")
        self._counters[f"not sent: {reason}"] += 1

    # -- keys ------------------------------------------------------------------------

    def press(self, digits: str, duration_ms: int = 100) -> None:
        """RFC 4733 events instead of audio until they are through.

        Raises `UsageError` for something that is no key, or when the far end
        did not agree to telephone events.
        """
        if self._format is None or self._format.dtmf_payload_type is None:
            raise UsageError("the far end does not take telephone events")
        self._keys.press(digits, self._format.dtmf_clock_hz, duration_ms)
        self._settle_busy()

    def _send_digit(self, now: float) -> None:
        """One RTP packet of the digits being sent (RFC 4733 2.5.1)."""
        format = self._format
        if format is None or format.dtmf_payload_type is None or not self.aimed:
            self._keys.drop()
            self._settle_busy()
            return
        packet = self._keys.packet(format.dtmf_payload_type, self._units)
        if packet is not None:
            self._transmit(packet)
        self._last_sent = now
        if self._keys.pressing is None:
            self._settle_busy()
