"""Reliable provisional responses, on the side that gets them (RFC 3262 section 4)."""

from .core import Core
from .dialog import Dialog
from .in_dialog import Requests
from .message import Response
from .reliable import OPTION
from .session import Session

__all__ = ["Prack"]


class Prack:
    """Acknowledges provisional responses in their order."""

    def __init__(self, core: Core, requests: Requests) -> None:
        self._core = core
        self._requests = requests

    def is_reliable(self, response: Response) -> bool:
        """Whether it asks to be acknowledged, by one of its number."""
        return (
            response.code > 100
            and self._core.settings.reliable != "off"
            and OPTION in response.values("require")
            and _number(response) is not None
        )

    def is_next(self, session: Session, response: Response) -> bool:
        """Whether a reliable response is the one that is due; repeated ones are not."""
        tag, number = response.to.tag, _number(response)
        last = session._internals.received_numbers.get(tag)
        if number is None or (last is not None and number != last + 1):
            self._core.counters["provisional-out-of-order"] += 1
            return False
        session._internals.received_numbers[tag] = number
        return True

    def acknowledge(
        self, session: Session, dialog: Dialog, response: Response, body: bytes, now: float
    ) -> None:
        """Send the PRACK, with an answer if it had an offer."""
        rack = f"{_number(response)} {response.cseq.number} {response.cseq.method}"
        self._requests.send(
            session, dialog, "PRACK", now, self._refused, headers=[("RAck", rack)], body=body
        )

    def _refused(self, code: int, response: Response | None, now: float) -> None:
        """Nothing to do: the final response of the INVITE says what became of the call."""
        if code >= 300:
            self._core.counters[f"prack-{code}"] += 1


def _number(response: Response) -> int | None:
    text = (response.get("rseq") or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None
