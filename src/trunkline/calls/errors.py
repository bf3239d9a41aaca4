"""Errors of calls, recordings and records.

    TrunklineError
    ├── UsageError
    │   ├── UnknownCallError    no call, or more than one, has the id that was asked for
    │   └── OutboundDeniedError a call out that is not allowed
    ├── CallEndedError          the call ended while something was awaited of it
    ├── DialError               a call that was placed was not answered
    │   └── TrunkBusyError      every trunk that could carry it is at its limit
    ├── HoldRefusedError        the far end did not agree to be held or resumed
    ├── TransferError           a transfer came to nothing; the call goes on
    ├── RecordingError          a file is not a recording, or cannot be read
    └── RecordsError            the database of detail records cannot be read

A recording or a record that cannot be *written* raises nothing: the call goes
on, and the trouble is counted, logged and handed to whoever asked to know.
"""

from trunkline.errors import TrunklineError, UsageError

from .events import CallEnded

__all__ = [
    "CallEndedError",
    "DialError",
    "HoldRefusedError",
    "OutboundDeniedError",
    "RecordingError",
    "RecordsError",
    "TransferError",
    "TrunkBusyError",
    "UnknownCallError",
]


class OutboundDeniedError(UsageError):
    """A call out that is not allowed."""


class CallEndedError(TrunklineError):
    """The call ended while something was awaited of it."""

    def __init__(self, end: CallEnded | None) -> None:
        super().__init__(f"the call has ended: {end.reason if end else 'unknown'}")
        self.end = end
        """How it ended."""


class DialError(TrunklineError):
    """A call that was placed was not answered."""

    def __init__(self, target: str, reason: str, code: int | None) -> None:
        status = f" ({code})" if code else ""
        super().__init__(f"{target} was not reached: {reason}{status}")
        self.target = target
        self.reason = reason
        """A word: busy, rejected, no-answer, cancelled, timeout, error."""
        self.code = code
        """The SIP status, where there is one."""


class TrunkBusyError(DialError):
    """A trunk is at its limit of channels or calls per second, and no other carries the call."""

    def __init__(self, target: str, trunk: str, retry_after_seconds: int) -> None:
        super().__init__(target, f"trunk {trunk} is at its limit", 503)
        self.trunk = trunk
        self.retry_after_seconds = retry_after_seconds
        """When it may be tried again."""


class HoldRefusedError(TrunklineError):
    """The far end did not agree to be held or resumed; the call stays as it was."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the far end refused: {code} {reason}".rstrip())
        self.code = code
        """The SIP status."""
        self.reason = reason


class TransferError(TrunklineError):
    """A transfer came to nothing; the call goes on as it was."""

    def __init__(self, target: str, code: int, reason: str) -> None:
        super().__init__(f"not transferred to {target}: {code} {reason}".rstrip())
        self.target = target
        self.code = code
        """The SIP status; 408 where nothing was said in time, below 200 where they stopped."""
        self.reason = reason


class UnknownCallError(UsageError):
    """No call, or more than one, has the id that was asked for."""


class RecordingError(TrunklineError):
    """A file is not a recording, or cannot be read."""


class RecordsError(TrunklineError):
    """The database of detail records cannot be read."""
