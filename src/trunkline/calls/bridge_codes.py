"""What a caller is told when the called far end was not reached."""

from .events import CallEnded

__all__ = ["refusal"]

_SAME = frozenset({404, 410, 480, 484, 486, 488, 600, 603, 604, 606})
"""Answers about the called party or the call: they hold for the caller too."""
_WORDS = {"busy": 486, "no-answer": 480, "rejected": 603, "timeout": 480, "cancelled": 480}
_TEXTS = {
    403: "Forbidden",
    404: "Not Found",
    410: "Gone",
    480: "Temporarily Unavailable",
    484: "Address Incomplete",
    486: "Busy Here",
    488: "Not Acceptable Here",
    503: "Service Unavailable",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}


def refusal(end: CallEnded | None) -> tuple[int, str]:
    """The status for a caller, and its text, of how the called leg ended.

    What is between us and the called end only (its passwords, its timers, its servers)
    is not the caller's business and becomes 403, 480 or 503.
    """
    code = 480
    if end is not None:
        code = _code(end)
    return code, _TEXTS[code]


def _code(end: CallEnded) -> int:
    if end.code in _SAME:
        return end.code
    if end.code in (401, 403, 407):
        return 403
    if end.code is not None and 500 <= end.code < 600:
        return 503
    if end.code in (408, 487) or end.code is None or end.code < 300:
        return _WORDS.get(end.reason, 480 if end.reason != "error" else 503)
    return 480
