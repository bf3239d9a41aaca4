"""A call of the node's that a plain peer has answered, and what transfers make of it."""

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.events import CallTransferFailed, CallTransferred, CallTransferring
from trunkline.calls.forking import Fork

from .kit import RunningNode
from .peer import LOOPBACK, MediaPort, Message, Peer, sdp, tag_of, uri_of


class Answered:
    """A call of the node's to a peer: the peer answered it."""

    def __init__(
        self,
        node: RunningNode,
        peer: Peer,
        media: MediaPort,
        app: Any = None,
        target: str | Fork = "",
    ) -> None:
        target = target or f"sip:bob@{LOOPBACK}:{peer.port}"
        dialling = begin(node, node.board.dial(target, app=app))
        self.peer, self.media = peer, media
        self.invite = peer.request("INVITE")
        peer.respond(self.invite, 200, body=sdp(media.port), tag=f"t{peer.port}")
        peer.request("ACK")
        self.call: Call = dialling.result(10)
        self.local = f"{self.invite['to']};tag=t{peer.port}"
        self.cseq = 100

    def request(
        self, method: str, fields: list[tuple[str, str]] | None = None, body: bytes = b"",
        kind: str = "message/sipfrag;version=2.0",
    ) -> int:  # fmt: skip
        """A request of the peer's in this dialog; returns its CSeq."""
        self.cseq += 1
        branch = f"z9hG4bK{self.peer.port}.{self.cseq}"
        headers = [
            ("Via", f"SIP/2.0/UDP {LOOPBACK}:{self.peer.port};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.invite["from"]),
            ("Call-ID", self.invite["call-id"]),
            ("CSeq", f"{self.cseq} {method}"),
            ("Contact", self.peer.contact),
            *(fields or []),
        ]
        lines = [f"{method} {uri_of(self.invite['contact'])} SIP/2.0"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"Content-Type: {kind}"] if body else []
        lines.append(f"Content-Length: {len(body)}")
        self.peer.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body, self.invite.source)
        return self.cseq

    def notify(self, line: str, state: str = "active;expires=60", event: str = "refer") -> int:
        """Tell how the call stands that a REFER asked for; returns the status that gets."""
        fields = [("Event", event), ("Subscription-State", state)]
        number = self.request("NOTIFY", fields, f"{line}\r\n".encode() if line else b"")
        return self.final("NOTIFY", number)

    def final(self, method: str, number: int) -> int:
        return self.peer.receive(lambda m: m.code >= 200 and m["cseq"] == f"{number} {method}").code

    def refer(self, refer_to: str, fields: list[tuple[str, str]] | None = None) -> int:
        """Ask for a transfer; returns the status that gets."""
        number = self.request("REFER", [("Refer-To", refer_to), *(fields or [])])
        return self.final("REFER", number)

    def told(self) -> tuple[str, str]:
        """The next NOTIFY, confirmed: its status line and state."""
        message = self.peer.request("NOTIFY", 8)
        self.peer.respond(message, 200, tag="")
        return message.body.decode().strip(), message["subscription-state"]

    def bye(self) -> None:
        assert self.final("BYE", self.request("BYE")) == 200

    def replaces(self) -> str:
        """The Replaces value that names this dialog to the node."""
        return (
            f"{self.invite['call-id']};to-tag={tag_of(self.invite['from'])}"
            f";from-tag=t{self.peer.port}"
        )


def begin(node: RunningNode, work: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
    return asyncio.run_coroutine_threadsafe(work, node.loop)


def transfers(node: RunningNode, by: str = "us") -> list[tuple[str, int]]:
    """What the calls' observers were told of transfers."""
    kinds = CallTransferring | CallTransferred | CallTransferFailed
    return [
        (type(event).__name__.removeprefix("Call"), event.code)
        for event in node.events
        if isinstance(event, kinds) and event.by == by
    ]


def hung_up(peer: Peer, seconds: float = 8) -> Message:
    """The node's BYE, confirmed."""
    message = peer.request("BYE", seconds)
    peer.respond(message, 200, tag="")
    return message


async def willing(call: Call) -> None:
    """An app that lets itself be transferred."""
    call.allow_transfers()
    await echo(call)
