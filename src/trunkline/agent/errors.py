"""The agent branch of the error tree.

TrunklineError
└── UsageError
    ├── IllegalTransition   a turn machine was given a cue that its state does not know
    ├── BadSettings         a setting is out of range; the message says which
    └── NoEngine            an agent has no engine for something it must do
"""

from trunkline.errors import UsageError

__all__ = ["BadSettings", "IllegalTransition", "NoEngine"]


class IllegalTransition(UsageError):  # noqa: N818 - the tree names the thing, not the class of it
    """A turn machine was given a cue that its state does not know."""


class BadSettings(UsageError):  # noqa: N818
    """A setting is out of range; the message says which and why."""


class NoEngine(UsageError):  # noqa: N818
    """An agent was asked to talk without an engine it needs."""
