"""Voice agents: turn-taking, listening, thinking and speaking on a `Line`."""

from .agent import Agent, Host, Hosted
from .endpointing import Endpointer, Pause, SilenceEndpointer
from .errors import BadSettingsError, IllegalTransitionError, NoEngineError
from .events import (
    AgentEvent,
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    AgentStarted,
    BargeIn,
    CallerSilent,
    CallerStarted,
    CallerTurn,
    FalseStart,
    KeyPressed,
    Observer,
    ToolCalled,
    TurnLatency,
)
from .line import Ear, Heard, Line, Window
from .manners import Limits, Phrases
from .session import Conversation
from .speaking import SpeakingSettings
from .tools import Tool, Toolbox, ToolError, tool
from .turns import State, TurnMachine, TurnSettings, diagram

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentFailed",
    "AgentSaying",
    "AgentSpoke",
    "AgentStarted",
    "BadSettingsError",
    "BargeIn",
    "CallerSilent",
    "CallerStarted",
    "CallerTurn",
    "Conversation",
    "Ear",
    "Endpointer",
    "FalseStart",
    "Heard",
    "Host",
    "Hosted",
    "IllegalTransitionError",
    "KeyPressed",
    "Limits",
    "Line",
    "NoEngineError",
    "Observer",
    "Pause",
    "Phrases",
    "SilenceEndpointer",
    "SpeakingSettings",
    "State",
    "Tool",
    "ToolCalled",
    "ToolError",
    "Toolbox",
    "TurnLatency",
    "TurnMachine",
    "TurnSettings",
    "Window",
    "diagram",
    "tool",
]
