"""Whose offer is open: what glare is decided by (RFC 3261 14, RFC 3311 5.2, RFC 6337)."""

from .core import Core
from .session import Session, SessionState

__all__ = ["conflict", "glare_delay", "ours_is_open", "retry_after", "theirs_is_open"]

MAX_ATTEMPTS = 8
"""After so many refusals for glare we tell the application that it will not be."""
LONGEST_RETRY_SECONDS = 32
"""A Retry-After above this, for a change of a call that is up, is a refusal."""


def ours_is_open(session: Session, tag: str = "") -> bool:
    """Whether an offer of ours has no answer yet, in the early dialog of that tag."""
    internals = session._internals
    update, provisionals = internals.update, internals.provisionals
    if internals.reinvite_is_out or (update is not None and update.is_out and update.offer):
        return True
    if session.state in (SessionState.CALLING, SessionState.CANCELLING):
        return bool(session.request.body) and (tag or internals.early_tag) not in internals.settled
    if provisionals is not None and provisionals.waiting and provisionals.waiting.offered:
        return True
    return any(waiting.late_offer for waiting in internals.unacknowledged.values())


def theirs_is_open(session: Session) -> bool:
    """Whether an offer of theirs has no answer yet."""
    internals = session._internals
    if internals.server_reinvite is not None or internals.server_change is not None:
        return True
    if internals.unanswered_offer is not None or internals.early_offer is not None:
        return True
    if session.state is SessionState.INVITED:
        dialog = internals.dialog
        assert dialog is not None
        return session.remote_sdp is not None and dialog.remote_tag not in internals.settled
    return False


def conflict(session: Session, tag: str) -> int:
    """The status for a new offer of theirs while another is open, or 0.

    491 while ours is (both tried at once), 500 with Retry-After while theirs is.
    """
    if ours_is_open(session, tag):
        return 491
    return 500 if theirs_is_open(session) else 0


def glare_delay(core: Core, session: Session) -> float:
    """Seconds after a 491: the owner of the Call-ID waits longer (RFC 3261 section 14.1)."""
    steps = int(core.random() * 191)
    return (210 + steps) / 100 if session.direction == "outbound" else steps / 95


def retry_after(core: Core) -> list[tuple[str, str]]:
    """For a 500 to an offer that met another: 0 to 10 seconds (section 14.2)."""
    return [("Retry-After", str(int(core.random() * 11)))]
