"""What can go wrong in the SIP package.

TrunklineError
└── SipError
    ├── ParseError   (PeerError)   a message that cannot be used; knows how to answer it
    │   └── SdpError               its session description cannot be used
    └── StateError   (UsageError)  a command that is not legal in the present state
"""

from typing import Any

from trunkline.errors import PeerError, TrunklineError, UsageError

__all__ = ["ParseError", "SdpError", "SipError", "StateError"]


class SipError(TrunklineError):
    """Everything the SIP package raises on purpose."""


class ParseError(SipError, PeerError):
    """Bytes from a peer that are not the message they should be.

    ``code`` is the status to answer with if it was a request; ``message`` is what
    could be read of it (a `Request`, a `Response`) or None.
    """

    def __init__(self, reason: str, code: int = 400) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.message: Any = None


class SdpError(ParseError):
    """A session description that cannot be read (400) or agreed to (488)."""


class StateError(SipError, UsageError):
    """The command is not legal in the state the call or transaction is in."""
