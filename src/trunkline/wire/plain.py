"""Plain streams: binary messages are audio, text messages are JSON for control.

The simplest thing a bot can speak: no base64, no envelope around audio. Audio is
mono, 16-bit little-endian or µ-law, at the call's rate, in pieces of any length.

From us: ``start`` (once, first), ``mark`` (the audio before it was played),
``dtmf``, ``stop``. To us: ``mark``, ``clear``, ``dtmf``, ``hangup``:

    {"type":"start","call":{"id":"…","from":"…","to":"…","direction":"inbound"},
     "media":{"encoding":"l16","rate_hz":8000,"channels":1},"parameters":{}}
    {"type":"mark","name":"utt-7"}
    {"type":"dtmf","digits":"12#"}

Nothing here raises because of what a peer sent.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from .events import Clear, Hangup, Mark, SendDtmf, Started

__all__ = ["decode_command", "encode_dtmf", "encode_mark", "encode_start", "encode_stop"]

_DIGITS = frozenset("0123456789*#ABCD")
_LONGEST_DIGITS = 64
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Control(msgspec.Struct, gc=False):
    type: str
    name: str = ""
    digits: str = ""
    digit: str = ""


_control = msgspec.json.Decoder(_Control)


def decode_command(text: bytes | str) -> Mark | Clear | SendDtmf | Hangup | None:
    """What a bot asks for; None for anything to be ignored. Never raises."""
    try:
        message = _control.decode(text)
    except _MALFORMED:
        return None
    match message.type:
        case "mark" if message.name:
            return Mark(message.name)
        case "clear":
            return Clear()
        case "hangup":
            return Hangup()
        case "dtmf":
            digits = (message.digits or message.digit).upper()
            if 0 < len(digits) <= _LONGEST_DIGITS and _DIGITS.issuperset(digits):
                return SendDtmf(digits)
    return None


def encode_start(started: Started, direction: str) -> bytes:
    """The first message: which call this is, and how its audio is encoded."""
    return _encode(
        "start",
        call={
            "id": started.call_id,
            "from": started.caller,
            "to": started.callee,
            "direction": direction,
        },
        media={
            "encoding": started.encoding,
            "rate_hz": started.rate_hz,
            "channels": started.channels,
        },
        parameters=dict(started.parameters),
    )


def encode_mark(name: str, *, cleared: bool = False) -> bytes:
    """A mark was reached; ``cleared`` when its audio was dropped and not played."""
    return _encode("mark", name=name, cleared=cleared)


def encode_dtmf(digit: str) -> bytes:
    """The caller pressed a key."""
    return _encode("dtmf", digit=digit)


def encode_stop(reason: str) -> bytes:
    """The call is over; nothing follows."""
    return _encode("stop", reason=reason)


def _encode(type: str, **fields: str | bool | Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"type": type, **fields})
