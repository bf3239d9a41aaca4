"""The agent branch of the error tree.

TrunklineError
└── UsageError
    ├── IllegalTransitionError   a turn machine was given a cue that its state does not know
    ├── BadSettingsError         a setting is out of range; the message says which
    └── NoEngineError            an agent has no engine for something it must do
"""

from trunkline.errors import UsageError

__all__ = ["BadSettingsError", "IllegalTransitionError", "NoEngineError"]


class IllegalTransitionError(UsageError):
    """A turn machine was given a cue that its state does not know."""


class BadSettingsError(UsageError):
    """A setting is out of range; the message says which and why."""


class NoEngineError(UsageError):
    """An agent was asked to talk without an engine it needs."""
