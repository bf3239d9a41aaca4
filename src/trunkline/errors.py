"""The root of the error tree.

    TrunklineError
    ├── UsageError              we were misused: a wrong argument, a wrong order
    │   └── ConfigError         the configuration is wrong; the message says what to do
    ├── MissingDependencyError  an optional package or program is not installed
    └── PeerError               the other side misbehaved; counted, the call goes on

Each package has an ``errors.py`` with its own branch of this tree.
"""

__all__ = ["ConfigError", "MissingDependencyError", "PeerError", "TrunklineError", "UsageError"]


class TrunklineError(Exception):
    """Everything Trunkline raises on purpose."""


class UsageError(TrunklineError):
    """The caller of an interface used it wrongly."""


class ConfigError(UsageError):
    """The configuration cannot be used as it is; the message says what to do."""


class MissingDependencyError(TrunklineError):
    """An optional package or program is needed and not installed."""


class PeerError(TrunklineError):
    """The other side of a connection misbehaved."""
