"""The transfers of a call, as an application asks for them and allows them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from trunkline.errors import UsageError
from trunkline.transports.leg import Leg, TransferableLeg, TransferRequest
from trunkline.transports.media_thread import MediaThread

from .errors import TransferError
from .succession import CallLegs
from .transfer import Transfer

__all__ = ["TransferringCall"]

log = logging.getLogger(__name__)

CANNOT_TRANSFER = (400, 403, 405, 420, 488, 500, 501, 503, 603)
"""What far ends say that know no transfer, or will not: then a bridge may do it."""


class TransferringCall(CallLegs):
    """The part of a call that is transferred. The application's loop."""

    transport: str

    def __init__(self, id: str, rate_hz: int, media: MediaThread, leg: Leg) -> None:
        super().__init__(id, rate_hz, media, leg)
        self.check_target: Callable[[str], None] | None = None
        """Raises `OutboundDeniedError` for whom the node does not let be called."""
        self.follower: Callable[[CallLegs, TransferRequest, bool], None] | None = None
        """Places the call a far end asks for in a transfer, if it is allowed."""
        self.joiner: Callable[[TransferringCall, TransferringCall], Awaitable[object]] | None = None
        """Joins two calls whose far ends cannot be handed to each other: a bridge."""
        self._transfer: Transfer | None = None
        self._may_transfer: bool | Callable[[TransferRequest], bool] = False

    @property
    def is_over(self) -> bool:
        """True once the call has ended."""
        raise NotImplementedError

    @property
    def is_answered(self) -> bool:
        """True while the call is up."""
        raise NotImplementedError

    def observe(self, observer: Callable[[object], None]) -> None:
        """Have a callable told every event of the call."""
        raise NotImplementedError

    @property
    def can_transfer(self) -> bool:
        """Whether its signalling knows transfers, of the leg it has now."""
        return isinstance(self._leg, TransferableLeg)

    async def transfer(self, target: str, *, timeout: float = 60.0, notify: bool = True) -> int:
        """Hand the far end to somebody else (SIP REFER); then this call is over.

        ``target`` is an address, or a number at the far end's own domain; the node's
        outbound policy has to allow it. Returns the SIP status that said it worked: 200,
        or 202 where the far end agreed and said no more. With ``notify=False`` it is asked
        not to say more. What comes meanwhile is told as `CallTransferring`. Once asked, a
        transfer goes on even if this is cancelled.

        Raises `TransferError`, with the status, when it came to nothing or was not done
        within ``timeout`` seconds, and the call goes on; `OutboundDeniedError`;
        `UsageError` for a call that is not up, is being transferred, or whose transport
        knows no transfer; `CallEndedError`.
        """
        if self.check_target is not None:
            self.check_target(target)
        return await self._refer(target, "", timeout, notify)

    async def transfer_to(self, other: "TransferringCall", *, timeout: float = 60.0) -> int:
        """Hand the far end to the far end of another call; then both calls are over.

        Over SIP the two are told to talk to each other (REFER with Replaces). Where one
        of them cannot be, they are joined by this node, if it can (`Call.joiner`): that
        lasts as long as their conversation. Returns and raises as `transfer` does.
        """
        if other is self:
            raise UsageError(f"{self!r} cannot be transferred to itself")
        here, there = self._leg, other._leg
        refusal: TransferError | None = None
        if isinstance(here, TransferableLeg) and isinstance(there, TransferableLeg):
            target, replaces = await self.media.run(there.place)
            try:
                return await self._refer(target, replaces, timeout, True, other)
            except TransferError as error:
                if self.joiner is None or error.code not in CANNOT_TRANSFER:
                    raise
                refusal = error
        if self.joiner is None:
            raise UsageError(
                f"a call over {self.transport} cannot be transferred to one over {other.transport}"
            ) from refusal
        await self.joiner(self, other)
        return 200

    async def _refer(
        self,
        target: str,
        replaces: str,
        timeout: float,
        notify: bool,
        other: "TransferringCall | None" = None,
    ) -> int:
        leg = self._leg
        if not isinstance(leg, TransferableLeg):
            raise UsageError(f"a call over {self.transport} cannot be transferred")
        if not self.is_answered or (self._transfer and not self._transfer.done.done()):
            raise UsageError(f"{self!r} is not up, or being transferred already")
        transfer = self._transfer = Transfer(self, target)
        if other is not None:
            other.observe(transfer.other_ended)
            transfer.done.add_done_callback(lambda done: _end_other(done, other))
        try:
            await self.media.run(
                leg.transfer, target, transfer.told, replaces=replaces, silent=not notify
            )
        except Exception:
            transfer.done.cancel()
            raise
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(transfer.done)
        except TimeoutError:
            transfer.fail(408, f"not done within {timeout:g} s")
            return await transfer.done

    def allow_transfers(self, allow: bool | Callable[[TransferRequest], bool] = True) -> None:
        """Whether the far end may have this call go on with somebody else (REFER).

        Not unless it is said here or of the route: it makes a call in to a call out. A
        callable is asked about each, on the application's loop. The node's outbound policy
        has to allow the target in any case.
        """
        self._may_transfer = allow

    def asked(self, request: TransferRequest) -> None:
        """The far end asks for a transfer; on the media thread."""
        self.post(self._asked, request)
        self.media.to_app.flush()

    def _asked(self, request: TransferRequest) -> None:
        allowed = self._may_transfer
        if callable(allowed):
            try:
                allowed = bool(allowed(request))
            except Exception:
                log.exception("call %s: asking about a transfer failed", self.id)
                allowed = False
        if self.follower is None or self.is_over:
            self.on_media(request.refuse)
        else:
            self.follower(self, request, allowed)


def _end_other(done: "asyncio.Future[int]", other: TransferringCall) -> None:
    """The call that the far end was handed to is not needed once that has worked."""
    if not done.cancelled() and done.exception() is None:
        other.hangup_soon("transferred")
