"""What a refusal of an INVITE asks to be done better: proof, patience, another address."""

from .core import Core
from .events import Redirected
from .headers import canonical_name
from .hop import Hop
from .message import Headers, Request, Response
from .session import Session
from .session_timer import SessionTimer

__all__ = ["Retrying"]

_REPLACED = {"via", "cseq", "authorization", "proxy-authorization"}


class Retrying:
    """Makes the next attempt of the same call: same Call-ID, one CSeq on."""

    def __init__(self, core: Core, timer: SessionTimer) -> None:
        self._core = core
        self._timer = timer

    def next_attempt(self, session: Session, code: int, response: Response | None) -> Hop | None:
        """Where to send `Session.request`, which is changed; None: it is refused for good."""
        internals = session._internals
        assert internals.client_invite is not None
        here = internals.client_invite.destination
        if response is not None and self._asks_for_more(session, response):
            request = session.request
            self._change(session, request.uri, replaced=_REPLACED)
            return here
        redirection = internals.redirection
        if redirection is None:
            return None
        if response is not None:
            redirection.take(response, session.request.uri)
        found = redirection.next(code)
        if found is None:
            return None
        uri, hop = found
        headers, redirection.headers = redirection.headers, []
        self._change(session, uri, replaced=_REPLACED, more=headers)
        hop = hop._replace(profile=here.profile)
        self._core.emit(Redirected(session, code, uri))
        return here if session.request.all("route") else hop

    def _asks_for_more(self, session: Session, response: Response) -> bool:
        """A password (section 22.2), or a longer session interval (RFC 4028 section 7.3)."""
        if response.code == 422:
            return self._timer.is_too_small(session, response)
        authorizer = session._internals.authorizer
        asked = response.code in (401, 407) and authorizer is not None
        return asked and authorizer is not None and authorizer.challenged(response)

    def _change(
        self, session: Session, uri: str, *, replaced: set[str], more: Headers = ()
    ) -> None:
        old, internals = session.request, session._internals
        gone = replaced | {"session-expires", "min-se"}
        headers = [field for field in old.headers if canonical_name(field[0]) not in gone]
        headers.append(("CSeq", f"{old.cseq.number + 1} INVITE"))
        headers += self._timer.request_headers(session)
        headers += more
        if internals.authorizer is not None:
            headers += internals.authorizer.headers("INVITE", uri, old.body)
        session.request = Request("INVITE", uri, headers, old.body)
        internals.got_provisional = False
        internals.early_dialogs.clear()
        internals.received_numbers.clear()
        internals.settled.clear()
        internals.changed.clear()
        internals.early_tag, internals.early_offer = "", None
