"""The gate of a node with trunks: who may speak, over which trunk, and who is a scanner.

Known by address is who a trunk's gateways, addresses and `sip.allowed_addresses` name;
known by password is who proves one of the node's or the trunks' accounts. Everybody else
is a stranger: counted, and when there are signs enough not answered any more.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trunkline.sip.admission import OPEN, Admission
from trunkline.sip.digest import Account, Challenger, Verdict
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request

from .addresses import NetworkTable
from .guard_blocks import Blocklist, address_key
from .guard_signs import Signs, SignSettings, is_scanner
from .trunk_receiving import Arrivals
from .trunk_states import Trunks

__all__ = ["GateSettings", "TrunkGate"]

log = logging.getLogger(__name__)

_USERNAME = re.compile(r'username\s*=\s*"((?:[^"\\]|\\.){1,128})"', re.IGNORECASE)
LOOPBACK = (("127.0.0.0/8", "loopback"), ("::1/128", "loopback"))
SCANNER_STRIKES = 4
"""A scanner by its own word is blocked for hours the first time."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Who may call beside the trunks, and when a stranger is a scanner."""

    allowed: Sequence[str] = ()
    """Networks that may call without a password."""
    never_blocked: Sequence[str] = ()
    """Networks that are counted and never blocked."""
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Users and passwords of the node itself."""
    realm: str = "trunkline"
    is_open: bool = False
    """Everybody may call without a password: a node on loopback, without accounts."""
    protect: bool = True
    """Count and block at all."""
    trust_loopback: bool = True
    """Never block this machine."""
    signs: SignSettings = field(default=SignSettings())


class TrunkGate:
    """Implements ``transports.sip_gate.SipGate``. Media thread only."""

    def __init__(
        self,
        settings: GateSettings,
        trunks: Trunks,
        arrivals: Arrivals,
        secret: bytes,
        *,
        blocks: Blocklist | None = None,
        clock: Callable[[], float] = time.time,
        proved: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self._settings = settings
        self._trunks, self._arrivals = trunks, arrivals
        self.blocks = Blocklist() if blocks is None else blocks
        self.signs = Signs(settings.signs)
        self.counters: Counter[str] = Counter()
        """What strangers did, and what became of it."""
        self._clock = clock
        self._proved = proved or (lambda account, host, at: None)
        self._allowed = NetworkTable((network, "allowed") for network in settings.allowed)
        exempt = [(network, "exempt") for network in settings.never_blocked]
        self._exempt = NetworkTable([*exempt, *(LOOPBACK if settings.trust_loopback else ())])
        self._accounts: dict[str, Account] = {}
        self._challenger = Challenger(settings.realm, self._accounts, secret)
        trunks.watchers.append(self.renew)
        self.renew()

    def renew(self) -> None:
        """The trunks have changed. From any thread: one assignment after another."""
        known = {name: Account(password) for name, password in self._settings.accounts.items()}
        for trunk in self._trunks.values():
            known |= {name: Account(password) for name, password in trunk.accounts.items()}
        for gone in self._accounts.keys() - known.keys():
            self._accounts.pop(gone, None)
        self._accounts.update(known)

    # -- SipGate -------------------------------------------------------------------------

    def may_speak(self, source: Hop) -> bool:
        """Silence for the blocked, and for strangers where only addresses are known."""
        if self.blocks.blocks(source.host, self._clock()) and not self._is_known(source):
            self.counters["blocked"] += 1
            return False
        return bool(self._settings.is_open or self._accounts) or self._is_known(source)

    def ignores(self, request: Request, source: Hop, now: float) -> bool:
        """Whether a stranger's request has the signs of a scanner; then it is blocked."""
        if not self._settings.protect or self._is_known(source) or self._is_exempt(source):
            return False
        at = self._clock()
        if is_scanner(request):
            self._block(source, "says that it is a scanner", at, SCANNER_STRIKES)
            return True
        if self._settings.is_open:
            return False
        return self._judge(source, self.signs.requested(address_key(source.host), request, at), at)

    def admit(self, request: Request, source: Hop, now: float) -> Admission:
        """Which trunk a call comes over, what it has to prove, and whether there is room."""
        if not source.is_web_socket:
            trunk = self._trunks.addresses.find(source.host, source.port)
            if trunk:
                return self._admit_to(trunk, request, now)
            if self._allowed.find(source.host) is not None:
                return OPEN
        if self._settings.is_open and not self._accounts:
            return OPEN
        account = _claimed(request)
        at = self._clock()
        if account and self.signs.account_blocked(account, address_key(source.host), at):
            self.counters["account blocked"] += 1
            return Admission(silent=True)
        trunk = self._trunks.accounts.get(account, "")
        if trunk:
            return self._admit_to(trunk, request, now, self._challenger)
        return Admission(challenger=self._challenger)

    def _admit_to(
        self, trunk: str, request: Request, now: float, challenger: Challenger | None = None
    ) -> Admission:
        refusal = self._arrivals.admit(trunk, request.call_id, now)
        if refusal is None:
            return Admission(trunk, challenger)
        self.counters[f"trunk at its limit: {refusal.reason}"] += 1
        return Admission(
            trunk,
            code=503,
            reason="Trunk At Its Limit",
            retry_after_seconds=refusal.retry_after_seconds,
        )

    def on_digest(self, request: Request, source: Hop, verdict: Verdict, now: float) -> None:
        """Count what came of a password."""
        if verdict.outcome != "accepted":
            self._arrivals.cancel(request.call_id)
        at, address = self._clock(), address_key(source.host)
        if verdict.outcome == "accepted":
            self.signs.proved(address, verdict.username)
            self._proved(verdict.username, source.host, at)
        elif verdict.outcome == "refused":
            self.counters["digest refused"] += 1
            if not self._is_exempt(source) and self._settings.protect:
                self._judge(source, self.signs.failed(address, verdict.username, at), at)

    def on_malformed(self, source: Hop, now: float) -> None:
        """Count what is no SIP."""
        self.counters["malformed"] += 1
        if self._settings.protect and not self._is_known(source) and not self._is_exempt(source):
            at = self._clock()
            self._judge(source, self.signs.malformed(address_key(source.host), at), at)

    # -- who is who ------------------------------------------------------------------------

    def _is_known(self, source: Hop) -> bool:
        if source.is_web_socket:
            return False  # the address may be a proxy's
        if self._trunks.addresses.find(source.host, source.port):
            return True
        return self._allowed.find(source.host) is not None

    def _is_exempt(self, source: Hop) -> bool:
        return self._exempt.find(source.host) is not None

    def _judge(self, source: Hop, reason: str, at: float) -> bool:
        if not reason:
            return False
        self._block(source, reason, at)
        return True

    def _block(self, source: Hop, reason: str, at: float, strikes: int = 1) -> None:
        block = self.blocks.strike(source.host, reason, at, strikes)
        self.signs.forget(address_key(source.host))
        self.counters["scanners blocked"] += 1
        seconds = round(block.until - at)
        log.warning("%s is not listened to for %d s: it %s", block.address, seconds, reason)


def _claimed(request: Request) -> str:
    """The account a request says it is of; nothing is proved yet."""
    for text in request.all("authorization"):
        found = _USERNAME.search(text)
        if found is not None:
            return re.sub(r"\\(.)", r"\1", found[1])
    return ""
