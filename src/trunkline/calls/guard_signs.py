"""The signs of a scanner, counted by address and by account.

What is counted fades: ten minutes without an offence and it begins anew. Memory is
bounded by the number of addresses that are watched; the ones not heard of longest go.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from trunkline.sip.message import Request

__all__ = ["SignSettings", "Signs", "is_scanner"]

FADES_SECONDS: Final = 600.0
MINUTE_SECONDS: Final = 60.0
KNOWN_ADDRESSES: Final = 8
"""Addresses that are remembered as an account's own."""

_TOOLS = re.compile(
    r"friendly-scanner|friendly-request|sipvicious|sipcli|sip-scan|sipsak|sundayddr|pplsip|"
    r"vaxsipuseragent|vaxasip|sivus|iwar|smap|siparmyknife|sip[-_]?hacker|gulp|eyebeam scan|"
    r"cobalt|nmap|zgrab|masscan|viproy|bluebox|sip_probe|svmap|svwar|svcrack|stress agent",
    re.IGNORECASE,
)
"""What scanners call themselves."""


@dataclass(frozen=True, slots=True)
class SignSettings:
    """How much it takes; each within ten minutes of the last."""

    failures: int = 10
    """Wrong passwords from one address."""
    account_failures: int = 30
    """Wrong passwords for one account, from anywhere but where it is at home."""
    numbers: int = 12
    """Different numbers called by an address that has proved nothing."""
    requests: int = 60
    """Requests outside a call by such an address, of any method, within a minute."""
    malformed: int = 20
    """Things that are no SIP, from one address."""
    most_addresses: int = 20_000
    """How many are watched at once."""


@dataclass(slots=True)
class _Watched:
    """What one address has done."""

    seen_at: float
    failures: int = 0
    malformed: int = 0
    requests: int = 0
    minute_at: float = 0.0
    numbers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Account:
    """What was tried with one account."""

    seen_at: float
    failures: int = 0
    blocked_until: float = 0.0
    strikes: int = 0


class Signs:
    """Counts, and says when it is enough. Media thread only; times are any one clock's."""

    def __init__(self, settings: SignSettings) -> None:
        self.settings = settings
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._homes: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._watched)

    def requested(self, address: str, request: Request, at: float) -> str:
        """A request of somebody unknown; the reason to block, or ""."""
        if address in self._known:
            return ""  # a telephone whose next request follows its password
        watched = self._watch(address, at)
        if not 0 <= at - watched.minute_at < MINUTE_SECONDS:
            watched.minute_at, watched.requests = at, 0
        watched.requests += 1
        if request.method == "INVITE" and len(watched.numbers) <= self.settings.numbers:
            watched.numbers.add(request.uri.partition("@")[0][:64])
        if len(watched.numbers) > self.settings.numbers:
            return "dials number after number"
        if watched.requests > self.settings.requests:
            return "sends request after request"
        return ""

    def malformed(self, address: str, at: float) -> str:
        """Something that is no SIP came from there; the reason to block, or ""."""
        watched = self._watch(address, at)
        watched.malformed += 1
        return "sends what is no SIP" if watched.malformed >= self.settings.malformed else ""

    def failed(self, address: str, account: str, at: float) -> str:
        """A wrong password; the reason to block the address, or ""."""
        watched = self._watch(address, at)
        watched.failures += 1
        if account:
            self._account_failed(account[:64], at)
        return "guesses passwords" if watched.failures >= self.settings.failures else ""

    def _account_failed(self, account: str, at: float) -> None:
        tried = self._accounts.get(account)
        if tried is None or (at - tried.seen_at > FADES_SECONDS and at > tried.blocked_until):
            tried = self._accounts[account] = _Account(at, strikes=tried.strikes if tried else 0)
        tried.seen_at = at
        tried.failures += 1
        self._accounts.move_to_end(account)
        if len(self._accounts) > self.settings.most_addresses:
            self._accounts.popitem(last=False)
        if tried.failures >= self.settings.account_failures:
            tried.failures = 0
            tried.strikes += 1
            tried.blocked_until = at + 60.0 * 5 ** (min(tried.strikes, 4) - 1)

    def account_blocked(self, account: str, address: str, at: float) -> bool:
        """Whether a password for an account is not even looked at from there.

        Where the account has proved itself before, it may always: else anybody could lock
        its owner out by guessing badly.
        """
        tried = self._accounts.get(account[:64])
        if tried is None or at >= tried.blocked_until:
            return False
        return address not in self._homes.get(account, ())

    def proved(self, address: str, account: str) -> None:
        """A right password: whoever is there is no scanner."""
        self._watched.pop(address, None)
        self._known[address] = None
        self._known.move_to_end(address)
        if len(self._known) > self.settings.most_addresses:
            self._known.popitem(last=False)
        homes = self._homes.setdefault(account, OrderedDict())
        homes[address] = None
        homes.move_to_end(address)
        if len(homes) > KNOWN_ADDRESSES:
            homes.popitem(last=False)

    def forget(self, address: str) -> None:
        """Begin anew for an address; it is not known any more."""
        self._watched.pop(address, None)
        self._known.pop(address, None)

    def _watch(self, address: str, at: float) -> _Watched:
        watched = self._watched.get(address)
        if watched is None or at - watched.seen_at > FADES_SECONDS:
            watched = self._watched[address] = _Watched(at)
            if len(self._watched) > self.settings.most_addresses:
                self._watched.popitem(last=False)
        watched.seen_at = at
        self._watched.move_to_end(address)
        return watched


def is_scanner(request: Request) -> bool:
    """Whether a request says itself that a scanner sent it."""
    agent = request.get("user-agent") or ""
    if agent and _TOOLS.search(agent[:256]):
        return True
    sender = request.get("from") or ""
    return "sipvicious" in sender[:256].lower()
