"""A lane: one leg's place in the engine.

It joins what a leg receives (its inlet), what is waiting to be sent (its
playout), where that goes (its outlet) and who listens. The engine drives many
lanes at once; a lane itself never waits, never logs and never looks at a clock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .chain_bank import ChainStages
from .frames import FRAME_MS, frame_samples
from .g711 import Law
from .playout import Playout

__all__ = ["Ear", "Heard", "Inlet", "JitterInlet", "Lane", "Outlet", "StreamInlet", "Tap", "Window"]

Frame = NDArray[np.int16]


class Window(NamedTuple):
    """One verdict of the voice-activity model."""

    probability: float
    """Speech probability, 0 to 1."""
    end_offset: int
    """Samples from the end of this window to the end of the frame it came with (>= 0)."""
    length: int
    """Samples in the window (256 at 8 kHz for Silero)."""


class Heard(NamedTuple):
    """How much of one generation of audio the far end has heard."""

    generation: int
    """The generation this speaks of."""
    samples: int
    """Samples heard, counted from the generation's first, at the lane's rate."""
    queued_samples: int
    """Samples that were still waiting (and are gone, after a clear)."""
    exact: bool
    """True: the far end's marks say so. False: samples sent less the far buffer."""


class Ear(Protocol):
    """What listens to a lane. Every method must return within microseconds."""

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """One frame (20 ms, int16) from the far end, and the verdicts it completed."""

    def started(self, generation: int, now: float) -> None:
        """The first frame of this generation has left on the wire, in this tick."""

    def drained(self, heard: Heard, now: float) -> None:
        """A finished generation has been played to its end."""


class Tap(Protocol):
    """What sees both directions of a lane without changing them."""

    def frame(self, heard: Frame | None, sent: Frame | None, now: float) -> None:
        """What came and what left in one tick; None where there was nothing."""

    def late(self, heard: Frame, now: float) -> None:
        """A frame that came too late for its tick, after a stall."""


class Outlet(Protocol):
    """A transport's side of a lane: where encoded frames go."""

    encoding: Law | None
    """What the engine encodes to; None for little-endian 16-bit."""
    lead_frames: int
    """Frames sent ahead when speech begins, to fill the far end's queue."""
    continuous: bool
    """True: silence is sent when nothing is queued."""
    marks: bool
    """True: the far end tells what it has played (`Lane.mark_played`)."""
    busy: bool
    """True while audio must wait: on hold, or sending DTMF events."""

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """One encoded frame; the first one after silence begins a talkspurt."""

    def mark(self, generation: int, samples: int) -> None:
        """Ask the far end to say when everything sent so far is played."""

    def cleared(self) -> None:
        """The playout was cleared: so must be a queue at the far end."""

    def second(self, now: float) -> None:
        """Called about once a second: reports, timeouts."""


class JitterInlet:
    """Audio that comes in packets with sequence numbers, through a jitter bank."""

    __slots__ = ("row",)

    def __init__(self, row: int) -> None:
        self.row = row


class StreamInlet:
    """Audio that comes in order, in pieces of any length: a WebSocket.

    Holds encoded bytes; the engine decodes a whole shard at once. Bounded:
    beyond ``limit_ms`` the oldest audio is dropped and counted.
    """

    __slots__ = (
        "_frame_bytes",
        "_limit_frames",
        "_rest",
        "encoding",
        "frames",
        "least_frames",
        "overflow_frames",
        "seconds_behind",
    )

    def __init__(self, rate_hz: int, encoding: Law | None = Law.ULAW, limit_ms: int = 2000) -> None:
        self.encoding = encoding
        self._frame_bytes = frame_samples(rate_hz) * (1 if encoding is not None else 2)
        self._limit_frames = max(1, limit_ms // 20)
        self._rest = b""
        self.frames: deque[bytes] = deque()
        """Whole encoded frames, oldest first."""
        self.overflow_frames = 0
        self.least_frames = 0
        """The fewest that were left by a tick in this second."""
        self.seconds_behind = 0
        """For how many seconds a frame was always left: that long it is delay without use."""

    def second(self) -> None:
        """Called about once a second: see how far behind it is."""
        self.seconds_behind = self.seconds_behind + 1 if self.least_frames else 0
        self.least_frames = len(self.frames)

    def push(self, payload: bytes) -> None:
        """File received audio, as it was encoded on the wire."""
        size = self._frame_bytes
        if not self._rest and len(payload) == size:
            self.frames.append(payload)
        else:
            data = self._rest + payload
            whole = len(data) - len(data) % size
            self.frames.extend(data[at : at + size] for at in range(0, whole, size))
            self._rest = data[whole:]
        while len(self.frames) > self._limit_frames:
            self.frames.popleft()
            self.overflow_frames += 1


Inlet = JitterInlet | StreamInlet

MARK_EVERY_MS = 200
"""How often a far end with marks is asked what it has played.

Interrupted text is cut at a word; words take about 300 ms.
"""
MARK_PATIENCE_SECONDS = 5.0
"""A mark that is this much later than the audio before it will not come back.

Audio leaves in real time, so a far end that answers has little queued; this
leaves room for a network that stalls.
"""


@dataclass(frozen=True, slots=True)
class _Draining:
    """A finished generation that the far end has not played out yet."""

    heard: Heard
    due: float
    """When it is taken to be played out, in the clock of ``now``."""
    awaits_mark: bool
    """Whether the far end is expected to say so before."""


class Lane:
    """One leg in the engine.

    ``far_buffer_ms`` is how much audio the far end is taken to hold before it
    plays it, where it cannot say: 60 ms, the usual depth of a telephone's
    jitter buffer.
    """

    __slots__ = (
        "_last_drained",
        "_next_mark",
        "_pending_drains",
        "active",
        "begins",
        "chain",
        "draining",
        "ears",
        "far_buffer_ms",
        "frame_samples",
        "frames_heard",
        "id",
        "idle_ticks",
        "inlet",
        "marks",
        "odd_marks",
        "on_close",
        "on_fault",
        "on_second",
        "outlet",
        "phase",
        "played_generation",
        "played_samples",
        "playout",
        "quality_row",
        "rate_hz",
        "round_trip_seconds",
        "sent_ahead",
        "shown_later",
        "taps",
        "wants_activity",
    )

    def __init__(
        self,
        id: str,
        *,
        inlet: Inlet,
        outlet: Outlet,
        rate_hz: int = 8000,
        far_buffer_ms: int = 60,
        playout_limit_ms: int = 60_000,
        live: bool = False,
        chain: ChainStages | None = None,
    ) -> None:
        self.id = id
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.inlet = inlet
        self.outlet = outlet
        self.playout = Playout(rate_hz, limit_ms=playout_limit_ms, live=live)
        self.far_buffer_ms = far_buffer_ms
        self.round_trip_seconds = 0.0
        """What RTCP says; half of it is audio on its way."""
        self.ears: list[Ear] = []
        self.taps: list[Tap] = []
        self.wants_activity = 0
        """How many ears asked for voice activity."""
        self.chain = chain
        """Which stages its audio goes through; `Engine.set_chain` changes it once it is open."""
        self.active = False
        """True while the engine drives it."""
        self.on_fault: Callable[[Lane, Exception], None] | None = None
        """Told when an ear raises; without it the exception goes on."""
        self.phase = -1
        self.quality_row = -1
        """Its row of the engine's quality bank; -1: it has none."""
        self.on_second: Callable[[float], None] | None = None
        """Told about once a second, while the lane is open."""
        self.on_close: Callable[[], None] | None = None
        """Told when it is about to be closed, with its rows still there."""
        self.frames_heard = 0
        self.idle_ticks = 0
        """Ticks since a frame last arrived (stream inlets)."""
        self.sent_ahead = 0
        """Frames the far end's queue holds beyond real time."""
        self.shown_later: deque[bytes] = deque()
        """Frames that left ahead of their tick and that the taps see later."""
        self.played_generation = -1
        """The generation of the last mark that came back; -1: none ever did."""
        self.played_samples = 0
        self.odd_marks = 0
        """Marks that came back for audio that never left, or was cleared."""
        self._next_mark = 0
        self.marks = outlet.marks
        """Whether the far end tells what it has played."""
        self._pending_drains: list[_Draining] = []
        self._last_drained: Heard | None = None
        self.draining = False
        """True while a finished generation is still in the far end's buffer."""
        self.begins = False
        """True from a generation's first frame until the ears have been told."""

    # -- what the engine calls -------------------------------------------------

    def take(self, now: float) -> bytes | None:
        """The next frame to send; `after_send` and `tell_started` follow when it has left."""
        frame, begins, ends = self.playout.take()
        if begins:
            self._next_mark = 0
            self.begins = True
        if ends:
            self._ended(now, with_frame=frame is not None)
        return frame

    def tell_started(self, now: float) -> None:
        """Tell the ears that the generation now playing has begun to leave."""
        self.begins = False
        generation = self.playout.playing
        for ear in tuple(self.ears):
            self._tell(ear.started, generation, now)

    def after_send(self) -> None:
        """A frame has left: ask for a mark when one is due (with ``marks`` only)."""
        sent = self.playout.sent_samples
        if sent >= self._next_mark:
            self.outlet.mark(self.playout.playing, sent)
            self._next_mark = sent + self.rate_hz * MARK_EVERY_MS // 1000

    def _ended(self, now: float, *, with_frame: bool) -> None:
        """A finished generation has left; it is heard a little later."""
        generation, sent = self.playout.playing, self.playout.sent_samples
        due = now + self.sent_ahead * FRAME_MS / 1000 + self._far_seconds()
        awaits_mark = self.marks and self.played_generation >= 0
        if awaits_mark:
            # The far end answers marks: its answer to the last one drains us.
            due += MARK_PATIENCE_SECONDS
        self._pending_drains.append(_Draining(Heard(generation, sent, 0, False), due, awaits_mark))
        self.draining = True
        self._next_mark = sent
        if self.marks and not with_frame:
            # No frame follows that could take the last mark along.
            self.outlet.mark(generation, sent)

    def drain(self, now: float) -> None:
        """Tell the ears of generations that have been played out."""
        count = 0
        for number, entry in enumerate(self._pending_drains, 1):
            if entry.due <= now:
                count = number  # and all before it: they are played in order
                if entry.awaits_mark:
                    # Its answer was lost, or the far end stopped answering: do
                    # not wait for marks until one comes back.
                    self.played_generation = -1
        if count:
            self._drained(count, now, exact=False)

    def _drained(self, count: int, now: float, *, exact: bool) -> None:
        """The first so many finished generations have been played out."""
        due, self._pending_drains = self._pending_drains[:count], self._pending_drains[count:]
        self.draining = bool(self._pending_drains)
        for entry in due:
            heard = self._last_drained = entry.heard._replace(exact=exact)
            for ear in tuple(self.ears):
                self._tell(ear.drained, heard, now)

    def _tell(self, method: Callable[..., None], *args: object) -> None:
        """Call an ear; one that raises must not keep the others from being told."""
        try:
            method(*args)
        except Exception as error:
            if self.on_fault is None:
                raise
            self.on_fault(self, error)

    # -- what a transport calls --------------------------------------------------

    def mark_played(self, generation: int, samples: int, now: float) -> None:
        """The far end has played this much of a generation, and all before it.

        A far end that says it has played what never left is counted, not believed.
        """
        played, playout = (generation, samples), self.playout
        if generation < playout.floor or played > (playout.playing, playout.sent_samples):
            self.odd_marks += 1
            return
        if played < (self.played_generation, self.played_samples):
            return
        self.played_generation = generation
        self.played_samples = samples
        count = sum(entry.heard[:2] <= played for entry in self._pending_drains)
        if count:
            self._drained(count, now, exact=True)

    def succeed(self, old: "Lane", now: float) -> None:
        """Go on where another lane of this rate stops: what waits there is played here.

        What has left the old lane counts as heard. Its ears must still be on it.
        """
        if old._pending_drains:
            old._drained(len(old._pending_drains), now, exact=False)
        self.playout, old.playout = old.playout, self.playout
        self.begins, old.begins = old.begins, False
        self._last_drained = old._last_drained

    # -- what barge-in calls -------------------------------------------------------

    def clear(self, floor: int) -> Heard:
        """Drop everything queued here and at the far end; say what was heard.

        ``floor`` is the first generation that may be played from now on. What was
        heard is told of the generation that last began to leave; of the next one
        in the queue when the far end had played out everything before.
        """
        cleared = self.playout.clear(floor)
        generation, sent = cleared.generation, cleared.sent_samples
        if self._pending_drains and not sent:
            # Everything that began had left; what is being heard is the tail of it.
            generation, sent, *_ = self._pending_drains[-1].heard
        last = self._last_drained
        if last is not None and (generation, sent) == last[:2]:
            heard = last._replace(queued_samples=cleared.dropped_samples)
        else:
            heard = self._heard(generation, sent, cleared.dropped_samples)
        self._pending_drains = []
        self.draining = False
        self.begins = False
        self.sent_ahead = 0
        self.shown_later.clear()
        self.outlet.cleared()
        return heard

    def _heard(self, generation: int, sent: int, queued: int) -> Heard:
        """What the far end heard of a generation of which ``sent`` samples left."""
        if self.marks and self.played_generation >= 0:
            played = self.played_samples if self.played_generation == generation else 0
            return Heard(generation, min(played, sent), queued, True)
        ahead = self.sent_ahead * self.frame_samples
        far = int(self._far_seconds() * self.rate_hz)
        return Heard(generation, max(0, sent - far - ahead), queued, False)

    def _far_seconds(self) -> float:
        """Audio on its way or in the far end's buffer."""
        return self.far_buffer_ms / 1000 + self.round_trip_seconds / 2
