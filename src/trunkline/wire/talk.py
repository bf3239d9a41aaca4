"""What a talking web page and we tell each other, besides the audio.

Audio is binary: mono 16-bit little-endian, both ways. Everything else is JSON
in the envelope and, where they exist, with the names of RTVI 2 (the Real-Time
Voice Inference protocol that web kits for voice agents speak):

    {"label":"rtvi-ai","type":"user-transcription","data":{"text":"hello"}}

From the page: ``client-ready`` (first), ``audio-mark-reached``, ``dtmf``,
``disconnect-bot``. To the page: ``bot-ready``, ``audio-mark``, ``audio-clear``
and whatever it shows. Nothing here raises because of what a peer sent.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from .events import Connected, Dtmf, MarkReached, Stopped

__all__ = ["PROTOCOL_VERSION", "decode", "encode", "encode_clear", "encode_mark"]

PROTOCOL_VERSION = "2.1.0"
_DIGITS = frozenset("0123456789*#ABCD")
_MOST_BUTTONS = 32
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)

PageEvent = Connected | MarkReached | Dtmf | Stopped


class _Data(msgspec.Struct, gc=False):
    version: str = ""
    name: str = ""
    buttons: list[str] = []


class _Message(msgspec.Struct):
    type: str
    data: _Data | None = None


_message = msgspec.json.Decoder(_Message)


def decode(text: bytes | str) -> tuple[PageEvent, ...]:
    """What a page says; empty for anything to be ignored. Never raises."""
    try:
        message = _message.decode(text)
    except _MALFORMED:
        return ()
    data = message.data or _Data()
    match message.type:
        case "client-ready":
            return (Connected("rtvi-ai", data.version),)
        case "audio-mark-reached" if data.name:
            return (MarkReached(data.name, cleared=False),)
        case "dtmf" if len(data.buttons) <= _MOST_BUTTONS and _DIGITS.issuperset(data.buttons):
            return tuple(Dtmf(button) for button in data.buttons)
        case "disconnect-bot":
            return (Stopped(),)
    return ()


def encode(type: str, data: Mapping[str, Any] | None = None) -> bytes:
    """A message to the page; ``data`` is anything JSON can carry."""
    message: dict[str, Any] = {"label": "rtvi-ai", "type": type}
    if data is not None:
        message["data"] = data
    return msgspec.json.encode(message)


def encode_mark(name: str) -> bytes:
    """Ask to be told when the audio sent so far has been played."""
    return encode("audio-mark", {"name": name})


def encode_clear() -> bytes:
    """Drop what has not been played, and the marks in it."""
    return encode("audio-clear")
