"""Calls: the switchboard, what a call is to an application, records and recordings.

The apps that need no code are in ``trunkline.calls.apps`` and at the top of the package.
"""

from typing import TYPE_CHECKING

from trunkline.lazy import lazily

if TYPE_CHECKING:
    from .audio import AudioDefaults, AudioPath
    from .bridge import Bridge, BridgeOptions
    from .call import Call
    from .errors import (
        CallEndedError,
        DialError,
        HoldRefusedError,
        OutboundDeniedError,
        RecordingError,
        RecordsError,
        TransferError,
        TrunkBusyError,
        UnknownCallError,
    )
    from .events import (
        CallAnswered,
        CallBridged,
        CallDigit,
        CallEarlyMedia,
        CallEnded,
        CallEvent,
        CallHeld,
        CallMarked,
        CallQuality,
        CallResumed,
        CallRinging,
        CallStarted,
        CallTransferFailed,
        CallTransferred,
        CallTransferring,
        CallUnbridged,
        CallWarned,
        RecordingPaused,
        RecordingRestored,
        RecordingResumed,
        RecordingTroubled,
    )
    from .forking import Fork
    from .guard_outbound import Alarm
    from .health import HealthSettings
    from .limits import LimitSettings
    from .music import MusicSource
    from .numbers import NumberPlan, NumberRule
    from .quality_snapshot import DirectionQuality, QualitySnapshot
    from .record import CallRecord, ToolUse, TransferRecord, TurnRecord
    from .recorder import Recorder
    from .recording import Recorded, Recording
    from .recording_options import RecordingOptions
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
            ".bridge": ("Bridge", "BridgeOptions"),
            ".call": ("Call",),
            ".errors": (
                "CallEndedError",
                "DialError",
                "HoldRefusedError",
                "OutboundDeniedError",
                "RecordingError",
                "RecordsError",
                "TransferError",
                "TrunkBusyError",
                "UnknownCallError",
            ),
            ".events": (
                "CallAnswered",
                "CallBridged",
                "CallDigit",
                "CallEarlyMedia",
                "CallEnded",
                "CallEvent",
                "CallHeld",
                "CallMarked",
                "CallQuality",
                "CallResumed",
                "CallRinging",
                "CallStarted",
                "CallTransferFailed",
                "CallTransferred",
                "CallTransferring",
                "CallUnbridged",
                "RecordingPaused",
                "RecordingRestored",
                "RecordingResumed",
                "RecordingTroubled",
                "CallWarned",
            ),
            ".forking": ("Fork",),
            ".music": ("MusicSource",),
            ".quality_snapshot": ("DirectionQuality", "QualitySnapshot"),
            ".record": ("CallRecord", "ToolUse", "TransferRecord", "TurnRecord"),
            ".recorder": ("Recorder",),
            ".recording": ("Recorded", "Recording"),
            ".recording_options": ("RecordingOptions",),
            ".guard_outbound": ("Alarm",),
            ".health": ("HealthSettings",),
            ".limits": ("LimitSettings",),
            ".numbers": ("NumberPlan", "NumberRule"),
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
    "Bridge",
    "BridgeOptions",
    "Call",
    "CallAnswered",
    "CallBridged",
    "CallDigit",
    "CallEarlyMedia",
    "CallEnded",
    "CallEndedError",
    "CallEvent",
    "CallHeld",
    "CallMarked",
    "CallQuality",
    "CallRecord",
    "CallResumed",
    "CallRinging",
    "CallStarted",
    "CallState",
    "CallTransferFailed",
    "CallTransferred",
    "CallTransferring",
    "CallUnbridged",
    "CallWarned",
    "Caps",
    "DialError",
    "DirectionQuality",
    "Fork",
    "Gateway",
    "HealthSettings",
    "HoldRefusedError",
    "LimitSettings",
    "MusicSource",
    "NumberPlan",
    "NumberRule",
    "OutboundDeniedError",
    "OutboundPolicy",
    "QualitySnapshot",
    "Rate",
    "RateTable",
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
    "Registrar",
    "Route",
    "RoutingRule",
    "Switchboard",
    "ToolUse",
    "TransferError",
    "TransferRecord",
    "Trunk",
    "TrunkBusyError",
    "Trunks",
    "TurnRecord",
    "UnknownCallError",
    "__name__",
]


def __dir__() -> list[str]:
    return sorted(__all__)
