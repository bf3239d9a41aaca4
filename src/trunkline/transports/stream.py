"""Frames of a call to and from somebody's bot, over a WebSocket we open.

A `BotStream` is an ear of the call's line: what the caller says goes out as it
is heard, what comes back is queued to be played. Three dialects: plain binary
16-bit or µ-law (`wire.plain`), and Twilio's, in which we act as Twilio so that
existing bots work unchanged.

Everything runs on the media thread: the way from a caller to the bot is one
method call a frame. What the bot gets wrong is counted.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from picows import WSError, WSMsgType, ws_connect

from trunkline.errors import UsageError
from trunkline.media.g711 import DECODE, ENCODE, Law
from trunkline.media.lane import Heard, Lane, Window
from trunkline.wire import plain
from trunkline.wire.events import Clear, Hangup, Mark, Media, SendDtmf, Started
from trunkline.wire.twilio import ProviderEncoder, decode_command

from .websocket import QUIET, Closed, Connection, Limits, Watch

__all__ = [
    "BotStream",
    "L16Stream",
    "StreamDescription",
    "StreamEnded",
    "StreamLine",
    "TwilioStream",
    "UlawStream",
    "open_stream",
    "system_trust",
]

Frame = NDArray[np.int16]
StreamObserver = Callable[[SendDtmf | Hangup, float], None]
"""Gets what a bot asks of the call itself, on the media thread."""

BINARY, TEXT = WSMsgType.BINARY, WSMsgType.TEXT
CONNECT_SECONDS = 10.0
LIMITS = Limits(message_bytes=1_048_576)
"""Synthesisers send many seconds at once: a minute of 16-bit audio is 960,000 bytes."""
_PENDING_MARKS = 1000
_ULAW_ENCODE, _ULAW_DECODE = ENCODE[Law.ULAW], DECODE[Law.ULAW]
_UINT16 = np.dtype(np.uint16)
_UINT8 = np.dtype(np.uint8)
_numbers = itertools.count(1)


class StreamLine(Protocol):
    """What a stream needs of a call (``calls.line.CallLine``)."""

    @property
    def generation(self) -> int:
        """The generation new audio must carry."""

    def listen(self, ear: "BotStream", *, activity: bool = True) -> None:
        """Have the stream hear every frame."""

    def unlisten(self, ear: "BotStream") -> None:
        """Stop that."""

    def push(self, pcm: bytes, generation: int) -> None:
        """Queue 16-bit audio to be played. Media thread."""

    def clear(self, now: float) -> Heard:
        """Drop what is queued. Media thread."""


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What a bot is told about the call."""

    call_id: str
    caller: str = ""
    callee: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    rate_hz: int = 8000
    parameters: Mapping[str, str] | None = None
    """Whatever else it should know."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """How a stream ended."""

    reason: str
    """A word: hangup (the call ended), closed (by the bot), cancelled (by us), refused, error."""
    code: int | None
    """The close code, where the connection was up."""
    detail: str
    """What a person debugging would want to read."""


class BotStream(Connection):
    """One call's stream to a bot; the subclasses are the dialects.

    Made for one connection. `ear` methods and everything else: media thread.
    """

    encoding: ClassVar[str]

    def __init__(
        self,
        line: StreamLine,
        lane: Lane,
        description: StreamDescription,
        observer: StreamObserver,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(limits)
        self.ignored_messages = 0
        """Messages from the bot that could not be used."""
        self.result: StreamEnded | None = None
        """How it ended; None while it has not."""
        self.abandoned = False
        """Nobody waits for the connection any more."""
        self._line = line
        self._playout = lane.playout
        self._description = description
        self._observer = observer
        self._marks: deque[tuple[int, str]] = deque()
        self._pushed = 0
        self._over = False
        self._started = Started(
            stream_id=f"MZ{next(_numbers):032x}",
            call_id=description.call_id,
            caller=description.caller,
            callee=description.callee,
            encoding=self.encoding,
            rate_hz=description.rate_hz,
            parameters=description.parameters or {},
        )

    # -- the dialects say how ------------------------------------------------------------

    def say_start(self) -> None:
        """Tell the bot which call this is."""
        self.send(plain.encode_start(self._started, self._description.direction))

    def say_mark(self, name: str, *, cleared: bool) -> None:
        """Tell the bot that a mark was reached."""
        self.send(plain.encode_mark(name, cleared=cleared))

    def say_digit(self, digit: str) -> None:
        """Tell the bot that the caller pressed a key."""
        self.send(plain.encode_dtmf(digit))

    def say_stop(self) -> None:
        """Tell the bot that the call is over."""
        self.send(plain.encode_stop("hangup"))

    def say_frame(self, frame: Frame) -> None:
        """Send the caller's audio."""
        raise NotImplementedError

    # -- an ear of the line ----------------------------------------------------------------

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """The caller's audio: on to the bot."""
        self.say_frame(frame)
        if self._marks:
            self._report_marks()

    def started(self, generation: int, now: float) -> None:
        """Nothing to tell the bot."""

    def drained(self, heard: Heard, now: float) -> None:
        """Nothing to tell the bot."""

    def digit(self, digit: str, now: float) -> None:
        """The caller pressed a key."""
        self.say_digit(digit)

    def ended(self, now: float) -> None:
        """The call is over, and so is the stream."""
        self._over = True
        self.say_stop()
        self.close(1000, "the call ended")

    # -- a connection ------------------------------------------------------------------------

    def opened(self) -> None:
        """Begin to stream."""
        if self.abandoned:
            self.abort()
            return
        self.say_start()
        self._line.listen(self, activity=False)

    def text(self, data: bytes) -> None:
        """Control, in JSON."""
        self.command(plain.decode_command(data))

    def closed(self, closed: Closed) -> None:
        """Stop hearing; say how it ended."""
        self._line.unlisten(self)
        if self._over:
            self.result = StreamEnded("hangup", closed.code, "")
        elif closed.by == "us":
            self.result = StreamEnded("cancelled", closed.code, closed.reason)
        else:
            reason = "closed" if closed.clean else "error"
            self.result = StreamEnded(reason, closed.code, closed.reason)

    # -- what the bot says -----------------------------------------------------------------------

    def play(self, pcm: bytes) -> None:
        """Queue audio from the bot: whole 16-bit little-endian samples."""
        self._pushed += len(pcm) >> 1
        self._line.push(pcm, self._line.generation)

    def command(self, command: Media | Mark | Clear | SendDtmf | Hangup | None) -> None:
        """Do what the bot asked for; None counts as nonsense."""
        match command:
            case Mark(name) if len(self._marks) < _PENDING_MARKS:
                self._marks.append((self._pushed, name))
                self._report_marks()
            case Clear():
                self._line.clear(asyncio.get_running_loop().time())
                marks, self._marks = self._marks, deque()
                for _, name in marks:
                    self.say_mark(name, cleared=True)
            case SendDtmf() | Hangup():
                self._observer(command, asyncio.get_running_loop().time())
            case _:
                self.ignored_messages += 1

    def _report_marks(self) -> None:
        """Send back the marks whose audio has left the playout."""
        played = self._pushed - self._playout.queued_samples
        marks = self._marks
        while marks and marks[0][0] <= played:
            self.say_mark(marks.popleft()[1], cleared=False)


class L16Stream(BotStream):
    """Binary messages of 16-bit little-endian samples."""

    encoding = "l16"

    def say_frame(self, frame: Frame) -> None:
        """20 ms as they are."""
        self.send_media(BINARY, frame.tobytes())

    def binary(self, data: bytes) -> None:
        """Audio; half a sample at the end is dropped and counted."""
        if len(data) & 1:
            self.ignored_messages += 1
            data = data[:-1]
        self.play(data)


class UlawStream(BotStream):
    """Binary messages of µ-law."""

    encoding = "ulaw"

    def say_frame(self, frame: Frame) -> None:
        """20 ms, companded."""
        self.send_media(BINARY, _ULAW_ENCODE.take(frame.view(_UINT16)).tobytes())

    def binary(self, data: bytes) -> None:
        """Audio."""
        self.play(_ULAW_DECODE.take(np.frombuffer(data, _UINT8)).tobytes())


class TwilioStream(BotStream):
    """Twilio's messages; we are Twilio."""

    encoding = "ulaw"

    _provider: ProviderEncoder

    def say_start(self) -> None:
        """Two messages, as Twilio sends them."""
        call = self._description
        # Twilio has no place for the two numbers; its users pass them like this.
        ends = {"from": call.caller, "to": call.callee}
        parameters = ends | dict(call.parameters or {})
        self._provider = ProviderEncoder(replace(self._started, parameters=parameters))
        self.send(self._provider.connected())
        self.send(self._provider.start())

    def say_mark(self, name: str, *, cleared: bool) -> None:
        """Twilio does not say which of the two it was."""
        self.send(self._provider.mark(name))

    def say_digit(self, digit: str) -> None:
        """A key."""
        self.send(self._provider.dtmf(digit))

    def say_stop(self) -> None:
        """The end."""
        self.send(self._provider.stop())

    def say_frame(self, frame: Frame) -> None:
        """20 ms of µ-law in base64 in JSON."""
        payload = _ULAW_ENCODE.take(frame.view(_UINT16)).tobytes()
        self.send_media(TEXT, self._provider.media(payload))

    def text(self, data: bytes) -> None:
        """Everything a bot says to Twilio."""
        command = decode_command(data)
        if type(command) is Media:
            self.play(_ULAW_DECODE.take(np.frombuffer(command.payload, _UINT8)).tobytes())
        else:
            self.command(command)

    def binary(self, data: bytes) -> None:
        """Twilio ignores these."""
        self.ignored_messages += 1


@functools.cache
def system_trust() -> ssl.SSLContext:
    """Trusts the system's authorities, or those in the file that SSL_CERT_FILE names.

    Made once, and not on the media thread: reading some 140 certificates takes 28 ms.
    """
    return ssl.create_default_context()


async def open_stream(
    stream: BotStream,
    url: str,
    watch: Watch,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> StreamEnded:
    """Connect a stream and wait until it is over. On the media loop.

    Whatever the bot does is in the result and not an exception. Raises
    `UsageError` for a URL that is no ``ws://`` or ``wss://``. When cancelled,
    the connection is closed first. Redirects are not followed: audio goes where
    it was configured to go. ``tls`` is whom to trust instead of `system_trust`.
    """
    try:
        parts = urlsplit(url)
        scheme, usable = parts.scheme, parts.hostname and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is no port
        scheme, usable = "", None
    if scheme not in ("ws", "wss") or not usable:
        raise UsageError(f"a stream's URL begins with ws:// or wss:// and a host, not {url!r}")
    stream.watch = watch
    if scheme == "wss" and tls is None:
        tls = await asyncio.to_thread(system_trust)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, _ = await ws_connect(
                lambda request, response: stream,
                url,
                ssl_context=tls,
                logger_name=QUIET,
                max_frame_size=stream.limits.message_bytes,
                extra_headers=headers,
                max_redirects=0,
                read_buffer_init_size=4096,
            )
    except TimeoutError:
        stream.abandoned = True
        return StreamEnded("error", None, "no answer in time")
    except WSError as error:
        return StreamEnded("refused", None, str(error))
    except ssl.SSLCertVerificationError as error:
        return StreamEnded("refused", None, f"certificate verify failed: {error.verify_message}")
    except ssl.SSLError as error:
        return StreamEnded("error", None, f"no TLS: {error.reason or error}")
    except OSError as error:
        # asyncio's own text names the address only.
        told = os.strerror(error.errno) if error.errno else str(error)
        return StreamEnded("error", None, told or "the connection was cut in the handshake")
    finally:
        stream.abandoned = stream.transport is None
    try:
        # What it raises is how the bot broke the protocol; `closed` was told as well.
        with contextlib.suppress(Exception):
            await transport.wait_disconnected()
    finally:
        stream.close(1000, "the stream was stopped")
    return stream.result or StreamEnded("error", None, "")
