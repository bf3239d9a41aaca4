"""Requests of ours inside a dialog that are answered once: PRACK, UPDATE and their like."""

from collections.abc import Callable
from functools import partial

from .bodies import SDP_TYPE
from .core import Core
from .dialog import Dialog
from .message import Headers, Response
from .session import Session

__all__ = ["OnFinal", "Requests", "seconds_of"]

OnFinal = Callable[[int, Response | None, float], None]
"""Told the status, the response (None where there was none: 408, 503), and ``now``."""


class Requests:
    """Sends them, and gives our name to a far end that asks for it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def send(
        self,
        session: Session,
        dialog: Dialog,
        method: str,
        now: float,
        on_final: OnFinal,
        *,
        headers: Headers = (),
        body: bytes = b"",
    ) -> None:
        """Send one with the dialog's next CSeq; ``on_final`` is called once."""
        core, authorizer = self._core, session._internals.authorizer
        hop = core.destination(session, dialog)
        request = dialog.request(method)
        request.headers += headers
        if body:
            request.headers.append(("Content-Type", SDP_TYPE))
            request.body = body
        if authorizer is not None:
            request.headers += authorizer.headers(method, request.uri, body)
        again = partial(
            self.send, session, dialog, method, on_final=on_final, headers=headers, body=body
        )

        def on_response(response: Response, now: float) -> None:
            if response.code < 200:
                return
            asked = response.code in (401, 407) and not session.is_terminated
            if asked and authorizer is not None and authorizer.challenged(response):
                again(now)
            else:
                on_final(response.code, response, now)

        core.send_request(
            request, hop, on_response, lambda code, now: on_final(code, None, now), now
        )


def seconds_of(value: str | None) -> int | None:
    """Delta-seconds with whatever follows them (Session-Expires, Min-SE, Retry-After)."""
    text = (value or "").partition(";")[0].partition("(")[0].strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
