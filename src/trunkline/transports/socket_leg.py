"""What legs on a WebSocket have in common: the whole call is one connection.

The call is already up when such a leg appears (Twilio answered it, the browser's
user pressed a button), so ringing and early media mean nothing here, answering
only says so, and closing the socket is how one hangs up.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Literal

from trunkline.media.g711 import Law
from trunkline.media.lane import Lane, StreamInlet

from .chain_figures import chain_figures
from .leg import Answered, Direction, Ended, LegEvent, LegReceiver, Party
from .leg_events import LegEvents
from .media_thread import MediaThread
from .websocket import Closed, Connection

__all__ = ["SocketLeg", "SocketOutlet", "clean_name", "mark_name", "parse_mark"]

log = logging.getLogger(__name__)

_NAME_CHARACTERS = 128
LEAD_FRAMES = 2
"""Sent ahead when speech begins: 40 ms in the far queue ride out our tick and the network."""
_ALIGN_AFTER_FRAMES = 10
_ALIGN_EVERY_FRAMES = 50
_ALIGN_MARGIN_SECONDS = 0.003
_STRAYED_CHECKS = 3
"""A leg changes its phase when so many checks in a row say that it should: one may have
fallen into a moment in which the thread was busy."""
_CLOSE_CODES = {"error": 1011, "timeout": 1008, "media-timeout": 1001}


class SocketOutlet:
    """Where the engine's frames go; subclasses say in which words."""

    encoding: Law | None = None
    lead_frames: int = LEAD_FRAMES
    continuous: bool = False
    marks: bool = True

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lane: Lane | None = None
        self.busy = False
        self.cleared_below = 0
        """Marks of generations below this one come back because of a clear."""

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """One frame."""
        raise NotImplementedError

    def mark(self, generation: int, samples: int) -> None:
        """Ask when what was sent has been played."""
        raise NotImplementedError

    def clear(self) -> None:
        """Have the far end drop its queue."""
        raise NotImplementedError

    def cleared(self) -> None:
        """Our own queue was dropped."""
        if self.lane is not None:
            self.cleared_below = self.lane.playout.floor
        self.clear()

    def second(self, now: float) -> None:
        """Nothing to do."""


class SocketLeg:
    """One call on one WebSocket. Implements `leg.Leg`; media thread only."""

    direction: Direction = "inbound"

    def __init__(
        self,
        *,
        id: str,
        transport: str,
        party: Party,
        encoding: Law | None,
        outlet: SocketOutlet,
        media: MediaThread,
    ) -> None:
        inlet = StreamInlet(8000, encoding)
        lane = outlet.lane = Lane(id, inlet=inlet, outlet=outlet)
        self.id = id
        self.transport = transport
        self.party = party
        self.lane: Lane | None = lane
        self.unsupported = 0
        """Requests this transport cannot carry out, such as keys towards the far end."""
        self._lane = lane
        self._inlet = inlet
        self._outlet = outlet
        self._media = media
        self._engine = media.engine
        self._connection = outlet.connection
        self._frames = 0
        self._strayed = 0
        self._loop = asyncio.get_running_loop()
        self._events = LegEvents(self, self._loop)
        self._answered = False
        self._ended = False
        self._figures: dict[str, float] = {}  # what the chain said at the end

    def begin(self, receiver: LegReceiver) -> None:
        """Open the lane and hand the leg over; a receiver that fails ends it."""
        now = self._loop.time()
        self._engine.open(self._lane)
        try:
            observer = receiver(self, now)
        except Exception:
            log.exception("nobody took leg %s", self.id)
            self.hangup("error")
            return
        self._events.observe(observer)

    # -- Leg ---------------------------------------------------------------------------

    def ring(self) -> None:
        """Nothing to do: the far end was answered before it reached us."""

    def early_media(self) -> None:
        """Nothing to do: audio flows already."""

    def answer(self) -> None:
        """Say that the call is up. Legal more than once."""
        if not self._answered and not self._ended:
            self._answered = True
            self.emit(Answered())

    def reject(self, code: int, reason: str = "") -> None:
        """Close the socket; ``code`` is only written down."""
        self.end("rejected", "us", code=code, detail=reason)

    def hangup(self, reason: str = "hangup") -> None:
        """Close the socket. Legal more than once."""
        self.end(reason, "us")

    takes_keys = False

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Not possible on a media stream; counted."""
        self.unsupported += 1

    def statistics(self) -> Mapping[str, float]:
        """Frames in both directions, and what was lost at our edges."""
        return {
            "frames_received": float(self._lane.frames_heard),
            "frames_sent": float(self._lane.playout.frames_taken),
            "frames_overflowed": float(self._inlet.overflow_frames),
            "messages_dropped": float(self._connection.dropped_messages),
            "requests_unsupported": float(self.unsupported),
            **(self._figures or chain_figures(self._engine, self._lane)),
        }

    # -- for the transport -----------------------------------------------------------------

    def push(self, payload: bytes) -> None:
        """File received audio, as it came."""
        self._inlet.push(payload)
        self._frames += 1
        if self._frames % _ALIGN_EVERY_FRAMES == _ALIGN_AFTER_FRAMES:
            self._align()

    def mark_reached(self, name: str) -> bool:
        """A mark came back; False if it was not one of ours."""
        mark = parse_mark(name)
        if mark is None:
            return False
        generation, samples = mark
        if generation >= self._outlet.cleared_below:
            self._lane.mark_played(generation, samples, self._loop.time())
        return True

    def emit(self, event: LegEvent) -> None:
        """Tell the observer, soon."""
        self._events.emit(event)

    def end(
        self, reason: str, by: Literal["us", "them"], *, code: int | None = None, detail: str = ""
    ) -> None:
        """Free everything, close the socket, tell the observer. Only the first counts."""
        if self._ended:
            return
        self._ended = True
        self._figures = chain_figures(self._engine, self._lane)
        self._engine.close(self._lane)
        self.emit(Ended(reason, by, code, detail))
        self._connection.close(_CLOSE_CODES.get(reason, 1000), reason)

    def connection_closed(self, closed: Closed) -> None:
        """The socket is gone; unless we knew already, that was the end."""
        reason = "hangup" if closed.clean else "error"
        if closed.reason == "the peer fell silent":
            reason = "media-timeout"
        self.end(reason, closed.by, code=closed.code, detail=closed.reason)

    def _align(self) -> None:
        """Have its tick follow its audio: up to 15 ms less delay.

        Not by the loop's own clock: that stands still while the loop is busy, and a
        phase that is right by a clock 4 ms slow comes just before the audio.
        """
        phase = self._media.clock.phase_after(time.monotonic() + _ALIGN_MARGIN_SECONDS)
        self._strayed = self._strayed + 1 if phase != self._lane.phase else 0
        if self._frames == _ALIGN_AFTER_FRAMES or self._strayed >= _STRAYED_CHECKS:
            self._strayed = 0
            self._engine.align(self._lane, phase)


def clean_name(text: str) -> str:
    """What a peer calls somebody, made fit for logs and records."""
    return "".join(filter(str.isprintable, text[:_NAME_CHARACTERS]))


def mark_name(generation: int, samples: int) -> str:
    """The name of the mark after this much of a generation."""
    return f"{generation}:{samples}"


def parse_mark(name: str) -> tuple[int, int] | None:
    """Generation and samples of one of our marks; None for anybody else's."""
    generation, colon, samples = name[:40].partition(":")
    if colon and generation.isdecimal() and samples.isdecimal():
        return int(generation), int(samples)
    return None
