"""A value that must not be seen: passwords, tokens, keys.

Written in a configuration as it is, or better as where to find it:
``file:/run/secrets/token`` (the file's text less its last line end) or
``env:NAME`` (an environment variable).
"""

import hmac
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import ConfigError

__all__ = ["MASK", "Secret"]

MASK = "********"
_FILE = "file:"
_ENV = "env:"
_LARGEST_BYTES = 65_536  # a key file is a few KB; this is not where to read a log by mistake


class Secret:
    """Text that shows itself only when asked by name; every other way prints a mask."""

    __slots__ = ("_text", "origin")

    def __init__(self, text: str = "", origin: str = "") -> None:
        self._text = text
        self.origin = origin
        """Where it was read from (``file:...`` or ``env:...``); empty when written out."""

    @classmethod
    def read(cls, written: str, environ: Mapping[str, str]) -> "Secret":
        """Turn what a configuration says into the secret itself.

        Raises:
            ConfigError: the file cannot be read or the variable is not set. The
                message names the place, never the value.
        """
        if written.startswith(_ENV):
            name = written.removeprefix(_ENV)
            if name not in environ:
                raise ConfigError(f"the environment variable {name} is not set")
            return cls(environ[name], written)
        if written.startswith(_FILE):
            return cls(_file_text(Path(written.removeprefix(_FILE))), written)
        return cls(written)

    def reveal(self) -> str:
        """The secret itself. Do not log what this returns."""
        return self._text

    def matches(self, text: str) -> bool:
        """Compare in constant time, as a token sent by a stranger has to be."""
        return hmac.compare_digest(self._text.encode(), text.encode())

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled: it would travel in the clear")


def _file_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read the secret in {path}: {reason}") from None
    if len(text) > _LARGEST_BYTES:
        raise ConfigError(f"{path} is too large to be a secret")
    return text.removesuffix("\n").removesuffix("\r")
