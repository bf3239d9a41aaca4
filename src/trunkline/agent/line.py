"""What an agent needs of a call: a line to hear and to speak on.

An agent never sees a leg, a socket or the media engine. A ``Call`` implements
`Line`; tests use a line made of two arrays. The protocol says which methods
belong to the media thread and which may be used from anywhere, because
barge-in has to be one direct call on the media side (no queue, no task).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.media.lane import Ear as LaneEar
from trunkline.media.lane import Heard, Window

__all__ = ["Ear", "Heard", "Line", "Window"]

Frame = NDArray[np.int16]


class Ear(LaneEar, Protocol):
    """What listens to a line. Every method runs on the media thread: be quick.

    Tens of microseconds are fine; anything longer crosses to the application
    with `Line.post`. ``hear``, ``started`` and ``drained`` are a lane's own.
    """

    def digit(self, digit: str, now: float) -> None:
        """A DTMF digit from the caller (0-9, *, #, A-D)."""

    def ended(self, now: float) -> None:
        """The call is over; nothing follows."""


class Line(Protocol):
    """One call, as an agent hears and speaks on it."""

    @property
    def id(self) -> str:
        """The call's id."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of frames heard and of audio to be played."""

    @property
    def generation(self) -> int:
        """The generation audio must carry to be played; any thread may read it."""

    def listen(self, ear: Ear, *, activity: bool = True) -> None:
        """Have an ear hear every frame, from the next tick on. Any thread.

        With ``activity`` the line runs voice-activity detection for this ear.
        """

    def unlisten(self, ear: Ear) -> None:
        """Stop an ear. Any thread; nothing is heard after the next tick."""

    def play(self, pcm: Frame, generation: int) -> None:
        """Queue audio of any length at the line's rate. Any thread.

        Audio of an old generation is dropped on the media side. A generation is
        one utterance: it is played before any later one, and counted from zero.
        """

    def finish(self, generation: int) -> None:
        """Say that this generation is complete; `Ear.drained` follows. Any thread.

        From here on `generation` is a new one: the next utterance may be queued
        at once and is played after this one.
        """

    def clear(self, now: float) -> Heard:
        """Drop all queued audio and begin a new generation. Media thread only.

        Nothing of the old generation leaves after this returns. Where the far
        end has a queue of its own (a media stream) it is told to clear it.
        """

    def post(self, callback: Callable[..., None], *args: object) -> None:
        """Run a callback on the application's loop. Media thread; batched per tick."""

    def on_media(self, callback: Callable[..., None], *args: object) -> None:
        """Run a callback on the media thread, at the next phase. Any thread."""
