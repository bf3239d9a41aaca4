"""What an agent says and does where no model is asked: settings, not code."""

from dataclasses import dataclass

from .errors import BadSettingsError

__all__ = ["Limits", "Phrases"]


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the agent says of its own accord. None leaves it to the language model."""

    greeting: str | None = None
    """Said first. None: the model begins. Empty: the caller begins."""
    no_input: str | None = "Are you still there?"
    """After `TurnSettings.idle_ms` of silence."""
    farewell: str = "I cannot hear you, so I will hang up now. Goodbye."
    """After that has happened more than `Limits.silences` times."""
    unclear: str | None = "Sorry, I did not catch that."
    """After speech of which nothing was understood. None gives the model an empty turn."""
    failed: str = "I am sorry, something went wrong. Could you say that again?"
    """When the model has failed, for good."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and choices of a conversation."""

    model_stall_seconds: float = 15.0
    """A model that writes nothing for so long has failed."""
    recognition_seconds: float = 5.0
    """A text that has not come for so long will not."""
    retries: int = 1
    """How often a model that failed before its first letter is asked again, unless it is
    the client of a server: that has made its own attempts."""
    tool_rounds: int = 5
    """How often in one reply the model may call tools; then it must answer without."""
    silences: int = 2
    """How many silences in a row are asked about before the agent hangs up."""
    sound_ms: int = 500
    """Speech shorter than this of which nothing was understood was a cough, and is
    passed over in silence."""
    resume: bool = True
    """Say the rest of a reply after an interruption of which nothing was understood."""
    keys: bool = True
    """Whether keys pressed by the caller are a turn."""
    keys_text: str = "[keys pressed: {keys}]"
    """The user message they become."""
    cut_mark: str = "—"
    """Ends an assistant's message that the caller cut off."""

    def __post_init__(self) -> None:
        if min(self.model_stall_seconds, self.recognition_seconds) <= 0:
            raise BadSettingsError("time limits are more than 0 seconds")
        if min(self.retries, self.tool_rounds, self.silences, self.sound_ms) < 0:
            raise BadSettingsError("limits cannot be negative")
        if "{keys}" not in self.keys_text:
            raise BadSettingsError("keys_text must say where the keys go: {keys}")
