"""Trunks: the configured ways to the telephone network.

A `Trunk` says everything about one and never changes; to change it, another takes its
place (`trunk_states.Trunks.replace`), and calls that are up keep the one they began with.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal

from trunkline.errors import UsageError
from trunkline.sip.errors import ParseError
from trunkline.sip.uri import Uri

from .health import HealthSettings
from .limits import LimitSettings
from .numbers import NumberPlan, NumberRule, rewrite

__all__ = ["Caps", "Gateway", "Trunk", "fails_over"]

NEVER_FAILURES = frozenset((401, 407, 422, 484, 486, 491, 600, 603, 604))
"""What no table makes a reason to try elsewhere: questions, and people's own words."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One address of a trunk; raises `UsageError` for one that is none."""

    server: str
    """Where calls are sent: ``sip:203.0.113.9``, ``sip:gw.example;transport=tcp``, ``sips:...``"""
    priority: int = 1
    """Lower ones are tried first."""
    weight: int = 1
    """Its share of the calls among those of the same priority; 0: only when others fail."""

    def __post_init__(self) -> None:
        try:
            uri = Uri.parse(self.server)
        except ParseError as error:
            raise UsageError(
                f'a gateway is a SIP URI as in "sip:203.0.113.9", not {self.server!r}: {error}'
            ) from None
        if uri.scheme == "tel" or uri.user is not None:
            raise UsageError(f"a gateway is a SIP URI without a user, not {self.server!r}")
        if self.weight < 0:
            raise UsageError(f"a gateway's weight is 0 or more, not {self.weight}")

    @property
    def uri(self) -> Uri:
        """Its address taken apart."""
        return Uri.parse(self.server)


@dataclass(frozen=True, slots=True)
class Caps:
    """What a key or a trunk may use up; 0 is no cap."""

    channels: int = 0
    """Calls out at once."""
    minutes_per_day: float = 0.0
    minutes_per_month: float = 0.0
    spend_per_day: float = 0.0
    """In the money of the rate table."""
    spend_per_month: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """One way to the telephone network. Raises `UsageError` for what cannot be."""

    name: str
    gateways: tuple[Gateway, ...] = ()
    """Where its calls out are sent; none: it only takes calls."""
    addresses: tuple[str, ...] = ()
    """Who may call in over it, beside its gateways: "203.0.113.0/28", "203.0.113.9:5080"."""
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Who may call in over it with a password: user and password."""
    username: str = ""
    """Who we are to it."""
    password: str = field(default="", repr=False)
    register: bool = False
    """Whether we register with it."""
    registrar: str = ""
    """Where; empty: the first gateway."""
    expires_seconds: int = 600
    """For how long we ask to be registered."""
    limits: LimitSettings = field(default=LimitSettings())
    caps: Caps = field(default=Caps())
    prefixes: tuple[str, ...] = ("",)
    """Beginnings of the numbers it carries; "" is every number."""
    priority: int = 1
    """Trunks with lower ones are tried first, where neither rule nor price says otherwise."""
    weight: int = 1
    """Its share among those of the same priority."""
    plan: NumberPlan = field(default=NumberPlan())
    """How numbers are dialled where it ends."""
    numbers_in: tuple[NumberRule, ...] = field(default=(NumberRule(form="e164"),))
    """From how it writes numbers to E.164: called and calling ones."""
    numbers_out: tuple[NumberRule, ...] = ()
    """From E.164 to how it wants them."""
    uri: Literal["sip", "phone", "tel"] = "sip"
    """How a called number is written: sip:N@host, that with user=phone, or tel:N."""
    callers: tuple[str, ...] = ()
    """Calling numbers it lets us use, in E.164, with ``*`` and ``?``; empty: any."""
    caller: str = ""
    """The number of calls that name none, or one that is not allowed."""
    domain: str = ""
    """The host in From, and in the identity below; empty: ours, and the gateway's."""
    identity: Literal["none", "pai", "ppi"] = "none"
    """Whether the calling number also goes into P-Asserted-Identity or -Preferred-Identity."""
    codecs: tuple[str, ...] = ()
    srtp: Literal["off", "optional", "required"] = "off"
    tls_verify: bool = True
    """Whether its servers have to prove over TLS who they are."""
    tls_ca: str = ""
    """The file of the authorities that are trusted for that; empty: the system's."""
    tls_certificate: str = ""
    """The file of the certificate that we show it; empty: none."""
    tls_key: str = ""
    """The file of its key; empty: it is in the certificate's file."""
    tls_server_name: str = ""
    """Whose certificate is expected, where it is not the host that is called."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further SIP headers of every call out."""
    health: HealthSettings = field(default=HealthSettings())
    no_response_seconds: float = 3.0
    """A gateway that has sent nothing at all for so long is given up; 0: RFC 3261's 32 s."""
    no_answer_seconds: float | None = None
    """A call nobody answers is given up after this; None: the node's."""
    failover_codes: frozenset[int] = frozenset()
    """Answers that are a reason to try the next gateway, beside 408 and 5xx."""
    final_codes: frozenset[int] = frozenset()
    """Answers among 408 and 5xx that are not."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"a trunk's name is letters, digits, - and _, not {self.name!r}")
        for written in self.addresses:
            source_of(written)
        if self.register and not (self.username and (self.registrar or self.gateways)):
            raise UsageError("register takes a username, and a registrar or a gateway")
        if self.callers and self.caller and not self.may_show(self.caller):
            raise UsageError(f"caller {self.caller} is not one of its callers")
        wrong = self.failover_codes & NEVER_FAILURES
        if wrong:
            codes = ", ".join(map(str, sorted(wrong)))
            raise UsageError(f"{codes} is never a reason to try elsewhere")

    def carries(self, number: str) -> bool:
        """Whether a number in E.164 is one of its."""
        return bool(self.gateways) and number.startswith(self.prefixes)

    def may_show(self, caller: str) -> bool:
        """Whether a calling number may be used on it."""
        return not self.callers or any(fnmatch.fnmatchcase(caller, one) for one in self.callers)

    def caller_for(self, wanted: str) -> str:
        """The calling number, in E.164, of a call that wants to show another."""
        wanted = self.plan.e164(wanted) if wanted else ""
        return wanted if wanted and self.may_show(wanted) else self.caller

    def outgoing(self, number: str) -> str:
        """A number in E.164 as this trunk wants it."""
        return rewrite(number, self.numbers_out, self.plan)

    def incoming(self, number: str) -> str:
        """A number that this trunk sent, in E.164 where that can be told."""
        return rewrite(number, self.numbers_in, self.plan)


def fails_over(trunk: Trunk, code: int | None, rang: bool) -> bool:
    """Whether an attempt that ended so is a reason to try the next gateway.

    Silence (408 before anybody rang), 5xx and what the trunk adds; never busy, declined,
    not found, nor what is a question (401, 407, 422, 491). 408 after ringing is a
    telephone nobody answered.
    """
    if code is None or code in NEVER_FAILURES or code in trunk.final_codes:
        return False
    if code in trunk.failover_codes:
        return True
    return (code == 408 and not rang) or 500 <= code < 600


def source_of(written: str) -> tuple[str, int]:
    """Network and port (0: any) of where a trunk calls from; raises `UsageError`."""
    host, port = written, 0
    if written.startswith("["):
        host, _, rest = written[1:].partition("]")
        port = int(rest[1:]) if rest[1:].isdecimal() else -1 if rest else 0
    elif written.count(":") == 1:
        host, _, rest = written.partition(":")
        port = int(rest) if rest.isdecimal() else -1
    try:
        network = str(ip_network(host, strict=False))
    except ValueError:
        network = ""
    if not network or not 0 <= port < 65536:
        raise UsageError(f"{written!r} is no address or network (203.0.113.0/28, 203.0.113.9:5080)")
    return network, port
