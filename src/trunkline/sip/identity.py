"""Who calls, whom for, and by what way: identities in a message (RFC 3323, 3325, 5806, 7044).

A From header says what the caller's device says. What the network asserts is in
P-Asserted-Identity, and counts only where it comes from somebody who is trusted to
have checked: each trunk says whether its is. A signed Identity header (RFC 8224) is
passed on as it is; the verdict of whoever verified it is in a ``verstat`` parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import ParseError
from .headers import NameAddress, quote_string
from .message import Message
from .uri import Uri

__all__ = [
    "PASSED_ON",
    "CallerIdentity",
    "Diverted",
    "caller_identity",
    "diversions",
    "identity_headers",
]

PASSED_ON = (
    "Identity", "P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Diversion",
    "History-Info", "Remote-Party-ID", "P-Charging-Vector", "Call-Info", "Geolocation",
)  # fmt: skip
"""What a call that is passed on carries with it, byte for byte, where it may."""

Source = Literal["P-Asserted-Identity", "Remote-Party-ID", "From"]

_ANONYMOUS = ("anonymous", "unavailable", "restricted", "unknown")
MAX_DIVERSIONS = 16


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Who calls, and how that is known."""

    uri: str
    """The address as written."""
    number: str
    """The telephone number or user in it, without visual separators; may be empty."""
    display: str
    """The name that goes with it; may be empty."""
    source: Source
    """Where it is from; only the first was asserted by a network."""
    private: bool = False
    """The caller wants it kept from the called (RFC 3323): not to be shown, nor passed
    on to anybody who is not trusted to keep it."""
    verified: str = ""
    """What the network's check of the signature said (``verstat``, 3GPP TS 24.229):
    ``TN-Validation-Passed``, ``TN-Validation-Failed``, ``No-TN-Validation``; or empty."""


@dataclass(frozen=True, slots=True)
class Diverted:
    """One step of a call that was forwarded before it came here."""

    uri: str
    """Who was called, and forwarded it."""
    reason: str = ""
    """``unconditional``, ``user-busy``, ``no-answer``, a status; empty where not said."""
    count: int = 1
    """How many diversions this entry stands for."""


def caller_identity(message: Message, *, trusted: bool = False) -> CallerIdentity:
    """Who calls, from the best header that may be believed.

    ``trusted``: the message comes from somebody whose assertions count (RFC 3325
    section 4). What cannot be read is passed over; From always can.
    """
    privacy = {
        part.strip().lower() for value in message.all("privacy") for part in value.split(";")
    }
    private = bool(privacy & {"id", "user", "header", "critical"}) and "none" not in privacy
    if trusted:
        for value in _readable(message, "p-asserted-identity"):
            return _identity(value, "P-Asserted-Identity", private)
        for value in _readable(message, "remote-party-id"):
            if (value.parameters.get("party") or "calling").lower() == "calling":
                hidden = (value.parameters.get("privacy") or "off").lower() not in ("off", "no")
                return _identity(value, "Remote-Party-ID", private or hidden)
    return _identity(message.from_, "From", private)


def diversions(message: Message) -> list[Diverted]:
    """Who forwarded the call, the latest first.

    From Diversion (RFC 5806), which is in that order, or else from the History-Info
    entries (RFC 7044) that say why the call left them, whose order is the other.
    """
    found = []
    for value in _readable(message, "diversion"):
        count = value.parameters.get("counter") or ""
        known = count.isascii() and count.isdecimal() and len(count) <= 3
        reason = value.parameters.get("reason") or ""
        found.append(Diverted(value.uri, reason, int(count) if known and int(count) else 1))
    if found:
        return found[:MAX_DIVERSIONS]
    for value in _readable(message, "history-info"):
        try:
            uri = value.parsed_uri
        except ParseError:
            continue
        causes = [text for name, text in uri.headers if name.lower() == "reason"]
        cause = uri.parameter("cause") or ""
        if causes or cause:
            plain = value.uri.partition("?")[0]
            found.append(Diverted(plain, cause or _cause(causes[0])))
    return list(reversed(found))[:MAX_DIVERSIONS]


def identity_headers(
    asserted: Sequence[str] = (),
    *,
    display: str = "",
    privacy: Sequence[str] = (),
    diverted: Sequence[Diverted] = (),
    extra: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Header fields for a call of ours.

    ``asserted``: one or two addresses, a sip and a tel one (RFC 3325 section 9.1).
    Raises `ParseError` for an address that is none.
    """
    headers = []
    for uri in asserted:
        address = NameAddress.parse(uri if "<" in uri else f"<{uri}>")
        Uri.parse(address.uri)
        name = address.display or display
        shown = f"{quote_string(name)} " if name else ""
        headers.append(("P-Asserted-Identity", f"{shown}<{address.uri}>"))
    if privacy:
        headers.append(("Privacy", ";".join(privacy)))
    for step in diverted:
        Uri.parse(step.uri)
        reason = f";reason={step.reason}" if step.reason else ""
        headers.append(("Diversion", f"<{step.uri}>{reason};counter={step.count}"))
    headers.extend((extra or {}).items())
    return headers


def _readable(message: Message, name: str) -> list[NameAddress]:
    found = []
    for value in message.values(name):
        try:
            found.append(NameAddress.parse(value))
        except ParseError:
            continue
    return found


def _identity(value: NameAddress, source: Source, private: bool) -> CallerIdentity:
    number, verified = "", ""
    try:
        uri = value.parsed_uri
        number = uri.number.partition(";")[0]
        verified = uri.parameter("verstat") or value.parameters.get("verstat") or ""
        if not verified and ";verstat=" in (uri.user or ""):  # inside a telephone-subscriber
            verified = (uri.user or "").partition(";verstat=")[2].partition(";")[0]
    except ParseError:
        pass  # another scheme: the address is all there is
    hidden = private or number.lower() in _ANONYMOUS or value.uri.endswith("@anonymous.invalid")
    return CallerIdentity(value.uri, number, value.display, source, hidden, verified)


def _cause(reason: str) -> str:
    """The status in ``SIP;cause=302``."""
    return reason.lower().partition("cause=")[2].partition(";")[0].strip()
