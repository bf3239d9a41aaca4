"""Asking a server whether it is there: OPTIONS outside a dialog (RFC 3261 section 11)."""

from collections.abc import Callable
from dataclasses import dataclass

from .bodies import SDP_TYPE
from .core import Core
from .hop import Hop
from .message import Request, Response

__all__ = ["OptionsAnswer", "Probing"]


@dataclass(frozen=True, slots=True)
class OptionsAnswer:
    """What came of one question."""

    code: int
    """The final status; 0: nothing came in time, or nothing can be sent there."""
    round_trip_seconds: float = 0.0
    retry_after_seconds: float = 0.0
    """Their Retry-After; 0: none."""


Told = Callable[[OptionsAnswer, float], None]
"""Gets the answer, and ``now``; once for each question."""


class Probing:
    """Questions to servers. A part of the user agent."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def ask(self, uri: str, hop: Hop, told: Told, now: float, timeout_seconds: float) -> None:
        """Send one OPTIONS; ``told`` hears of its answer, or that none came in time."""
        core = self._core
        ours = core.settings.contact(hop.transport)
        request = Request(
            "OPTIONS",
            uri,
            [
                ("Max-Forwards", "70"),
                ("From", f"{ours};tag={core.token()}"),
                ("To", f"<{uri}>"),
                ("Call-ID", core.token(32)),
                ("CSeq", "1 OPTIONS"),
                ("Accept", SDP_TYPE),
                *core.client_headers(hop),
            ],
        )
        done: list[bool] = []

        def finish(answer: OptionsAnswer, at: float) -> None:
            if not done:
                done.append(True)
                timer.cancel()
                told(answer, at)

        def on_response(response: Response, at: float) -> None:
            if response.code >= 200:
                finish(OptionsAnswer(response.code, at - now, retry_after(response)), at)

        def on_failure(code: int, at: float) -> None:
            finish(OptionsAnswer(0), at)

        def give_up(at: float) -> None:
            transaction.drop()
            finish(OptionsAnswer(0), at)

        timer = core.timers.start(now + timeout_seconds, give_up)
        transaction = core.send_request(request, hop, on_response, on_failure, now)


def retry_after(response: Response | None) -> float:
    """Seconds of a Retry-After (RFC 3261 section 20.33); 0 where there is none to read."""
    written = (response.get("retry-after") or "") if response is not None else ""
    number = written.replace("(", ";").partition(";")[0].strip()
    return float(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 0.0
