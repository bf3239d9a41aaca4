"""DTMF as telephone events in RTP (RFC 4733), in and out.

An event packet says which key, how long so far, and whether that was the end. All
packets of one key press carry the timestamp of its beginning, so (SSRC, timestamp)
names a press; everything else may be lost, doubled, late or, from some senders, wrong.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from trunkline.errors import UsageError

from .frames import FRAME_MS

__all__ = ["DIGITS", "DtmfDigit", "DtmfReceiver", "DtmfSender", "EventPacket", "TelephoneEvent"]

DIGITS = "0123456789*#ABCD"
"""The keys; a key's place is its event code (RFC 4733 section 3.2)."""

_EVENT = Struct("!BBH")
_END, _VOLUME = 0x80, 0x3F
_LONGEST = 0xFFFF
# A press longer than the duration field goes on in a new segment whose timestamp is the
# old one plus its duration. Senders count in packets, so a segment ends at the last
# multiple below 0xFFFF; with that packet lost we still know one within a second of it.
_SEGMENT_END = _LONGEST - 8000

_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One event block, four bytes (RFC 4733 2.3)."""

    code: int
    """8 bits; 0 to 15 are `DIGITS`, 16 is a hook flash."""
    end: bool
    """The key was released."""
    volume: int
    """Power of the tone, 0 to 63, as dBm0 without its minus sign."""
    duration: int
    """Timestamp units since the press began, 16 bits."""

    @classmethod
    def parse(cls, data: bytes) -> "TelephoneEvent":
        """Read the first four bytes; the caller has checked that they are there."""
        code, flags, duration = _EVENT.unpack_from(data)
        return cls(code, bool(flags & _END), flags & _VOLUME, duration)

    def __bytes__(self) -> bytes:
        return _EVENT.pack(self.code, (_END if self.end else 0) | self.volume, self.duration)


@dataclass(frozen=True, slots=True)
class DtmfDigit:
    """One key press, reported once."""

    digit: str
    """One of `DIGITS`."""
    duration_ms: int
    """How long the key was held, as far as we heard."""


@dataclass(slots=True)
class _Press:
    """A key that is down."""

    ssrc: int
    timestamp: int
    """Of the current segment."""
    code: int
    duration: int
    """Of the current segment."""
    before: int
    """Units in earlier segments."""
    heard_at: float


class DtmfReceiver:
    """Key presses out of event packets: each exactly once, whatever the network did.

    A press is reported at its first end packet, or when the next press begins, or by
    `expire` when nothing more is heard of it. Never raises for what a peer sends.
    """

    def __init__(self, rate_hz: int = 8000, *, timeout_ms: int = 200) -> None:
        """Events are timed at ``rate_hz``; a press unheard of for ``timeout_ms`` has ended.

        Senders repeat an event every 20 to 50 ms, so 200 ms is four lost in a row.
        """
        self._units_per_ms = rate_hz / 1000
        self._timeout_seconds = timeout_ms / 1000
        # Presses are tens of ms apart and a packet later than two seconds is not reordered:
        # its sender has begun counting anew.
        self._reorder_units = 2 * rate_hz
        self._press: _Press | None = None
        # With the code, because some senders freeze their timestamp between keys.
        self._reported: deque[tuple[int, int, int]] = deque(maxlen=8)
        self.malformed = 0
        """Payloads that are not whole event blocks."""
        self.ignored = 0
        """Events that are not keys (flash, fax and modem tones)."""
        self.late = 0
        """Packets of a press that an already later one has overtaken."""

    def receive(
        self, payload: bytes, timestamp: int, ssrc: int, marker: bool, now: float
    ) -> list[DtmfDigit]:
        """One event packet; returns the presses it completes (mostly none)."""
        if not payload or len(payload) % 4:
            self.malformed += 1
            return []
        digits: list[DtmfDigit] = []
        # Several blocks are presses that follow each other without a gap (RFC 4733 2.5.1.5).
        for offset in range(0, len(payload), 4):
            event = TelephoneEvent.parse(payload[offset : offset + 4])
            if event.code < len(DIGITS):
                digits += self._hear(event, timestamp, ssrc, marker and not offset, now)
            else:
                self.ignored += 1
            timestamp = timestamp + event.duration & _U32
        return digits

    def expire(self, now: float) -> list[DtmfDigit]:
        """Presses whose end was lost: call it every tick, or at `next_timeout`."""
        press = self._press
        if press is None or now < press.heard_at + self._timeout_seconds:
            return []
        return [self._report(press)]

    def next_timeout(self) -> float | None:
        """When `expire` would have something to say; None while no key is down."""
        return None if self._press is None else self._press.heard_at + self._timeout_seconds

    def _hear(
        self, event: TelephoneEvent, timestamp: int, ssrc: int, marker: bool, now: float
    ) -> Iterator[DtmfDigit]:
        if (ssrc, timestamp, event.code) in self._reported:
            return
        press = self._press
        if press is not None and not self._belongs(press, event, timestamp, ssrc, marker):
            if press.ssrc == ssrc and self._precedes(timestamp, press.timestamp):
                self.late += 1
                return
            yield self._report(press)
            press = None
        if press is None:
            if self._overtaken(timestamp, ssrc):
                self.late += 1
                return
            press = self._press = _Press(ssrc, timestamp, event.code, 0, 0, now)
        press.duration = max(press.duration, event.duration)
        press.heard_at = now
        if event.end:
            yield self._report(press)

    def _belongs(
        self, press: _Press, event: TelephoneEvent, timestamp: int, ssrc: int, marker: bool
    ) -> bool:
        """Whether a packet is of the key that is down; moves a long press to its next segment."""
        if ssrc != press.ssrc:
            return False
        if event.code != press.code:
            return False
        if timestamp == press.timestamp:
            return True
        elapsed = timestamp - press.timestamp & _U32
        if marker or not 0 < elapsed <= _LONGEST:
            return False
        if elapsed != press.duration and elapsed < _SEGMENT_END:
            return False
        # A straggler of the old segment must not look like a press of its own.
        self._reported.append((ssrc, press.timestamp, press.code))
        press.before += elapsed
        press.timestamp, press.duration = timestamp, 0
        return True

    def _precedes(self, timestamp: int, other: int) -> bool:
        return 0 < (other - timestamp & _U32) <= self._reorder_units

    def _overtaken(self, timestamp: int, ssrc: int) -> bool:
        """Whether a press that began later was reported already."""
        return any(
            of_ssrc == ssrc and self._precedes(timestamp, reported)
            for of_ssrc, reported, _ in self._reported
        )

    def _report(self, press: _Press) -> DtmfDigit:
        self._reported.append((press.ssrc, press.timestamp, press.code))
        self._press = None
        units = press.before + press.duration
        return DtmfDigit(DIGITS[press.code], round(units / self._units_per_ms))


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One event packet to send: the arguments of `RtpSender.next_at`."""

    timestamp: int
    """Of the beginning of the press."""
    payload: bytes
    """The event block."""
    marker: bool
    """Set on the first packet of a press."""


class DtmfSender:
    """Digits as event packets, one a tick: growing duration, the end three times.

    Each tick, in place of the audio packet::

        packet = digits.tick(rtp.timestamp)
        rtp.skip(160)
        if packet is not None:
            send(rtp.next_at(packet.timestamp, packet.payload, event_type, packet.marker))
    """

    def __init__(
        self,
        digits: str,
        *,
        tone_ms: int = 100,
        gap_ms: int = 60,
        volume: int = 10,
        rate_hz: int = 8000,
    ) -> None:
        """Tones and gaps are rounded up to whole frames.

        Raises `UsageError` for a character that is not a key, for a gap too short to
        repeat the end in (40 ms), and for a tone longer than its duration field.
        """
        self._codes = [_code_of(digit) for digit in digits]
        self._tone_ticks, self._gap_ticks = -(-tone_ms // FRAME_MS), -(-gap_ms // FRAME_MS)
        self._units = rate_hz * FRAME_MS // 1000
        if not 1 <= self._tone_ticks * self._units <= _LONGEST:
            raise UsageError(f"a tone of {tone_ms} ms does not fit an event's duration field")
        if self._gap_ticks * FRAME_MS < 40:
            raise UsageError(f"a gap between digits is at least 40 ms, not {gap_ms}")
        if not 0 <= volume <= _VOLUME:
            raise UsageError(f"an event's volume is 0 to 63 (dBm0 below zero), not {volume}")
        self._volume = volume
        self._place = 0
        self._tick = 0
        self._timestamp = 0

    @property
    def done(self) -> bool:
        """Whether everything, the last gap included, has been sent."""
        return self._place >= len(self._codes)

    def tick(self, timestamp: int) -> EventPacket | None:
        """The packet of this tick, whose audio would begin at ``timestamp``.

        None in what is left of a gap after the end's repetitions, and when done.
        """
        if self.done:
            return None
        if self._tick == 0:
            self._timestamp = timestamp
        code, ticks = self._codes[self._place], self._tick + 1
        marker = self._tick == 0
        self._tick = ticks
        if ticks == self._tone_ticks + self._gap_ticks:
            self._place, self._tick = self._place + 1, 0
        if ticks > self._tone_ticks + 2:
            return None
        duration = min(ticks, self._tone_ticks) * self._units
        event = TelephoneEvent(code, ticks >= self._tone_ticks, self._volume, duration)
        return EventPacket(self._timestamp, bytes(event), marker)


def _code_of(digit: str) -> int:
    """The event code of a key; raises `UsageError` where there is none."""
    code = DIGITS.find(digit.upper())
    if code < 0:
        raise UsageError(f"{digit!r} is not a key; the keys are {DIGITS}")
    return code
