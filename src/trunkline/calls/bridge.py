"""Bridges: two calls whose far ends hear each other.

    await bridge(a, b)

``apps.bridge_to`` places the second call itself. A `Bridge` lives on the media thread: audio
passes from lane to lane in the engine (`trunkline.media.joints`), and what a leg says (it
rings, is answered, holds, presses a key, ends) is carried to the other leg there, so an
application that is busy delays nothing.

Early media: as soon as both legs have audio they hear each other, before the answer too.
A caller who is not answered yet hears the far end's own ringing, announcements and music.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trunkline.errors import UsageError
from trunkline.media.joints import Joint
from trunkline.media.lane import Lane
from trunkline.media.waiting_tones import ringback
from trunkline.transports.leg import (
    Answered,
    Digit,
    EarlyMedia,
    Ended,
    Held,
    HoldableLeg,
    LegEvent,
    Resumed,
    Ringing,
)

from .bridge_codes import refusal
from .call import Call
from .events import CallBridged, CallEnded, CallUnbridged
from .guests import Guest, Guests
from .music import MusicSource

__all__ = ["Bridge", "BridgeOptions", "bridge", "bridge_of"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """What is carried from one side of a bridge to the other."""

    hold: Literal["carry", "music", "silence"] = "carry"
    """When one side puts us on hold, the other is held too, hears music, or hears nothing.
    A far end that cannot be held (a media stream) hears music instead."""
    music: str | Path = ""
    """A WAV file for that; empty is the node's music."""
    keys: bool = True
    """Press towards one side what the other presses."""
    early_media: bool = True
    """Let a caller who is not answered hear the called far end before it answers."""
    ringback: bool = True
    """Let a caller who is answered already hear a ringing tone until the called far end is."""
    end_other: bool = True
    """End one side when the other has ended."""


class Bridge:
    """Two calls, joined. Make it on the application's loop, then `open` it."""

    def __init__(self, a: Call, b: Call | None = None, options: BridgeOptions | None = None):
        self.options = options or BridgeOptions()
        self.media = a.media
        self._sides: list[Call] = [a] if b is None else [a, b]
        self._guests = Guests()
        self._joint = Joint()
        self._deaf: set[Call] = set()  # who hears nothing while the other side is away
        self._holders: set[Call] = set()
        self._carried: Call | None = None  # whose hold the other side was told of
        self._up: set[Call] = set()
        self._ringing: Call | None = None  # who hears our ringing tone
        self._joined = False
        self._closed = False
        self._end: asyncio.Future[CallEnded | None] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """True once one side has ended, or it was closed."""
        return self._closed

    @property
    def sides(self) -> tuple[Call, ...]:
        """The two calls."""
        return tuple(self._sides)

    # -- the application's side ----------------------------------------------------------

    async def open(self) -> None:
        """Have them hear each other, as soon as both have audio.

        Raises `UsageError` for a call on another bridge, or for the same call twice.
        """
        if len(set(self._sides)) < len(self._sides):
            raise UsageError("a call is not bridged with itself")
        await self.media.run(self._open)

    def add_called(self, b: Call) -> None:
        """The second side, just placed: before any event of it. Media thread only."""
        self._sides.append(b)
        self._attach(b)
        if self._closed:
            # Whoever wanted it has hung up meanwhile.
            self.media.loop.call_soon(b.leg.hangup, "cancelled")

    async def wait(self) -> CallEnded | None:
        """Wait until one side has ended, and say how; None if the bridge was closed."""
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Part the two and leave them as they are. Legal more than once."""
        await self.media.run(self._close)

    def close_now(self) -> None:
        """`close` without waiting. Media thread only."""
        self._close()

    async def listen(self, call: Call, *, level_db: float = 0.0) -> None:
        """Let a third call hear both sides; neither hears it."""
        await self._admit(call, Guest("listen", None, level_db))

    async def whisper(self, call: Call, to: Call, *, level_db: float = 0.0) -> None:
        """Let a third call hear both sides, and one side hear it."""
        if to not in self._sides:
            raise UsageError(f"{to!r} is no side of this bridge")
        await self._admit(call, Guest("whisper", to, level_db))

    async def barge(self, call: Call, *, level_db: float = 0.0) -> None:
        """Let a third call and both sides hear each other."""
        await self._admit(call, Guest("barge", None, level_db))

    async def leave(self, call: Call) -> None:
        """Let a third call go; the two sides are joined as before. Legal more than once."""
        await self.media.run(self._dismiss, call)

    async def _admit(self, call: Call, guest: Guest) -> None:
        """Legal again and again: that changes how it takes part.

        Raises `UsageError` for a call without audio or on another bridge, and for a level
        above 18 dB.
        """
        await self.media.run(self._take_in, call, guest)

    async def replace(self, old: Call, new: Call) -> None:
        """Put another call in the place of one side; the remaining side loses no frame.

        The old call is left as it is: hang it up, or go on with it. Raises `UsageError` for
        a call that has no audio, is on another bridge, or is no side.
        """
        await self.media.run(self._replace, old, new)

    # -- opening and closing, on the media thread ------------------------------------------

    def _open(self) -> None:
        for call in self._sides:
            if call.bridged is not None:
                raise UsageError(f"{call!r} is bridged already")
        for call in self._sides:
            self._attach(call)
        for call in self._sides:
            if call.closed:
                self._side_ended(call, None)
                return
        self._settle()

    def _attach(self, call: Call) -> None:
        call.bridged = self
        call.watch_leg(self._told)
        if call.is_answered and not call.closed:
            self._up.add(call)

    def _detach(self, call: Call) -> None:
        call.unwatch_leg(self._told)
        if call.bridged is self:
            call.bridged = None
        self._up.discard(call)
        self._deaf.discard(call)
        self._holders.discard(call)
        if self._ringing is call:
            self._stop_ringing()
        if call.lane is not None:
            self.media.engine.part(call.lane)

    def _close(self, end: CallEnded | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        now = self.media.now()
        if self._carried is not None and (end is None or not self.options.end_other):
            self._release(self._carried)
        for call in (*self._sides, *self._guests.calls):
            self._detach(call)
        if self._joined and len(self._sides) == 2:
            for call, other in (self._sides, self._sides[::-1]):
                call.post(call.tell, CallUnbridged(call.id, now, other.id))
        self._sides[0].post(self._tell_end, end)
        self.media.to_app.flush()

    def _tell_end(self, end: CallEnded | None) -> None:
        if not self._end.done():
            self._end.set_result(end)

    # -- what the legs say, on the media thread ----------------------------------------------

    def _told(self, call: Call, event: LegEvent, now: float) -> None:
        if call in self._guests:
            if isinstance(event, Ended):
                self._dismiss(call)
            elif isinstance(event, Answered | EarlyMedia):
                self._settle()
            return
        other = self._other(call)
        match event:
            case Ended():
                self._side_ended(call, event)
            case Answered():
                self._answered(call, other)
            case Ringing() | EarlyMedia() if other is not None and call.direction == "outbound":
                if isinstance(event, EarlyMedia) and self.options.early_media:
                    self._stop_ringing()
                    other.leg.early_media()
                    self._settle()
                else:
                    self._rings(other)
            case EarlyMedia():
                self._settle()
            case Digit(digit, duration_ms) if other is not None and self.options.keys:
                _press(other, digit, duration_ms)
            case Held():
                self._holds(call)
            case Resumed():
                self._resumes(call)

    def _other(self, call: Call) -> Call | None:
        """The other side."""
        if len(self._sides) < 2:
            return None
        return self._sides[1] if call is self._sides[0] else self._sides[0]

    def _answered(self, call: Call, other: Call | None) -> None:
        self._up.add(call)
        self._stop_ringing()
        if other is not None and call.direction == "outbound" and other not in self._up:
            other.leg.answer()
        self._settle()
        for holder in tuple(self._holders):
            self._holds(holder)

    def _rings(self, other: Call) -> None:
        """The called side is alerting: its caller is told, or hears so."""
        if other not in self._up:
            other.leg.ring()
        elif self.options.ringback and self._ringing is None:
            self._ringing = other
            other.post(other.play_music, MusicSource(samples=ringback(other.rate_hz)))

    def _stop_ringing(self) -> None:
        call, self._ringing = self._ringing, None
        if call is not None:
            call.clear(self.media.now())  # now, whatever the application is doing
            call.post(call.stop_music)

    def _side_ended(self, call: Call, event: Ended | None) -> None:
        other, end = self._other(call), None
        if event is not None:
            at = self.media.now()
            end = CallEnded(call.id, at, event.reason, event.by, event.code, event.detail)
        others_up = other in self._up
        self._close(end or call.end)
        if other is None or other.closed or not self.options.end_other:
            return
        if other.direction == "inbound" and not others_up:
            other.leg.reject(*refusal(end or call.end))
        other.leg.hangup("hangup" if others_up else "cancelled")

    # -- hold ----------------------------------------------------------------------------------

    def _holds(self, call: Call) -> None:
        """One side is away; what the other makes of it is told once, by the first to go."""
        self._holders.add(call)
        if self._carried is not None:
            return
        other, music = self._other(call), self.options.hold == "music"
        if other is None or other not in self._up:
            return
        self._carried = call
        if self.options.hold == "silence":
            self._deaf.add(other)
            self._settle()
        elif music or not _hold(other, held=True):
            path = self.options.music
            other.post(lambda: other.play_music(other.music_source(path or True)))

    def _resumes(self, call: Call) -> None:
        self._holders.discard(call)
        if self._carried is call:
            self._release(call)
            other = self._other(call)
            if other in self._holders:  # it went away of its own accord meanwhile
                self._holds(other)

    def _release(self, call: Call) -> None:
        """Undo what `_holds` did."""
        self._carried = None
        other = self._other(call)
        if other is None or other.closed:
            return
        if other in self._deaf:
            self._deaf.discard(other)
            self._settle()
        elif self.options.hold == "music" or not _hold(other, held=False):
            other.post(other.stop_music)

    # -- who hears whom, on the media thread -----------------------------------------------------

    def _settle(self) -> None:
        """Make the engine do as it should be; nothing is heard of a call without audio."""
        if self._closed:
            return
        lanes = {
            call: call.lane
            for call in (*self._sides, *self._guests.calls)
            if call.lane is not None and call.lane.active and not call.closed
        }
        wanted = set(lanes.values())
        for lane in tuple(self._joint.lanes):
            if lane not in wanted:
                self.media.engine.part(lane)
        for lane in wanted.difference(self._joint.lanes):
            self._joint.add(lane)
        for listener, ear in lanes.items():
            for speaker, mouth in lanes.items():
                if speaker is not listener:
                    self._joint.hear(ear, mouth, self._level(listener, speaker))
        self.media.engine.join(self._joint)
        self._tell_joined(lanes)

    def _level(self, listener: Call, speaker: Call) -> float | None:
        """How loud one hears another; None not at all."""
        if listener in self._deaf:
            return None
        if listener in self._sides and speaker in self._sides:
            return 0.0
        return self._guests.level(listener, speaker)

    def _tell_joined(self, lanes: Mapping[Call, Lane]) -> None:
        if self._joined or not self._up.issuperset(self._sides) or len(self._sides) < 2:
            return
        if all(call in lanes for call in self._sides):
            self._joined = True
            self._tell_bridged(*self._sides)

    def _tell_bridged(self, a: Call, b: Call) -> None:
        now = self.media.now()
        for call, other in ((a, b), (b, a)):
            call.post(call.tell, CallBridged(call.id, now, other.id))
        self.media.to_app.flush()

    # -- third calls, on the media thread --------------------------------------------------------

    def _take_in(self, call: Call, guest: Guest) -> None:
        if self._closed:
            raise UsageError("this bridge is over")
        if call in self._sides or call.bridged not in (None, self):
            raise UsageError(f"{call!r} is bridged already")
        if call.lane is None or not call.lane.active:
            raise UsageError(f"{call!r} has no audio")
        if call not in self._guests:
            self._attach(call)
        self._guests.admit(call, guest)
        self._settle()

    def _dismiss(self, call: Call) -> None:
        if self._guests.dismiss(call):
            self._detach(call)

    def _replace(self, old: Call, new: Call) -> None:
        if self._closed or old not in self._sides:
            raise UsageError(f"{old!r} is no side of this bridge")
        if new in self._sides or new.bridged not in (None, self):
            raise UsageError(f"{new!r} is bridged already")
        if new.lane is None or not new.lane.active:
            raise UsageError(f"{new!r} has no audio")
        if self._carried is not None:
            self._release(self._carried)
        self._dismiss(new)  # a supervisor may take over
        self._stop_ringing()
        self._detach(old)
        self._guests.readdress(old, new)
        self._sides[self._sides.index(old)] = new
        self._attach(new)
        self._joined = True
        self._settle()
        stays = self._other(new)
        if stays is not None:
            if stays in self._holders:
                self._holds(stays)
            now = self.media.now()
            old.post(old.tell, CallUnbridged(old.id, now, stays.id))
            self._tell_bridged(new, stays)


def _hold(call: Call, *, held: bool) -> bool:
    """Put a call on hold, or take it off; False if it cannot be."""
    leg = call.leg
    if not isinstance(leg, HoldableLeg):
        return False
    try:
        if held:
            leg.hold()
        else:
            leg.resume()
    except UsageError:
        return False
    return True


def _press(call: Call, digit: str, duration_ms: int) -> None:
    try:
        call.press(digit, duration_ms or 100)
    except UsageError as error:
        log.info("call %s: key not carried across: %s", call.id, error)


def bridge_of(call: Call) -> Bridge | None:
    """The bridge that a call is on, as a side or a third call."""
    return call.bridged if isinstance(call.bridged, Bridge) else None


async def bridge(a: Call, b: Call, options: BridgeOptions | None = None) -> CallEnded | None:
    """Have two calls hear each other until one ends; then the other is ended too.

    Returns how the first ended. Cancelled, it parts the two and leaves them as they are.
    Raises `UsageError` for a call on another bridge.
    """
    joined = Bridge(a, b, options)
    await joined.open()
    try:
        return await joined.wait()
    finally:
        await joined.close()
