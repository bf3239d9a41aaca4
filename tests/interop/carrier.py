"""A carrier's gateway in plain Python: answers OPTIONS and INVITE as it is told to.

with Gateway(answer=503, retry_after=5) as gateway:
    gateway.server, gateway.invites, gateway.answer = 200
"""

import threading
from collections.abc import Sequence
from typing import Self

from .peer import Message, Peer, sdp


class Gateway:
    """One address of a carrier; a thread answers."""

    def __init__(
        self, *, answer: int = 200, options: int = 200, retry_after: int = 0, ring: bool = False
    ) -> None:
        self.peer = Peer()
        self.answer = answer
        """The status for an INVITE; 0: silence."""
        self.options = options
        """The status for OPTIONS; 0: silence."""
        self.retry_after = retry_after
        self.ring = ring
        self.early = False
        """Send 183 with a session description first."""
        self.invites: list[Message] = []
        """Without repetitions."""
        self.asked = 0
        self.byes = 0
        self._closed = False
        self._known: set[str] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def server(self) -> str:
        """Its address, as a trunk names it."""
        return f"sip:127.0.0.1:{self.peer.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._thread.join(5)
        self.peer.socket.close()

    def _serve(self) -> None:
        while not self._closed:
            message = self.peer.poll(lambda m: m.is_request, 0.05)
            if message is not None:
                self._answer(message)

    def _answer(self, request: Message) -> None:
        later: Sequence[tuple[str, str]] = ()
        if self.retry_after:
            later = [("Retry-After", str(self.retry_after))]
        if request.method == "OPTIONS":
            self.asked += 1
            if self.options:
                self.peer.respond(request, self.options, extra=later)
        elif request.method == "INVITE":
            if request["call-id"] not in self._known:
                self._known.add(request["call-id"])
                self.invites.append(request)
            self._invited(request, later)
        elif request.method in ("BYE", "CANCEL"):
            self.byes += 1
            self.peer.respond(request, 200)

    def _invited(self, request: Message, later: Sequence[tuple[str, str]]) -> None:
        body = sdp(40_000)
        if self.early:
            self.peer.respond(request, 183, body=body)
        elif self.ring:
            self.peer.respond(request, 180)
        if self.answer >= 300:
            self.peer.respond(request, self.answer, extra=later)
        elif self.answer:
            self.peer.respond(request, self.answer, body=body)
