"""What an agent needs of a call: a line to hear and to speak on.

An agent never sees a leg, a socket or the media engine. A ``Call`` implements
`Line`; tests use a line made of two arrays. The protocol says which methods
belong to the media thread and which may be used from anywhere, because
barge-in has to be one direct call on the media side (no queue, no task).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ear", "Heard", "Line", "Window"]

Frame = NDArray[np.int16]


class Window(NamedTuple):
    """One verdict of the voice-activity model."""

    probability: float
    """Speech probability, 0 to 1."""
    end_offset: int
    """Samples from the end of this window to the end of the frame it came with (>= 0)."""
    length: int
    """Samples in the window (256 at 8 kHz for Silero)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of one generation of audio the far end has heard."""

    generation: int
    """The generation this speaks of."""
    samples: int
    """Samples heard, counted from the generation's first, at the line's rate."""
    queued_samples: int
    """Samples that were still waiting (and are gone, after a clear)."""
    exact: bool
    """True: the far end's marks say so. False: samples sent less the far buffer."""


class Ear(Protocol):
    """What listens to a line. Every method runs on the media thread: be quick.

    Tens of microseconds are fine; anything longer crosses to the application
    with `Line.post`.
    """

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """One frame (20 ms, int16) from the caller, and the verdicts it completed."""

    def started(self, generation: int, now: float) -> None:
        """The first frame of this generation has left on the wire."""

    def drained(self, heard: Heard, now: float) -> None:
        """A finished generation has been played to its end."""

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

        Audio of an old generation is dropped on the media side.
        """

    def finish(self, generation: int) -> None:
        """Say that this generation is complete; `Ear.drained` follows. Any thread."""

    def clear(self, now: float) -> Heard:
        """Drop all queued audio and begin a new generation. Media thread only.

        Nothing of the old generation leaves after this returns. Where the far
        end has a queue of its own (a media stream) it is told to clear it.
        """

    def post(self, callback: Callable[..., None], *args: object) -> None:
        """Run a callback on the application's loop. Media thread; batched per tick."""

    def on_media(self, callback: Callable[..., None], *args: object) -> None:
        """Run a callback on the media thread, at the next phase. Any thread."""
