"""Frames of lanes whose audio comes in order: taken together, and hurried when late."""

import numpy as np
from numpy.typing import NDArray

from .g711 import DECODE, Law
from .lane import Frame, Lane, StreamInlet

__all__ = ["BEHIND_SECONDS", "CATCH_UP_FRAMES", "SILENT_AFTER_TICKS", "LaneStreams"]

SILENT_AFTER_TICKS = 5
"""After 100 ms without audio a stream that stopped is heard as silence."""
CATCH_UP_FRAMES = 3
"""A stream that is this far behind is heard two frames a tick until it is not."""
BEHIND_SECONDS = 3
"""A stream that always had a frame waiting, as after one missed tick, is heard one frame
early in a pause, or after so many seconds at any moment: else the delay would stay."""
QUIET = 328
"""-40 dBFS."""


class LaneStreams:
    """Takes what comes on streams: one frame a tick, a second one of those behind."""

    def __init__(self, frame_samples: int) -> None:
        self._frame = frame_samples
        self.frames = 0
        """Frames taken."""

    def take(self, lanes: list[Lane]) -> list[Frame | None]:
        """One frame from each stream that has one, decoded together."""
        heard: list[Frame | None] = [None] * len(lanes)
        for law in (*Law, None):
            chosen: list[int] = []
            parts: list[bytes] = []
            for index, lane in enumerate(lanes):
                inlet = lane.inlet
                if isinstance(inlet, StreamInlet) and inlet.encoding is law and inlet.frames:
                    chosen.append(index)
                    parts.append(inlet.frames.popleft())
            if not parts:
                continue
            self.frames += len(parts)
            block = self._decode(b"".join(parts), law)
            for index, frame in zip(chosen, block, strict=True):
                heard[index] = frame
        for index, lane in enumerate(lanes):
            if heard[index] is not None:
                lane.idle_ticks = 0
                continue
            lane.idle_ticks += 1
            if lane.idle_ticks > SILENT_AFTER_TICKS:
                heard[index] = np.zeros(self._frame, np.int16)
        return heard

    def late(self, lanes: list[Lane]) -> list[tuple[Lane, Frame]]:
        """A frame more of each stream that fell behind, to be heard faster than real time.

        After a stall the backlog must not stay as delay.
        """
        late: list[tuple[Lane, Frame]] = []
        for lane in lanes:
            inlet = lane.inlet
            if not isinstance(inlet, StreamInlet):
                continue
            left = len(inlet.frames)
            if left < inlet.least_frames:
                inlet.least_frames = left
            far_behind = left >= CATCH_UP_FRAMES
            if not far_behind and not (left and inlet.seconds_behind):
                continue
            frame = self._decode(inlet.frames[0], inlet.encoding)[0]
            if not far_behind and not _may_be_early(frame, inlet):
                continue
            inlet.frames.popleft()
            inlet.seconds_behind = 0
            late.append((lane, frame))
        self.frames += len(late)
        return late

    def _decode(self, joined: bytes, law: Law | None) -> NDArray[np.int16]:
        if law is None:
            pcm = np.frombuffer(joined, "<i2")
        else:
            pcm = DECODE[law].take(np.frombuffer(joined, np.uint8))
        return pcm.reshape(-1, self._frame)


def _may_be_early(frame: Frame, inlet: StreamInlet) -> bool:
    """Whether a frame nobody waits for may be heard now: in a pause, or after long enough.

    What is recorded has no place for it, so it had better be quiet.
    """
    if inlet.seconds_behind > BEHIND_SECONDS:
        return True
    return int(frame.max()) < QUIET and int(frame.min()) > -QUIET
