"""The states of a call, in one table.

A call starts ringing (or, on a media stream, is answered at once), may have
audio before the answer, is up, may be held and resumed, and ends once. Held means
by the far end; a call that we hold is up.
"""

from enum import Enum

from trunkline.errors import UsageError
from trunkline.transports.leg import (
    Answered,
    Digit,
    EarlyMedia,
    Ended,
    Held,
    HoldChanged,
    LegEvent,
    Resumed,
    Ringing,
)

__all__ = ["TRANSITIONS", "CallState", "IllegalTransitionError", "next_state"]


class CallState(Enum):
    """Where a call is."""

    NEW = "new"
    RINGING = "ringing"
    EARLY = "early"
    UP = "up"
    HELD = "held"
    ENDED = "ended"


class IllegalTransitionError(UsageError):
    """A leg reported something that cannot happen in the call's state."""


_S = CallState

TRANSITIONS: dict[tuple[CallState, type[LegEvent]], CallState] = {
    (_S.NEW, Ringing): _S.RINGING,
    (_S.NEW, EarlyMedia): _S.EARLY,
    (_S.NEW, Answered): _S.UP,
    (_S.RINGING, Ringing): _S.RINGING,
    (_S.RINGING, EarlyMedia): _S.EARLY,
    (_S.RINGING, Answered): _S.UP,
    # A fork may ring again after early media (RFC 3960 3.2); its audio stays.
    (_S.EARLY, Ringing): _S.EARLY,
    (_S.EARLY, EarlyMedia): _S.EARLY,
    (_S.EARLY, Digit): _S.EARLY,
    (_S.EARLY, Answered): _S.UP,
    (_S.UP, Digit): _S.UP,
    (_S.UP, Held): _S.HELD,
    (_S.UP, Resumed): _S.UP,
    (_S.UP, HoldChanged): _S.UP,
    (_S.HELD, Digit): _S.HELD,
    (_S.HELD, Held): _S.HELD,
    (_S.HELD, Resumed): _S.UP,
    (_S.HELD, HoldChanged): _S.HELD,
    **{(state, Ended): _S.ENDED for state in _S if state is not _S.ENDED},
}


def next_state(state: CallState, event: LegEvent) -> CallState:
    """Where an event leads; raises `IllegalTransitionError` where it leads nowhere."""
    try:
        return TRANSITIONS[state, type(event)]
    except KeyError:
        raise IllegalTransitionError(
            f"{type(event).__name__} cannot happen to a call that is {state.value}"
        ) from None
