"""The measured process of `path.py`: a node with every stage on, for every call.

Its app talks without end on every call (`_lines`) and listens with voice activity; or, for
the delay, sends back what it hears, which has been through noise suppression as well. Words on
standard input are those of `_node.py`.
"""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from _lines import SECONDS, lines
from _node import Measured
from trunkline.agent.line import Heard
from trunkline.calls.audio import AudioPath
from trunkline.calls.call import Call
from trunkline.media.lane import Window


class Listener:
    """An ear that wants activity; sends back what it hears if asked to."""

    def __init__(self, call: Call | None) -> None:
        self._call = call

    def hear(self, frame: NDArray[np.int16], windows: Sequence[Window], now: float) -> None:
        """A frame."""
        if self._call is not None:
            self._call.push(frame, self._call.generation)

    def started(self, generation: int, now: float) -> None:
        """It speaks."""

    def drained(self, heard: Heard, now: float) -> None:
        """It has spoken."""

    def digit(self, digit: str, now: float) -> None:
        """Nobody presses keys."""

    def ended(self, now: float) -> None:
        """The call is over."""


class PathNode(Measured):
    """A node whose app only uses the audio path."""

    def app(self) -> Callable[[Call], Awaitable[None]]:
        """What answers."""
        if self.options["returns"]:
            return self._return
        self._said = itertools.cycle([line.far.tobytes() for line in lines()])
        return self._talk

    async def _return(self, call: Call) -> None:
        if self.options["chain"]:
            call.set_audio(AudioPath("kalman", "logmmse", recogniser_noise=True))
        call.listen(Listener(call), activity=True)
        await call.wait_ended()

    async def _talk(self, call: Call) -> None:
        call.listen(Listener(None), activity=True)
        # The same bytes for every call of a line: what waits to be sent is no memory of a call.
        said = next(self._said)
        call.play(said, call.generation)
        while not call.is_over:
            call.play(said, call.generation)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await call.wait_ended()


def main() -> None:
    """Serve until told to stop."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    uvloop.run(PathNode(options).run())


if __name__ == "__main__":
    main()
