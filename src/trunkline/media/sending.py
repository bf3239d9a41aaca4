"""What lanes send: frames from their playouts, encoded together, sent one by one."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .g711 import ENCODE, Law
from .lane import Lane

__all__ = ["Sending"]


class Sending:
    """Takes what is to be said from playouts and hands it to outlets.

    ``on_fault`` is told when an outlet or a playout raises; the others are sent theirs.
    """

    def __init__(self, frame_samples: int, on_fault: Callable[[Lane, Exception], None]) -> None:
        self._frame = frame_samples
        self._on_fault = on_fault
        self._silence = {
            law: bytes([law.silence_byte]) * self._frame for law in Law
        }  # encoded silence is one byte value
        self.kicked: list[Lane] = []
        """Lanes that were given audio and may have a lead to fill."""
        self.frames = 0
        """Frames sent, silence not counted."""

    def push(self, lane: Lane, pcm: NDArray[np.int16] | bytes, generation: int) -> int:
        """Queue audio on a lane; see `Playout.push`."""
        taken = lane.playout.push(pcm, generation)
        if taken and lane.sent_ahead < lane.outlet.lead_frames and lane.active:
            self.kicked.append(lane)
        return taken

    def kick(self, now: float) -> None:
        """Send the lead of streams that just began to speak; see `Engine.kick`."""
        lanes, self.kicked = self.kicked, []
        for lane in lanes:
            outlet, playout = lane.outlet, lane.playout
            while (
                playout.has_frame
                and lane.active
                and lane.sent_ahead < outlet.lead_frames
                and not outlet.busy
                and (frame := lane.take(now)) is not None
            ):
                lane.sent_ahead += 1
                lane.shown_later.append(frame)
                self._send([(lane, frame)], outlet.encoding, now)
                if lane.begins:
                    lane.tell_started(now)

    def speak(
        self, lanes: list[Lane], now: float, fed: Mapping[Lane, bytes] | None = None
    ) -> list[bytes | None]:
        """Take one frame from every playout, encode together, send one by one.

        ``fed`` is what lanes send that have nothing of their own to say (`joints`).
        """
        frames: list[bytes | None] = []
        groups: dict[Law | None, list[tuple[Lane, bytes]]] = {}
        for lane in lanes:
            frame = None
            try:
                if lane.active:
                    frame = self._next_frame(lane, now, fed)
            except Exception as error:  # noqa: BLE001 - one lane's code; the others go on
                self._on_fault(lane, error)
            if frame is not None:
                groups.setdefault(lane.outlet.encoding, []).append((lane, frame))
            frames.append(frame)
        for law, group in groups.items():
            self._send(group, law, now)
        return frames

    def _next_frame(self, lane: Lane, now: float, fed: Mapping[Lane, bytes] | None) -> bytes | None:
        """A lane's next frame; None when it has nothing to say (silence is sent)."""
        busy = lane.outlet.busy
        frame = lane.take(now) if lane.playout and not busy else None
        if frame is None:
            if fed is not None and not busy and (frame := fed.get(lane)) is not None:
                return frame
            self._pause(lane, now)
        return frame

    def _pause(self, lane: Lane, now: float) -> None:
        """Nothing to play on this lane in this tick."""
        if lane.sent_ahead:
            lane.sent_ahead -= 1
        outlet = lane.outlet
        if outlet.busy:
            outlet.send(b"", now, silence=True)
        elif outlet.continuous:
            law = outlet.encoding
            silence = self._silence[law] if law is not None else bytes(self._frame * 2)
            outlet.send(silence, now, silence=True)

    def _send(self, group: list[tuple[Lane, bytes]], law: Law | None, now: float) -> None:
        joined = b"".join([frame for _, frame in group])
        size = self._frame * 2
        if law is not None:
            joined = ENCODE[law].take(np.frombuffer(joined, "<u2")).tobytes()
            size = self._frame
        self.frames += len(group)
        at = 0
        for lane, _ in group:
            try:
                lane.outlet.send(joined[at : at + size], now, silence=False)
                if lane.marks:
                    lane.after_send()
            except Exception as error:  # noqa: BLE001 - one lane's code; the others go on
                self._on_fault(lane, error)
            at += size
