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
"""

from trunkline.errors import TrunklineError, UsageError

__all__ = [
    "GrammarError",
    "ModelFailed",
    "RecognitionFailed",
    "SpeechError",
    "SynthesisFailed",
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
