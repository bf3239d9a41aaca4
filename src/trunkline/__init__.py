"""Trunkline: an open, self-hosted switchboard for voice AI.

    from trunkline import Agent, Call, Switchboard

    board = Switchboard()

    @board.answer("+1555*")
    async def support(call: Call) -> None:
        await Agent("You answer for a bicycle shop. Be brief.").talk(call)

Everything public is named here; each name is imported when it is first used, so
``import trunkline`` by itself costs next to nothing.
"""

from typing import TYPE_CHECKING

from .lazy import lazily

if TYPE_CHECKING:
    from .agent.agent import Agent
    from .agent.manners import Limits, Phrases
    from .agent.session import Conversation
    from .agent.tools import Tool, ToolError, tool
    from .agent.turns import TurnSettings
    from .calls.apps import bridge_to, echo, play, record, stream
    from .calls.audio import AudioPath
    from .calls.bridge import Bridge, BridgeOptions, bridge, bridge_of
    from .calls.call import Call
    from .calls.errors import (
        CallEndedError,
        DialError,
        HoldRefusedError,
        OutboundDeniedError,
        TransferError,
        TrunkBusyError,
    )
    from .calls.events import CallEnded
    from .calls.forking import Fork
    from .calls.recording_options import RecordingOptions
    from .calls.switchboard import Switchboard
    from .calls.trunks import Gateway, Trunk
    from .errors import (
        ConfigError,
        MissingDependencyError,
        PeerError,
        TrunklineError,
        UsageError,
    )
else:
    __getattr__ = lazily(
        __name__,
        {
            ".agent.agent": ("Agent",),
            ".agent.manners": ("Limits", "Phrases"),
            ".agent.session": ("Conversation",),
            ".agent.tools": ("Tool", "ToolError", "tool"),
            ".agent.turns": ("TurnSettings",),
            ".calls.apps": ("bridge_to", "echo", "play", "record", "stream"),
            ".calls.audio": ("AudioPath",),
            ".calls.bridge": ("Bridge", "BridgeOptions", "bridge", "bridge_of"),
            ".calls.call": ("Call",),
            ".calls.errors": (
                "CallEndedError",
                "DialError",
                "HoldRefusedError",
                "OutboundDeniedError",
                "TransferError",
                "TrunkBusyError",
            ),
            ".calls.events": ("CallEnded",),
            ".calls.forking": ("Fork",),
            ".calls.recording_options": ("RecordingOptions",),
            ".calls.switchboard": ("Switchboard",),
            ".calls.trunks": ("Gateway", "Trunk"),
            ".errors": (
                "ConfigError",
                "MissingDependencyError",
                "PeerError",
                "TrunklineError",
                "UsageError",
            ),
        },
    )

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AudioPath",
    "Bridge",
    "BridgeOptions",
    "Call",
    "CallEnded",
    "CallEndedError",
    "ConfigError",
    "Conversation",
    "DialError",
    "Fork",
    "Gateway",
    "HoldRefusedError",
    "Limits",
    "MissingDependencyError",
    "OutboundDeniedError",
    "PeerError",
    "Phrases",
    "RecordingOptions",
    "Switchboard",
    "Tool",
    "ToolError",
    "TransferError",
    "Trunk",
    "TrunkBusyError",
    "TrunklineError",
    "TurnSettings",
    "UsageError",
    "__version__",
    "bridge",
    "bridge_of",
    "bridge_to",
    "echo",
    "play",
    "record",
    "stream",
    "tool",
]


def __dir__() -> list[str]:
    return sorted(__all__)
