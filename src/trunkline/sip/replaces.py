"""Taking a call's place: the Replaces header field (RFC 3891).

An INVITE with Replaces names a dialog of ours; whoever accepts it ends that one. It
is how an attended transfer and a call pick-up arrive.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from .errors import ParseError, StateError
from .headers import split_outside_quotes
from .message import Request
from .session import Session, SessionState

__all__ = ["Replaces", "find_replaced"]

_WORD = re.compile(r"[^\s\x00-\x20\x7f;,]{1,512}")
_ACTIVE = (SessionState.CONFIRMED, SessionState.ANSWERED)
_GOING = (SessionState.CANCELLING, SessionState.CLOSING, SessionState.ENDING)


@dataclass(frozen=True, slots=True)
class Replaces:
    """Which dialog, as whoever is asked to give it up knows it."""

    call_id: str
    to_tag: str
    """The tag of whoever is asked."""
    from_tag: str
    """The tag of the other end."""
    early_only: bool = False
    """Not if it is answered already."""

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        """Read the value of a Replaces field; raises ParseError."""
        call_id, *rest = split_outside_quotes(text, ";")
        tags: dict[str, str] = {}
        early_only = False
        for part in rest:
            name, _, value = (piece.strip() for piece in part.partition("="))
            name = name.lower()
            if name in tags:
                raise ParseError("Malformed Replaces header")
            if name in ("to-tag", "from-tag"):
                tags[name] = value
            elif name == "early-only":
                early_only = True
        words = (call_id, tags.get("to-tag", ""), tags.get("from-tag", ""))
        if not all(_WORD.fullmatch(word) for word in words):
            raise ParseError("Malformed Replaces header")
        return cls(*words, early_only)

    @classmethod
    def of(cls, session: Session) -> "Replaces":
        """What the far end of a session has to be sent to give it up.

        Raises StateError where there is no dialog yet.
        """
        dialog = session._internals.dialog
        if dialog is None:
            raise StateError(f"no dialog to replace in state {session.state}")
        return cls(dialog.call_id, dialog.remote_tag or "0", dialog.local_tag)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def find_replaced(
    request: Request,
    dialogs: Mapping[tuple[str, str], Session],
    ended: Container[tuple[str, str, str]],
) -> Session | None:
    """The session an INVITE replaces; None where it asks for nothing of the kind.

    ``dialogs`` are the live ones by Call-ID and our tag, ``ended`` those that are over.
    Raises ParseError with the status that refuses it (RFC 3891 section 3).
    """
    fields = request.values("replaces")
    if not fields:
        return None
    if len(fields) > 1 or request.all("join"):
        raise ParseError("Several Replaces or Join headers")
    wanted = Replaces.parse(fields[0])
    session = dialogs.get((wanted.call_id, wanted.to_tag))
    if session is None or not _has_tag(session, wanted.from_tag):
        over = (wanted.call_id, wanted.to_tag, wanted.from_tag) in ended
        raise ParseError("", 603 if over else 481)
    if session.state in _GOING:
        raise ParseError("", 603)
    if session.state in _ACTIVE:
        if wanted.early_only:
            raise ParseError("", 486)
    elif session.state is not SessionState.CALLING:
        raise ParseError("", 481)  # it rings here: only who called may give it up
    return session


def _has_tag(session: Session, tag: str) -> bool:
    """Whether the far end has that tag; "0" is one that has none (RFC 3891 section 3)."""
    internals = session._internals
    known = [internals.dialog.remote_tag] if internals.dialog else list(internals.early_dialogs)
    return tag in known or (tag == "0" and "" in known)
