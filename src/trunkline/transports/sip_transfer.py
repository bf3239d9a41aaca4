"""Transfers over SIP: a leg's REFER, the REFER it gets, the INVITE that takes its place.

`Transferring` is what `SipLeg` is made of for it; `SipTransfers` is the endpoint's
half: what comes of a REFER may come when the leg is gone already.
"""

import logging
import re
from collections.abc import Mapping
from typing import Protocol

from trunkline.errors import UsageError
from trunkline.sip.errors import ParseError, StateError
from trunkline.sip.events import ReferProgress, Referred
from trunkline.sip.hop import Hop
from trunkline.sip.referral import Refer, Referral
from trunkline.sip.replaces import Replaces
from trunkline.sip.session import Session
from trunkline.sip.uri import Uri
from trunkline.sip.user_agent import UserAgent

from .leg import Leg, LegObserver, LegReplaced, TransferAsked, TransferObserver, TransferProgress
from .leg_events import LegEvents

__all__ = ["SipTransferRequest", "SipTransfers", "Transferring"]

log = logging.getLogger(__name__)

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Endpoint(Protocol):
    """What transfers need of the endpoint."""

    agent: UserAgent

    def now(self) -> float:
        """The media clock."""

    def flush(self) -> None:
        """Send what the user agent has to send."""


class TransferringEndpoint(Endpoint, Protocol):
    """What a leg needs of it."""

    transfers: "SipTransfers"
    """Who waits for what comes of a REFER."""


class Replacement(Leg, Protocol):
    """A new leg, not observed yet."""

    def observe(self, observer: LegObserver) -> None:
        """Give it its observer."""


class SipTransferRequest:
    """A REFER of theirs. Implements `leg.TransferRequest`; media thread only."""

    def __init__(self, endpoint: Endpoint, referral: Referral) -> None:
        self._endpoint = endpoint
        self._referral = referral
        self.target = referral.to.uri
        self.referred_by = referral.referred_by
        self.replaces = str(referral.to.replaces or "")

    def accept(self) -> bool:
        """Answer 202 and begin to report; False when it was answered before."""
        accepted = self._endpoint.agent.referring.accept(self._referral, self._endpoint.now())
        self._endpoint.flush()
        return accepted

    def refuse(self, code: int = 603) -> bool:
        """Refuse it; False when it was answered before."""
        refused = self._endpoint.agent.referring.refuse(self._referral, code, self._endpoint.now())
        self._endpoint.flush()
        return refused

    def report(self, code: int, reason: str = "") -> None:
        """Tell them how the call they asked for stands; 200 and above is the last word."""
        now = self._endpoint.now()
        self._endpoint.agent.referring.report(self._referral, code, reason, now)
        self._endpoint.flush()


class SipTransfers:
    """Every transfer of an endpoint that is under way."""

    def __init__(self, endpoint: Endpoint, legs: Mapping[str, "Transferring"]) -> None:
        self._endpoint = endpoint
        self._legs = legs
        self._told: dict[Refer, TransferObserver] = {}

    def __len__(self) -> int:
        return len(self._told)

    def expects(self, source: Hop) -> bool:
        """Whether somebody there still has to report, whose call may be over."""
        return any(refer.session.source == source for refer in self._told)

    def follow(self, refer: Refer, told: TransferObserver) -> None:
        """Have somebody told what comes of a REFER of ours."""
        self._told[refer] = told

    def progress(self, event: ReferProgress) -> None:
        """Something came of it."""
        told = self._told.get(event.refer)
        if event.is_final:
            self._told.pop(event.refer, None)
        if told is not None:
            told(TransferProgress(event.code, event.reason, event.is_final))

    def asked(self, event: Referred) -> None:
        """They want a call of ours to go on with somebody else."""
        request = SipTransferRequest(self._endpoint, event.referral)
        leg = self._legs.get(event.session.id)
        if leg is None:
            request.refuse()
        else:
            leg.transfer_asked(request)

    def take_place(self, replaced: Session, leg: Replacement) -> bool:
        """Offer a new leg to the call whose leg it replaces; False if that has none."""
        old = self._legs.get(replaced.id)
        if old is None:
            return False
        old.replaced_by(LegReplaced(leg, leg.observe))
        return True


class Transferring:
    """The transfers of one SIP leg; implements `leg.TransferableLeg`."""

    id: str
    session: Session
    _switch: TransferringEndpoint
    _events: LegEvents

    def transfer(
        self, target: str, told: TransferObserver, *, replaces: str = "", silent: bool = False
    ) -> None:
        """Ask the far end to call somebody else (REFER); see `leg.TransferableLeg`."""
        try:
            wanted = Replaces.parse(replaces) if replaces else None
            refer = self._switch.agent.referring.refer(
                self.session, self._address(target), self._switch.now(),
                replaces=wanted, silent=silent,
            )  # fmt: skip
        except ParseError as error:
            raise UsageError(f"cannot replace {replaces!r}: {error}") from error
        self._switch.transfers.follow(refer, told)
        self._switch.flush()

    def place(self) -> tuple[str, str]:
        """The far end's address and what it must be sent to give this call up."""
        contact = self.session.remote_contact
        try:
            if contact is not None and self.session.is_confirmed:
                return contact, str(Replaces.of(self.session))
        except StateError:
            pass
        raise UsageError(f"leg {self.id} is not up, and cannot be transferred to")

    def transfer_asked(self, request: SipTransferRequest) -> None:
        """They sent a REFER."""
        self._events.emit(TransferAsked(request))

    def replaced_by(self, event: LegReplaced) -> None:
        """An INVITE with Replaces names this call."""
        self._events.emit(event)

    def _address(self, target: str) -> str:
        """A number or user is one at the far end's own domain."""
        if SCHEME.match(target):
            return target
        if "@" in target:
            return f"sip:{target}"
        try:
            host = Uri.parse(self.session.remote.uri).host
        except ParseError:
            host = ""
        if not host and self.session.source is not None:
            host = self.session.source.host
        return f"sip:{target}@{f'[{host}]' if ':' in host else host}"
