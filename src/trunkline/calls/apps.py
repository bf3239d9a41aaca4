"""Apps that need no code: echo, play a file, record, stream to a bot.

Each of these is (or makes) an async callable that takes a `Call`, so they are
used like an app of one's own: ``board.answer("100")(echo)``.
"""

from pathlib import Path

from .call import Call
from .ears import EchoEar
from .switchboard import App

__all__ = ["echo", "play"]


async def echo(call: Call) -> None:
    """Send back what is heard, until the caller hangs up.

    Runs on the media thread: the way through is the jitter buffer and nothing else.
    """
    call.listen(EchoEar(call), activity=False)
    await call.wait_ended()


def play(path: str | Path, *, times: int = 1) -> App:
    """An app that plays a WAV file, a number of times (0: until the caller hangs up)."""

    async def play_file(call: Call) -> None:
        played = 0
        while not call.is_over and (not times or played < times):
            await call.play_file(path)
            played += 1

    return play_file
