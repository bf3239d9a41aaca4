"""The settings of trunks, of routing, and of what protects both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .secret import Secret

__all__ = [
    "Control",
    "GatewaySettings",
    "HealthSettings",
    "KeyCaps",
    "LimitSettings",
    "NumberRuleSettings",
    "Protection",
    "Routing",
    "RoutingRuleSettings",
    "TrunkSettings",
]

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
PerSecond = Annotated[float, Meta(ge=0, le=100_000)]
Money = Annotated[float, Meta(ge=0, le=1e9)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
CountryCode = Annotated[
    str, Meta(pattern=r"^[0-9]{0,3}$", description='up to three digits without a plus, as in "49"')
]


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One address of a trunk."""

    server: str
    """As in "sip:203.0.113.9", "sip:gw.example;transport=tcp" or "sips:gw.example"."""
    priority: Annotated[int, Meta(ge=0, le=65535)] = 1
    """Lower ones are tried first."""
    weight: Annotated[int, Meta(ge=0, le=65535)] = 1
    """The share of the calls among those of the same priority."""


class NumberRuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of rewriting a number."""

    prefix: str = ""
    """Only numbers that begin so."""
    form: Literal["", "e164", "digits", "international", "national"] = ""
    """+4930..., 4930..., 004930... or 030..."""
    strip: Annotated[int, Meta(ge=0, le=48)] = 0
    """Characters to take off the front."""
    add: str = ""
    """Put before it."""
    match: str = ""
    """A regular expression for the whole number."""
    replace: str = ""
    """What it becomes."""


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trunk may carry; 0 is no limit."""

    channels: Count = 0
    """Calls at once, both directions together."""
    channels_in: Count = 0
    """Calls in at once."""
    channels_out: Count = 0
    """Calls out at once."""
    calls_per_second: PerSecond = 0.0
    """Calls that begin in any second, both directions together; 0.2 is one in five seconds."""
    calls_per_second_in: PerSecond = 0.0
    """Calls in that begin in any second."""
    calls_per_second_out: PerSecond = 0.0
    """Calls out that begin in any second; each gateway tried is one."""


class HealthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trunk's gateways are asked whether they are there."""

    options_seconds: Seconds = 30.0
    """How often each gateway is asked, give or take a tenth; 0 asks nothing."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=32)] = 3.0
    """How long an answer may take."""
    misses: Annotated[int, Meta(ge=1, le=100)] = 3
    """So many in a row without an answer, or with 408 or 5xx, take a gateway down ..."""
    hits: Annotated[int, Meta(ge=1, le=100)] = 2
    """... and so many answers in a row bring it back."""


class KeyCaps(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each key may use up, or a trunk; 0 is no cap.

    A key is an application's name, or what board.dial() was given.
    """

    channels: Count = 0
    """Calls out at once."""
    minutes_per_day: Money = 0.0
    """Minutes of calls out in a day."""
    minutes_per_month: Money = 0.0
    """And in a month."""
    spend_per_day: Money = 0.0
    """What they may cost in a day, in the money of routing.rates."""
    spend_per_month: Money = 0.0
    """And in a month."""


class TrunkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to the telephone network."""

    gateways: tuple[GatewaySettings, ...] = ()
    """Where calls out go; none: the trunk only takes calls."""
    addresses: tuple[str, ...] = ()
    """Who may call in over it: addresses, networks, each with a port if you like. Left out, it is
    its gateways."""
    accounts: Mapping[str, Secret] = field(default_factory=dict)
    """Who may call in over it with a password: { user = "env:PASSWORD" }."""
    username: str = ""
    """Who we are to it."""
    password: Secret = Secret()
    """Answers its challenges."""
    register: bool = False
    """Register with it."""
    registrar: str = ""
    """Where to register; empty is the first gateway."""
    expires_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 600
    """For how long we ask to be registered."""
    limits: LimitSettings = LimitSettings()
    """What it may carry."""
    caps: KeyCaps = KeyCaps()
    """What calls out over it may use up."""
    health: HealthSettings = HealthSettings()
    """How its gateways are asked whether they are there."""
    prefixes: tuple[str, ...] = ("",)
    """Beginnings of the numbers that it carries, in E.164; "" is all."""
    priority: Annotated[int, Meta(ge=0, le=65535)] = 1
    """Trunks with lower ones are tried first, where no rule says otherwise."""
    weight: Annotated[int, Meta(ge=0, le=65535)] = 1
    """Its share of the calls among those of the same priority and price."""
    country_code: CountryCode = ""
    """Of the country where it ends, for numbers without one."""
    international_prefix: str = "00"
    """What is dialled there before a country code."""
    national_prefix: str = "0"
    """What is dialled there before an area code."""
    numbers_in: tuple[NumberRuleSettings, ...] = (NumberRuleSettings(form="e164"),)
    """From how it writes numbers to E.164, called and calling ones."""
    numbers_out: tuple[NumberRuleSettings, ...] = ()
    """From E.164 to how it wants them."""
    uri: Literal["sip", "phone", "tel"] = "sip"
    """How a called number is written: sip:N@host, that with ;user=phone, or tel:N."""
    callers: tuple[str, ...] = ()
    """Calling numbers that may be shown, in E.164, with * and ?; empty is any."""
    caller: str = ""
    """The number of calls that name none, or one that may not be shown."""
    domain: str = ""
    """The host in From and in the identity; empty is ours, and the gateway's."""
    identity: Literal["none", "pai", "ppi"] = "none"
    """Put the calling number into P-Asserted-Identity or P-Preferred-Identity as well."""
    codecs: tuple[str, ...] = ()
    """In the order they are offered; empty is media.codecs."""
    srtp: Literal["off", "optional", "required"] = "off"
    """Whether audio is encrypted; see the guide on secure trunks."""
    tls_verify: bool = True
    """Whether its servers have to prove over TLS who they are."""
    tls_ca: str = ""
    """The file of the authorities that are trusted for that; empty is the system's."""
    tls_certificate: str = ""
    """The file of the certificate that we show it."""
    tls_key: str = ""
    """The file of its key; empty is the certificate's file."""
    tls_server_name: str = ""
    """Whose certificate is expected, where it is not the host that is called."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further SIP headers of every call out: { X-Account = "7" }."""
    no_response_seconds: Annotated[float, Meta(ge=0, le=32)] = 3.0
    """A gateway that has sent nothing at all for so long is given up; 0 waits 32 s."""
    no_answer_seconds: Seconds = 0.0
    """A call nobody answers is given up after this; 0 is what dial() says."""
    failover_codes: tuple[Annotated[int, Meta(ge=300, le=699)], ...] = ()
    """Answers that are a reason to try the next gateway, beside 408 and 5xx."""
    final_codes: tuple[Annotated[int, Meta(ge=300, le=699)], ...] = ()
    """Answers among 408 and 5xx that are none."""


class RoutingRuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which trunks carry some numbers."""

    prefix: str = ""
    """Of the number in E.164; the longest prefix counts."""
    trunks: tuple[str, ...] = ()
    """Tried in this order."""
    split: Mapping[str, Annotated[float, Meta(ge=0)]] = field(default_factory=dict)
    """Shares of the calls: { a = 70, b = 30 }; who is not drawn comes after."""
    hours: str = ""
    """When it holds, in local time: "mon-fri 08:00-18:00"."""


class Routing(Struct, frozen=True, kw_only=True):
    """Which trunk carries a call out to a number.

    A rule for the number comes first; else trunks that carry its prefix, by priority, then by
    price, then by weight.
    """

    rates: Path = Path()
    """A CSV file with the columns trunk, prefix, price (a minute), and if you like connect,
    first_seconds and step_seconds. The longest prefix counts."""
    order: Literal["cost", "priority"] = "cost"
    """Whether the cheaper of two trunks of the same priority comes first."""
    rules: tuple[RoutingRuleSettings, ...] = ()
    """Rules, each for a prefix: { prefix = "+49", trunks = ["a", "b"] },
    { prefix = "+1", split = { a = 70, b = 30 }, hours = "mon-fri 08:00-18:00" }."""


class Protection(Struct, frozen=True, kw_only=True):
    """Scanners, guessed passwords and toll fraud.

    Who is blocked, and what was used of the caps, is kept over a restart.
    """

    enabled: bool = True
    """Count the signs of scanners and stop listening to who shows them."""
    allowed_addresses: tuple[str, ...] = ()
    """Addresses and networks that are never blocked; trunks and this machine are not anyway."""
    trust_loopback: bool = True
    """Never block this machine."""
    path: Path = Path()
    """The SQLite file where all of this is kept; empty is beside the records."""
    failures: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    """Wrong passwords from one address within ten minutes that are enough."""
    account_failures: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    """Wrong passwords for one account, from wherever it has not proved itself before."""
    numbers: Annotated[int, Meta(ge=1, le=1_000_000)] = 12
    """Different numbers called by an address that has proved nothing."""
    requests: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    """Requests of any kind by such an address within a minute."""
    malformed: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Messages that are no SIP, from one address."""
    keys: Mapping[str, KeyCaps] = field(default_factory=dict)
    """What some keys may use up instead."""
    allow_unrated: bool = False
    """Place calls without a rate where money is capped."""
    premium_prefixes: tuple[str, ...] = ("+882", "+883", "+979", "+878", "+808")
    """Ranges where a few calls are suspicious already."""
    countries: Path = Path()
    """A CSV file of networks and countries (203.0.113.0/24,DE), to tell when an account
    calls in from a new one. Without, an account that changes its /16 is told."""
    block_score: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Keys and trunks whose suspicious patterns score so high place no calls for an hour; 0
    only raises alarms. A pattern scores 40 to 60."""
    caps: KeyCaps = KeyCaps()
    """Of every key that is not in `keys`."""


class Control(Struct, frozen=True, kw_only=True):
    """The local socket by which `trunkline trunks`, `blocked` and `reload` reach a node."""

    enabled: bool = True
    """Listen on it; only the same user can connect."""
    path: Path = Path()
    """Where it is; empty is beside the records, with the ending .sock."""
