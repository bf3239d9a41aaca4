"""Who may call: what a user agent asks before it takes a request from outside a dialog."""

from collections.abc import Callable
from dataclasses import dataclass

from .digest import Challenger
from .hop import Hop
from .message import Request

__all__ = ["OPEN", "AccessPolicy", "Admission"]


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a request that belongs to no dialog yet."""

    trunk: str = ""
    """The trunk it came in on, where one is known by its address."""
    challenger: Challenger | None = None
    """Who asks for a password; None: nobody does."""
    code: int = 0
    """Refuse it with this status; 0 lets it in."""
    reason: str = ""
    """The reason phrase of the refusal; empty is the status's own."""
    retry_after_seconds: int = 0
    """With a refusal: when it may be tried again (RFC 3261 section 20.33); 0 does not say."""
    silent: bool = False
    """Answer nothing at all, as to a scanner."""


OPEN = Admission()
"""Everybody may."""

AccessPolicy = Callable[[Request, Hop, float], Admission]
"""Given a request, where it came from and ``now``. What came of a password is told to
`UserAgent.on_digest`."""
