"""Calls in virtual time: an outlet of memory, a bad network, two ends, one clock.

For tests and laboratories: no socket and no waiting, and the same seed gives the same
packets. A minute of a call takes about a second of computing, most of it numpy's cost
per call, which a hundred calls in one engine share.

    time = VirtualTime()
    engine = time.drive(Engine())
    there, back = Link(rng, LinkSettings(delay_ms=40, loss=0.02)), Link(rng)
    alice = RtpEnd("alice", engine=engine, link=there, rng=rng)
    bob = RtpEnd("bob", engine=engine, link=back, rng=rng)
    time.join(there, bob)
    time.join(back, alice)
    engine.push(alice.lane, pcm, 0)
    time.run(60.0)
"""

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .dtmf import DtmfDigit, DtmfReceiver, DtmfSender
from .engine import PHASES, TICK_SECONDS, Engine
from .frames import frame_samples
from .g711 import DECODE, Law
from .lane import JitterInlet, Lane
from .rtcp_session import RtcpSession
from .rtp import RandomBits, RtpSender, is_rtcp, parse_fast

__all__ = ["Link", "LinkSettings", "MemoryOutlet", "RtpEnd", "SentFrame", "VirtualTime"]

_EVENT_TYPE = 101
_PAUSE_SECONDS = 0.030
"""Packets further apart than this: time has passed without any (1.5 frames)."""


@dataclass(frozen=True, slots=True)
class SentFrame:
    """One frame that left."""

    payload: bytes
    """As encoded; empty where the outlet was busy."""
    at: float
    silence: bool


@dataclass(slots=True)
class MemoryOutlet:
    """An outlet that keeps everything; set its fields to be like any transport."""

    encoding: Law | None = None
    lead_frames: int = 0
    continuous: bool = False
    marks: bool = False
    busy: bool = False
    sent: list[SentFrame] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    """Marks asked for: generation and samples."""
    clears: int = 0
    seconds: int = 0

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """Keep it."""
        self.sent.append(SentFrame(payload, now, silence))

    def mark(self, generation: int, samples: int) -> None:
        """Remember that it was asked for."""
        self.asked.append((generation, samples))

    def cleared(self) -> None:
        """Count it."""
        self.clears += 1

    def second(self, now: float) -> None:
        """Count it."""
        self.seconds += 1

    def audio(self) -> NDArray[np.int16]:
        """Everything that was sent and is not the engine's silence, decoded."""
        data = b"".join(frame.payload for frame in self.sent if not frame.silence)
        if self.encoding is None:
            return np.frombuffer(data, "<i2").astype(np.int16)
        return np.asarray(DECODE[self.encoding][np.frombuffer(data, np.uint8)])


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a network does to packets, one way. Shares are 0 to 1."""

    delay_ms: float = 20.0
    """Of the fastest packet."""
    jitter_ms: float = 0.0
    """Mean of what comes on top, exponentially distributed; packets may overtake."""
    loss: float = 0.0
    """Share of packets lost, each by itself."""
    duplicate: float = 0.0
    """Share of packets that come twice, 5 ms apart."""
    reorder: float = 0.0
    """Share of packets held back by 30 ms, so that the next one overtakes."""

    def __post_init__(self) -> None:
        if self.delay_ms < 0 or self.jitter_ms < 0:
            raise UsageError("delay_ms and jitter_ms are not below zero")
        if not all(0 <= share <= 1 for share in (self.loss, self.duplicate, self.reorder)):
            raise UsageError("loss, duplicate and reorder are shares from 0 to 1")


class Link:
    """One direction of a network, in virtual time."""

    def __init__(self, rng: RandomBits, settings: LinkSettings | None = None) -> None:
        self._rng = rng
        self.settings = settings if settings is not None else LinkSettings()
        """May be replaced in mid-call."""
        self._under_way: list[tuple[float, int, bytes]] = []
        self.sent = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, data: bytes, now: float) -> None:
        """Put a datagram on its way."""
        settings = self.settings
        self.sent += 1
        if self._draw() < settings.loss:
            self.lost += 1
            return
        delay_ms = settings.delay_ms
        if settings.jitter_ms:
            delay_ms -= settings.jitter_ms * math.log(1 - self._draw())
        if self._draw() < settings.reorder:
            delay_ms += 30
        self._put(data, now + delay_ms / 1000)
        if self._draw() < settings.duplicate:
            self._put(data, now + delay_ms / 1000 + 0.005)

    def receive(self, now: float) -> list[tuple[float, bytes]]:
        """The datagrams that have arrived, each with its time, in order of arrival."""
        arrived: list[tuple[float, bytes]] = []
        while self._under_way and self._under_way[0][0] <= now:
            at, _, data = heappop(self._under_way)
            arrived.append((at, data))
        return arrived

    def _put(self, data: bytes, at: float) -> None:
        # The number keeps datagrams of one moment in the order they were sent.
        heappush(self._under_way, (at, self.sent, data))

    def _draw(self) -> float:
        return self._rng.getrandbits(32) / 2**32


class RtpEnd:
    """One end of a call over RTP: an `Outlet` of its lane, and its packets' reader.

    What ``transports.rtp`` does, without sockets and without suspicion: RTP, RTCP and
    telephone events share one link, G.711 is payload type 0 or 8, events are 101.
    """

    lead_frames = 0
    continuous = True
    marks = False

    def __init__(
        self,
        id: str,
        *,
        engine: Engine,
        link: Link,
        rng: RandomBits,
        law: Law = Law.ULAW,
        phase: int | None = None,
        now: float = 0.0,
    ) -> None:
        """Opens a lane on the engine; ``link`` is what this end sends into."""
        self.encoding: Law | None = law
        self.dtx = False
        """True: silence is not sent, as by a telephone that detects it."""
        self.busy = False
        self.digits: list[DtmfDigit] = []
        """Keys that the other end pressed."""
        self.arrivals = 0
        """Datagrams received."""
        self.engine = engine
        """The engine that drives it."""
        self._link = link
        self._samples = frame_samples(engine.rate_hz)
        self.sender = RtpSender(8 if law is Law.ALAW else 0, rng)
        self.rtcp = RtcpSession(
            self.sender, f"{id}@test", rng, now, interval_seconds=1.0, rate_hz=engine.rate_hz
        )
        self._dtmf_in = DtmfReceiver(engine.rate_hz)
        self._dtmf_out: DtmfSender | None = None
        self._last_sent: float | None = None
        self._paused = True
        self._row = engine.jitter.open(law)
        self.lane = Lane(id, rate_hz=engine.rate_hz, inlet=JitterInlet(self._row), outlet=self)
        engine.open(self.lane, phase)

    # -- out -------------------------------------------------------------------------

    def press(self, digits: str) -> None:
        """Send keys instead of audio; raises `UsageError` for something that is no key."""
        self._dtmf_out = DtmfSender(digits, rate_hz=self.engine.rate_hz)
        self.busy = True

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """One frame, or one packet of the keys being pressed."""
        sender, samples = self.sender, self._samples
        if self._last_sent is not None and now - self._last_sent > _PAUSE_SECONDS:
            sender.skip(samples * (round((now - self._last_sent) / TICK_SECONDS) - 1))
            self._paused = True
        if self._dtmf_out is not None:
            self._last_sent = now
            self._send_event(self._dtmf_out, now)
        elif silence and self.dtx:
            return
        else:
            self._last_sent = now
            marker, self._paused = self._paused, False
            self._link.send(sender.next(payload, samples, marker), now)

    def _send_event(self, tones: DtmfSender, now: float) -> None:
        sender = self.sender
        event = tones.tick(sender.timestamp)
        sender.skip(self._samples)
        if event is not None:
            packet = sender.next_at(event.timestamp, event.payload, _EVENT_TYPE, event.marker)
            self._link.send(packet, now)
        if tones.done:
            self._dtmf_out = None
            self.busy = False

    def mark(self, generation: int, samples: int) -> None:
        """RTP has no marks."""

    def cleared(self) -> None:
        """RTP has no queue at the far end."""

    def second(self, now: float) -> None:
        """Reports, and keys whose end was lost."""
        self.digits += self._dtmf_in.expire(now)
        if now >= self.rtcp.next_timeout():
            ntp = int(now * 2**32)
            reception = self.engine.jitter.reception(self._row)
            self._link.send(self.rtcp.report(now, ntp, reception), now)

    # -- in --------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """One datagram from the network."""
        self.arrivals += 1
        if is_rtcp(data):
            self.rtcp.receive(data, now)
            if self.rtcp.rtt_ms is not None:
                self.lane.round_trip_seconds = self.rtcp.rtt_ms / 1000
            return
        packet = parse_fast(data)
        if packet is None or not self.lane.active:
            return
        payload_type, marker, sequence, timestamp, ssrc, payload = packet
        jitter = self.engine.jitter
        if payload_type == _EVENT_TYPE:
            jitter.put_other(self._row, sequence, ssrc, now)
            self.digits += self._dtmf_in.receive(payload, timestamp, ssrc, marker, now)
        else:
            jitter.put(self._row, sequence, timestamp, ssrc, marker, payload, now)


@dataclass(slots=True)
class _Driven:
    """An engine and its clock."""

    engine: Engine
    slot_seconds: float
    """Between its phases: 5 ms by its own clock."""
    due: float
    slot: int = 0
    stalled_until: float = 0.0


class VirtualTime:
    """Ticks engines and delivers packets in the order of one virtual clock.

    Engines may run at clocks of their own (drift) and be stopped for a while (a stall):
    a stalled engine reads its packets when it goes on and, like ``transports.clock``,
    runs each phase once and skips what it missed.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._driven: list[_Driven] = []
        self._links: list[tuple[Link, RtpEnd, _Driven]] = []

    def drive(self, engine: Engine, *, drift_ppm: float = 0.0) -> Engine:
        """Tick an engine from now on; a positive drift makes its clock fast."""
        slot = TICK_SECONDS / PHASES / (1 + drift_ppm / 1e6)
        self._driven.append(_Driven(engine, slot, self.now + slot))
        return engine

    def join(self, link: Link, end: RtpEnd) -> None:
        """Have what leaves a link arrive at an end."""
        self._links.append((link, end, self._of(end.engine)))

    def stall(self, engine: Engine, seconds: float) -> None:
        """Let an engine do nothing from now on for a while."""
        self._of(engine).stalled_until = self.now + seconds

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            driven = min(self._driven, key=lambda one: max(one.due, one.stalled_until))
            at = max(driven.due, driven.stalled_until)
            if at > end:
                break
            self.now = at
            self._deliver(at)
            self._tick(driven, at)
        self.now = end
        self._deliver(end)

    def _of(self, engine: Engine) -> _Driven:
        for driven in self._driven:
            if driven.engine is engine:
                return driven
        raise UsageError("this engine is not driven here: call drive first")

    def _tick(self, driven: _Driven, now: float) -> None:
        slots = 1 + int((now - driven.due) / driven.slot_seconds)
        driven.slot += slots
        for slot in range(driven.slot - min(slots, PHASES), driven.slot):
            driven.engine.tick(slot % PHASES, now)
        driven.due += slots * driven.slot_seconds

    def _deliver(self, now: float) -> None:
        for link, end, driven in self._links:
            if now < driven.stalled_until:
                continue
            for at, data in link.receive(now):
                end.receive(data, max(at, driven.stalled_until))
