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
        TrunkBusyError,
        UnknownCallError,
    )
    from .events import (
        CallAnswered,
        CallDigit,
        CallEarlyMedia,
        CallEnded,
        CallEvent,
        CallHeld,
        CallResumed,
        CallRinging,
        CallStarted,
        CallWarned,
    )
    from .guard_outbound import Alarm
    from .health import HealthSettings
    from .limits import LimitSettings
    from .numbers import NumberPlan, NumberRule
    from .record import CallRecord, ToolUse, TurnRecord
    from .recording import Recorded, Recorder, Recording
    from .records import RecordStore
    from .routing import Rate, RateTable, RoutingRule
    from .states import CallState
    from .switchboard import App, OutboundPolicy, Route, Switchboard
    from .trunk_states import Registrar, Trunks
    from .trunks import Caps, Gateway, Trunk
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
                "TrunkBusyError",
                "UnknownCallError",
            ),
            ".events": (
                "CallAnswered",
                "CallDigit",
                "CallEarlyMedia",
                "CallEnded",
                "CallEvent",
                "CallHeld",
                "CallResumed",
                "CallRinging",
                "CallStarted",
                "CallWarned",
            ),
            ".guard_outbound": ("Alarm",),
            ".health": ("HealthSettings",),
            ".limits": ("LimitSettings",),
            ".numbers": ("NumberPlan", "NumberRule"),
            ".record": ("CallRecord", "ToolUse", "TurnRecord"),
            ".recording": ("Recorded", "Recorder", "Recording"),
            ".records": ("RecordStore",),
            ".routing": ("Rate", "RateTable", "RoutingRule"),
            ".states": ("CallState",),
            ".switchboard": ("App", "OutboundPolicy", "Route", "Switchboard"),
            ".trunk_states": ("Registrar", "Trunks"),
            ".trunks": ("Caps", "Gateway", "Trunk"),
        },
    )

__all__ = [
    "Alarm",
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
    "CallRecord",
    "CallResumed",
    "CallRinging",
    "CallStarted",
    "CallState",
    "CallWarned",
    "Caps",
    "DialError",
    "Gateway",
    "HealthSettings",
    "HoldRefusedError",
    "LimitSettings",
    "NumberPlan",
    "NumberRule",
    "OutboundDeniedError",
    "OutboundPolicy",
    "Rate",
    "RateTable",
    "RecordStore",
    "Recorded",
    "Recorder",
    "Recording",
    "RecordingError",
    "RecordsError",
    "Registrar",
    "Route",
    "RoutingRule",
    "Switchboard",
    "ToolUse",
    "Trunk",
    "TrunkBusyError",
    "Trunks",
    "TurnRecord",
    "UnknownCallError",
]


def __dir__() -> list[str]:
    return sorted(__all__)
