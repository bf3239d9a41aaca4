"""How a language model over a network fails, and what then can be done.

ModelFailed
└── LanguageModelError
    ├── RequestRefused      asking again changes nothing: a wrong key, model or request
    └── TemporaryFailure    asking again may help: overload, a fault of the server
        ├── ReplyTimeout    it took too long: to connect, to begin, or to go on
        └── ReplyBroken     the connection was cut, or what came cannot be read
"""

from .errors import ModelFailed

__all__ = [
    "LanguageModelError",
    "ReplyBroken",
    "ReplyTimeout",
    "RequestRefused",
    "TemporaryFailure",
]


class LanguageModelError(ModelFailed):
    """A model gave no reply, or not all of it.

    ``partial`` is the text that had come by then: it may have been spoken already.
    ``status`` is the HTTP status, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None, partial: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.partial = partial


class RequestRefused(LanguageModelError):  # noqa: N818
    """The server will not answer this request, however often it is asked."""


class TemporaryFailure(LanguageModelError):  # noqa: N818
    """The same request may succeed later; ``retry_after_seconds`` if the server said when."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        partial: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, status=status, partial=partial)
        self.retry_after_seconds = retry_after_seconds


class ReplyTimeout(TemporaryFailure):
    """The server was too slow to connect, to begin or to go on."""


class ReplyBroken(TemporaryFailure):
    """The connection failed or was cut, or the server wrote what cannot be read."""
