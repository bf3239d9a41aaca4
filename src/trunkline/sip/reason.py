"""The Reason field: why a call ended (RFC 3326), mostly in Q.850's numbers."""

from dataclasses import dataclass

from .errors import ParseError
from .headers import parse_parameters, quote_string, split_values

__all__ = ["Reason", "reason_field"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason."""

    protocol: str
    """``Q.850``, ``SIP``, or what else there is."""
    cause: int | None = None
    """A cause of Q.850, or a SIP status; None where they forgot it."""
    text: str = ""
    """For people."""

    @classmethod
    def parse_all(cls, text: str) -> "list[Reason]":
        """Read a field; what cannot be read is left out, since nothing depends on it."""
        found = []
        for value in split_values(text):
            protocol, _, rest = value.partition(";")
            try:
                parameters = parse_parameters(rest)
            except ParseError:
                parameters = {}
            cause = (parameters.get("cause") or "").strip()
            known = cause.isascii() and cause.isdecimal() and len(cause) <= 3
            if protocol.strip():
                number = int(cause) if known else None
                found.append(cls(protocol.strip(), number, parameters.get("text") or ""))
        return found

    def __str__(self) -> str:
        cause = f";cause={self.cause}" if self.cause is not None else ""
        text = f";text={quote_string(self.text)}" if self.text else ""
        return f"{self.protocol}{cause}{text}"


_WORDS = {
    "hangup": Reason("Q.850", 16, "Normal call clearing"),
    "busy": Reason("Q.850", 17, "User busy"),
    "no-answer": Reason("Q.850", 19, "No answer from user"),
    "rejected": Reason("Q.850", 21, "Call rejected"),
    "timeout": Reason("Q.850", 102, "Recovery on timer expiry"),
    "media-timeout": Reason("Q.850", 102, "No media"),
    "error": Reason("Q.850", 41, "Temporary failure"),
    "shutdown": Reason("Q.850", 41, "Going out of service"),
    "answered-elsewhere": Reason("SIP", 200, "Call completed elsewhere"),
}


def reason_field(word: str) -> list[tuple[str, str]]:
    """Of a BYE or CANCEL of ours that ends a call with that word; none for other words."""
    reason = _WORDS.get(word)
    return [("Reason", str(reason))] if reason is not None else []
