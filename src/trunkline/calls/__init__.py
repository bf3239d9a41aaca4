"""Calls: the switchboard, what a call is to an application, records and recordings.

The apps that need no code are in ``trunkline.calls.apps`` and at the top of the package.
"""

from typing import TYPE_CHECKING

from trunkline.lazy import lazily

if TYPE_CHECKING:
    from .audio import AudioDefaults, AudioPath
    from .call import Call
    from .errors import (
        CallEndedError,
        DialError,
        HoldRefusedError,
        OutboundDeniedError,
        RecordingError,
        RecordsError,
        UnknownCallError,
    )
    from .events import (
        CallAnswered,
        CallDigit,
        CallEarlyMedia,
        CallEnded,
        CallEvent,
        CallHeld,
        CallMarked,
        CallResumed,
        CallRinging,
        CallStarted,
        RecordingPaused,
        RecordingRestored,
        RecordingResumed,
        RecordingTroubled,
    )
    from .record import CallRecord, ToolUse, TurnRecord
    from .recorder import Recorder
    from .recording import Recorded, Recording
    from .recording_options import RecordingOptions
    from .records import RecordStore
    from .states import CallState
    from .switchboard import App, OutboundPolicy, Route, Switchboard
else:
    # The command line reads records without numpy, so nothing is imported before its time.
    __getattr__ = lazily(
        __name__,
        {
            ".audio": ("AudioDefaults", "AudioPath"),
            ".call": ("Call",),
            ".errors": (
                "CallEndedError",
                "DialError",
                "HoldRefusedError",
                "OutboundDeniedError",
                "RecordingError",
                "RecordsError",
                "UnknownCallError",
            ),
            ".events": (
                "CallAnswered",
                "CallDigit",
                "CallEarlyMedia",
                "CallEnded",
                "CallEvent",
                "CallHeld",
                "CallMarked",
                "CallResumed",
                "CallRinging",
                "CallStarted",
                "RecordingPaused",
                "RecordingRestored",
                "RecordingResumed",
                "RecordingTroubled",
            ),
            ".record": ("CallRecord", "ToolUse", "TurnRecord"),
            ".recorder": ("Recorder",),
            ".recording": ("Recorded", "Recording"),
            ".recording_options": ("RecordingOptions",),
            ".records": ("RecordStore",),
            ".states": ("CallState",),
            ".switchboard": ("App", "OutboundPolicy", "Route", "Switchboard"),
        },
    )

__all__ = [
    "App",
    "AudioDefaults",
    "AudioPath",
    "Call",
    "CallAnswered",
    "CallDigit",
    "CallEarlyMedia",
    "CallEnded",
    "CallEndedError",
    "CallEvent",
    "CallHeld",
    "CallMarked",
    "CallRecord",
    "CallResumed",
    "CallRinging",
    "CallStarted",
    "CallState",
    "DialError",
    "HoldRefusedError",
    "OutboundDeniedError",
    "OutboundPolicy",
    "RecordStore",
    "Recorded",
    "Recorder",
    "Recording",
    "RecordingError",
    "RecordingOptions",
    "RecordingPaused",
    "RecordingRestored",
    "RecordingResumed",
    "RecordingTroubled",
    "RecordsError",
    "Route",
    "Switchboard",
    "ToolUse",
    "TurnRecord",
    "UnknownCallError",
]


def __dir__() -> list[str]:
    return sorted(__all__)
