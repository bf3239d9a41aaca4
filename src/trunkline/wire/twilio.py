"""Twilio Media Streams: JSON text messages with base64 µ-law at 8 kHz.

Source: Twilio, "Media Streams: WebSocket messages". Both ends are here: we are
the application when Twilio connects to us (`decode`, `Encoder`), and we act as
Twilio when we stream a call to somebody's existing bot (`decode_command`,
`ProviderEncoder`).

Nothing here raises because of what a peer sent. A message that is not JSON,
not known, or lacks what makes it useful decodes to None; the caller counts it.
"""

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any

import msgspec

from .events import (
    Clear,
    Connected,
    Dtmf,
    Event,
    Mark,
    MarkReached,
    Media,
    Started,
    Stopped,
)

__all__ = ["Encoder", "ProviderEncoder", "decode", "decode_command"]

_DIGITS = frozenset("0123456789*#ABCD")
_ENCODINGS = {"audio/x-mulaw": "ulaw", "audio/x-alaw": "alaw", "audio/x-l16": "l16"}
_ENCODING_NAMES = {word: name for name, word in _ENCODINGS.items()}
# Deep nesting of an ignored field ends in RecursionError, bad UTF-8 in UnicodeError.
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)


# --- what is on the wire; unknown fields are skipped, names are Twilio's ---


class _Message(msgspec.Struct, tag_field="event", gc=False):
    streamSid: str | None = None  # noqa: N815


class _Chunk(msgspec.Struct, gc=False):
    payload: bytes  # msgspec decodes the base64
    track: str = "inbound"
    timestamp: int = 0


class _Media(_Message, tag="media", gc=False, kw_only=True):
    media: _Chunk


class _Connected(_Message, tag="connected", gc=False):
    protocol: str = ""
    version: str = ""


class _Format(msgspec.Struct, gc=False):
    encoding: str = "audio/x-mulaw"
    sampleRate: int = 8000  # noqa: N815
    channels: int = 1


class _StartBody(msgspec.Struct):
    streamSid: str | None = None  # noqa: N815
    callSid: str | None = None  # noqa: N815
    accountSid: str | None = None  # noqa: N815
    tracks: list[str] | str | None = None
    mediaFormat: _Format | None = None  # noqa: N815
    customParameters: dict[str, Any] | None = None  # noqa: N815


class _Start(_Message, tag="start", kw_only=True):
    start: _StartBody


class _Name(msgspec.Struct, gc=False):
    name: str


class _Mark(_Message, tag="mark", gc=False, kw_only=True):
    mark: _Name


class _Key(msgspec.Struct, gc=False):
    digit: str
    duration: Any = 0


class _Dtmf(_Message, tag="dtmf", gc=False, kw_only=True):
    dtmf: _Key


class _Stop(_Message, tag="stop", gc=False):
    pass


class _Clear(_Message, tag="clear", gc=False):
    pass


_FromTwilio = _Media | _Mark | _Dtmf | _Start | _Connected | _Stop
_FromApplication = _Media | _Mark | _Clear
# strict=False: "25" and 25 are both a number.
_from_twilio = msgspec.json.Decoder(_FromTwilio, strict=False)
_from_application = msgspec.json.Decoder(_FromApplication, strict=False)


def decode(text: bytes | str) -> Event | None:
    """What Twilio says; None for anything to be ignored. Never raises."""
    try:
        message = _from_twilio.decode(text)
    except _MALFORMED:
        message = _without_counters(text, _FromTwilio)
    if type(message) is _Media:  # 50 times a second for every call
        chunk = message.media
        if not chunk.payload:
            return None
        return Media(chunk.payload, message.streamSid or "", chunk.track, chunk.timestamp)
    return _rare_event(message)


def decode_command(text: bytes | str) -> Media | Mark | Clear | None:
    """What an application says to Twilio; None for anything to be ignored. Never raises."""
    try:
        message = _from_application.decode(text)
    except _MALFORMED:
        message = _without_counters(text, _FromApplication)
    if type(message) is _Media:
        chunk = message.media
        if not chunk.payload:
            return None
        return Media(chunk.payload, message.streamSid or "", "outbound", chunk.timestamp)
    if type(message) is _Mark:
        return Mark(message.mark.name) if message.mark.name else None
    return Clear() if type(message) is _Clear else None


def _without_counters(text: bytes | str, kind: Any) -> Any:
    """Audio with a timestamp we cannot read is still audio: try again without it."""
    try:
        message = msgspec.json.decode(text, type=dict[str, Any])
        media = message.get("media")
        if not isinstance(media, dict) or "timestamp" not in media:
            return None
        del media["timestamp"]
        return msgspec.convert(message, kind, strict=False)
    except _MALFORMED:
        return None


def _rare_event(message: Any) -> Event | None:
    match message:
        case _Mark() if message.mark.name:
            return MarkReached(message.mark.name, message.streamSid or "")
        case _Dtmf() if (digit := message.dtmf.digit.upper()) in _DIGITS:
            return Dtmf(digit, message.streamSid or "", _milliseconds(message.dtmf.duration))
        case _Start():
            return _started(message)
        case _Connected():
            return Connected(message.protocol, message.version)
        case _Stop():
            return Stopped(message.streamSid or "")
    return None


def _started(message: _Start) -> Started | None:
    body = message.start
    stream_id = message.streamSid or body.streamSid
    if not stream_id:
        return None
    media_format = body.mediaFormat or _Format()
    tracks = body.tracks or ()
    return Started(
        stream_id=stream_id,
        call_id=body.callSid or "",
        account_id=body.accountSid or "",
        encoding=_ENCODINGS.get(media_format.encoding, media_format.encoding),
        rate_hz=media_format.sampleRate,
        channels=media_format.channels,
        tracks=(tracks,) if isinstance(tracks, str) else tuple(tracks),
        parameters={
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in (body.customParameters or {}).items()
        },
    )


def _milliseconds(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)


class Encoder:
    """What the application sends on one stream, as UTF-8 JSON.

    The constant part of a media message is formatted once per stream: a frame
    then costs one base64 and one concatenation.
    """

    __slots__ = ("_clear", "_mark", "_media")

    def __init__(self, stream_id: str) -> None:
        sid = _quoted(stream_id)
        self._media = b'{"event":"media","streamSid":' + sid + b',"media":{"payload":"'
        self._mark = b'{"event":"mark","streamSid":' + sid + b',"mark":{"name":'
        self._clear = b'{"event":"clear","streamSid":' + sid + b"}"

    def media(self, payload: bytes) -> bytes:
        """Audio to be played: µ-law of any length."""
        return self._media + b2a_base64(payload, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        """Ask to be told when the audio sent so far has been played."""
        return self._mark + _quoted(name) + b"}}"

    def clear(self) -> bytes:
        """Drop what has not been played; every pending mark comes back."""
        return self._clear


class ProviderEncoder:
    """What Twilio sends on one stream, as UTF-8 JSON; keeps the counters."""

    __slots__ = ("_chunk", "_milliseconds", "_sequence", "_started", "_stream")

    def __init__(self, started: Started) -> None:
        self._started = started
        self._stream = b',"streamSid":' + _quoted(started.stream_id)
        self._sequence = 0
        self._chunk = 0
        self._milliseconds = 0

    def connected(self) -> bytes:
        """The first message of a socket."""
        return b'{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def start(self) -> bytes:
        """The stream's names and format; once, after `connected`."""
        started = self._started
        body = {
            "accountSid": started.account_id,
            "streamSid": started.stream_id,
            "callSid": started.call_id,
            "tracks": list(started.tracks or ("inbound",)),
            "mediaFormat": {
                "encoding": _ENCODING_NAMES.get(started.encoding, started.encoding),
                "sampleRate": started.rate_hz,
                "channels": started.channels,
            },
            "customParameters": dict(started.parameters),
        }
        return self._message("start", body)

    def media(self, payload: bytes, duration_ms: int = 20) -> bytes:
        """The caller's audio; ``duration_ms`` moves the stream's clock on."""
        self._sequence += 1
        self._chunk += 1
        message = (
            b'{"event":"media","sequenceNumber":"%d"%b,"media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b"}}'
        ) % (
            self._sequence,
            self._stream,
            self._chunk,
            self._milliseconds,
            b2a_base64(payload, newline=False),
        )
        self._milliseconds += duration_ms
        return message

    def mark(self, name: str) -> bytes:
        """A mark the application sent has been played or cleared."""
        return self._message("mark", {"name": name})

    def dtmf(self, digit: str) -> bytes:
        """The caller pressed a key."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def stop(self) -> bytes:
        """The stream is over."""
        started = self._started
        body = {"accountSid": started.account_id, "callSid": started.call_id}
        return self._message("stop", body)

    def _message(self, event: str, body: Mapping[str, object]) -> bytes:
        self._sequence += 1
        return msgspec.json.encode(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                "streamSid": self._started.stream_id,
                event: body,
            }
        )
