"""Foreign dialects of media streams, without a socket: text in, events out."""

from .events import (
    Clear,
    Cleared,
    Command,
    Connected,
    Dtmf,
    Event,
    Hangup,
    Mark,
    MarkReached,
    Media,
    SendDtmf,
    Started,
    Stopped,
)

__all__ = [
    "Clear",
    "Cleared",
    "Command",
    "Connected",
    "Dtmf",
    "Event",
    "Hangup",
    "Mark",
    "MarkReached",
    "Media",
    "SendDtmf",
    "Started",
    "Stopped",
]
