"""Apps that need no code: echo, play a file, record, stream to a bot.

Each of these is (or makes) an async callable that takes a `Call`, so they are
used like an app of one's own::

    board.answer("100")(echo)
    board.answer("2*")(stream("ws://127.0.0.1:9000/bot"))
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from trunkline.transports.stream import (
    BotStream,
    L16Stream,
    StreamDescription,
    StreamEnded,
    TwilioStream,
    UlawStream,
    open_stream,
)
from trunkline.wire.events import Hangup, SendDtmf

from .call import Call
from .ears import EchoEar
from .errors import CallEndedError
from .switchboard import App

__all__ = ["echo", "play", "record", "stream"]

DIALECTS: Mapping[str, type[BotStream]] = {
    "l16": L16Stream,
    "ulaw": UlawStream,
    "twilio": TwilioStream,
}


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


def record(*, prompt: str | Path | None = None, seconds: float = 300.0) -> App:
    """An app that records what the caller says, after a prompt, as an answering machine does.

    Ends with the call, with a key the caller presses, or after ``seconds``.
    """

    async def record_message(call: Call) -> None:
        if prompt is not None:
            await call.play_file(prompt)
        recording = call.start_recording()
        try:
            with contextlib.suppress(TimeoutError, CallEndedError):
                await call.next_digit(timeout=seconds)
        finally:
            await asyncio.wrap_future(recording.close())

    return record_message


def stream(
    url: str,
    *,
    dialect: Literal["l16", "ulaw", "twilio"] = "l16",
    headers: Mapping[str, str] | None = None,
) -> App:
    """An app that streams the call to somebody's bot over a WebSocket, both ways.

    ``l16`` is binary 16-bit little-endian PCM at 8 kHz, ``ulaw`` binary µ-law,
    ``twilio`` Twilio's media stream with us as Twilio. Ends when the bot closes
    the connection or the call ends.
    """

    async def stream_to_bot(call: Call) -> None:
        await call.media.run_async(lambda: _stream(call, url, DIALECTS[dialect], headers))

    return stream_to_bot


async def _stream(
    call: Call, url: str, dialect: type[BotStream], headers: Mapping[str, str] | None
) -> StreamEnded:
    """One call's stream; on the media loop."""
    lane = call.lane
    if lane is None:
        return StreamEnded("error", None, "the call has no audio")

    def asked(request: SendDtmf | Hangup, now: float) -> None:
        if isinstance(request, Hangup):
            call.hangup_soon()
        else:
            call.send_digits(request.digits)

    description = StreamDescription(
        call.id, call.caller, call.callee, call.direction, call.rate_hz, call.headers
    )
    bot = dialect(call, lane, description, asked)
    return await open_stream(bot, url, call.media.socket_watch, headers=headers)
