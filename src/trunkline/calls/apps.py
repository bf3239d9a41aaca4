"""Apps that need no code: echo, play a file, record, stream to a bot, put through.

Each of these is (or makes) an async callable that takes a `Call`, so they are
used like an app of one's own::

    board.answer("100")(echo)
    board.answer("2*")(stream("ws://127.0.0.1:9000/bot"))
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trunkline.errors import UsageError
from trunkline.transports.leg import DialOptions
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

from .bridge import Bridge, BridgeOptions
from .call import Call
from .ears import EchoEar
from .errors import CallEndedError, OutboundDeniedError
from .forking import Fork
from .switchboard import App

__all__ = ["bridge_to", "echo", "play", "record", "stream"]

log = logging.getLogger(__name__)

PLAIN_CALLER = re.compile(r"[\w.+*~-]{1,64}", re.ASCII)
"""A caller as it may stand in a SIP address. Who calls us says what they like."""
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


@dataclass(frozen=True, slots=True)
class _Destination:
    """Whom `bridge_to` calls, and how."""

    target: str | Fork
    caller: str | None
    headers: Mapping[str, str]
    pass_headers: frozenset[str]
    timeout: float
    options: BridgeOptions | None

    async def connect(self, call: Call) -> None:
        """Place the second call, and see both to their end."""
        if call.transport != "sip" and not call.is_answered:
            await call.answer()  # a stream cannot be told that it rings, but hear it
        joined = Bridge(call, options=self.options)
        await joined.open()
        if joined.is_over:
            return
        try:
            called = await self._place(call, joined)
        except OutboundDeniedError as error:
            log.warning("call %s: %s", call.id, error)
            call.on_media(joined.close_now)
            call.on_media(call.leg.reject, 403, "Forbidden")
            return
        except BaseException:
            call.on_media(joined.close_now)
            raise
        try:
            await joined.wait()
        except asyncio.CancelledError:
            called.hangup_soon("cancelled")
            raise
        finally:
            call.on_media(joined.close_now)

    async def _place(self, call: Call, joined: Bridge) -> Call:
        if call.board is None:
            raise UsageError("this call has no switchboard to place another")
        passed = {
            name: value for name, value in call.headers.items() if name.lower() in self.pass_headers
        }
        caller = self.caller
        if caller is None:
            caller = call.caller if PLAIN_CALLER.fullmatch(call.caller) else ""
        return await call.board.place(
            self.target,
            caller=caller,
            headers={**passed, **self.headers},
            name="bridge",
            options=DialOptions(no_answer_seconds=self.timeout),
            prepare=joined.add_called,
        )


def bridge_to(
    *targets: str,
    caller: str | None = None,
    headers: Mapping[str, str] | None = None,
    pass_headers: Sequence[str] = (),
    timeout: float = 60.0,
    stagger_seconds: float = 0.0,
    options: BridgeOptions | None = None,
) -> App:
    """An app that calls somebody and connects them: one target, or the first of several.

    The caller hears ringing and early media and is answered when the target answers; if
    nobody does, the caller is refused with a code that says why. ``caller`` is whom the
    target sees calling: None is the caller. ``pass_headers`` names headers of the inbound
    call that go along. Of several targets all are called at once, or each
    ``stagger_seconds`` after the one before. The board's outbound policy holds.
    """
    if not targets:
        raise UsageError("a bridge needs somebody to call")
    target = targets[0] if len(targets) == 1 else Fork(targets, stagger_seconds=stagger_seconds)
    names = frozenset(name.lower() for name in pass_headers)
    destination = _Destination(target, caller, dict(headers or {}), names, timeout, options)

    async def put_through(call: Call) -> None:
        await destination.connect(call)

    put_through.early = True  # type: ignore[attr-defined]  # see `Switchboard.answer`
    put_through.targets = targets  # type: ignore[attr-defined]
    return put_through


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
