"""A telephone that says what a test tells it to, and nothing else.

`Phone` stands at the other end of one user agent of ours; it keeps no state, so that
it can be as wrong as anybody out there.
"""

import random
from collections.abc import Sequence

from trunkline.sip import (
    Invitation,
    Request,
    Response,
    Session,
    Settings,
    Terminated,
    UserAgent,
    parse_message,
)
from trunkline.sip.events import Event, Send
from trunkline.sip.testing import OFFER

OURS, THEIRS = "10.0.0.1", "10.0.0.9"

Fields = Sequence[tuple[str, str]]


class Phone:
    """One user agent of ours, and a far end made of literal messages."""

    def __init__(self, **settings: object) -> None:
        self.agent = UserAgent(Settings(OURS, **settings), random.Random(1))  # type: ignore[arg-type]
        self.now = 1000.0
        self.events: list[Event] = []
        self.sent: list[Request | Response] = []
        self._branch = 0

    def take(self) -> list[Request | Response]:
        """What our user agent sends now; events are kept."""
        new: list[Request | Response] = []
        for output in self.agent.drain():
            if isinstance(output, Send):
                new.append(parse_message(output.data))
            else:
                self.events.append(output)
        self.sent += new
        return new

    def names(self) -> list[str]:
        """The events' names, in order."""
        self.take()
        return [type(event).__name__ for event in self.events]

    def last(self, kind: type[Event]) -> Event:
        """The last event of a kind."""
        self.take()
        return [event for event in self.events if isinstance(event, kind)][-1]

    def wait(self, seconds: float) -> list[Request | Response]:
        """Let time pass; what is sent meanwhile."""
        end, new = self.now + seconds, self.take()
        while (due := self.agent.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.agent.tick(self.now)
            new += self.take()
        self.now = end
        return new

    def hear(self, seconds: float) -> list[Request | Response]:
        """The same, without what is only repeated."""
        known = {bytes(message) for message in self.sent}
        found: dict[bytes, Request | Response] = {}
        for message in self.wait(seconds):
            if bytes(message) not in known:
                found.setdefault(bytes(message), message)
        return list(found.values())

    def request(
        self,
        method: str,
        cseq: int,
        *,
        to_tag: str = "",
        body: bytes = b"",
        extra: Fields = (),
        call_id: str = "c1",
        from_tag: str = "them",
        branch: str = "",
        to: str = f"<sip:us@{OURS}>",
        from_: str = f"<sip:phone@{THEIRS}>",
    ) -> list[Request | Response]:
        """Send a request; what our user agent says to it."""
        self._branch += 1
        headers = [
            ("Via", f"SIP/2.0/UDP {THEIRS};branch=z9hG4bK{branch or self._branch}"),
            ("From", f"{from_};tag={from_tag}"),
            ("To", to + (f";tag={to_tag}" if to_tag else "")),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:phone@{THEIRS}>"),
            ("Max-Forwards", "70"),
            *extra,
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        return self.give(Request(method, f"sip:us@{OURS}", headers, body))

    def give(self, message: Request | Response) -> list[Request | Response]:
        """Our user agent receives that."""
        self.agent.receive(bytes(message), (THEIRS, 5060), self.now)
        return self.take()

    def invite(self, *, extra: Fields = (), body: bytes = OFFER) -> list[Request | Response]:
        """A call to us."""
        return self.request("INVITE", 1, body=body, extra=extra)

    def answer(
        self,
        request: Request | Response,
        code: int,
        *,
        tag: str = "far",
        body: bytes = b"",
        extra: Fields = (),
    ) -> list[Request | Response]:
        """Answer a request of ours; what is said to that."""
        assert isinstance(request, Request)
        headers = [("Contact", f"<sip:phone@{THEIRS}>"), *extra]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        return self.give(request.response(code, "", to_tag=tag, headers=headers, body=body))

    def ask(
        self, message: Request | Response, method: str, cseq: int, **options: object
    ) -> list[Request | Response]:
        """A request of theirs in the dialog of a request of ours (we called)."""
        assert isinstance(message, Request)
        to = f"<{message.from_.uri}>"
        values: dict[str, object] = {"from_tag": "far", **options}
        return self.request(
            method, cseq, to=to, to_tag=message.from_.tag, from_=f"<{message.to.uri}>",
            call_id=message.call_id, **values,  # type: ignore[arg-type]
        )  # fmt: skip

    def dial(self, **options: object) -> tuple[Session, Request]:
        """We call; the session and its INVITE."""
        values: dict[str, object] = {"target": f"sip:phone@{THEIRS}", "sdp": OFFER, **options}
        session = self.agent.invite(Invitation(from_=f"sip:us@{OURS}", **values), self.now)  # type: ignore[arg-type]
        (invite,) = self.take()
        assert isinstance(invite, Request)
        return session, invite

    def ended(self) -> list[tuple[str, str, int | None]]:
        """How sessions ended."""
        self.take()
        return [(e.reason, e.by, e.code) for e in self.events if isinstance(e, Terminated)]

    def assert_quiet(self, ends: int = 1) -> None:
        """After a while nothing is left, and each session ended once."""
        self.wait(300)
        assert not any(self.agent.live.values()), self.agent.live
        assert len(self.ended()) == ends


def said(messages: Sequence[Request | Response]) -> list[str]:
    """What messages are, in a word each."""
    return [
        f"{message.code} {message.cseq.method}" if isinstance(message, Response) else message.method
        for message in messages
    ]
