"""Transports: sockets and the media thread. They make legs; `leg` is the contract."""

from typing import TYPE_CHECKING

from trunkline.lazy import lazily

if TYPE_CHECKING:
    from .browser import BrowserServer
    from .leg import (
        Answered,
        Digit,
        Direction,
        EarlyMedia,
        Ended,
        Held,
        HoldableLeg,
        HoldChanged,
        Leg,
        LegEvent,
        LegObserver,
        LegReceiver,
        LegReplaced,
        Party,
        RedirectableLeg,
        Resumed,
        Ringing,
        TransferableLeg,
        TransferAsked,
        TransferObserver,
        TransferProgress,
        TransferRequest,
    )
    from .media_thread import MediaThread
    from .sip import SipEndpoint, SipOptions
    from .sip_carrier import Listening
    from .sip_connection import StreamLimits
    from .sip_media import MediaOptions
    from .sip_tls import TlsProfile
    from .twilio import TwilioServer
    from .waiting_buffer import WaitingBuffer
    from .waiting_chain import WaitingChain
    from .websocket_server import WebSocketServer
else:
    __getattr__ = lazily(
        __name__,
        {
            ".browser": ("BrowserServer",),
            ".leg": (
                "Answered",
                "Digit",
                "Direction",
                "EarlyMedia",
                "Ended",
                "Held",
                "HoldChanged",
                "HoldableLeg",
                "Leg",
                "LegEvent",
                "LegObserver",
                "LegReceiver",
                "LegReplaced",
                "Party",
                "RedirectableLeg",
                "Resumed",
                "Ringing",
                "TransferableLeg",
                "TransferAsked",
                "TransferObserver",
                "TransferProgress",
                "TransferRequest",
            ),
            ".media_thread": ("MediaThread",),
            ".sip": ("SipEndpoint", "SipOptions"),
            ".sip_carrier": ("Listening",),
            ".sip_connection": ("StreamLimits",),
            ".sip_tls": ("TlsProfile",),
            ".sip_media": ("MediaOptions",),
            ".twilio": ("TwilioServer",),
            ".waiting_buffer": ("WaitingBuffer",),
            ".waiting_chain": ("WaitingChain",),
            ".websocket_server": ("WebSocketServer",),
        },
    )

__all__ = [
    "Answered",
    "BrowserServer",
    "Digit",
    "Direction",
    "EarlyMedia",
    "Ended",
    "Held",
    "HoldChanged",
    "HoldableLeg",
    "Leg",
    "LegEvent",
    "LegObserver",
    "LegReceiver",
    "LegReplaced",
    "Listening",
    "MediaOptions",
    "MediaThread",
    "Party",
    "RedirectableLeg",
    "Resumed",
    "Ringing",
    "SipEndpoint",
    "SipOptions",
    "StreamLimits",
    "TlsProfile",
    "TransferAsked",
    "TransferObserver",
    "TransferProgress",
    "TransferRequest",
    "TransferableLeg",
    "TwilioServer",
    "WaitingBuffer",
    "WaitingChain",
    "WebSocketServer",
]


def __dir__() -> list[str]:
    return sorted(__all__)
