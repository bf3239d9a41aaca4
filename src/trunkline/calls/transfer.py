"""Transfers: the ones we ask a far end for, and the ones far ends ask us for.

`Transfer` is one of ours, from asking to its end. `Following` is how a node does what a
far end asks: a call out like any other, so the outbound policy has to allow it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from trunkline.errors import TrunklineError
from trunkline.transports.leg import (
    DialOptions,
    Leg,
    LegObserver,
    TransferProgress,
    TransferRequest,
)

from .errors import CallEndedError, OutboundDeniedError, TransferError
from .events import CallEnded, CallEvent, CallTransferFailed, CallTransferred, CallTransferring
from .succession import CallLegs, NextLeg

__all__ = ["Following", "Transfer"]

log = logging.getLogger(__name__)

GRACE_SECONDS = 3.0
"""How long a far end that stopped telling may take to hang up, which says it is done."""


class Transfer:
    """A transfer we asked the far end for. The application's loop, but for `told`.

    It goes on when nobody waits for it any more: a success ends the call.
    """

    def __init__(self, call: CallLegs, target: str) -> None:
        self._call = call
        self.target = target
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The status it succeeded with; 202 where they agreed and said no more."""
        self._agreed = False
        self._grace: asyncio.TimerHandle | None = None

    def told(self, progress: TransferProgress) -> None:
        """The leg's `TransferObserver`; media thread."""
        self._call.post(self._progress, progress, self._call.media.now())
        self._call.media.to_app.flush()

    def _progress(self, progress: TransferProgress, now: float) -> None:
        if self.done.done():
            return
        code = progress.code
        self._agreed = self._agreed or code < 300
        if not progress.final:
            self._call.tell(CallTransferring(self._call.id, now, self.target, code))
        elif code >= 300:
            self.fail(code, progress.reason)
        elif code >= 200:
            self._succeed(code)
        else:  # they stopped telling; if it worked they will hang up
            self._wait_a_little(lambda: self.fail(code, "the far end stopped reporting"))

    def call_ended(self, end: CallEnded) -> None:
        """The call is over. Who agreed and then hangs up has done it, as far as can be known."""
        if self.done.done():
            return
        if self._agreed and end.by == "them":
            self._succeed(202)
        elif not self.done.done():
            self._stop()
            self.done.set_exception(CallEndedError(end))
            self.done.exception()  # nobody has to be waiting

    def other_ended(self, event: object) -> None:
        """An observer of the call this one is to be joined with: its end means success."""
        if isinstance(event, CallEnded) and event.by == "them" and self._agreed:
            self._wait_a_little(lambda: self._succeed(202))

    def fail(self, code: int, reason: str) -> None:
        """It came to nothing: the call goes on."""
        if self.done.done():
            return
        self._stop()
        now = self._call.media.now()
        self._call.tell(CallTransferFailed(self._call.id, now, self.target, code, "us", reason))
        self.done.set_exception(TransferError(self.target, code, reason))
        self.done.exception()

    def _succeed(self, code: int) -> None:
        if self.done.done():
            return
        self._stop()
        now = self._call.media.now()
        self._call.tell(CallTransferred(self._call.id, now, self.target, code))
        self.done.set_result(code)
        self._call.hangup_soon("transferred")

    def _wait_a_little(self, then: Callable[[], None]) -> None:
        if self._grace is None and not self.done.done():
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(GRACE_SECONDS, then)

    def _stop(self) -> None:
        if self._grace is not None:
            self._grace.cancel()


class Outgoing(Protocol):
    """A transport that can place calls; see ``switchboard.Outgoing``."""

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = ...,
    ) -> Leg:
        """Begin a call."""


class Following:
    """Does what far ends ask in transfers. ``check`` raises `OutboundDeniedError`."""

    def __init__(self, outgoing: Outgoing | None, check: Callable[[str], None]) -> None:
        self._outgoing = outgoing
        self._check = check

    def __call__(self, call: CallLegs, request: TransferRequest, allowed: bool) -> None:
        """Place the call that was asked for, or refuse; on the application's loop."""
        code, reason = 603, "not allowed for this call"
        try:
            if allowed:
                self._check(request.target)
        except OutboundDeniedError as error:
            allowed, reason = False, str(error)
        outgoing = self._outgoing
        if allowed and outgoing is not None:
            call.on_media(_place, call, request, outgoing)
            return
        log.warning("call %s: transfer to %s refused: %s", call.id, request.target, reason)
        call.on_media(request.refuse, code)
        now = call.media.now()
        call.tell(CallTransferFailed(call.id, now, request.target, code, "them", reason))


def _place(call: CallLegs, request: TransferRequest, outgoing: Outgoing) -> None:
    """Say that we do it, and do it. Media thread."""
    if call.is_closed or call.has_next:
        request.refuse(481 if call.is_closed else 491)
        return
    if not request.accept():
        return  # nobody decided for too long
    target = request.target

    def tell(code: int, reason: str) -> None:
        now = call.media.now()
        if code >= 300:
            event: CallEvent = CallTransferFailed(call.id, now, target, code, "them", reason)
        elif code >= 200:
            return  # `Call` says that it has another leg
        else:
            event = CallTransferring(call.id, now, target, code, "them")
        call.post(call.tell, event)
        call.media.to_app.flush()

    headers = {"Referred-By": request.referred_by} if request.referred_by else {}
    try:
        leg = outgoing.dial(
            target,
            caller=call.ours,
            headers=headers,
            observer=call.leg_event,
            options=DialOptions(replaces=request.replaces),
        )
    except TrunklineError as error:
        log.warning("call %s: transfer to %s not placed: %s", call.id, target, error)
        request.report(503, "Service Unavailable")
        tell(503, str(error))
        return
    call.follow(NextLeg(leg, target, request, tell))
