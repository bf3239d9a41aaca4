"""The media side of a call, as an agent or an app reaches it.

`CallLine` implements ``agent.line.Line`` on a leg's lane. Methods may be called
from the application's thread before the leg has media (a ringing call): what
they ask for is kept and done when the lane opens.
"""

import threading
from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.line import Ear, Heard
from trunkline.media.lane import Lane, Tap
from trunkline.transports.media_thread import MediaThread

__all__ = ["CallLine"]

Frame = NDArray[np.int16]


class CallLine:
    """One call's ears, taps and playout, reachable from any thread."""

    def __init__(self, id: str, rate_hz: int, media: MediaThread) -> None:
        self.id = id
        self.rate_hz = rate_hz
        self.media = media
        """The media thread it lives on."""
        self._lane: Lane | None = None
        self._ears: list[tuple[Ear, bool]] = []
        self._taps: list[Tap] = []
        self._early: list[tuple[Frame | bytes | None, int]] = []
        self._over = False
        # Generations are given out on both threads: by `finish` on the
        # application's, by `clear` on the media thread.
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._generation = 0
        self._floor = 0

    @property
    def generation(self) -> int:
        """The generation new audio must carry."""
        return self._generation

    @property
    def lane(self) -> Lane | None:
        """The leg's place in the engine; None while it has no audio. Media thread."""
        return self._lane

    @property
    def closed(self) -> bool:
        """True once the leg has ended. Media thread."""
        return self._over

    @property
    def floor(self) -> int:
        """The first generation that may still be played."""
        return self._floor

    # -- any thread ----------------------------------------------------------------

    def listen(self, ear: Ear, *, activity: bool = True) -> None:
        """See `trunkline.agent.line.Line.listen`."""
        self.on_media(self._listen, ear, activity)

    def unlisten(self, ear: Ear) -> None:
        """See `trunkline.agent.line.Line.unlisten`."""
        self.on_media(self._unlisten, ear)

    def tap(self, tap: Tap) -> None:
        """Have a tap see both directions, from the next tick on."""
        self.on_media(self._tap, tap)

    def untap(self, tap: Tap) -> None:
        """Stop a tap."""
        self.on_media(self._untap, tap)

    def play(self, pcm: Frame | bytes, generation: int) -> None:
        """See `trunkline.agent.line.Line.play`."""
        self.on_media(self.push, pcm, generation)

    def finish(self, generation: int) -> None:
        """See `trunkline.agent.line.Line.finish`."""
        with self._lock:
            if generation == self._generation:
                self._generation = next(self._numbers)
        self.on_media(self.push, None, generation)

    def on_media(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback on the media thread."""
        self.media.to_media.post(callback, *args)

    # -- media thread -----------------------------------------------------------------

    def post(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback on the application's loop; crosses at the end of the tick."""
        self.media.to_app.put(callback, *args)

    def clear(self, now: float) -> Heard:
        """See `trunkline.agent.line.Line.clear`."""
        with self._lock:
            old = self._generation
            floor = self._floor = self._generation = next(self._numbers)
        self._early.clear()
        if self._lane is None:
            return Heard(old, 0, 0, False)
        return self._lane.clear(floor)

    def open(self, lane: Lane) -> None:
        """The leg has media: do what was asked for before.

        Another lane than before, as when somebody else answers than was heard ringing, takes
        its place.
        """
        if self._lane is lane or self._over:
            return
        before, self._lane = self._lane, lane
        if before is not None:
            for ear, activity in self._ears:
                self._detach(before, ear, activity)
            before.taps[:] = [tap for tap in before.taps if tap not in self._taps]
        for ear, activity in self._ears:
            self._attach(lane, ear, activity)
        lane.taps.extend(self._taps)
        early, self._early = self._early, []
        for pcm, generation in early:
            self.push(pcm, generation)

    def move(self, lane: Lane, now: float) -> None:
        """The call has other media: ears, taps and what is queued go there."""
        old = self._lane
        if old is None or old is lane:
            self.open(lane)
            return
        lane.succeed(old, now)
        for ear, activity in self._ears:
            self._detach(old, ear, activity)
            self._attach(lane, ear, activity)
        for tap in self._taps:
            if tap in old.taps:
                old.taps.remove(tap)
            lane.taps.append(tap)
        self._lane = lane

    def digit(self, digit: str, now: float) -> None:
        """The far end pressed a key."""
        for ear, _ in tuple(self._ears):
            ear.digit(digit, now)

    def close(self, now: float) -> None:
        """The call is over: ears are told once, and let go with the taps."""
        if self._over:
            return
        self._over = True
        ears, self._ears = self._ears, []
        for ear, activity in ears:
            if self._lane is not None:
                self._detach(self._lane, ear, activity)
            ear.ended(now)
        for tap in tuple(self._taps):
            self._untap(tap)
        self._early.clear()

    def _listen(self, ear: Ear, activity: bool) -> None:
        if self._over:
            ear.ended(self.media.now())
            return
        self._ears.append((ear, activity))
        if self._lane is not None:
            self._attach(self._lane, ear, activity)

    def _unlisten(self, ear: Ear) -> None:
        for entry in self._ears:
            if entry[0] is ear:
                self._ears.remove(entry)
                if self._lane is not None:
                    self._detach(self._lane, *entry)
                return

    def _attach(self, lane: Lane, ear: Ear, activity: bool) -> None:
        lane.ears.append(ear)
        if activity:
            self.media.engine.want_activity(lane)

    def _detach(self, lane: Lane, ear: Ear, activity: bool) -> None:
        if ear in lane.ears:
            lane.ears.remove(ear)
            if activity:
                self.media.engine.drop_activity(lane)

    def _tap(self, tap: Tap) -> None:
        if not self._over:
            self._taps.append(tap)
            if self._lane is not None:
                self._lane.taps.append(tap)

    def _untap(self, tap: Tap) -> None:
        if tap in self._taps:
            self._taps.remove(tap)
        if self._lane is not None and tap in self._lane.taps:
            self._lane.taps.remove(tap)

    def push(self, pcm: Frame | bytes | None, generation: int) -> None:
        """`play` without crossing (and `finish`, for None). Media thread only."""
        lane = self._lane
        if self._over:
            return
        if lane is None:
            if generation >= self._floor:
                self._early.append((pcm, generation))
        elif pcm is None:
            lane.playout.finish(generation)
        else:
            self.media.engine.push(lane, pcm, generation)
