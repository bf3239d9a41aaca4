"""Being sent elsewhere: whom a 3xx names, and which of them are called (RFC 3261 8.1.3.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trunkline.errors import UsageError

from .errors import ParseError
from .headers import NameAddress, quote_string
from .hop import Hop
from .message import Response
from .uri import Uri

__all__ = ["Redirection", "as_contacts", "contacts_of"]

CODES = (300, 301, 302, 305)
MAX_DEPTH = 5
"""How often a call is sent on; a longer chain is a loop that changes its name."""
MAX_TARGETS = 10
_KEPT = ("diversion", "history-info")


@dataclass(slots=True)
class Redirection:
    """The targets of one call that are still to be tried."""

    allowed: Callable[[str], bool]
    """Whether an address may be called: they do not decide whom we call, nor who pays."""
    called: set[str] = field(default_factory=set)
    """Where it has been: nowhere twice."""
    targets: list[tuple[str, Hop]] = field(default_factory=list)
    """Request-URI and hop, the most wanted first."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Diversion and History-Info of those who sent it on (RFC 5806, RFC 7044)."""
    depth: int = 0

    def take(self, response: Response, uri: str) -> None:
        """Note where a 3xx to a call of ``uri`` sends it."""
        self.called.add(uri)
        if response.code not in CODES or self.depth >= MAX_DEPTH:
            return
        self.depth += 1
        found = []
        for target in contacts_of(response):
            proxied = response.code == 305
            request_uri = uri if proxied else str(replace(target, headers=()))
            seen = request_uri in self.called and not proxied
            if uri.startswith("sips:") and target.scheme != "sips":
                continue  # never to a way that can be listened to
            if not seen and self.allowed(str(target) if proxied else request_uri):
                found.append((request_uri, target.hop))
        self.targets = [*found, *self.targets][:MAX_TARGETS]
        for name in _KEPT:
            self.headers += [(name.title(), value) for value in response.all(name)]

    def next(self, code: int) -> tuple[str, Hop] | None:
        """Whom to call after that refusal; a person's own "no" is the last word."""
        if code not in (*CODES, 408) and not 500 <= code < 600:
            return None
        return self.targets.pop(0) if self.targets else None


def contacts_of(response: Response) -> list[Uri]:
    """The addresses a 3xx names, the most wanted first (q, then their order)."""
    found: list[tuple[float, Uri]] = []
    for value in response.values("contact"):
        try:
            contact = NameAddress.parse(value)
            uri = contact.parsed_uri
            quality = float(contact.parameters.get("q") or 1.0)
        except (ParseError, ValueError):
            continue
        if uri.scheme in ("sip", "sips") and uri.host and 0 <= quality <= 1:
            found.append((quality, uri))
    found.sort(key=lambda entry: -entry[0])
    return [uri for _, uri in found]


def as_contacts(targets: Sequence[str]) -> list[str]:
    """Contact values for addresses, URIs or name-addrs, the most wanted first.

    Raises UsageError for one that is no address.
    """
    values = []
    for place, target in enumerate(targets):
        try:
            address = NameAddress.parse(target)
            address.parsed_uri.hop  # noqa: B018 - raises for what cannot be called
        except ParseError as error:
            raise UsageError(f"cannot send a caller to {target!r}: {error}") from error
        if len(targets) > 1 and "q" not in address.parameters:
            address.parameters["q"] = f"{max(0.1, 1 - place / 10):.1f}"
        parameters = "".join(f";{name}={value}" for name, value in address.parameters.items())
        display = f"{quote_string(address.display)} " if address.display else ""
        values.append(f"{display}<{address.uri}>{parameters}")
    return values
