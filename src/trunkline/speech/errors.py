"""The speech branch of the error tree.

TrunklineError
├── UsageError
│   ├── UnknownEngine           no engine of this kind has that name
│   └── GrammarError            a grammar cannot be used
│       └── UnknownWords        it has words the recogniser cannot pronounce
├── MissingDependencyError      the engine's package or program is not installed
└── SpeechError                 an engine failed on a request; the call goes on
    ├── RecognitionFailed
    ├── SynthesisFailed
    └── ModelFailed
        └── LanguageModelError      a model over a network: how it failed says what to do
            ├── RequestRefused      asking again changes nothing: a wrong key or request
            └── TemporaryFailure    asking again may help: overload, a fault of the server
                ├── ReplyTimeout    it took too long: to connect, to begin, or to go on
                └── ReplyBroken     the connection was cut, or what came cannot be read
"""

from trunkline.errors import TrunklineError, UsageError

__all__ = [
    "GrammarError",
    "LanguageModelError",
    "ModelFailed",
    "RecognitionFailed",
    "ReplyBroken",
    "ReplyTimeout",
    "RequestRefused",
    "SpeechError",
    "SynthesisFailed",
    "TemporaryFailure",
    "UnknownEngine",
    "UnknownWords",
]


class UnknownEngine(UsageError):  # noqa: N818 - the tree names the thing, not the class of it
    """No engine of this kind has that name; the message lists those there are."""


class GrammarError(UsageError):
    """A grammar cannot be used; the message says where it is wrong."""


class UnknownWords(GrammarError):  # noqa: N818
    """A grammar has words without a pronunciation; ``words`` are they."""

    def __init__(self, grammar: str, words: tuple[str, ...]) -> None:
        self.words = words
        super().__init__(
            f"grammar {grammar!r} has words without a pronunciation: {', '.join(words)}; "
            "use other words or give their phonemes in `pronunciations`"
        )


class SpeechError(TrunklineError):
    """An engine failed on one request; the call and the engine go on."""


class RecognitionFailed(SpeechError):  # noqa: N818
    """An utterance could not be recognised for a reason other than its sound."""


class SynthesisFailed(SpeechError):  # noqa: N818
    """A text could not be spoken."""


class ModelFailed(SpeechError):  # noqa: N818
    """A language model gave no usable reply."""


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
